//! Every proof of a body, made in one reading of it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use crc_fast::CrcAlgorithm::{Crc32Iscsi, Crc32IsoHdlc, Crc64Nvme};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use super::object::Proof;
use crate::model::Evidence;

/// Hashes a body as it streams by.
pub(super) struct BodyHasher {
    length: u64,
    crc64nvme: crc_fast::Digest,
    crc32: crc_fast::Digest,
    crc32c: crc_fast::Digest,
    md5: Md5,
    sha256: Sha256,
    sha1: Sha1,
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
            sha1: Sha1::new(),
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
        self.sha1.update(bytes);
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
            ("sha1", STANDARD.encode(self.sha1.finalize())),
            ("md5", hex::encode(self.md5.finalize())),
            ("blake3", self.blake3.finalize().to_hex().to_string()),
        ]
    }
}

/// A checksum that S3 makes of each part of an upload, and over those again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PartAlgorithm {
    Md5,
    Crc32,
    Crc32c,
    Sha1,
    Sha256,
}

impl PartAlgorithm {
    /// The algorithm of a composite proof's text, `sha256:..-3`.
    pub fn of_composite(text: &str) -> Option<PartAlgorithm> {
        match text.split_once(':')?.0 {
            "crc32" => Some(PartAlgorithm::Crc32),
            "crc32c" => Some(PartAlgorithm::Crc32c),
            "sha1" => Some(PartAlgorithm::Sha1),
            "sha256" => Some(PartAlgorithm::Sha256),
            _ => None,
        }
    }

    fn hasher(self) -> PartHasher {
        match self {
            PartAlgorithm::Md5 => PartHasher::Md5(Md5::new()),
            PartAlgorithm::Crc32 => PartHasher::Crc(crc_fast::Digest::new(Crc32IsoHdlc)),
            PartAlgorithm::Crc32c => PartHasher::Crc(crc_fast::Digest::new(Crc32Iscsi)),
            PartAlgorithm::Sha1 => PartHasher::Sha1(Sha1::new()),
            PartAlgorithm::Sha256 => PartHasher::Sha256(Sha256::new()),
        }
    }

    fn proof(self, whole: Vec<u8>, parts: usize) -> Proof {
        let composite = |name: &str| (Evidence::COMPOSITE, format!("{name}:{}-{parts}", STANDARD.encode(&whole)));
        match self {
            PartAlgorithm::Md5 => (Evidence::PARTS_MD5, format!("{}-{parts}", hex::encode(&whole))),
            PartAlgorithm::Crc32 => composite("crc32"),
            PartAlgorithm::Crc32c => composite("crc32c"),
            PartAlgorithm::Sha1 => composite("sha1"),
            PartAlgorithm::Sha256 => composite("sha256"),
        }
    }
}

enum PartHasher {
    Md5(Md5),
    Crc(crc_fast::Digest),
    Sha1(Sha1),
    Sha256(Sha256),
}

impl PartHasher {
    fn update(&mut self, bytes: &[u8]) {
        match self {
            PartHasher::Md5(hasher) => hasher.update(bytes),
            PartHasher::Crc(hasher) => hasher.update(bytes),
            PartHasher::Sha1(hasher) => hasher.update(bytes),
            PartHasher::Sha256(hasher) => hasher.update(bytes),
        }
    }

    fn finish(self) -> Vec<u8> {
        match self {
            PartHasher::Md5(hasher) => hasher.finalize().to_vec(),
            PartHasher::Crc(hasher) => (hasher.finalize() as u32).to_be_bytes().to_vec(),
            PartHasher::Sha1(hasher) => hasher.finalize().to_vec(),
            PartHasher::Sha256(hasher) => hasher.finalize().to_vec(),
        }
    }
}

/// Makes the checksum of part checksums that another upload of the same bytes has, by cutting them where it was cut.
pub(super) struct CompositeHasher {
    algorithm: PartAlgorithm,
    sizes: std::collections::VecDeque<u64>,
    parts: usize,
    part: PartHasher,
    whole: PartHasher,
    left: u64,
}

impl CompositeHasher {
    /// A hasher for parts of these sizes.
    pub fn new(algorithm: PartAlgorithm, sizes: Vec<u64>) -> CompositeHasher {
        let parts = sizes.len();
        let mut sizes = std::collections::VecDeque::from(sizes);
        let left = sizes.pop_front().unwrap_or(0);
        CompositeHasher { algorithm, sizes, parts, part: algorithm.hasher(), whole: algorithm.hasher(), left }
    }

    /// Takes the next bytes.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.left == 0 && !self.next_part() {
                return;
            }
            let taken = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
            self.part.update(&bytes[..taken]);
            self.left -= taken as u64;
            bytes = &bytes[taken..];
        }
    }

    fn next_part(&mut self) -> bool {
        let Some(size) = self.sizes.pop_front() else { return false };
        let part = std::mem::replace(&mut self.part, self.algorithm.hasher());
        self.whole.update(&part.finish());
        self.left = size;
        true
    }

    /// The proof, in the text S3 uses for it.
    pub fn finish(mut self) -> Proof {
        while self.next_part() {}
        self.whole.update(&self.part.finish());
        self.algorithm.proof(self.whole.finish(), self.parts)
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
        assert_eq!(*of("sha1"), STANDARD.encode(hex::decode("f7c3bc1d808e04732adf679965ccc34ca7ae3441").expect("hex")));
    }

    #[test]
    fn composites_are_checksums_of_part_checksums_wherever_the_bytes_are_cut() {
        let body = b"0123456789abcdefghij";
        let parts = [&body[..8], &body[8..16], &body[16..]];
        let md5s: Vec<u8> = parts.iter().flat_map(Md5::digest).collect();
        let crcs: Vec<u8> =
            parts.iter().flat_map(|part| (crc_fast::checksum(Crc32Iscsi, part) as u32).to_be_bytes()).collect();
        let sizes = vec![8, 8, 4];
        for chunk in [1, 3, 8, 20] {
            let made = |algorithm| {
                let mut hasher = CompositeHasher::new(algorithm, sizes.clone());
                body.chunks(chunk).for_each(|bytes| hasher.update(bytes));
                hasher.finish()
            };
            let etag = format!("{}-3", hex::encode(Md5::digest(&md5s)));
            assert_eq!(made(PartAlgorithm::Md5), (Evidence::PARTS_MD5, etag));
            let crc = crc32_text(crc_fast::checksum(Crc32Iscsi, &crcs));
            assert_eq!(made(PartAlgorithm::Crc32c), (Evidence::COMPOSITE, format!("crc32c:{crc}-3")));
        }
        assert_eq!(PartAlgorithm::of_composite("sha256:x-3"), Some(PartAlgorithm::Sha256));
        assert_eq!(PartAlgorithm::of_composite("crc64nvme:x"), None);
    }
}
