//! Framing, the letters of the canonical encoding: a tag byte, the payload's length as 8 bytes little-endian, the payload.
//!
//! [`super::encode`] frames values. A store that reads its own wire format straight into canonical bytes, without values in
//! between, frames with these functions too, so that the format is written down once.

/// A null.
pub const NULL: u8 = b'n';
/// True.
pub const TRUE: u8 = b't';
/// False.
pub const FALSE: u8 = b'f';
/// A decimal number, in its canonical text.
pub const NUMBER: u8 = b'd';
/// UTF-8 text.
pub const TEXT: u8 = b's';
/// Raw bytes.
pub const BYTES: u8 = b'b';
/// A set of numbers.
pub const NUMBER_SET: u8 = b'D';
/// A set of texts.
pub const TEXT_SET: u8 = b'S';
/// A set of byte strings.
pub const BYTES_SET: u8 = b'B';
/// An ordered list.
pub const LIST: u8 = b'l';
/// Named values.
pub const MAP: u8 = b'm';
/// A database value by type name and text.
pub const TYPED: u8 = b'x';

/// Bytes of a frame before its payload.
pub const HEAD_BYTES: usize = 9;

/// Separates item digests from every other use of BLAKE3.
pub const ITEM_DOMAIN: &[u8] = b"failback item 1\0";

/// A frame whose payload is being written.
#[derive(Debug)]
#[must_use = "a frame that is not closed has no length"]
pub struct OpenFrame {
    payload_at: usize,
}

/// Begins a frame; its payload is what is appended until it is closed.
pub fn open(out: &mut Vec<u8>, tag: u8) -> OpenFrame {
    out.push(tag);
    out.extend_from_slice(&[0; 8]);
    OpenFrame { payload_at: out.len() }
}

impl OpenFrame {
    /// Where the payload begins.
    pub fn payload_at(&self) -> usize {
        self.payload_at
    }

    /// Ends the frame: writes its length.
    pub fn close(self, out: &mut [u8]) {
        let length = (out.len() - self.payload_at) as u64;
        out[self.payload_at - 8..self.payload_at].copy_from_slice(&length.to_le_bytes());
    }
}

/// Appends a whole frame.
pub fn put(out: &mut Vec<u8>, tag: u8, payload: &[u8]) {
    out.reserve(HEAD_BYTES + payload.len());
    out.push(tag);
    out.extend_from_slice(&(payload.len() as u64).to_le_bytes());
    out.extend_from_slice(payload);
}
