//! Where a script plays: one kind of store on two sides, with clients of its own beside the product's.

use std::collections::BTreeMap;

use async_trait::async_trait;
use failback::model::{Side, StoreKind, Timestamp};
use failback::store::memory::MemoryRegistry;
use serde_json::{Value as Json, json};

/// The kinds of stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Memory,
    DynamoDb,
    Postgres15,
    Postgres18,
    MariaDb,
    S3Ministack,
    S3SeaweedFs,
}

impl Place {
    pub const ALL: [Place; 7] = [
        Place::Memory,
        Place::DynamoDb,
        Place::Postgres15,
        Place::Postgres18,
        Place::MariaDb,
        Place::S3Ministack,
        Place::S3SeaweedFs,
    ];

    /// The places of a kind of store, or the one place of that very name, in the script `script`.
    pub fn named(word: &str, script: &str) -> Vec<Place> {
        match word {
            "memory" => vec![Place::Memory],
            "dynamodb" => vec![Place::DynamoDb],
            "postgres" => vec![Place::Postgres15, Place::Postgres18],
            "mysql" => vec![Place::MariaDb],
            "s3" => vec![Place::S3Ministack, Place::S3SeaweedFs],
            "s3-ministack" => vec![Place::S3Ministack],
            "s3-seaweedfs" => vec![Place::S3SeaweedFs],
            other => panic!("script {script} is for `{other}`, and there is no such place"),
        }
    }
}

/// One item of the application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub id: String,
    pub value: String,
    /// Numbers beside the value, such as when it was updated.
    pub fields: BTreeMap<String, i64>,
}

/// A base restored aside.
pub struct Restored {
    /// The line of the profile that names it.
    pub profile_line: String,
    /// The instant it stands for, by the server's clock, where the profile must state it.
    pub as_of: Option<Timestamp>,
}

/// One kind of store on two sides. What a kind cannot do, a script that plays there must not ask for.
#[async_trait]
pub trait Stage: Send + Sync {
    fn kind(&self) -> StoreKind;

    /// The tables of `kind = "memory"`.
    fn memory(&self) -> MemoryRegistry {
        MemoryRegistry::new()
    }

    /// The profile's `[primary]` and `[dr]`.
    fn sides(&self) -> String;

    /// The lines of the profile's `[[store]]` that say which resources these are.
    fn resources(&self) -> String;

    /// The line by which a field orders writes.
    fn newest(&self, _field: &str) -> String {
        panic!("{} has no field that orders writes", self.kind())
    }

    /// Lets items expire at the time in a field.
    async fn expire_by(&self, _field: &str) {
        panic!("items of {} do not expire", self.kind())
    }

    async fn put(&self, side: Side, row: &Row);

    async fn remove(&self, side: Side, id: &str);

    /// Every item's value by its id.
    async fn values(&self, side: Side) -> BTreeMap<String, String>;

    /// Deletes the primary's resource and makes an empty one of the same name.
    async fn recreate(&self) {
        panic!("{} cannot be made anew", self.kind())
    }

    /// Restores the primary aside as it is now.
    async fn restore_aside(&self) -> Restored {
        panic!("{} cannot be restored aside", self.kind())
    }
}

/// A name for a script's own resources that every kind of store takes.
pub fn resource_name(script: &str, side: Side) -> String {
    format!("{script}-{side}")
}

/// What the product must show as the key of an id: as JSON, and on one line for people.
pub fn key_of_id(kind: StoreKind, id: &str) -> (Json, String) {
    match kind {
        StoreKind::Memory | StoreKind::DynamoDb => (json!({"id": {"S": id}}), format!("id={id}")),
        StoreKind::Postgres => (json!({"table": "public.item", "id": id}), format!("public.item id={id}")),
        StoreKind::Mysql => (json!({"table": "item", "id": id}), format!("item id={id}")),
        StoreKind::S3 => (json!({ "key": id }), id.to_owned()),
    }
}

/// The id of a key that the product shows as JSON; the key must have nothing else.
pub fn id_of_key(kind: StoreKind, key: &Json) -> String {
    let id = match kind {
        StoreKind::Memory | StoreKind::DynamoDb => &key["id"]["S"],
        StoreKind::Postgres | StoreKind::Mysql => &key["id"],
        StoreKind::S3 => &key["key"],
    };
    let id = id.as_str().unwrap_or_else(|| panic!("{key} has no id"));
    assert_eq!(key_of_id(kind, id).0, *key, "a key of {kind}");
    id.to_owned()
}
