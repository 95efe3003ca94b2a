//! One script: its name, the places it plays at, and its lines.

use std::path::{Path, PathBuf};

use super::stage::Place;

/// The line that says where a script plays when it does not play everywhere.
const ONLY: &str = "# only: ";

/// A script as it stands in its file.
pub struct Script {
    pub name: String,
    pub path: PathBuf,
    pub text: String,
    pub places: Vec<Place>,
}

impl Script {
    fn read(path: PathBuf) -> Script {
        let text = std::fs::read_to_string(&path).expect("a script");
        let name = path.file_stem().and_then(|stem| stem.to_str()).expect("a name").to_owned();
        let places = match text.lines().find_map(|line| line.strip_prefix(ONLY)) {
            None => Place::ALL.to_vec(),
            Some(words) => words.split(", ").flat_map(|word| Place::named(word, &name)).collect(),
        };
        Script { name, path, text, places }
    }

    /// Every script there is, in the order of their names.
    pub fn all() -> Vec<Script> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
        let entries = std::fs::read_dir(folder).expect("scenarios");
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
        paths.sort();
        paths.into_iter().map(Script::read).collect()
    }
}

/// The words of a command; one that begins with `"` is a JSON string, for ids that are empty or hold blanks.
pub fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = command.trim_start();
    while !rest.is_empty() {
        let end = match rest.starts_with('"') {
            false => {
                let end = rest.find(' ').unwrap_or(rest.len());
                words.push(rest[..end].to_owned());
                end
            }
            true => {
                let mut quoted = serde_json::Deserializer::from_str(rest).into_iter::<String>();
                words.push(quoted.next().expect("a word").expect("a JSON string"));
                quoted.byte_offset()
            }
        };
        rest = rest[end..].trim_start();
    }
    words
}

/// An id as scripts show it: bare where it is plain, else as a JSON string in ASCII, so that no two ids look alike.
pub fn shown(id: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
    if !id.is_empty() && id.chars().all(is_plain) {
        return id.to_owned();
    }
    let quoted = serde_json::to_string(id).expect("a text is JSON");
    let escaped = quoted.chars().map(|c| match c.is_ascii() {
        true => c.to_string(),
        false => c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect(),
    });
    escaped.collect()
}

#[test]
fn ids_are_read_as_they_are_shown() {
    for id in ["a", "", "two words", "a\"b\\", "caf\u{e9}", "cafe\u{301}", "\u{1f600}", "=", "a\nb"] {
        assert_eq!(words(&format!("put {} 1", shown(id))), ["put", id, "1"]);
    }
    assert_ne!(shown("caf\u{e9}"), shown("cafe\u{301}"));
}
