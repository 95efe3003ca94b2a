//! Lines of COPY's text format.
//!
//! Fields are parted by tabs; NULL is `\\N`, and what would be taken for something else is escaped
//! (<https://www.postgresql.org/docs/current/sql-copy.html>).

use memchr::{memchr, memchr_iter};

/// The fields of one line, one after another without escapes; what it needs is kept for the next line.
#[derive(Default)]
pub(super) struct Fields {
    texts: Vec<u8>,
    /// Where each lies; `None` is NULL.
    places: Vec<Option<(usize, usize)>>,
}

impl Fields {
    /// Reads a line; `None` where it is not UTF-8 or has an escape that no server writes.
    pub(super) fn read(&mut self, line: &[u8]) -> Option<()> {
        let line = std::str::from_utf8(line.strip_suffix(b"\n").unwrap_or(line)).ok()?.as_bytes();
        self.clear();
        let has_escapes = memchr(b'\\', line).is_some();
        if !has_escapes {
            self.texts.extend_from_slice(line);
        }
        let mut start = 0;
        for end in memchr_iter(b'\t', line).chain([line.len()]) {
            let place = match has_escapes {
                false => Some((start, end)),
                true => self.unescape(&line[start..end])?,
            };
            self.places.push(place);
            start = end + 1;
        }
        Some(())
    }

    /// Where the text of a field lies now; `None` within is NULL.
    fn unescape(&mut self, field: &[u8]) -> Option<Option<(usize, usize)>> {
        if field == b"\\N" {
            return Some(None);
        }
        let from = self.texts.len();
        let mut rest = field;
        while let Some(at) = memchr(b'\\', rest) {
            self.texts.extend_from_slice(&rest[..at]);
            self.texts.push(match *rest.get(at + 1)? {
                b'b' => 8,
                b't' => b'\t',
                b'n' => b'\n',
                b'v' => 11,
                b'f' => 12,
                b'r' => b'\r',
                b'\\' => b'\\',
                // The server writes no other escape.
                _ => return None,
            });
            rest = &rest[at + 2..];
        }
        self.texts.extend_from_slice(rest);
        Some(Some((from, self.texts.len())))
    }

    /// The fields of a line as texts of their own.
    pub(super) fn texts(mut self, line: &[u8]) -> Option<Vec<Option<String>>> {
        self.read(line)?;
        let text = |field: Option<&[u8]>| match field {
            None => Some(None),
            Some(bytes) => String::from_utf8(bytes.to_vec()).ok().map(Some),
        };
        (0..self.count()).map(|at| text(self.at(at))).collect()
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.places.len()
    }

    /// Bytes of all of them.
    pub(super) fn bytes(&self) -> u64 {
        self.places.iter().flatten().map(|(start, end)| (end - start) as u64).sum()
    }

    /// The text of a field; `None` is NULL.
    pub(super) fn at(&self, at: usize) -> Option<&[u8]> {
        self.places[at].map(|(start, end)| &self.texts[start..end])
    }

    fn clear(&mut self) {
        self.texts.clear();
        self.places.clear();
    }

    /// Makes it `count` fields that are all NULL.
    pub(super) fn reset(&mut self, count: usize) {
        self.clear();
        self.places.resize(count, None);
    }

    /// Gives a field a text, which `write` appends.
    pub(super) fn set(&mut self, at: usize, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.texts.len();
        write(&mut self.texts);
        self.places[at] = Some((start, self.texts.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_back() {
        let texts = |line: &[u8]| Fields::default().texts(line);
        let fields = texts(b"a\\tb\t\\N\t\\\\N\t\tx\\n\\r\\\\\\b\\f\\v\n").expect("a line");
        let found: Vec<Option<&str>> = fields.iter().map(Option::as_deref).collect();
        assert_eq!(found, [Some("a\tb"), None, Some("\\N"), Some(""), Some("x\n\r\\\u{8}\u{c}\u{b}")]);
        assert_eq!(texts(b"a\tb\t\n"), Some(["a", "b", ""].map(|text| Some(text.to_owned())).to_vec()));
        assert_eq!(texts(b"\n"), Some(vec![Some(String::new())]));
        for line in [&b"\xff\n"[..], b"a\\\n", b"a\\q\n", b"a\tb\\\tc"] {
            assert_eq!(texts(line), None, "{line:?}");
        }
        let mut fields = Fields::default();
        fields.read(b"a\\nb\t\\N\tc").expect("a line");
        assert_eq!((fields.count(), fields.bytes(), fields.at(0), fields.at(1)), (3, 4, Some(&b"a\nb"[..]), None));
        fields.reset(2);
        fields.set(1, |text| text.extend_from_slice(b"new"));
        assert_eq!((fields.at(0), fields.at(1)), (None, Some(&b"new"[..])));
    }
}
