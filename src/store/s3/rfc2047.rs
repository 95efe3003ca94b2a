//! User metadata beyond ASCII, which S3 spells as encoded words (RFC 2047) in its headers.
//!
//! Encoded words have more than one spelling of one text, so metadata is compared and kept as the text itself.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Bytes of text in one encoded word, which may be 75 characters long.
const WORD_BYTES_MAX: usize = 45;

/// The text of a metadata header; what is no encoded word in UTF-8 stays as it is.
pub(super) fn decoded(header: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = header;
    let mut is_after_word = false;
    while let Some((before, word, after)) = next_word(rest) {
        // Blanks between two encoded words only part them.
        if !(is_after_word && before.trim().is_empty()) {
            bytes.extend_from_slice(before.as_bytes());
        }
        bytes.extend(word);
        (rest, is_after_word) = (after, true);
    }
    bytes.extend_from_slice(rest.as_bytes());
    // A character may have been cut in two by words; what is no text even together is left as it was spelled.
    String::from_utf8(bytes).unwrap_or_else(|_| header.to_owned())
}

/// What stands before the first encoded word, its bytes, and what stands after it.
fn next_word(text: &str) -> Option<(&str, Vec<u8>, &str)> {
    let mut from = 0;
    while let Some(at) = text[from..].find("=?").map(|at| from + at) {
        if let Some((bytes, length)) = word_at(&text[at..]) {
            return Some((&text[..at], bytes, &text[at + length..]));
        }
        from = at + 2;
    }
    None
}

/// The bytes and the length of the encoded word that `text` begins with.
fn word_at(text: &str) -> Option<(Vec<u8>, usize)> {
    let mut parts = text.strip_prefix("=?")?.splitn(3, '?');
    let (charset, encoding, rest) = (parts.next()?, parts.next()?, parts.next()?);
    let (coded, _) = rest.split_once("?=")?;
    if !charset.eq_ignore_ascii_case("utf-8") || coded.contains(char::is_whitespace) {
        return None;
    }
    let bytes = match encoding {
        "B" | "b" => STANDARD.decode(coded).ok()?,
        "Q" | "q" => quoted_printable(coded)?,
        _ => return None,
    };
    Some((bytes, "=?".len() + charset.len() + 1 + encoding.len() + 1 + coded.len() + "?=".len()))
}

fn quoted_printable(coded: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(coded.len());
    let mut rest = coded.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'_' => bytes.push(b' '),
            b'=' => bytes.extend(hex::decode([rest.next()?, rest.next()?]).ok()?),
            byte => bytes.push(byte),
        }
    }
    Some(bytes)
}

/// The header for a text: the text itself where that is plain, else encoded words.
pub(super) fn encoded(text: &str) -> String {
    let is_plain = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if is_plain && decoded(text) == text && text.trim() == text {
        return text.to_owned();
    }
    let mut words: Vec<String> = Vec::new();
    let mut word = String::new();
    for character in text.chars() {
        if word.len() + character.len_utf8() > WORD_BYTES_MAX {
            words.push(std::mem::take(&mut word));
        }
        word.push(character);
    }
    words.push(word);
    let coded = words.iter().map(|word| format!("=?UTF-8?B?{}?=", STANDARD.encode(word)));
    coded.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn encoded_words_are_read_in_either_spelling() {
        for (header, text) in [
            ("plain", "plain"),
            ("=?UTF-8?B?w6TDtsO8?=", "äöü"),
            ("=?utf-8?q?caf=C3=A9_au_lait?=", "café au lait"),
            ("a =?UTF-8?Q?=E2=82=AC?= b", "a € b"),
            ("=?UTF-8?B?w6Q=?= =?UTF-8?B?w7Y=?=", "äö"),
            ("=?UTF-8?B?w6?= x", "=?UTF-8?B?w6?= x"),
            ("=?ISO-8859-1?Q?=E4?=", "=?ISO-8859-1?Q?=E4?="),
            ("=?UTF-8?Q?=FF?=", "=?UTF-8?Q?=FF?="),
            ("=?=?UTF-8?B?w6Q=?=", "=?ä"),
            ("=?", "=?"),
        ] {
            assert_eq!(decoded(header), text, "{header}");
        }
    }

    proptest! {
        #[test]
        fn any_text_comes_back_from_its_header(text in "\\PC*") {
            let header = encoded(&text);
            prop_assert!(header.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
            prop_assert_eq!(decoded(&header), text);
        }
    }
}
