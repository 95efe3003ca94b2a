//! JSON bytes, token by token.

use super::NotPlain;

/// Bytes looked at together for the end of a string.
const LANES: usize = 8;

/// A place in JSON bytes that are known to be UTF-8.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// A string between its quotes, as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Text<'a> {
    /// Without any escape: the text itself.
    Plain(&'a [u8]),
    /// With escapes, all of whose introducing bytes are sound.
    Escaped(&'a [u8]),
}

impl<'a> Text<'a> {
    /// The text when it has no escapes.
    pub(super) fn plain(self) -> Result<&'a [u8], NotPlain> {
        match self {
            Text::Plain(text) => Ok(text),
            Text::Escaped(_) => Err(NotPlain),
        }
    }

    /// Appends the text that is meant.
    pub(super) fn append_to(self, out: &mut Vec<u8>) -> Result<(), NotPlain> {
        match self {
            Text::Plain(text) => out.extend_from_slice(text),
            Text::Escaped(raw) => unescape(raw, out)?,
        }
        Ok(())
    }
}

impl<'a> Cursor<'a> {
    /// At the beginning of `bytes`.
    pub(super) fn new(bytes: &'a [u8]) -> Cursor<'a> {
        Cursor { bytes, at: 0 }
    }

    /// How far it is.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// What lies between two places.
    pub(super) fn between(&self, from: usize, to: usize) -> &'a [u8] {
        &self.bytes[from..to]
    }

    /// The next byte that is not blank.
    pub(super) fn peek(&mut self) -> Result<u8, NotPlain> {
        while let Some(byte) = self.bytes.get(self.at) {
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' => self.at += 1,
                byte => return Ok(*byte),
            }
        }
        Err(NotPlain)
    }

    /// Passes `wanted`, which must come next.
    pub(super) fn pass(&mut self, wanted: u8) -> Result<(), NotPlain> {
        if self.peek()? != wanted {
            return Err(NotPlain);
        }
        self.at += 1;
        Ok(())
    }

    /// Passes `closing` or a comma; whether it goes on.
    pub(super) fn goes_on(&mut self, closing: u8) -> Result<bool, NotPlain> {
        let byte = self.peek()?;
        self.at += 1;
        match byte {
            b',' => Ok(true),
            byte if byte == closing => Ok(false),
            _ => Err(NotPlain),
        }
    }

    /// Passes an opening bracket; whether there is anything before `closing`, which is passed when not.
    pub(super) fn opens(&mut self, opening: u8, closing: u8) -> Result<bool, NotPlain> {
        self.pass(opening)?;
        let is_empty = self.peek()? == closing;
        self.at += usize::from(is_empty);
        Ok(!is_empty)
    }

    /// Passes a name and its colon.
    pub(super) fn name(&mut self) -> Result<Text<'a>, NotPlain> {
        let name = self.string()?;
        self.pass(b':')?;
        Ok(name)
    }

    /// Passes `true` or `false`.
    pub(super) fn flag(&mut self) -> Result<bool, NotPlain> {
        let word: &[u8] = if self.peek()? == b't' { b"true" } else { b"false" };
        if !self.bytes[self.at..].starts_with(word) {
            return Err(NotPlain);
        }
        self.at += word.len();
        Ok(word.len() == 4)
    }

    /// Passes a string.
    pub(super) fn string(&mut self) -> Result<Text<'a>, NotPlain> {
        self.pass(b'"')?;
        let start = self.at;
        let mut is_plain = true;
        loop {
            self.at += ordinary(&self.bytes[self.at..]);
            match self.bytes.get(self.at) {
                Some(b'"') => {
                    let raw = &self.bytes[start..self.at];
                    self.at += 1;
                    return Ok(if is_plain { Text::Plain(raw) } else { Text::Escaped(raw) });
                }
                Some(b'\\') => {
                    is_plain = false;
                    // What is escaped is looked at when the text is wanted; here only a quote must not end the string.
                    self.at += 2;
                }
                // A control character, or the end.
                _ => return Err(NotPlain),
            }
            if self.at > self.bytes.len() {
                return Err(NotPlain);
            }
        }
    }

    /// Passes a value without a look at what is in it, but for strings.
    pub(super) fn skip(&mut self) -> Result<(), NotPlain> {
        let mut depth = 0_usize;
        loop {
            match self.peek()? {
                b'"' => drop(self.string()?),
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                    continue;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1).ok_or(NotPlain)?;
                    self.at += 1;
                }
                b',' | b':' if depth > 0 => {
                    self.at += 1;
                    continue;
                }
                _ => self.skip_word()?,
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }

    fn skip_word(&mut self) -> Result<(), NotPlain> {
        let is_word = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.');
        let length = self.bytes[self.at..].iter().take_while(is_word).count();
        self.at += length;
        if length == 0 { Err(NotPlain) } else { Ok(()) }
    }

    /// Makes sure that nothing but blanks is left.
    pub(super) fn end(&mut self) -> Result<(), NotPlain> {
        if self.peek().is_ok() { Err(NotPlain) } else { Ok(()) }
    }
}

/// The number of bytes before the first quote, backslash or control character.
fn ordinary(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(lanes) = bytes.get(at..).and_then(|rest| rest.first_chunk::<LANES>()) {
        let found = special(u64::from_le_bytes(*lanes));
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += LANES;
    }
    let is_special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..=0x1F);
    at + bytes[at..].iter().position(is_special).unwrap_or(bytes.len() - at)
}

/// The highest bit of every lane that holds a quote, a backslash or a control character; lanes behind the first such lane
/// may be marked without cause.
fn special(lanes: u64) -> u64 {
    const ONES: u64 = u64::from_le_bytes([1; LANES]);
    const HIGH: u64 = ONES << 7;
    let below = |lanes: u64, limit: u8| lanes.wrapping_sub(ONES * u64::from(limit)) & !lanes & HIGH;
    let is = |byte: u8| below(lanes ^ (ONES * u64::from(byte)), 1);
    is(b'"') | is(b'\\') | below(lanes, 0x20)
}

/// Appends what an escaped string means.
fn unescape(mut raw: &[u8], out: &mut Vec<u8>) -> Result<(), NotPlain> {
    while let Some(at) = raw.iter().position(|byte| *byte == b'\\') {
        out.extend_from_slice(&raw[..at]);
        let escape = *raw.get(at + 1).ok_or(NotPlain)?;
        raw = &raw[at + 2..];
        let byte = match escape {
            b'"' | b'\\' | b'/' => escape,
            b'b' => 0x08,
            b'f' => 0x0C,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let (character, rest) = code_point(raw)?;
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                raw = rest;
                continue;
            }
            _ => return Err(NotPlain),
        };
        out.push(byte);
    }
    out.extend_from_slice(raw);
    Ok(())
}

/// The character behind `\u`, whose second half is another escape where it lies beyond the basic plane.
fn code_point(raw: &[u8]) -> Result<(char, &[u8]), NotPlain> {
    let (high, rest) = code_unit(raw)?;
    if !(0xD800..0xDC00).contains(&high) {
        return Ok((char::from_u32(high).ok_or(NotPlain)?, rest));
    }
    let (low, rest) = code_unit(rest.strip_prefix(b"\\u").ok_or(NotPlain)?)?;
    if !(0xDC00..0xE000).contains(&low) {
        return Err(NotPlain);
    }
    let character = char::from_u32(0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00));
    Ok((character.ok_or(NotPlain)?, rest))
}

fn code_unit(raw: &[u8]) -> Result<(u32, &[u8]), NotPlain> {
    let (digits, rest) = raw.split_first_chunk::<4>().ok_or(NotPlain)?;
    let mut unit = 0;
    for digit in digits {
        unit = unit * 16 + char::from(*digit).to_digit(16).ok_or(NotPlain)?;
    }
    Ok((unit, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(json: &str) -> Result<String, NotPlain> {
        let mut cursor = Cursor::new(json.as_bytes());
        let mut out = Vec::new();
        cursor.string()?.append_to(&mut out)?;
        cursor.end()?;
        Ok(String::from_utf8(out).expect("UTF-8"))
    }

    #[test]
    fn every_escape_means_what_json_says() {
        for (json, expected) in [
            (r#""""#, ""),
            (r#""a\"\\\/\b\f\n\r\tz""#, "a\"\\/\u{8}\u{c}\n\r\tz"),
            (r#""\u0041\u00e9\u20AC\u0000""#, "A\u{e9}\u{20ac}\0"),
            (r#""\ud83d\ude00 \uD801\uDC37""#, "\u{1f600} \u{10437}"),
            (r#" "ends with a backslash\\""#, "ends with a backslash\\"),
            ("\"\u{1f600}\u{7f}\"", "\u{1f600}\u{7f}"),
        ] {
            assert_eq!(read(json).as_deref(), Ok(expected), "{json}");
        }
    }

    #[test]
    fn unsound_strings_are_not_read() {
        for json in [
            "\"",
            "\"a",
            "\"\\",
            "\"\\\"",
            "\"a\nb\"",
            "\"12345678\u{1}\"",
            r#""\x""#,
            r#""\u12""#,
            r#""\u12g4""#,
            r#""\u+123""#,
            r#""\ud83d""#,
            r#""\ud83d\u0041""#,
            r#""\ude00""#,
            r#""\ud83dxxxxxx""#,
            r#""a" x"#,
            "a",
        ] {
            assert_eq!(read(json), Err(NotPlain), "{json}");
        }
    }

    #[test]
    fn values_are_skipped_whole() {
        for json in [r#"{"a":[1,-2.5e+3,"]}\"",{}],"b":null}"#, "[]", "true", "12", r#""x""#, "[[[]],{}]"] {
            let mut cursor = Cursor::new(json.as_bytes());
            assert_eq!(cursor.skip(), Ok(()), "{json}");
            assert_eq!(cursor.at(), json.len(), "{json}");
        }
        for json in ["", "{", "]", ",", "[\"", "[1,", ":"] {
            assert_eq!(Cursor::new(json.as_bytes()).skip(), Err(NotPlain), "{json}");
        }
    }

    proptest! {
        #[test]
        fn strings_are_those_of_another_parser(text in ".*", ascii in any::<bool>()) {
            let mut json = serde_json::to_string(&text).expect("JSON");
            if ascii {
                let escaped = |c: char| c.encode_utf16(&mut [0; 2]).iter().map(|u| format!("\\u{u:04x}")).collect::<String>();
                json = json.chars().map(|c| if c.is_ascii() { c.to_string() } else { escaped(c) }).collect();
            }
            prop_assert_eq!(read(&json), Ok(text));
        }

        #[test]
        fn ends_are_found_as_byte_by_byte(bytes in any::<Vec<u8>>()) {
            let found = bytes.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1F));
            prop_assert_eq!(ordinary(&bytes), found.unwrap_or(bytes.len()));
        }
    }
}
