//! The shop's catalogues: keys and contents as pure functions of the seed, the number of the item and its version.

use super::plant::{Fate, METADATA, SEEDED, SWAPPED, TAGS, Version};
use crate::model::{Decimal, Value};

/// Objects as large as several parts of a multipart upload, by number.
const LARGE_OBJECTS: std::ops::Range<usize> = 3..5;
const LARGE_BYTES: usize = 6 << 20;
/// An instant far away (2100-01-01), in epoch seconds.
const EXPIRES_AT: i64 = 4_102_444_800;

/// One kind of item.
pub(super) trait Catalogue {
    /// The key of an item.
    fn key(&self, number: usize) -> Value;
    /// A version of its contents; `partner` is the item it exchanges its unique value with.
    fn contents(&self, number: usize, version: Version, fate: Fate, partner: Option<usize>) -> Value;
    /// The fates that occur, per mille of the items.
    fn fates(&self) -> &'static [(Fate, usize)];
}

const FATES: &[(Fate, usize)] = &[
    (Fate::DrUpdate, 40),
    (Fate::DrInsert, 30),
    (Fate::DrDelete, 10),
    (Fate::DrRewrite, 5),
    (Fate::StrandedUpdate, 4),
    (Fate::StrandedInsert, 4),
    (Fate::StrandedDelete, 2),
    (Fate::ConflictUpdate, 3),
    (Fate::ConflictInsert, 2),
    (Fate::ConflictDelete, 2),
    (Fate::ConvergedUpdate, 3),
    (Fate::ConvergedInsert, 2),
    (Fate::ConvergedDelete, 1),
    (Fate::LateUpdate, 4),
    (Fate::LateInsert, 4),
    (Fate::LateDelete, 2),
    (Fate::LateAgain, 4),
    (Fate::ExpiredOnPrimary, 5),
    (Fate::ExpiredOnDr, 3),
    (Fate::ExpiredOnBoth, 3),
];

/// Without expiry, and with the changes only objects have.
const MEDIA_FATES: &[(Fate, usize)] = &[
    (Fate::DrUpdate, 40),
    (Fate::DrInsert, 30),
    (Fate::DrDelete, 10),
    (Fate::DrRewrite, 20),
    (Fate::DrMetadata, 10),
    (Fate::DrTags, 10),
    (Fate::StrandedUpdate, 5),
    (Fate::StrandedInsert, 5),
    (Fate::ConflictUpdate, 5),
    (Fate::ConvergedUpdate, 5),
    (Fate::LateUpdate, 5),
    (Fate::LateInsert, 5),
];

const ROW_FATES: &[(Fate, usize)] = FATES.split_at(FATES.len() - 3).0;

/// Few, and one exchange of a unique value.
const PRICE_FATES: &[(Fate, usize)] =
    &[(Fate::DrUpdate, 40), (Fate::DrInsert, 30), (Fate::DrSwap, 2), (Fate::LateUpdate, 10)];

/// Bytes that only the seed and the words decide.
fn noise(seed: u64, words: &str, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&seed.to_le_bytes()).update(words.as_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

fn cents(seed: u64, words: &str) -> u64 {
    let bytes = noise(seed, words, 4);
    u64::from(u32::from_le_bytes(bytes.try_into().expect("four bytes"))) % 1_000_000
}

fn money(cents: u64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

fn decimal(text: &str) -> Value {
    Value::Number(text.parse::<Decimal>().expect("a number"))
}

/// Orders, with every DynamoDB type.
pub(super) struct Orders {
    pub seed: u64,
    /// When expired orders expired, in epoch seconds; DynamoDB ignores what is more than five years past.
    pub expired_at: i64,
}

impl Catalogue for Orders {
    fn key(&self, number: usize) -> Value {
        let customer = format!("customer-{:04}-é", number / 3);
        Value::map([("customer", Value::text(customer)), ("number", Value::Number((number as i64).into()))])
    }

    fn contents(&self, number: usize, version: Version, fate: Fate, _: Option<usize>) -> Value {
        let words = format!("order {number} {version}");
        let total = cents(self.seed, &words);
        let state = ["placed", "paid", "shipped", "returned"][usize::from(version) % 4];
        let expires_at = if fate.is_expired() { self.expired_at } else { EXPIRES_AT };
        let line = Value::map([
            ("sku", Value::text(format!("sku-{}", total % 97))),
            ("count", Value::Number((total as i64 % 9).into())),
        ]);
        let mut contents = self.key(number).as_map().cloned().unwrap_or_default();
        contents.extend(
            [
                ("total", decimal(&money(total))),
                ("exact", decimal("12345678901234567890123456789012345678")),
                ("state", Value::text(state)),
                ("revision", Value::Number(i64::from(version).into())),
                ("lines", Value::List(vec![line, Value::text("gift"), Value::Null])),
                ("paid", Value::Bool(version != SEEDED)),
                ("coupon", Value::Null),
                ("signature", Value::Bytes(noise(self.seed, &words, 12))),
                ("labels", Value::TextSet(vec!["blue".into(), "fragile".into()])),
                ("boxes", Value::NumberSet(vec![1.into(), 2.into(), 10.into()])),
                ("seals", Value::BytesSet(vec![vec![1, 2], vec![3]])),
                ("expires_at", Value::Number(expires_at.into())),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        );
        Value::Map(contents)
    }

    fn fates(&self) -> &'static [(Fate, usize)] {
        FATES
    }
}

/// Objects with bodies, content headers, metadata and tags.
pub(super) struct Media {
    pub seed: u64,
}

impl Catalogue for Media {
    fn key(&self, number: usize) -> Value {
        Value::map([("key", Value::text(format!("shelf {}/photo+{number:05}-ü.jpg", number % 7)))])
    }

    fn contents(&self, number: usize, version: Version, _: Fate, _: Option<usize>) -> Value {
        let body_version = if matches!(version, METADATA | TAGS) { SEEDED } else { version };
        let length = if LARGE_OBJECTS.contains(&number) { LARGE_BYTES } else { 200 + number % 1800 };
        let artist = if version == METADATA { "retouched" } else { "shop" };
        let stage = if version == TAGS { "archive" } else { "shelf" };
        Value::map([
            ("body", Value::Bytes(noise(self.seed, &format!("media {number} {body_version}"), length))),
            ("content_type", Value::text("image/jpeg")),
            ("metadata", Value::map([("artist", Value::text(artist)), ("number", Value::text(number.to_string()))])),
            ("tags", Value::map([("stage", Value::text(stage))])),
        ])
    }

    fn fates(&self) -> &'static [(Fate, usize)] {
        MEDIA_FATES
    }
}

fn row_key(table: &str, columns: &[(&str, String)]) -> Value {
    let columns = columns.iter().map(|(name, text)| (*name, Value::text(text.clone())));
    Value::List(vec![Value::text(format!("public.{table}")), Value::map(columns)])
}

fn row(columns: &[(&str, String)]) -> Value {
    Value::map(columns.iter().map(|(name, text)| (*name, Value::text(text.clone()))))
}

/// The table of a row's key; empty for other keys.
pub(super) fn table_of(key: &Value) -> &str {
    match key {
        Value::List(parts) => parts.first().and_then(Value::as_text).unwrap_or_default(),
        _ => "",
    }
}

/// A key column of a row's key.
pub(super) fn column_of(key: &Value, column: &str) -> Option<Value> {
    match key {
        Value::List(parts) => parts.get(1)?.get(column).cloned(),
        _ => None,
    }
}

/// Rows of `account`: the parents.
pub(super) struct Accounts {
    pub seed: u64,
}

impl Catalogue for Accounts {
    fn key(&self, number: usize) -> Value {
        row_key("account", &[("id", (number + 1).to_string())])
    }

    fn contents(&self, number: usize, version: Version, _: Fate, _: Option<usize>) -> Value {
        let balance = cents(self.seed, &format!("account {number} {version}"));
        row(&[
            ("id", (number + 1).to_string()),
            ("email", format!("user{number}.v{version}@example.com")),
            ("balance", money(balance)),
            ("opened_at", "2026-01-02 03:04:05.678901+00".into()),
        ])
    }

    fn fates(&self) -> &'static [(Fate, usize)] {
        ROW_FATES
    }
}

/// Rows of `entry`: children of accounts; which account is decided once all fates are known.
pub(super) struct Entries {
    pub seed: u64,
}

impl Catalogue for Entries {
    fn key(&self, number: usize) -> Value {
        row_key("entry", &[("id", (number + 1).to_string())])
    }

    fn contents(&self, number: usize, version: Version, _: Fate, _: Option<usize>) -> Value {
        let amount = cents(self.seed, &format!("entry {number} {version}"));
        row(&[
            ("id", (number + 1).to_string()),
            ("amount", money(amount)),
            ("note", format!("line {number}\tversion {version} ß")),
            ("details", format!("{{\"cents\": {amount}, \"version\": {version}}}")),
        ])
    }

    fn fates(&self) -> &'static [(Fate, usize)] {
        ROW_FATES
    }
}

/// Rows of `price`: a composite key and a unique label.
pub(super) struct Prices {
    pub seed: u64,
}

impl Catalogue for Prices {
    fn key(&self, number: usize) -> Value {
        row_key("price", &[("region", format!("r{}", number % 3)), ("sku", format!("sku-{number}"))])
    }

    fn contents(&self, number: usize, version: Version, _: Fate, partner: Option<usize>) -> Value {
        let labelled = if version == SWAPPED { partner.unwrap_or(number) } else { number };
        row(&[
            ("region", format!("r{}", number % 3)),
            ("sku", format!("sku-{number}")),
            ("label", format!("label {labelled}")),
            ("amount", money(cents(self.seed, &format!("price {number} {version}")))),
        ])
    }

    fn fates(&self) -> &'static [(Fate, usize)] {
        PRICE_FATES
    }
}
