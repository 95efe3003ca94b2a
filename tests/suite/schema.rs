//! The profile's JSON schema: what it takes and refuses is what the reader takes and refuses.

use std::path::{Path, PathBuf};

use failback::profile::schema;
use jsonschema::Validator;
use serde_json::{Value as Json, json};

use crate::profile::{GOOD, MISTAKES};
use crate::rig::Home;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn validator() -> Validator {
    jsonschema::draft202012::new(&schema()).expect("a schema")
}

/// TOML as an editor hands it to a validator: instants are strings.
fn as_json(value: toml::Value) -> Json {
    match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => json!(number),
        toml::Value::Boolean(is) => is.into(),
        toml::Value::Datetime(instant) => instant.to_string().into(),
        toml::Value::Array(items) => items.into_iter().map(as_json).collect(),
        toml::Value::Table(fields) => fields.into_iter().map(|(name, value)| (name, as_json(value))).collect(),
    }
}

fn document(text: &str) -> Option<Json> {
    text.parse::<toml::Table>().ok().map(|table| as_json(toml::Value::Table(table)))
}

#[track_caller]
fn assert_valid(validator: &Validator, text: &str) {
    let document = document(text).expect("TOML");
    let errors: Vec<String> =
        validator.iter_errors(&document).map(|error| format!("{error} at {}", error.instance_path())).collect();
    assert_eq!(errors, [""; 0], "{text}");
}

#[test]
fn the_golden_copy_is_what_init_prints() {
    let printed = Home::new().run("init --schema").exits(0).out;
    snapbox::assert_data_eq!(&printed, snapbox::Data::read_from(&root().join("docs/profile.schema.json"), None).raw());
    assert_eq!(format!("{:#}\n", schema()), printed);
}

#[test]
fn every_example_is_valid_by_the_schema() {
    let validator = validator();
    assert_valid(&validator, GOOD);
    let files = std::fs::read_dir(root().join("profiles")).expect("profiles/");
    let written = root().join("src/discover/golden/profile.toml");
    for path in files.map(|file| file.expect("a file").path()).chain([written]) {
        assert_valid(&validator, &std::fs::read_to_string(&path).expect("text"));
    }
}

/// Rules about the form of a text and those that compare values are the reader's own.
const NOT_STRUCTURAL: &[&str] = &[
    "not valid TOML",
    "not fit for a folder's name",
    "environment variable",
    "must be one `${NAME}`",
    "not an instant",
    "dr cannot represent an instant after",
    "two stores are named",
    "is the same resource as",
    "overlaps the primary",
    "not a bucket's name",
    "cannot tell which write is the newest",
    "is not `schema.table`",
    "is listed twice",
    "the last stage must be 100",
    "not a DynamoDB table's name",
    "stages must ascend",
    "a stage of 0",
    "primary and dr cannot be the same record",
    "names no export",
    "names no bucket",
    "`changed` needs exports of",
    "does not go with `",
];

#[test]
fn every_structural_mistake_is_refused_by_the_schema() {
    let validator = validator();
    let mut refused = 0;
    for (from, to, told) in MISTAKES {
        if told.iter().all(|told| NOT_STRUCTURAL.iter().any(|words| told.contains(words))) {
            continue;
        }
        let document = document(&GOOD.replacen(from, to, 1)).expect("TOML");
        assert!(!validator.is_valid(&document), "{from} -> {to}: {told:?}");
        refused += 1;
    }
    assert!(refused >= 20, "{refused}");
}

/// A field that one table knows is refused in every other one, and what is right in none is refused everywhere.
#[test]
fn a_field_too_many_is_refused_in_every_table() {
    let validator = validator();
    let good = document(GOOD).expect("TOML");
    let pointers = [
        "",
        "/primary",
        "/dr",
        "/store/0",
        "/store/0/primary",
        "/store/1/dr",
        "/store/2/dr",
        "/cutover",
        "/cutover/record",
        "/cutover/health",
    ];
    for pointer in pointers {
        let mut more = good.clone();
        more.pointer_mut(pointer).expect(pointer)["novel"] = json!("x");
        assert!(!validator.is_valid(&more), "{pointer}");
    }
}

/// Every field of every table, each read by the reader and taken by the schema.
#[test]
fn every_field_of_the_schema_is_one_the_reader_knows() {
    let env = |_: &str| Some("secret".to_owned());
    let mut count = 0;
    for (pointer, place) in [
        ("", ""),
        ("/properties/primary", "primary."),
        ("/properties/primary/properties/credentials", "primary.credentials."),
        ("/properties/primary/properties/endpoints", "primary.endpoints."),
        ("/properties/freeze", "freeze."),
        ("/properties/cutover", "cutover."),
        ("/properties/cutover/properties/record", "cutover.record."),
        ("/properties/cutover/properties/health", "cutover.health."),
        ("/properties/machine", "machine."),
    ] {
        let schema = schema();
        let fields = schema.pointer(pointer).expect(pointer)["properties"].as_object().expect("fields");
        for name in fields.keys() {
            // A value of a wrong type is told by the reader as such, and never as an unknown field.
            let text = format!("{place}{name} = 2026-01-01\n");
            let told = failback::profile::Profile::parse(&text, "p", &env).expect_err("incomplete").to_string();
            assert!(!told.contains(&format!("unknown field `{name}`")), "{place}{name}: {told}");
            count += 1;
        }
    }
    assert!(count > 40, "{count}");
}

#[test]
fn the_manual_tells_editors_of_the_schema() {
    let manual = std::fs::read_to_string(Path::new(&root()).join("docs/profile.md")).expect("the manual");
    assert!(manual.contains("#:schema ./failback.schema.json"));
}
