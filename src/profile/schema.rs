//! The JSON schema of a profile, made of what the reader asks for: a field that the reader learns is in the schema too.
//!
//! The reader notes every field it asks for, what that may be, and what holds between fields. It is shown a profile of
//! every kind of store in which all tables are there and empty, and what it noted is written as a schema. Rules about the
//! form of a text, such as a Region's name, and those that compare values stay the reader's own.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value as Json, json};

use super::read;

/// The kinds of stores, each of which has fields of its own.
const KINDS: [&str; 5] = ["dynamodb", "s3", "postgres", "mysql", "memory"];

/// A profile in which every table is there, so that the reader asks for all of its fields. A base may be a word too.
const EVERY_TABLE: &str = r#"
freeze = {}
cutover = { record = {}, health = {} }
machine = {}
rescue = {}
primary = { endpoints = {}, credentials = {} }
dr = { endpoints = {}, credentials = {} }
"#;

/// The manual, whose words describe the fields.
const MANUAL: &str = include_str!("../../docs/profile.md");

/// What a field may be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Shape {
    Text,
    FilledText,
    Word(Vec<&'static str>),
    Number(u64, u64),
    Truth,
    Percents,
    Instant,
    Texts,
    TextsByName,
    Table,
    Tables,
}

/// What holds between the fields of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rule {
    /// The field must be there.
    Required(&'static str),
    /// Exactly one of them must be there.
    One(&'static [&'static str]),
    /// The first needs all of the others.
    Needs(&'static str, &'static [&'static str]),
    /// The first cannot be given with any of the others.
    Apart(&'static str, &'static [&'static str]),
    /// Fields that no other rule names are known, and never right.
    Only,
}

/// What the reader asked for, by table.
#[derive(Debug, Default)]
pub(super) struct Asked(BTreeMap<String, AskedTable>);

/// What the reader asked of one table.
#[derive(Debug, Default)]
pub(super) struct AskedTable {
    fields: BTreeMap<&'static str, BTreeSet<Shape>>,
    rules: BTreeSet<Rule>,
}

impl Asked {
    pub(super) fn table(&mut self, path: &str) -> &mut AskedTable {
        self.0.entry(path.to_owned()).or_default()
    }

    fn absorb(&mut self, other: Asked) {
        for (path, AskedTable { fields, rules }) in other.0 {
            let table = self.table(&path);
            fields.into_iter().for_each(|(name, shapes)| table.fields.entry(name).or_default().extend(shapes));
            table.rules.extend(rules);
        }
    }
}

impl AskedTable {
    pub(super) fn field(&mut self, name: &'static str, shape: Shape) {
        self.fields.entry(name).or_default().insert(shape);
    }

    pub(super) fn rule(&mut self, rule: Rule) {
        self.rules.insert(rule);
    }

    fn is_usable(&self, name: &str) -> bool {
        let is_named = |rule: &Rule| matches!(rule, Rule::One(names) if names.contains(&name));
        !self.rules.contains(&Rule::Only) || self.rules.iter().any(is_named)
    }
}

/// The JSON schema of a profile, draft 2020-12.
pub fn schema() -> Json {
    let by_kind = KINDS.map(|kind| (kind, asked_of(kind)));
    let stores: Vec<Json> = by_kind.iter().map(|(kind, asked)| store(kind, asked)).collect();
    let (_, any) = &by_kind[0];
    let mut schema = object(any, "", &stores);
    let fields = schema.as_object_mut().expect("an object is made above");
    fields.insert("$schema".into(), "https://json-schema.org/draft/2020-12/schema".into());
    fields.insert("title".into(), "a profile of failback".into());
    schema
}

/// What the reader asks of a profile with a store of this kind.
fn asked_of(kind: &str) -> Asked {
    let mut all = Asked::default();
    for base in ["{}", "\"none\""] {
        let store = format!(
            "kind = {kind:?}\nprimary = {{}}\ndr = {{}}\npolicy = {{}}\nlimits = {{}}\nchanges = {{}}\nmapping = [{{}}]\nbase = {base}\n"
        );
        all.absorb(read::asked(&format!("{EVERY_TABLE}[[store]]\n{store}")));
    }
    all
}

fn store(kind: &str, asked: &Asked) -> Json {
    let mut store = object(asked, "store", &[]);
    store["properties"]["kind"]["const"] = kind.into();
    store["title"] = format!("a store of kind {kind}").into();
    store
}

/// The schema of one table.
fn object(asked: &Asked, path: &str, stores: &[Json]) -> Json {
    let Some(table) = asked.0.get(path) else { return json!({ "type": "object" }) };
    let mut properties = Map::new();
    for (name, shapes) in table.fields.iter().filter(|(name, _)| table.is_usable(name)) {
        let inner = if path.is_empty() { (*name).to_owned() } else { format!("{path}.{name}") };
        let mut ways: Vec<Json> = shapes.iter().map(|shape| shaped(shape, asked, &inner, stores)).collect();
        let mut field = if ways.len() == 1 { ways.remove(0) } else { json!({ "anyOf": ways }) };
        if let Some(words) = described(path, name) {
            field["description"] = words.into();
        }
        properties.insert((*name).to_owned(), field);
    }
    let mut object = json!({ "type": "object", "additionalProperties": false, "properties": properties });
    object.as_object_mut().expect("made above").extend(ruled(&table.rules));
    object
}

fn shaped(shape: &Shape, asked: &Asked, path: &str, stores: &[Json]) -> Json {
    match shape {
        Shape::Text => json!({ "type": "string" }),
        Shape::FilledText => json!({ "type": "string", "minLength": 1 }),
        Shape::Word(words) => json!({ "enum": words }),
        Shape::Number(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Shape::Truth => json!({ "type": "boolean" }),
        Shape::Percents => {
            let percent = json!({ "type": "integer", "minimum": 0, "maximum": 100 });
            json!({ "type": "array", "minItems": 1, "items": percent })
        }
        // What a date-time of TOML is to a validator of JSON differs between editors: all take a string of this form.
        Shape::Instant => json!({ "type": "string", "format": "date-time" }),
        Shape::Texts => json!({ "type": "array", "minItems": 1, "items": { "type": "string", "minLength": 1 } }),
        Shape::TextsByName => {
            let text = json!({ "type": "string", "minLength": 1 });
            json!({ "type": "object", "minProperties": 1, "additionalProperties": text })
        }
        Shape::Table => object(asked, path, stores),
        Shape::Tables if path == "store" => {
            json!({ "type": "array", "minItems": 1, "items": { "oneOf": stores } })
        }
        Shape::Tables => json!({ "type": "array", "items": object(asked, path, stores) }),
    }
}

/// Rules as the keywords of a schema.
fn ruled(rules: &BTreeSet<Rule>) -> Map<String, Json> {
    let (mut required, mut needs, mut apart) = (Vec::new(), Map::new(), Map::new());
    let mut keywords = Map::new();
    for rule in rules {
        match rule {
            Rule::Required(name) => required.push(*name),
            Rule::One(names) => {
                let ways: Vec<Json> = names.iter().map(|name| json!({ "required": [name] })).collect();
                keywords.insert("oneOf".to_owned(), ways.into());
            }
            Rule::Needs(name, others) => {
                needs.insert((*name).to_owned(), json!(others));
            }
            Rule::Apart(name, others) => {
                let never: Map<String, Json> = others.iter().map(|name| ((*name).to_owned(), json!(false))).collect();
                apart.insert((*name).to_owned(), json!({ "properties": never }));
            }
            Rule::Only => {}
        }
    }
    if !required.is_empty() {
        keywords.insert("required".to_owned(), json!(required));
    }
    if !needs.is_empty() {
        keywords.insert("dependentRequired".to_owned(), needs.into());
    }
    if !apart.is_empty() {
        keywords.insert("dependentSchemas".to_owned(), apart.into());
    }
    keywords
}

/// What the manual says of a field, in the table of its section.
fn described(path: &str, name: &str) -> Option<String> {
    let heading = match path {
        "" => "## Top level",
        "primary" | "dr" => "## `[primary]` and `[dr]`",
        "store.primary" | "store.dr" => "### Resources",
        "store.policy" => "### `policy`",
        "store.limits" => "### `limits`",
        "store.changes" => "### `changes`",
        "store.mapping" => "### `mapping`",
        "store.base" => return None,
        _ => match path.split('.').next() {
            Some("store") => "## `[[store]]`",
            Some("freeze") => "## `[freeze]`",
            Some("cutover") => "## `[cutover]`",
            Some("machine") => "## `[machine]`",
            Some("rescue") => "## `[rescue]`",
            _ => return None,
        },
    };
    let section = MANUAL.lines().skip_while(|line| *line != heading).skip(1).take_while(|line| !line.starts_with('#'));
    let mut rows = section.filter_map(|line| line.trim().strip_prefix('|')?.strip_suffix('|'));
    let row = rows.find(|row| {
        let names = row.split('|').next().unwrap_or_default();
        names.split(',').any(|one| one.trim().trim_matches('`') == name)
    })?;
    row.rsplit('|').next().map(|words| words.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table that the reader learns must be in [`EVERY_TABLE`], or its fields would be missing from the schema.
    #[test]
    fn every_table_is_asked_for_its_fields() {
        for kind in KINDS {
            let asked = asked_of(kind);
            for (path, table) in &asked.0 {
                for (name, _) in table.fields.iter().filter(|(_, shapes)| shapes.contains(&Shape::Table)) {
                    let inner = if path.is_empty() { (*name).to_owned() } else { format!("{path}.{name}") };
                    assert!(asked.0.get(&inner).is_some_and(|table| !table.fields.is_empty()), "{kind}: {inner}");
                }
            }
        }
    }

    #[test]
    fn the_manual_describes_what_an_editor_shows() {
        for (path, name) in [
            ("", "dr_as_of"),
            ("dr", "role_arn"),
            ("store", "dr"),
            ("store.dr", "tls"),
            ("store.policy", "stranded"),
            ("cutover.health", "failures"),
            ("machine", "spill"),
        ] {
            assert!(described(path, name).is_some_and(|words| words.len() > 10), "{path} {name}");
        }
    }
}
