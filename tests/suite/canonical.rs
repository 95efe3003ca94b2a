//! The canonical format: known answers, and the same answers from bytes put together by hand.
//!
//! [`by_hand`] knows nothing of the library: it is what another program would write from `docs/canonical-format.md`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use failback::digest::{
    BUCKETS, CANONICAL_FORMAT, bucket_of, bucket_root, decode, encode, item_digest, key_hash, key_of,
};
use failback::digest::{key_value, root_of};
use failback::model::{Digest, Key, Leaf, Value};
use serde_json::Value as Json;

fn vectors() -> Json {
    serde_json::from_str(include_str!("vectors.json")).expect("vectors.json is JSON")
}

fn section<'a>(vectors: &'a Json, name: &str) -> &'a [Json] {
    vectors[name].as_array().expect("a section of vectors")
}

fn text<'a>(vector: &'a Json, field: &str) -> &'a str {
    vector[field].as_str().expect("a text field")
}

fn bytes(vector: &Json, field: &str) -> Vec<u8> {
    hex::decode(text(vector, field)).expect("hexadecimal")
}

fn array(bytes: &[u8]) -> [u8; 32] {
    bytes.try_into().expect("32 bytes")
}

/// The tag and the contents of a value in the notation of the vectors.
fn tagged(value: &Json) -> (&str, &Json) {
    let (tag, contents) = value.as_object().and_then(|object| object.iter().next()).expect("one tag");
    (tag, contents)
}

fn texts(contents: &Json) -> Vec<&str> {
    contents.as_array().expect("a set").iter().map(|text| text.as_str().expect("text")).collect()
}

/// The library's value for a vector.
fn value(json: &Json) -> Value {
    let (tag, contents) = tagged(json);
    let plain = || contents.as_str().expect("text");
    let base64 = |text: &str| STANDARD.decode(text).expect("base64");
    match tag {
        "NULL" => Value::Null,
        "BOOL" => Value::Bool(contents.as_bool().expect("a boolean")),
        "N" => Value::Number(plain().parse().expect("a number")),
        "S" => Value::text(plain()),
        "B" => Value::Bytes(base64(plain())),
        "SS" => Value::TextSet(texts(contents).into_iter().map(str::to_owned).collect()),
        "NS" => Value::NumberSet(texts(contents).into_iter().map(|text| text.parse().expect("a number")).collect()),
        "BS" => Value::BytesSet(texts(contents).into_iter().map(base64).collect()),
        "L" => Value::List(contents.as_array().expect("a list").iter().map(value).collect()),
        "M" => Value::map(contents.as_object().expect("a map").iter().map(|(name, entry)| (name, value(entry)))),
        "X" => Value::Typed { type_name: text(contents, "type").into(), text: text(contents, "text").into() },
        other => panic!("tag {other}"),
    }
}

/// The format, once more, from its description alone.
mod by_hand {
    use super::{Json, STANDARD, tagged, texts};
    use base64::Engine;

    fn frame(tag: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = vec![tag];
        out.extend((payload.len() as u64).to_le_bytes());
        out.extend(payload);
        out
    }

    /// `[-]digitsEexponent` without leading or trailing zeros.
    fn decimal(text: &str) -> String {
        let lower = text.to_lowercase();
        let (mantissa, exponent) = lower.split_once('e').unwrap_or((&lower, "0"));
        let (sign, unsigned) = match mantissa.strip_prefix('-') {
            Some(rest) => ("-", rest),
            None => ("", mantissa.trim_start_matches('+')),
        };
        let mut exponent: i64 = exponent.parse().expect("an exponent");
        let mut digits = String::new();
        let mut is_fraction = false;
        for c in unsigned.chars() {
            match c {
                '.' => is_fraction = true,
                digit => {
                    digits.push(digit);
                    exponent -= i64::from(is_fraction);
                }
            }
        }
        while digits.ends_with('0') {
            digits.pop();
            exponent += 1;
        }
        match digits.trim_start_matches('0') {
            "" => "0E0".to_owned(),
            digits => format!("{sign}{digits}E{exponent}"),
        }
    }

    fn set(tag: u8, mut elements: Vec<Vec<u8>>) -> Vec<u8> {
        elements.sort();
        elements.dedup();
        frame(tag, &elements.concat())
    }

    pub fn encode(json: &Json) -> Vec<u8> {
        let (tag, contents) = tagged(json);
        let plain = || contents.as_str().expect("text");
        let number = |text: &str| frame(0x64, decimal(text).as_bytes());
        let utf8 = |text: &str| frame(0x73, text.as_bytes());
        let raw = |text: &str| frame(0x62, &STANDARD.decode(text).expect("base64"));
        match tag {
            "NULL" => frame(0x6e, &[]),
            "BOOL" => frame(if contents == &Json::Bool(true) { 0x74 } else { 0x66 }, &[]),
            "N" => number(plain()),
            "S" => utf8(plain()),
            "B" => raw(plain()),
            "NS" => set(0x44, texts(contents).into_iter().map(number).collect()),
            "SS" => set(0x53, texts(contents).into_iter().map(utf8).collect()),
            "BS" => set(0x42, texts(contents).into_iter().map(raw).collect()),
            "L" => frame(0x6c, &contents.as_array().expect("a list").iter().flat_map(encode).collect::<Vec<u8>>()),
            "M" => {
                let mut entries: Vec<(&String, &Json)> = contents.as_object().expect("a map").iter().collect();
                entries.sort_by_key(|(name, _)| name.as_bytes());
                let pairs = entries.into_iter().flat_map(|(name, entry)| [utf8(name), encode(entry)].concat());
                frame(0x6d, &pairs.collect::<Vec<u8>>())
            }
            "X" => {
                let part = |field: &str| utf8(contents[field].as_str().expect("text"));
                frame(0x78, &[part("type"), part("text")].concat())
            }
            other => panic!("tag {other}"),
        }
    }

    pub fn item_digest(json: &Json) -> [u8; 32] {
        *blake3::hash(&[b"failback item 1\0".as_slice(), &encode(json)].concat()).as_bytes()
    }

    pub fn bucket_root(mut leaves: Vec<(Vec<u8>, [u8; 32])>) -> [u8; 32] {
        leaves.sort();
        let mut input = b"failback bucket 1\0".to_vec();
        input.extend((leaves.len() as u64).to_le_bytes());
        for (key, digest) in leaves {
            input.extend((key.len() as u64).to_le_bytes());
            input.extend(key);
            input.extend(digest);
        }
        *blake3::hash(&input).as_bytes()
    }

    pub fn root(leaves: &[(Vec<u8>, [u8; 32])]) -> [u8; 32] {
        let mut input = b"failback root 1\0".to_vec();
        for bucket in 0..=255 {
            let own = leaves.iter().filter(|(key, _)| blake3::hash(key).as_bytes()[0] == bucket);
            input.extend(bucket_root(own.cloned().collect()));
        }
        *blake3::hash(&input).as_bytes()
    }
}

fn pairs(vector: &Json) -> Vec<(Vec<u8>, [u8; 32])> {
    section(vector, "leaves").iter().map(|leaf| (bytes(leaf, "key"), array(&bytes(leaf, "digest")))).collect()
}

fn leaves(vector: &Json) -> Vec<Leaf> {
    let leaf =
        |(key, digest)| Leaf { key: Key::from_canonical(key), digest: Digest(digest), size: 0, modified_at: None };
    pairs(vector).into_iter().map(leaf).collect()
}

#[test]
fn the_vectors_are_of_this_format_and_many() {
    let vectors = vectors();
    assert_eq!(vectors["canonical_format"], CANONICAL_FORMAT);
    let sections = ["encodings", "items", "keys", "buckets", "roots"];
    assert!(sections.iter().map(|name| section(&vectors, name).len()).sum::<usize>() >= 25);
}

#[test]
fn encodings_are_as_known() {
    for vector in section(&vectors(), "encodings") {
        let (name, known) = (text(vector, "name"), bytes(vector, "bytes"));
        assert_eq!(encode(&value(&vector["value"])), known, "{name}");
        assert_eq!(by_hand::encode(&vector["value"]), known, "{name} by hand");
        assert_eq!(encode(&decode(&known).expect("decodable")), known, "{name} decoded and encoded");
    }
}

#[test]
fn item_digests_are_as_known() {
    for vector in section(&vectors(), "items") {
        let (name, known) = (text(vector, "name"), text(vector, "digest"));
        assert_eq!(item_digest(&value(&vector["value"])).to_string(), known, "{name}");
        assert_eq!(hex::encode(by_hand::item_digest(&vector["value"])), known, "{name} by hand");
    }
}

#[test]
fn keys_and_their_buckets_are_as_known() {
    for vector in section(&vectors(), "keys") {
        let name = text(vector, "name");
        let key = key_of(&value(&vector["value"]));
        assert_eq!(key.as_bytes(), bytes(vector, "key"), "{name}");
        assert_eq!(by_hand::encode(&vector["value"]), bytes(vector, "key"), "{name} by hand");
        assert_eq!(key_hash(&key).to_string(), text(vector, "hash"), "{name}");
        assert_eq!(bucket_of(&key), usize::from(bytes(vector, "hash")[0]), "{name}");
        assert_eq!(vector["bucket"], bucket_of(&key), "{name}");
        assert!(key_value(&key) == Ok(value(&vector["value"])), "{name} reads back");
    }
}

#[test]
fn bucket_roots_are_as_known() {
    for vector in section(&vectors(), "buckets") {
        let (name, known) = (text(vector, "name"), text(vector, "root"));
        assert_eq!(bucket_root(&leaves(vector)).to_string(), known, "{name}");
        assert_eq!(hex::encode(by_hand::bucket_root(pairs(vector))), known, "{name} by hand");
    }
}

#[test]
fn roots_are_as_known() {
    for vector in section(&vectors(), "roots") {
        let (name, known) = (text(vector, "name"), text(vector, "root"));
        let mut buckets = vec![Vec::new(); BUCKETS];
        for leaf in leaves(vector) {
            buckets[bucket_of(&leaf.key)].push(leaf);
        }
        let roots = std::array::from_fn(|index| {
            buckets[index].sort_by(|one, other| one.key.cmp(&other.key));
            bucket_root(&buckets[index])
        });
        assert_eq!(root_of(&roots).to_string(), known, "{name}");
        assert_eq!(hex::encode(by_hand::root(&pairs(vector))), known, "{name} by hand");
    }
}

/// The document quotes the vectors; a vector that it does not show, or shows otherwise, is told.
#[test]
fn the_document_quotes_the_vectors() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/canonical-format.md");
    let document = std::fs::read_to_string(path).expect("docs/canonical-format.md");
    let vectors = vectors();
    for (name, field) in
        [("encodings", "bytes"), ("items", "digest"), ("keys", "hash"), ("buckets", "root"), ("roots", "root")]
    {
        for vector in section(&vectors, name) {
            let quoted = document.lines().any(|line| {
                line.starts_with(&format!("| {} |", text(vector, "name")))
                    && line.contains(&format!("`{}`", text(vector, field)))
            });
            assert!(quoted, "{name}: {}", text(vector, "name"));
        }
    }
}
