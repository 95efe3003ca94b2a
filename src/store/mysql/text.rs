//! Text in the character set of its column: as text where that is known, else as the bytes that are stored.
//!
//! Every column goes one way and back without loss; both sides must have the same character set, which the shape says.

use crate::model::Value;

/// How the bytes of a text column are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Charset {
    /// UTF-8 of any length, and ASCII, which is part of it.
    Utf8,
    /// What MySQL calls latin1: Windows-1252, whose five gaps are control characters.
    Latin1,
    /// Any other: compared and written as bytes.
    Other,
}

/// Windows-1252 from 0x80 to 0x9F, with MySQL's reading of its gaps.
const HIGH: [char; 32] = [
    '\u{20AC}', '\u{81}', '\u{201A}', '\u{192}', '\u{201E}', '\u{2026}', '\u{2020}', '\u{2021}', '\u{2C6}', '\u{2030}',
    '\u{160}', '\u{2039}', '\u{152}', '\u{8D}', '\u{17D}', '\u{8F}', '\u{90}', '\u{2018}', '\u{2019}', '\u{201C}',
    '\u{201D}', '\u{2022}', '\u{2013}', '\u{2014}', '\u{2DC}', '\u{2122}', '\u{161}', '\u{203A}', '\u{153}', '\u{9D}',
    '\u{17E}', '\u{178}',
];

impl Charset {
    /// The reading of a character set by its name.
    pub(super) fn named(name: &str) -> Charset {
        match name {
            "utf8" | "utf8mb3" | "utf8mb4" | "ascii" => Charset::Utf8,
            "latin1" => Charset::Latin1,
            _ => Charset::Other,
        }
    }

    /// The value of stored bytes.
    pub(super) fn read(self, bytes: Vec<u8>) -> Value {
        match self {
            Charset::Utf8 => match String::from_utf8(bytes) {
                Ok(text) => Value::Text(text),
                Err(error) => Value::Bytes(error.into_bytes()),
            },
            Charset::Latin1 => Value::Text(bytes.into_iter().map(of_latin1).collect()),
            Charset::Other => Value::Bytes(bytes),
        }
    }

    /// The bytes that are stored for a value; `None` where it is no text of this character set.
    pub(super) fn write(self, value: &Value) -> Option<Vec<u8>> {
        match (self, value) {
            (Charset::Utf8, Value::Text(text)) => Some(text.as_bytes().to_vec()),
            (Charset::Utf8 | Charset::Other, Value::Bytes(bytes)) => Some(bytes.clone()),
            (Charset::Latin1, Value::Text(text)) => text.chars().map(to_latin1).collect(),
            _ => None,
        }
    }
}

fn of_latin1(byte: u8) -> char {
    match byte {
        0x80..=0x9F => HIGH[usize::from(byte) - 0x80],
        plain => char::from(plain),
    }
}

fn to_latin1(character: char) -> Option<u8> {
    if let Some(at) = HIGH.iter().position(|&high| high == character) {
        return u8::try_from(at + 0x80).ok();
    }
    let byte = u8::try_from(u32::from(character)).ok()?;
    (!(0x80..=0x9F).contains(&byte)).then_some(byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_comes_back_from_every_character_set() {
        let all: Vec<u8> = (0..=255).collect();
        for charset in [Charset::Utf8, Charset::Latin1, Charset::Other] {
            for bytes in [all.clone(), Vec::new(), "é€".as_bytes().to_vec()] {
                let value = charset.read(bytes.clone());
                assert_eq!(charset.write(&value), Some(bytes), "{charset:?}");
            }
        }
        assert_eq!(Charset::Latin1.read(vec![0x80, 0xE9]), Value::text("€é"));
        assert_eq!(Charset::Latin1.write(&Value::text("ł")), None);
    }
}
