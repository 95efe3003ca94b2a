//! The profile as text: what is plain is written out, what is open or out of reach is a comment that says why.

use std::collections::BTreeSet;

use super::found::{Database, DatabaseForm, Found, Gap, Resource, ResourceKind, Survey, Table, WeightedRecord};
use super::names::Regions;
use super::pair::{Alone, Pair, Pairing, Question, RecordPair, RecordQuestion, obstacle};
use crate::model::Side;
use crate::profile::SideProfile;

/// The longest name of a store, as the profile's reader has it.
const NAME_MAX: usize = 64;

/// Resources without a counterpart that are named; the others are counted.
const ALONE_MAX: usize = 200;

/// The policies of every store that is written: nothing is overwritten or deleted without proof or a person's word.
const POLICY: &str =
    r#"policy = { conflict = "hold", stranded = "keep", unattributed = "hold", deletes = "base-proved" }"#;

/// A profile's text and what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The text.
    pub text: String,
    /// Names of the stores that a reader of the text sees, in the order of the pairs; none for a commented one.
    pub stores: Vec<Option<String>>,
}

/// Writes the profile of what was found and paired.
pub fn profile_text(name: &str, sides: (&SideProfile, &SideProfile), survey: &Survey, pairing: &Pairing) -> Written {
    let mut page = Page::default();
    page.head(name, pairing);
    page.gaps(&survey.gaps);
    page.side("primary", sides.0, survey.primary.account.as_deref());
    page.side("dr", sides.1, survey.dr.account.as_deref());
    let regions = (survey.primary.region.as_str(), survey.dr.region.as_str());
    let names = store_names(pairing, regions);
    let mut stores = Vec::new();
    for (pair, name) in pairing.pairs.iter().zip(&names) {
        let why = obstacle(&pair.primary, &pair.dr, regions);
        page.store(pair, name, why.as_deref());
        stores.push(why.is_none().then(|| name.clone()));
    }
    for question in &pairing.questions {
        page.question(question, regions);
    }
    page.alone(Side::Primary, &pairing.primary_alone);
    page.alone(Side::Dr, &pairing.dr_alone);
    page.freeze();
    page.cutover(&pairing.records, &pairing.record_questions);
    Written { text: page.0, stores }
}

/// A name for the store of every pair: what both resources' names have in common, made unique by kind and number.
pub fn store_names(pairing: &Pairing, regions: (&str, &str)) -> Vec<String> {
    let regions = Regions { primary: regions.0, dr: regions.1 };
    let mut taken = BTreeSet::new();
    let mut unique = |pair: &Pair| {
        let same = pair.primary.name == pair.dr.name;
        let own = if same { pair.primary.name.clone() } else { regions.core(&pair.primary.name) };
        let own = fit(&own);
        let by_kind = fit(&format!("{own}-{}", pair.primary.kind().word()));
        let numbered = (2..).map(|number| fit(&format!("{number}-{own}")));
        let mut tried = [own.clone(), by_kind].into_iter().chain(numbered);
        tried.find(|name| taken.insert(name.to_lowercase())).expect("numbers do not end")
    };
    pairing.pairs.iter().map(&mut unique).collect()
}

/// A name that can name a folder, as the profile's reader asks.
fn fit(name: &str) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' };
    let name: String = name.chars().map(fits).skip_while(|c| !c.is_ascii_alphanumeric()).take(NAME_MAX).collect();
    let name = name.trim_end_matches('.');
    if name.is_empty() { "store".to_owned() } else { name.to_owned() }
}

/// A TOML string.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out + "\""
}

/// The text, as far as it is written.
#[derive(Default)]
struct Page(String);

impl Page {
    fn line(&mut self, line: &str) {
        self.0.push_str(line.trim_end());
        self.0.push('\n');
    }

    fn lines(&mut self, lines: &str) {
        lines.lines().for_each(|line| self.line(line));
    }

    /// A comment; what services tell may hold line ends, which would end it.
    fn note(&mut self, words: &str) {
        let words: String = words.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        self.line(&format!("# {words}"));
    }

    fn head(&mut self, name: &str, pairing: &Pairing) {
        self.lines(&format!(
            "#:schema ./failback.schema.json\n\
             # Written by `failback init` from what both Regions hold. Read it before you rely on it: it says why resources are\n\
             # taken for counterparts, and what is left out or open stands here as a comment.\n\
             #\n\
             # For editors: failback init --schema > failback.schema.json\n\
             \n\
             name = {}\n\
             \n\
             # T0, the last instant the primary accepted authoritative writes. Absent until there is a disaster.\n\
             # disaster_at = 2026-11-22T03:10:00Z\n\
             \n\
             # Tb, what dr's data represented at failover; the same as T0 unless it is stated.",
            quoted(name)
        ));
        let restored = pairing.pairs.iter().filter_map(|pair| match &pair.evidence {
            super::pair::Evidence::Restored { as_of, .. } => *as_of,
            _ => None,
        });
        match restored.min() {
            Some(as_of) => {
                self.line(&format!("# dr_as_of = {as_of}"));
                self.note("(the earliest instant that any restored store below represents)");
            }
            None => self.line("# dr_as_of = 2026-11-22T03:09:30Z"),
        }
        self.line("");
    }

    fn gaps(&mut self, gaps: &[Gap]) {
        if gaps.is_empty() {
            return;
        }
        self.note("NOT LISTED: stores may be missing here. Mend this, then run failback init again:");
        for Gap { side, what, why } in gaps {
            let side = side.map_or(String::new(), |side| format!(" of {side}"));
            self.note(&format!("- {what}{side}: {why}"));
        }
        self.line("");
    }

    fn side(&mut self, title: &str, side: &SideProfile, account: Option<&str>) {
        let SideProfile { region, aws_profile, role_arn, account: _, endpoint_url, endpoints: _, credentials: _ } =
            side;
        self.line(&format!("[{title}]"));
        self.field("region", Some(region));
        self.field("aws_profile", aws_profile.as_deref());
        self.field("role_arn", role_arn.as_deref());
        self.field("endpoint_url", endpoint_url.as_deref());
        if let Some(account) = account.filter(|id| id.len() == 12 && id.bytes().all(|b| b.is_ascii_digit())) {
            self.line(&format!(
                "account = {}            # credentials of any other account are refused",
                quoted(account)
            ));
        }
        self.line("");
    }

    fn field(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.line(&format!("{name} = {}", quoted(value)));
        }
    }

    fn store(&mut self, pair: &Pair, name: &str, obstacle: Option<&str>) {
        self.note(&format!(
            "{} {} and {}: {}",
            capital(pair.primary.kind().word()),
            pair.primary.name,
            pair.dr.name,
            pair.evidence.words()
        ));
        if !pair.also.is_empty() {
            self.note(&format!("Passed over in dr: {}", pair.also.join(", ")));
        }
        for remark in remarks(pair) {
            self.note(&remark);
        }
        let lines = store_lines(name, &pair.primary, &pair.dr);
        match obstacle {
            None => self.lines(&lines),
            Some(why) => {
                self.note(&format!("NOT A STORE: {why}"));
                lines.lines().for_each(|line| self.line(&format!("# {line}")));
            }
        }
        self.bases(pair);
        self.line("");
    }

    /// What may be the base: the profile says so only where a person has looked.
    fn bases(&mut self, pair: &Pair) {
        for aside in &pair.asides {
            let as_of = aside.as_of.map_or("an unknown instant".to_owned(), |as_of| as_of.to_string());
            let name = &aside.created.name;
            self.note(&format!("{name} was restored aside, as of {as_of}. Where that is Tb, it is the base:"));
            if aside.created.kind == ResourceKind::Table {
                self.line(&format!("# base = {{ table = {} }}", quoted(name)));
            } else {
                let scheme = match &pair.primary.found {
                    Found::Database(database) if database.engine == super::Engine::Mysql => "mysql",
                    _ => "postgres",
                };
                self.note(&format!("give it as base = {{ database = \"{scheme}://user@host/database\" }}"));
            }
        }
    }

    fn question(&mut self, question: &Question, regions: (&str, &str)) {
        let Question { primary, candidates, .. } = question;
        let word = primary.kind().word();
        self.note(&format!("OPEN: which {word} of dr is the counterpart of {}? Uncomment one:", primary.name));
        for candidate in candidates {
            let mut why = candidate.evidence.words();
            if let Some(obstacle) = obstacle(primary, &candidate.dr, regions) {
                why = format!("{why}; {obstacle}");
            }
            self.note("");
            self.note(&format!("{}: {why}", candidate.dr.name));
            let name = fit(&Regions { primary: regions.0, dr: regions.1 }.core(&primary.name));
            let lines = store_lines(&name, primary, &candidate.dr);
            lines.lines().for_each(|line| self.line(&format!("# {line}")));
        }
        self.line("");
    }

    fn alone(&mut self, side: Side, alone: &[Alone]) {
        if alone.is_empty() {
            return;
        }
        let other = if side == Side::Primary { "dr" } else { "the primary" };
        let side = if side == Side::Primary { "the primary" } else { "dr" };
        self.note(&format!("Only in {side}, with no counterpart in {other}:"));
        for Alone { resource, why } in alone.iter().take(ALONE_MAX) {
            let why = why.as_ref().map_or(String::new(), |why| format!(": {why}"));
            self.note(&format!("- {} {}{why}", resource.kind().word(), resource.name));
        }
        if alone.len() > ALONE_MAX {
            self.note(&format!("- and {} more; failback init --json names them all", alone.len() - ALONE_MAX));
        }
        self.line("");
    }

    fn freeze(&mut self) {
        self.lines(
            "# How dr's writers are stopped before the final pass, and how that is proved. Needed by replay --freeze.\n\
             # [freeze]\n\
             # command = [\"./fence-dr.sh\"]\n\
             # negative_write_test = [\"./try-to-write-dr.sh\"]   # must exit 1 (refused) afterwards\n",
        );
        self.line("");
    }

    fn cutover(&mut self, pairs: &[RecordPair], questions: &[RecordQuestion]) {
        match pairs {
            [] if questions.is_empty() => {
                self.note("No weighted record was found: without one, move customers by hand, or add a [cutover].");
            }
            [] => {}
            [pair] => {
                self.note(&format!("Customers return by these weighted records: {}.", pair.why));
                self.lines(&cutover_lines(&pair.primary, &pair.dr));
            }
            pairs => {
                self.note("OPEN: which weighted records shift customers? Uncomment one:");
                for pair in pairs {
                    self.note("");
                    self.note(&format!("{}.", pair.why));
                    cutover_lines(&pair.primary, &pair.dr).lines().for_each(|line| self.line(&format!("# {line}")));
                }
            }
        }
        for RecordQuestion { records, why } in questions {
            let Some(first) = records.first() else { continue };
            self.note("");
            self.note(&format!("OPEN: weighted {} records of {}: {why}. They are:", first.record_type, first.name));
            for record in records {
                let targets = record.targets.join(", ");
                self.note(&format!("- {}, weight {}, to {targets}", quoted(&record.identifier), record.weight));
            }
            let blank = |identifier: &str| WeightedRecord { identifier: identifier.to_owned(), ..first.clone() };
            let lines = cutover_lines(&blank("THE PRIMARY'S"), &blank("DR'S"));
            lines.lines().for_each(|line| self.line(&format!("# {line}")));
        }
    }
}

fn capital(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map_or(String::new(), |first| first.to_uppercase().collect::<String>() + chars.as_str())
}

/// What an operator should know of a pair before relying on it.
fn remarks(pair: &Pair) -> Vec<String> {
    let sides = [("the primary", &pair.primary), ("dr", &pair.dr)];
    let mut remarks = Vec::new();
    for (side, resource) in sides {
        match &resource.found {
            Found::Table(table) => remarks.extend(table_remark(side, table)),
            Found::Bucket(bucket) if bucket.versioned != Some(true) => {
                let state = if bucket.versioned.is_none() { "it is unknown whether" } else { "no:" };
                remarks.push(format!("Versions on {side}: {state} the bucket keeps them."));
            }
            _ => {}
        }
    }
    if let (Found::Bucket(one), Found::Bucket(two)) = (&pair.primary.found, &pair.dr.found) {
        let rules = [(one, "the primary to dr", &pair.dr.name), (two, "dr to the primary", &pair.primary.name)];
        for (_, way, _) in rules.into_iter().filter(|(bucket, _, name)| bucket.replicates_to.contains(name)) {
            remarks.push(format!("Replication from {way} is on: decide on its rule before anything is replayed."));
        }
    }
    if let (Found::Database(_), Found::Database(_)) = (&pair.primary.found, &pair.dr.found) {
        remarks.push("The user is the master user; a role of its own is better, see docs/profile.md.".to_owned());
    }
    remarks
}

fn table_remark(side: &str, table: &Table) -> Option<String> {
    let recovery = match table.point_in_time_recovery {
        Some(true) => None,
        Some(false) => Some("no point-in-time recovery"),
        None => Some("point-in-time recovery is unknown"),
    };
    let stream = (!table.stream).then_some("no stream");
    let missing: Vec<&str> = recovery.into_iter().chain(stream).collect();
    (!missing.is_empty()).then(|| format!("On {side}: {}.", missing.join(", ")))
}

/// What an operator of many objects may choose.
const COMPARE: &str =
    "# compare = \"bodies\"                # for many objects: only bodies, by size and ETag as listings tell them\n";

/// A `[[store]]` of two counterparts.
fn store_lines(name: &str, primary: &Resource, dr: &Resource) -> String {
    let name = quoted(name);
    match (&primary.found, &dr.found) {
        (Found::Table(_), _) => format!(
            "[[store]]\nname = {name}\nkind = \"dynamodb\"\nprimary = {{ table = {} }}\ndr = {{ table = {} }}\n\
             base = \"none\"                       # or a checkpoint, or a table restored aside at Tb\n{POLICY}\n",
            quoted(&primary.name),
            quoted(&dr.name)
        ),
        (Found::Bucket(one), found) => {
            let dr_keeps_versions = matches!(found, Found::Bucket(two) if two.versioned == Some(true));
            let base = match (one.versioned == Some(true), dr_keeps_versions) {
                (true, true) => {
                    "base = \"versions\"                   # both version histories tell what both sides had in common"
                }
                (true, false) => {
                    "base = \"versions\"                   # the primary's version history at Tb; dr keeps none to hold against it"
                }
                (false, _) => {
                    "base = \"none\"                       # the primary keeps no versions that would tell the state at Tb"
                }
            };
            format!(
                "[[store]]\nname = {name}\nkind = \"s3\"\nprimary = {{ bucket = {} }}\ndr = {{ bucket = {} }}\n{base}\n{COMPARE}{POLICY}\n",
                quoted(&primary.name),
                quoted(&dr.name)
            )
        }
        (Found::Database(one), found) => {
            let (kind, tables) = match one.engine {
                super::Engine::Mysql => ("mysql", "*"),
                _ => ("postgres", "public.*"),
            };
            let two = match found {
                Found::Database(two) => two,
                _ => one,
            };
            format!(
                "[[store]]\nname = {name}\nkind = \"{kind}\"\ntables = [\"{tables}\"]\n\
                 base = \"none\"                       # or a checkpoint, or a database restored aside at Tb\n{POLICY}\n\
                 [store.primary]\n{}[store.dr]\n{}",
                database_lines(&primary.name, one, "PRIMARY_DB_PASSWORD"),
                database_lines(&dr.name, two, "DR_DB_PASSWORD")
            )
        }
    }
}

fn database_lines(name: &str, database: &Database, variable: &str) -> String {
    let form = match database.form {
        DatabaseForm::Instance => "instance",
        DatabaseForm::Cluster => "cluster",
    };
    let said = |text: &Option<String>| quoted(text.as_deref().unwrap_or("NAME IT"));
    format!(
        "{form} = {}\ndatabase = {}\nuser = {}\n# password = \"${{{variable}}}\"   # an environment variable; set it first\n",
        quoted(name),
        said(&database.database),
        said(&database.user)
    )
}

fn cutover_lines(primary: &WeightedRecord, dr: &WeightedRecord) -> String {
    format!(
        "[cutover]\nhosted_zone = {}\nrecord = {{ name = {}, type = {}, primary = {}, dr = {} }}\n\
         stages = [5, 25, 50, 100]           # the primary's share of customers, in percent\n\
         hold_seconds = 300                  # how long each stage is watched\n\
         # health = {{ url = \"https://primary.example.com/health\" }}   # retreats by itself when this fails\n",
        quoted(&primary.zone),
        quoted(&primary.name),
        quoted(&primary.record_type),
        quoted(&primary.identifier),
        quoted(&dr.identifier)
    )
}
