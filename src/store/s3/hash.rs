//! Every proof of a body, made in one reading of it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use crc_fast::CrcAlgorithm::{Crc32Iscsi, Crc32IsoHdlc, Crc64Nvme};
use md5::Md5;
use sha2::{Digest as _, Sha256};

use super::object::Proof;

/// Hashes a body as it streams by.
pub(super) struct BodyHasher {
    length: u64,
    crc64nvme: crc_fast::Digest,
    crc32: crc_fast::Digest,
    crc32c: crc_fast::Digest,
    md5: Md5,
    sha256: Sha256,
    blake3: blake3::Hasher,
}

impl BodyHasher {
    /// A hasher that has seen nothing.
    pub fn new() -> BodyHasher {
        BodyHasher {
            length: 0,
            crc64nvme: crc_fast::Digest::new(Crc64Nvme),
            crc32: crc_fast::Digest::new(Crc32IsoHdlc),
            crc32c: crc_fast::Digest::new(Crc32Iscsi),
            md5: Md5::new(),
            sha256: Sha256::new(),
            blake3: blake3::Hasher::new(),
        }
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        self.crc64nvme.update(bytes);
        self.crc32.update(bytes);
        self.crc32c.update(bytes);
        self.md5.update(bytes);
        self.sha256.update(bytes);
        self.blake3.update(bytes);
    }

    /// Bytes taken so far.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The CRC64NVME of the whole body, as S3 writes it.
    pub fn crc64nvme(&self) -> String {
        crc64_text(self.crc64nvme.finalize())
    }

    /// All proofs, each in the text S3 uses for it.
    pub fn finish(self) -> Vec<Proof> {
        vec![
            ("crc64nvme", self.crc64nvme()),
            ("crc32", crc32_text(self.crc32.finalize())),
            ("crc32c", crc32_text(self.crc32c.finalize())),
            ("sha256", STANDARD.encode(self.sha256.finalize())),
            ("md5", hex::encode(self.md5.finalize())),
            ("blake3", self.blake3.finalize().to_hex().to_string()),
        ]
    }
}

/// The CRC64NVME of one part, as S3 writes it.
pub(super) fn crc64nvme_of(bytes: &[u8]) -> String {
    crc64_text(crc_fast::crc64_nvme(bytes))
}

fn crc64_text(crc: u64) -> String {
    STANDARD.encode(crc.to_be_bytes())
}

fn crc32_text(crc: u64) -> String {
    // The checksum fills the lower half of the word.
    STANDARD.encode((crc as u32).to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proofs_are_those_that_are_published_for_the_check_string() {
        let mut hasher = BodyHasher::new();
        hasher.update(b"1234");
        hasher.update(b"56789");
        assert_eq!(hasher.length(), 9);
        let proofs = hasher.finish();
        let of = |wanted: &str| &proofs.iter().find(|(kind, _)| *kind == wanted).expect("the kind").1;
        assert_eq!(*of("crc32"), STANDARD.encode(0xcbf4_3926_u32.to_be_bytes()));
        assert_eq!(*of("crc32c"), STANDARD.encode(0xe306_9283_u32.to_be_bytes()));
        assert_eq!(*of("crc64nvme"), STANDARD.encode(0xae8b_1486_0a79_9888_u64.to_be_bytes()));
        assert_eq!(*of("crc64nvme"), crc64nvme_of(b"123456789"));
        assert_eq!(of("md5"), "25f9e794323b453885f5181f1b624d0b");
    }
}
