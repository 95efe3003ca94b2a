//! One item from JSON bytes to canonical bytes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::NotPlain;
use super::cursor::{Cursor, Text};
use crate::digest::frame::{self, HEAD_BYTES};
use crate::digest::put_number_text;
use crate::store::dynamodb::value::{CONTAINER_BYTES, REPLICATION_PREFIX, number_bytes};

/// Nesting read here; DynamoDB allows 32 levels.
const DEPTH_MAX: usize = 40;

/// What is written so far, and where the entries of the open maps and sets lie in it.
#[derive(Default)]
pub(super) struct Canonical {
    /// Canonical bytes.
    pub(super) out: Vec<u8>,
    /// Entries of maps and sets that are still open, outermost first.
    spans: Vec<Span>,
    sorted: Vec<u8>,
}

/// An entry of a map, or an element of a set.
#[derive(Clone, Copy)]
pub(super) struct Span {
    /// Where it begins: the frame of its name, or of the element.
    start: usize,
    /// Where its name ends and its value begins; for an element, its end.
    name_end: usize,
    /// Where it ends.
    end: usize,
}

impl Span {
    /// The name of a map's entry.
    pub(super) fn name(self, out: &[u8]) -> &[u8] {
        &out[self.start + HEAD_BYTES..self.name_end]
    }

    /// The tag of a map's entry.
    pub(super) fn tag(self, out: &[u8]) -> u8 {
        out[self.name_end]
    }

    /// All of it.
    pub(super) fn whole(self, out: &[u8]) -> &[u8] {
        &out[self.start..self.end]
    }
}

impl Canonical {
    /// Begins anew with the mark that every item's digest begins with.
    pub(super) fn begin(&mut self) {
        self.out.clear();
        self.out.extend_from_slice(frame::ITEM_DOMAIN);
        self.spans.clear();
    }

    /// Appends an item's attributes as a map, without those that replication keeps for itself; gives the size of what is
    /// kept. `look` sees the attributes before they are put in order.
    pub(super) fn item(
        &mut self,
        json: &mut Cursor<'_>,
        look: impl FnOnce(&[u8], &[Span]) -> Result<(), NotPlain>,
    ) -> Result<u64, NotPlain> {
        let open = frame::open(&mut self.out, frame::MAP);
        let mut size = 0;
        let mut goes_on = json.opens(b'{', b'}')?;
        while goes_on {
            let (span, bytes) = self.entry(json, 0)?;
            if span.name(&self.out).starts_with(REPLICATION_PREFIX.as_bytes()) {
                self.out.truncate(span.start);
            } else {
                size += bytes;
                self.spans.push(span);
            }
            goes_on = json.goes_on(b'}')?;
        }
        look(&self.out, &self.spans)?;
        self.order_entries(0, open.payload_at())?;
        open.close(&mut self.out);
        Ok(size)
    }

    /// Appends a name and its value; gives where they are and their size.
    fn entry(&mut self, json: &mut Cursor<'_>, depth: usize) -> Result<(Span, u64), NotPlain> {
        let start = self.out.len();
        let name_bytes = self.text(json.name()?)?;
        let name_end = self.out.len();
        let bytes = name_bytes + self.value(json, depth)?;
        Ok((Span { start, name_end, end: self.out.len() }, bytes))
    }

    /// Appends the value of `{"S": ..}` and the like; gives its size.
    fn value(&mut self, json: &mut Cursor<'_>, depth: usize) -> Result<u64, NotPlain> {
        json.pass(b'{')?;
        let bytes = match json.name()?.plain()? {
            b"S" => self.text(json.string()?)?,
            b"N" => self.number(json.string()?)?,
            b"B" => self.bytes(json.string()?)?,
            b"BOOL" => {
                let tag = if json.flag()? { frame::TRUE } else { frame::FALSE };
                frame::put(&mut self.out, tag, &[]);
                1
            }
            b"NULL" => {
                if !json.flag()? {
                    return Err(NotPlain);
                }
                frame::put(&mut self.out, frame::NULL, &[]);
                1
            }
            b"M" => self.map(json, depth + 1)?,
            b"L" => self.list(json, depth + 1)?,
            b"SS" => self.set(json, frame::TEXT_SET, Canonical::text)?,
            b"NS" => self.set(json, frame::NUMBER_SET, Canonical::number)?,
            b"BS" => self.set(json, frame::BYTES_SET, Canonical::bytes)?,
            _ => return Err(NotPlain),
        };
        json.pass(b'}')?;
        Ok(bytes)
    }

    fn text(&mut self, text: Text<'_>) -> Result<u64, NotPlain> {
        if let Text::Plain(text) = text {
            frame::put(&mut self.out, frame::TEXT, text);
            return Ok(text.len() as u64);
        }
        let open = frame::open(&mut self.out, frame::TEXT);
        text.append_to(&mut self.out)?;
        let bytes = self.out.len() - open.payload_at();
        open.close(&mut self.out);
        Ok(bytes as u64)
    }

    fn bytes(&mut self, text: Text<'_>) -> Result<u64, NotPlain> {
        let open = frame::open(&mut self.out, frame::BYTES);
        STANDARD.decode_vec(text.plain()?, &mut self.out).map_err(|_| NotPlain)?;
        let bytes = self.out.len() - open.payload_at();
        open.close(&mut self.out);
        Ok(bytes as u64)
    }

    fn number(&mut self, text: Text<'_>) -> Result<u64, NotPlain> {
        let text = text.plain()?;
        let open = frame::open(&mut self.out, frame::NUMBER);
        let start = self.out.len();
        put_number_text(&mut self.out, text).map_err(|_| NotPlain)?;
        let bytes = number_bytes(&self.out[start..]);
        open.close(&mut self.out);
        Ok(bytes)
    }

    fn list(&mut self, json: &mut Cursor<'_>, depth: usize) -> Result<u64, NotPlain> {
        if depth > DEPTH_MAX {
            return Err(NotPlain);
        }
        let open = frame::open(&mut self.out, frame::LIST);
        let mut size = CONTAINER_BYTES;
        let mut goes_on = json.opens(b'[', b']')?;
        while goes_on {
            size += 1 + self.value(json, depth)?;
            goes_on = json.goes_on(b']')?;
        }
        open.close(&mut self.out);
        Ok(size)
    }

    fn map(&mut self, json: &mut Cursor<'_>, depth: usize) -> Result<u64, NotPlain> {
        if depth > DEPTH_MAX {
            return Err(NotPlain);
        }
        let open = frame::open(&mut self.out, frame::MAP);
        let first = self.spans.len();
        let mut size = CONTAINER_BYTES;
        let mut goes_on = json.opens(b'{', b'}')?;
        while goes_on {
            let (span, bytes) = self.entry(json, depth)?;
            self.spans.push(span);
            size += 1 + bytes;
            goes_on = json.goes_on(b'}')?;
        }
        self.order_entries(first, open.payload_at())?;
        open.close(&mut self.out);
        Ok(size)
    }

    fn set(
        &mut self,
        json: &mut Cursor<'_>,
        tag: u8,
        element: fn(&mut Canonical, Text<'_>) -> Result<u64, NotPlain>,
    ) -> Result<u64, NotPlain> {
        let open = frame::open(&mut self.out, tag);
        let first = self.spans.len();
        let mut size = 0;
        let mut goes_on = json.opens(b'[', b']')?;
        while goes_on {
            let start = self.out.len();
            size += element(self, json.string()?)?;
            let end = self.out.len();
            self.spans.push(Span { start, name_end: end, end });
            goes_on = json.goes_on(b']')?;
        }
        self.order_elements(first, open.payload_at());
        open.close(&mut self.out);
        Ok(size)
    }

    /// Puts a map's entries, those from `first` on, in the order of their names; a name twice is not read here.
    fn order_entries(&mut self, first: usize, payload_at: usize) -> Result<(), NotPlain> {
        let (out, spans) = (&self.out, &mut self.spans[first..]);
        if !spans.is_sorted_by(|one, other| one.name(out) < other.name(out)) {
            spans.sort_unstable_by(|one, other| one.name(out).cmp(other.name(out)));
            if spans.windows(2).any(|pair| pair[0].name(out) == pair[1].name(out)) {
                return Err(NotPlain);
            }
            self.rewrite(first, payload_at);
        }
        self.spans.truncate(first);
        Ok(())
    }

    /// Puts a set's elements, those from `first` on, in the order of their bytes, each once.
    fn order_elements(&mut self, first: usize, payload_at: usize) {
        let (out, spans) = (&self.out, &mut self.spans[first..]);
        if !spans.is_sorted_by(|one, other| one.whole(out) < other.whole(out)) {
            spans.sort_unstable_by(|one, other| one.whole(out).cmp(other.whole(out)));
            let mut last = None;
            let mut kept = first;
            for at in first..self.spans.len() {
                let span = self.spans[at];
                if last.is_none_or(|last: Span| last.whole(out) != span.whole(out)) {
                    self.spans[kept] = span;
                    kept += 1;
                }
                last = Some(span);
            }
            self.spans.truncate(kept);
            self.rewrite(first, payload_at);
        }
        self.spans.truncate(first);
    }

    /// Writes what lies from `payload_at` on once more, in the order of the spans.
    fn rewrite(&mut self, first: usize, payload_at: usize) {
        self.sorted.clear();
        for span in &self.spans[first..] {
            self.sorted.extend_from_slice(&self.out[span.start..span.end]);
        }
        self.out.truncate(payload_at);
        self.out.extend_from_slice(&self.sorted);
    }
}
