//! The rooms and what each may import, which rooms are pure, and where the large dependencies may be named; by text.

use std::path::{Path, PathBuf};

/// Files above this many lines are cut, their test modules not counted.
const LINES_MAX: usize = 600;

/// Every room with the rooms it may import; a room may import itself.
const IMPORTS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("profile", &["model"]),
    ("digest", &["model"]),
    ("store", &["model", "profile", "digest"]),
    ("diff", &["model", "digest"]),
    ("compare", &["model", "profile", "digest", "diff", "store"]),
    ("plan", &["model", "profile", "diff", "digest"]),
    ("journal", &["model"]),
    ("replay", &["model", "profile", "digest", "diff", "plan", "journal", "store", "compare"]),
    ("verify", &["model", "profile", "digest", "diff", "compare", "plan", "store"]),
    ("cutover", &["model", "profile", "journal", "verify", "store"]),
    ("discover", &["model", "profile", "store", "cutover"]),
    ("control", &["model", "profile", "store", "discover"]),
    ("session", BELOW_SESSION),
    ("report", BELOW_REPORT),
    ("guide", BELOW_GUIDE),
    ("drill", BELOW_DRILL),
    ("tui", BELOW_DRILL),
    ("cli", ALL),
    ("main", &["cli"]),
];

const BELOW_SESSION: &[&str] = &[
    "model", "profile", "digest", "store", "diff", "compare", "plan", "journal", "replay", "verify", "cutover",
    "discover", "control",
];
const BELOW_REPORT: &[&str] = &[
    "model", "profile", "digest", "store", "diff", "compare", "plan", "journal", "replay", "verify", "cutover",
    "discover", "control", "session",
];
const BELOW_GUIDE: &[&str] = &[
    "model", "profile", "digest", "store", "diff", "compare", "plan", "journal", "replay", "verify", "cutover",
    "discover", "control", "session", "report",
];
const BELOW_DRILL: &[&str] = &[
    "model", "profile", "digest", "store", "diff", "compare", "plan", "journal", "replay", "verify", "cutover",
    "discover", "control", "session", "report", "guide",
];
const ALL: &[&str] = &[
    "model", "profile", "digest", "store", "diff", "compare", "plan", "journal", "replay", "verify", "cutover",
    "discover", "control", "session", "report", "guide", "drill", "tui", "cli",
];

/// Code that only computes: a folder, or one file.
const PURE: &[&str] = &[
    "model/",
    "digest/encoding.rs",
    "digest/frame.rs",
    "digest/bucket.rs",
    "digest/key_json.rs",
    "diff/",
    "plan/",
    "report/",
    "cutover/next_move.rs",
    "guide/course.rs",
    "guide/stages.rs",
    "guide/advice.rs",
    "tui/keymap.rs",
    "tui/message.rs",
    "tui/state.rs",
    "tui/theme.rs",
    "tui/update/",
    "tui/view/",
    "discover/found.rs",
    "discover/names.rs",
    "discover/pair",
    "discover/write.rs",
    "control/global.rs",
    "control/guide.rs",
    "control/iac/",
    "control/lag.rs",
    "control/restored.rs",
    "control/security.rs",
    "control/settings.rs",
];

/// Names of what reads clocks, files, networks or processes, or waits for any of them.
const IMPURE_WORDS: &[&str] = &["async", "tokio", "reqwest"];
const IMPURE_PATHS: &[&str] = &["Timestamp::now", "SystemTime::now", "Instant::now"];
const IMPURE_STD: &[&str] = &["fs", "net", "process"];

/// Crates that may be named in a few places only, by the beginning of their names.
const HOMES: &[(&str, &[&str])] = &[
    (
        "aws_sdk_",
        &[
            "store/dynamodb/",
            "store/s3/",
            "store/sql/",
            "store/aws.rs",
            "cutover/route53",
            "discover/aws/",
            "control/aws/",
            "drill/",
        ],
    ),
    ("tokio_postgres", &["store/postgres/", "drill/"]),
    ("mysql_async", &["store/mysql/"]),
    ("aws_sigv4", &["control/aws/"]),
    ("aws_smithy_xml", &["control/aws/"]),
    ("reqwest", &["cutover/", "control/aws/"]),
    ("crossterm", &["tui/"]),
    ("ratatui", &["tui/"]),
    // A kind of store is known by name where stores are opened, and nowhere else.
    ("store::dynamodb", &["store/", "session/"]),
    ("store::postgres", &["store/", "session/", "discover/"]),
    ("store::s3", &["store/", "session/"]),
    ("rusqlite", &["journal/", "session/browse.rs"]),
];

/// One file of the sources: its path below `src`, and its text without comments, string contents and test modules.
struct Source {
    path: String,
    code: String,
}

impl Source {
    fn new(path: &str, text: &str) -> Source {
        Source { path: path.to_owned(), code: without_tests(&blank(text)) }
    }

    /// The room: the folder below `src`, or the file's own name.
    fn room(&self) -> &str {
        let first = self.path.split('/').next().unwrap_or_default();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// How many modules deep the file is.
    fn depth(&self) -> usize {
        self.path.split('/').count() - usize::from(self.path.ends_with("mod.rs"))
    }

    fn is_in(&self, places: &[&str]) -> bool {
        places.iter().any(|place| self.path.starts_with(place))
    }

    /// Rooms named by `crate::`, by this crate's own name, and by enough of `super::`.
    fn imports(&self) -> Vec<String> {
        let mut rooms = heads_after(&self.code, "crate::");
        rooms.extend(heads_after(&self.code, "failback::"));
        rooms.extend(heads_after(&self.code, &"super::".repeat(self.depth())));
        rooms.retain(|room| room != "super" && room != "self");
        rooms
    }
}

/// Text with comments and the insides of strings turned to spaces; lines stay.
fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    let starts = |at: usize, word: &str| word.chars().enumerate().all(|(i, c)| chars.get(at + i) == Some(&c));
    while at < chars.len() {
        let end = if starts(at, "//") {
            (at..chars.len()).find(|i| chars[*i] == '\n').unwrap_or(chars.len())
        } else if starts(at, "/*") {
            (at + 2..chars.len()).find(|i| starts(*i, "*/")).map_or(chars.len(), |i| i + 2)
        } else if starts(at, "r\"") || starts(at, "r#") && hashes_then_quote(&chars, at + 1).is_some() {
            raw_end(&chars, at)
        } else if chars[at] == '"' {
            string_end(&chars, at)
        } else if starts(at, "'\"'") {
            at + 3
        } else if starts(at, "'\\") {
            (at + 3..chars.len()).find(|i| chars[*i] == '\'').map_or(chars.len(), |i| i + 1)
        } else {
            out.push(chars[at]);
            at += 1;
            continue;
        };
        out.extend(chars[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
        at = end;
    }
    out
}

/// The number of hashes when these are hashes and then a quote.
fn hashes_then_quote(chars: &[char], at: usize) -> Option<usize> {
    let hashes = chars[at..].iter().take_while(|c| **c == '#').count();
    (chars.get(at + hashes) == Some(&'"')).then_some(hashes)
}

fn raw_end(chars: &[char], at: usize) -> usize {
    let hashes = hashes_then_quote(chars, at + 1).unwrap_or(0);
    let is_end =
        |i: &usize| chars[*i] == '"' && chars[i + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes;
    (at + 2 + hashes..chars.len()).find(is_end).map_or(chars.len(), |i| i + 1 + hashes)
}

fn string_end(chars: &[char], at: usize) -> usize {
    let mut i = at + 1;
    while i < chars.len() && chars[i] != '"' {
        i += if chars[i] == '\\' { 2 } else { 1 };
    }
    (i + 1).min(chars.len())
}

/// Blanked text without the items under `#[cfg(test)]`.
fn without_tests(code: &str) -> String {
    let mut out = String::new();
    let mut rest = code;
    while let Some(at) = rest.find("#[cfg(test)]") {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let mut depth = 0_usize;
        let end = rest.char_indices().find_map(|(i, c)| {
            match c {
                '{' => depth += 1,
                '}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            (matches!(c, '}' | ';') && depth == 0).then_some(i + 1)
        });
        rest = &rest[end.unwrap_or(rest.len())..];
    }
    out + rest
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Places where `word` stands by itself, as the offsets of what follows it.
fn after_word<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let free = move |at: usize| !code[..at].chars().next_back().is_some_and(|c| is_word(c) || c == ':');
    code.match_indices(word).filter(move |(at, _)| free(*at)).map(|(at, word)| at + word.len())
}

/// The first names of the paths that begin with `prefix`, groups in braces included.
fn heads_after(code: &str, prefix: &str) -> Vec<String> {
    let name = |text: &str| text.trim_start().chars().take_while(|c| is_word(*c)).collect::<String>();
    let mut heads = Vec::new();
    for at in after_word(code, prefix) {
        let rest = &code[at..];
        let Some(group) = rest.strip_prefix('{') else {
            heads.push(name(rest));
            continue;
        };
        let (mut depth, mut starts) = (0_usize, vec![0]);
        for (i, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => starts.push(i + 1),
                _ => {}
            }
        }
        heads.extend(starts.into_iter().map(|start| name(&group[start..])).filter(|head| !head.is_empty()));
    }
    heads
}

fn wrong_imports(source: &Source) -> Vec<String> {
    if source.path == "lib.rs" {
        return Vec::new();
    }
    let room = source.room();
    let Some((_, allowed)) = IMPORTS.iter().find(|(known, _)| *known == room) else {
        return vec![format!("{}: the room {room} is not in the table", source.path)];
    };
    let wrong = source.imports().into_iter().filter(|import| import != room && !allowed.contains(&import.as_str()));
    wrong.map(|import| format!("{}: {room} imports {import}", source.path)).collect()
}

fn impurities(source: &Source) -> Vec<String> {
    if !source.is_in(PURE) {
        return Vec::new();
    }
    let code = &source.code;
    let ends = |at: usize| !code[at..].chars().next().is_some_and(is_word);
    let named = |word: &&&str| {
        code.match_indices(**word).any(|(at, word)| {
            let is_start = !code[..at].chars().next_back().is_some_and(is_word);
            is_start && ends(at + word.len())
        })
    };
    let words = IMPURE_WORDS.iter().chain(IMPURE_PATHS).filter(named).map(|word| (*word).to_owned());
    let std = heads_after(code, "std::").into_iter().filter(|head| IMPURE_STD.contains(&head.as_str()));
    words.chain(std.map(|head| format!("std::{head}"))).map(|what| format!("{}: {what}", source.path)).collect()
}

fn strays(source: &Source) -> Vec<String> {
    let names = |start: &str| {
        source.code.match_indices(start).any(|(at, _)| !source.code[..at].chars().next_back().is_some_and(is_word))
    };
    let stray = HOMES.iter().filter(|(start, homes)| names(start) && !source.is_in(homes));
    stray.map(|(start, _)| format!("{}: names {start}", source.path)).collect()
}

fn too_long(source: &Source) -> Option<String> {
    let lines = source.code.lines().count();
    (lines > LINES_MAX).then(|| format!("{}: {lines} lines", source.path))
}

/// All sources but files of tests, which test modules are made of.
fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut folders, mut found) = (vec![root.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of sources") {
            let path: PathBuf = entry.expect("an entry").path();
            let name = path.file_name().and_then(|name| name.to_str()).expect("a plain name").to_owned();
            if path.is_dir() {
                folders.push(path);
            } else if name.ends_with(".rs") && name != "tests.rs" && !name.ends_with("_tests.rs") {
                let text = std::fs::read_to_string(&path).expect("a source");
                let below = path.strip_prefix(&root).expect("below src").to_str().expect("a plain path");
                found.push(Source::new(below, &text));
            }
        }
    }
    assert!(found.len() > 50, "only {} sources found", found.len());
    found
}

fn assert_none(found: Vec<String>) {
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn rooms_import_only_what_they_may() {
    assert_none(sources().iter().flat_map(wrong_imports).collect());
}

#[test]
fn pure_rooms_are_pure() {
    assert_none(sources().iter().flat_map(impurities).collect());
}

#[test]
fn large_dependencies_stay_at_home() {
    assert_none(sources().iter().flat_map(strays).collect());
}

#[test]
fn no_file_is_too_long() {
    assert_none(sources().iter().filter_map(too_long).collect());
}

#[test]
fn the_table_has_no_cycle() {
    for (at, (room, _)) in IMPORTS.iter().enumerate().filter(|(_, (room, _))| !["tui", "cli"].contains(room)) {
        let later = IMPORTS[at..].iter().map(|(room, _)| *room);
        let (_, allowed) = IMPORTS[at];
        let back: Vec<_> = later.filter(|later| allowed.contains(later) && *room != "main").collect();
        assert!(back.is_empty(), "{room} may import {back:?}, which come after it");
    }
}

#[test]
fn a_planted_import_is_found() {
    for (path, text) in [
        ("model/key.rs", "use crate::digest::key_of;"),
        ("model/key.rs", "fn f() -> crate::store::Result<()> { Ok(()) }"),
        ("plan/mod.rs", "use crate::{model::Key, store::{Depth, Item}};"),
        ("plan/mod.rs", "use crate::{\n    model::{Key, Item},\n    journal,\n};"),
        ("diff/join.rs", "use super::super::profile::Profile;"),
        ("diff/mod.rs", "use super::plan::Step;"),
        ("store/s3/mod.rs", "pub(in crate::compare) fn f() {}"),
        ("journal/mod.rs", "#[cfg(test)]\nmod tests { use crate::plan; }\nuse crate::plan;"),
        ("journal/mod.rs", "const QUOTE: char = '\"';\nuse crate::plan;"),
        ("main.rs", "use failback::session::Session;"),
        ("novel/mod.rs", "fn f() {}"),
    ] {
        assert_eq!(wrong_imports(&Source::new(path, text)).len(), 1, "{path}: {text}");
    }
}

#[test]
fn an_innocent_import_is_not_found() {
    for (path, text) in [
        ("model/key.rs", "//! See [`crate::digest`].\n/* crate::store */ use super::value::Value;"),
        ("model/key.rs", "const S: &str = \"crate::store // \\\" crate::plan\"; use crate::model::Key;"),
        ("model/key.rs", "const S: &str = r#\"a \" crate::store\"#;"),
        ("model/key.rs", "#[cfg(test)]\nmod tests {\n    use crate::digest::key_of;\n    fn f() { { } }\n}"),
        ("diff/join.rs", "use super::delta::DeltaLine; use crate::{digest::Bucket, model::{Key, Leaf}};"),
        ("store/s3/write.rs", "use super::super::error::StoreError;"),
        ("main.rs", "use failback::cli;"),
    ] {
        assert_none(wrong_imports(&Source::new(path, text)));
    }
}

#[test]
fn a_planted_impurity_is_found() {
    for text in [
        "pub async fn f() {}",
        "let f = async { 1 };",
        "use std::fs;",
        "use std::{fmt, fs::File};",
        "let socket = std::net::TcpStream::connect(at);",
        "std::process::exit(1)",
        "use tokio::sync::Mutex;",
        "reqwest::get(url)",
        "let now = jiff::Timestamp::now();",
        "let now = std::time::Instant::now();",
    ] {
        assert_eq!(impurities(&Source::new("plan/decide.rs", text)).len(), 1, "{text}");
        assert_none(impurities(&Source::new("replay/runner.rs", text)));
    }
    assert_none(impurities(&Source::new("plan/decide.rs", "// async\nlet asynchronous = \"tokio\"; use std::fmt;")));
}

#[test]
fn a_planted_stray_and_a_long_file_are_found() {
    let sdk = "use aws_sdk_s3::Client;";
    assert_eq!(strays(&Source::new("compare/mod.rs", sdk)).len(), 1);
    assert_eq!(strays(&Source::new("store/memory/mod.rs", sdk)).len(), 1);
    assert_none(strays(&Source::new("store/s3/mod.rs", sdk)));
    let long = "fn f() {}\n".repeat(LINES_MAX + 1);
    assert!(too_long(&Source::new("plan/mod.rs", &long)).is_some());
    let tests = format!("fn f() {{}}\n#[cfg(test)]\nmod tests {{\n{long}}}\n");
    assert_eq!(too_long(&Source::new("plan/mod.rs", &tests)), None);
}

/// Wrappers that have a reason not to ask the store inside: the file and the method.
const NOT_FORWARDED: &[(&str, &str)] = &[("dry_run.rs", "tidy")];

/// The methods of a trait or an implementation that begins with `opening`.
fn methods<'a>(text: &'a str, opening: &str) -> Vec<&'a str> {
    let body = text.split_once(opening).and_then(|(_, rest)| rest.split_once("\n}\n")).map_or("", |(body, _)| body);
    let name = |line: &'a str| {
        let rest = line.trim_start().trim_start_matches("async ").strip_prefix("fn ")?;
        rest.split(['(', '<']).next()
    };
    body.lines().filter_map(name).collect()
}

#[test]
fn wrappers_leave_no_answer_to_a_default() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store");
    let read = |path: &str| std::fs::read_to_string(folder.join(path)).expect("a source file");
    let (traits, facts) = (read("mod.rs"), read("wrap/mod.rs"));
    let inside = methods(&facts, "macro_rules! read_inside");
    let facts = methods(&facts, "macro_rules! forward_facts");
    let mut wrappers = 0;
    for entry in std::fs::read_dir(folder.join("wrap")).expect("the wrappers") {
        let name = entry.expect("an entry").file_name().into_string().expect("a name");
        if name == "mod.rs" {
            continue;
        }
        let text = read(&format!("wrap/{name}"));
        for (of, opening) in [("ReadStore", "ReadStore for "), ("WriteStore", "WriteStore for ")] {
            let is_inside = of == "ReadStore" && text.contains("\nread_inside!(");
            let own = if is_inside { inside.clone() } else { methods(&text, opening) };
            if own.is_empty() {
                continue;
            }
            wrappers += 1;
            for method in methods(&traits, &format!("pub trait {of}")) {
                let is_there = own.contains(&method) || (of == "ReadStore" && facts.contains(&method));
                assert!(
                    is_there || NOT_FORWARDED.contains(&(&name, method)),
                    "{name} leaves {of}::{method} to its default"
                );
            }
        }
    }
    assert_eq!(wrappers, 10, "five wrappers of both");
}
