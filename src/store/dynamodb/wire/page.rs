//! One page: its leaves, and what is left of it for the SDK.

use super::NotPlain;
use super::canonical::{Canonical, Span};
use super::cursor::Cursor;
use crate::digest::frame;
use crate::model::{Key, Leaf};
use crate::store::dynamodb::format::KeyAttribute;

/// How the pages of one table read.
#[derive(Debug)]
pub(in crate::store::dynamodb) struct PageReader {
    /// The key's attributes by the bytes of their names, each with the tag of its type.
    key: Vec<(Vec<u8>, u8)>,
}

/// A page, read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    /// A leaf for every item, in the page's order.
    pub(super) leaves: Vec<Leaf>,
    /// The page as JSON without its items.
    pub(super) rest: Vec<u8>,
}

impl PageReader {
    /// A reader for items with this key.
    pub(in crate::store::dynamodb) fn new(key: &[KeyAttribute]) -> PageReader {
        let tag = |scalar_type: &str| match scalar_type {
            "S" => frame::TEXT,
            "N" => frame::NUMBER,
            "B" => frame::BYTES,
            // No value has this tag: every page goes the longer way, which says what is wrong.
            _ => 0,
        };
        let mut key: Vec<_> = key.iter().map(|part| (part.name.clone().into_bytes(), tag(&part.scalar_type))).collect();
        key.sort();
        PageReader { key }
    }

    /// Reads the body of a reply to Scan.
    pub(super) fn read(&self, body: &[u8]) -> Result<Page, NotPlain> {
        std::str::from_utf8(body).map_err(|_| NotPlain)?;
        let mut json = Cursor::new(body);
        let mut leaves = None;
        let mut rest = Vec::with_capacity(256);
        let mut names: Vec<&[u8]> = Vec::new();
        let mut goes_on = json.opens(b'{', b'}')?;
        while goes_on {
            let name = json.name()?.plain()?;
            if names.contains(&name) {
                return Err(NotPlain);
            }
            names.push(name);
            if name == b"Items" {
                leaves = Some(self.items(&mut json)?);
            } else {
                json.peek()?;
                let start = json.at();
                json.skip()?;
                rest.push(if rest.is_empty() { b'{' } else { b',' });
                rest.push(b'"');
                rest.extend_from_slice(name);
                rest.extend_from_slice(b"\":");
                rest.extend_from_slice(json.between(start, json.at()));
            }
            goes_on = json.goes_on(b'}')?;
        }
        json.end()?;
        rest.extend_from_slice(if rest.is_empty() { b"{}" } else { b"}" });
        Ok(Page { leaves: leaves.ok_or(NotPlain)?, rest })
    }

    fn items(&self, json: &mut Cursor<'_>) -> Result<Vec<Leaf>, NotPlain> {
        let mut leaves = Vec::new();
        let mut canonical = Canonical::default();
        let mut key = Vec::new();
        let mut goes_on = json.opens(b'[', b']')?;
        while goes_on {
            canonical.begin();
            let size = canonical.item(json, |out, attributes| self.put_key(&mut key, out, attributes))?;
            let digest = blake3::hash(&canonical.out).into();
            leaves.push(Leaf { key: Key::from_canonical(&key[..]), digest, size, modified_at: None });
            goes_on = json.goes_on(b']')?;
        }
        Ok(leaves)
    }

    /// Writes the canonical key of an item, whose parts stand among its attributes as they stand in the key.
    fn put_key(&self, key: &mut Vec<u8>, out: &[u8], attributes: &[Span]) -> Result<(), NotPlain> {
        key.clear();
        let open = frame::open(key, frame::MAP);
        for (name, tag) in &self.key {
            let part = attributes.iter().find(|attribute| attribute.name(out) == name).ok_or(NotPlain)?;
            if part.tag(out) != *tag {
                return Err(NotPlain);
            }
            key.extend_from_slice(part.whole(out));
        }
        open.close(key);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::types::KeyType;

    use super::*;
    use crate::digest::{item_digest, key_of};
    use crate::model::Value;

    fn reader() -> PageReader {
        let part = |name: &str, scalar_type: &str, role| KeyAttribute {
            name: name.into(),
            scalar_type: scalar_type.into(),
            role,
        };
        PageReader::new(&[part("id", "S", KeyType::Hash), part("at", "N", KeyType::Range)])
    }

    fn number(text: &str) -> Value {
        Value::Number(text.parse().expect("a number"))
    }

    /// A page of one item that is keyed by `id` and `at`, with further attributes.
    fn page(attributes: &str) -> String {
        format!(r#"{{"Count":1,"Items":[{{"id":{{"S":"a"}},"at":{{"N":"1.0"}}{attributes}}}],"ScannedCount":1}}"#)
    }

    #[test]
    fn known_items_have_the_digests_of_their_values() {
        let json = concat!(
            r#","t":{"S":"\u00e9\ud83d\ude00\n"},"none":{"NULL":true},"yes":{"BOOL":true},"no":{"BOOL":false},"e":{"S":""}"#,
            r#","b":{"B":"AAH+/w=="},"ss":{"SS":["b","aa","c","b"]},"ns":{"NS":["2","1.0","1","-3","1e1"]}"#,
            r#","bs":{"BS":["/w==","AA==","AAE="]},"l":{"L":[{"S":"b"},{"L":[]},{"M":{"z":{"N":"0"},"a":{"S":"x"}}}]}"#,
            r#","m":{"M":{}},"n":{"N":"12345678901234567890123456789012345678E-160"},"aws:rep:deleting":{"BOOL":false}"#,
        );
        let list =
            vec![Value::text("b"), Value::List(vec![]), Value::map([("z", number("0")), ("a", Value::text("x"))])];
        let numbers = ["2", "1", "1", "-3", "10"].map(|text| text.parse().expect("a number"));
        let contents = Value::map([
            ("id", Value::text("a")),
            ("at", number("1")),
            ("t", Value::text("\u{e9}\u{1f600}\n")),
            ("none", Value::Null),
            ("yes", Value::Bool(true)),
            ("no", Value::Bool(false)),
            ("e", Value::text("")),
            ("b", Value::Bytes(vec![0, 1, 254, 255])),
            ("ss", Value::TextSet(["b", "aa", "c", "b"].map(String::from).to_vec())),
            ("ns", Value::NumberSet(numbers.to_vec())),
            ("bs", Value::BytesSet(vec![vec![255], vec![0], vec![0, 1]])),
            ("l", Value::List(list)),
            ("m", Value::Map(Default::default())),
            ("n", number("12345678901234567890123456789012345678E-160")),
        ]);
        let read = reader().read(page(json).as_bytes()).expect("a plain page");
        let entries = contents.as_map().expect("a map");
        let leaf = Leaf {
            key: key_of(&Value::map([("id", Value::text("a")), ("at", number("1"))])),
            digest: item_digest(&contents),
            size: crate::store::dynamodb::value::size_of(entries),
            modified_at: None,
        };
        assert_eq!(read.leaves, [leaf]);
        assert_eq!(read.rest, br#"{"Count":1,"ScannedCount":1}"#);
    }

    #[test]
    fn the_rest_of_a_page_is_as_it_came() {
        for (json, rest, items) in [
            (r#"{"Items":[]}"#, "{}", 0),
            (r#" { "Items" : [ ] , "Count" : 0 } "#, r#"{"Count":0}"#, 0),
            (
                r#"{"LastEvaluatedKey":{"id":{"S":"]}\""},"at":{"N":"1"}},"Items":[{"at":{"N":"1"},"id":{"S":"x"}}],"Novel":[1,{}]}"#,
                r#"{"LastEvaluatedKey":{"id":{"S":"]}\""},"at":{"N":"1"}},"Novel":[1,{}]}"#,
                1,
            ),
        ] {
            let page = reader().read(json.as_bytes()).expect("a plain page");
            assert_eq!(String::from_utf8_lossy(&page.rest), rest);
            assert_eq!(page.leaves.len(), items);
        }
    }

    #[test]
    fn anything_unexpected_goes_the_longer_way() {
        let deep = format!(r#","d":{}{{"NULL":true}}{}"#, r#"{"L":["#.repeat(60), "]}".repeat(60));
        let attributes = [
            r#","id":{"S":"b"}"#,
            r#","m":{"M":{"a":{"S":"1"},"b":{"S":"2"},"a":{"S":"3"}}}"#,
            r#","x":{"X":"novel"}"#,
            r#","x":{"S":"1","N":"2"}"#,
            r#","x":{"S":null}"#,
            r#","x":{"S":1}"#,
            r#","x":{}"#,
            r#","x":null"#,
            r#","x":{"__type":"t","S":"a"}"#,
            r#","x":{"NULL":false}"#,
            r#","x":{"NULL":"true"}"#,
            r#","x":{"BOOL":truth}"#,
            r#","x":{"N":"NaN"}"#,
            r#","x":{"N":""}"#,
            r#","x":{"N":"\u0031"}"#,
            r#","x":{"NS":["1",null]}"#,
            r#","x":{"B":"AAA"}"#,
            r#","x":{"B":"A\/8="}"#,
            r#","x":{"B":"AB=="}"#,
            r#","x":{"S":"\ud800"}"#,
            r#","x":{"\u0053":"a"}"#,
            ",",
            &deep,
        ];
        for attributes in attributes {
            assert_eq!(reader().read(page(attributes).as_bytes()), Err(NotPlain), "{attributes}");
        }
        for json in [
            "",
            "{}",
            r#"{"Count":0}"#,
            "null",
            "[]",
            r#"{"Items":null}"#,
            r#"{"Items":[null]}"#,
            r#"{"Items":[{}]}"#,
            r#"{"Items":[{"id":{"S":"a"}}]}"#,
            r#"{"Items":[{"id":{"S":"a"},"at":{"S":"1"}}]}"#,
            r#"{"Items":[],"Items":[]}"#,
            r#"{"Count":0,"Count":1}"#,
            r#"{"It\u0065ms":[]}"#,
            r#"{"Items":[]} x"#,
            r#"{"Items":[],}"#,
        ] {
            assert_eq!(reader().read(json.as_bytes()), Err(NotPlain), "{json}");
        }
        let whole = page("");
        for end in 0..whole.len() {
            assert_eq!(reader().read(&whole.as_bytes()[..end]), Err(NotPlain), "cut at {end}");
        }
        let mut unsound = whole.into_bytes();
        let at = unsound.iter().position(|byte| *byte == b'a').expect("a letter");
        unsound[at] = 0xFF;
        assert_eq!(reader().read(&unsound), Err(NotPlain));
    }
}
