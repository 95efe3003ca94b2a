//! Whether two items that differ bit by bit still mean the same.
//!
//! Bits decide, always: this only tells a person how much of what differs is spelling.

use crate::model::{Decimal, Item, Value};

/// Types whose text is a number, in PostgreSQL and MySQL.
const NUMBERS: [&str; 6] = ["numeric", "decimal", "real", "double", "float", "money"];

/// Whether both sides have the item and their contents differ in spelling only: 1.0 and 1.00, 0 and -0, spaces in JSON.
pub fn differ_in_spelling(primary: &Option<Item>, dr: &Option<Item>) -> bool {
    let (Some(primary), Some(dr)) = (primary, dr) else { return false };
    primary.contents != dr.contents && means_the_same(&primary.contents, &dr.contents)
}

fn means_the_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Map(ours), Value::Map(theirs)) => {
            ours.len() == theirs.len()
                && ours
                    .iter()
                    .zip(theirs)
                    .all(|((name, ours), (other, theirs))| name == other && means_the_same(ours, theirs))
        }
        (Value::List(ours), Value::List(theirs)) => {
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(ours, theirs)| means_the_same(ours, theirs))
        }
        (Value::Typed { type_name, text }, Value::Typed { type_name: other, text: theirs }) => {
            text == theirs && type_name == other
                || is_same_number([type_name, other], [text, theirs])
                || [type_name, other].iter().all(|name| *name == "json")
                    && without_spaces(text) == without_spaces(theirs)
        }
        (one, other) => one == other,
    }
}

fn is_same_number(types: [&String; 2], texts: [&String; 2]) -> bool {
    let is_number = |name: &&String| NUMBERS.iter().any(|number| name.starts_with(number)) && !name.ends_with(']');
    let [one, other] = texts.map(|text| text.parse::<Decimal>());
    types.iter().all(is_number) && one.is_ok() && one == other
}

/// JSON without the spaces that stand between its tokens.
fn without_spaces(json: &str) -> String {
    let (mut in_text, mut is_escaped) = (false, false);
    let is_kept = |letter: &char| {
        let is_mark = *letter == '"' && !is_escaped;
        is_escaped = in_text && *letter == '\\' && !is_escaped;
        in_text ^= is_mark;
        in_text || !letter.is_ascii_whitespace()
    };
    json.chars().filter(is_kept).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(type_name: &str, one: &str, other: &str) -> bool {
        let value = |text: &str| Value::Typed { type_name: type_name.into(), text: text.into() };
        let row = |text: &str| Value::map([("id", Value::Number(1.into())), ("value", value(text))]);
        means_the_same(&row(one), &row(other))
    }

    #[test]
    fn spelling_is_told_from_meaning() {
        for (type_name, one, other) in [
            ("numeric", "1.0", "1.00"),
            ("numeric(30,10)", "0.5000000000", "0.5"),
            ("double precision", "0", "-0"),
            ("decimal(65,30)", "12345678901234567890123456789012345.0", "12345678901234567890123456789012345"),
            ("json", "{\"a\": [1,  2]}", "{\"a\":[1,2]}"),
            ("json", "\"a \\\" b\"", " \"a \\\" b\" "),
        ] {
            assert!(same(type_name, one, other), "{type_name} {one} {other}");
        }
        for (type_name, one, other) in [
            ("numeric", "1.0", "1.01"),
            ("numeric", "NaN", "Infinity"),
            ("numeric[]", "{1.0}", "{1.00}"),
            ("json", "{\"a\": 1}", "{\"a\": 1.0}"),
            ("json", "\"a b\"", "\"ab\""),
            ("json", "\"a\\\\ b\"", "\"a\\\\b\""),
            ("text", "1.0", "1.00"),
            ("timestamp with time zone", "2026-01-01 00:00:00+00", "2026-01-01 00:00:00.0+00"),
        ] {
            assert!(!same(type_name, one, other), "{type_name} {one} {other}");
        }
        let row = |names: [&str; 1]| Value::map(names.map(|name| (name, Value::Null)));
        assert!(!means_the_same(&row(["a"]), &row(["b"])));
        assert!(!means_the_same(&Value::Null, &Value::text("")));
        assert!(!differ_in_spelling(&None, &None));
    }
}
