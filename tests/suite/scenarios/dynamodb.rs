//! Scripts on DynamoDB: a table a side, in two Regions of the emulator.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{AttributeValue as A, ScalarAttributeType, TimeToLiveSpecification};
use failback::model::{Side, StoreKind};

use super::stage::{Restored, Row, Stage, resource_name};
use crate::dynamodb::{client, create, put};
use crate::peers::{self, Server};
use crate::rig::sides_on_port;

const KEY: [(&str, ScalarAttributeType); 1] = [("id", ScalarAttributeType::S)];

/// The emulator with two Regions.
pub struct Regions {
    server: Server,
    primary: Client,
    dr: Client,
}

impl Regions {
    pub async fn open() -> Option<Regions> {
        let server = peers::ministack_without_expiry()?;
        let primary = client(&peers::side(&server, "us-east-1")).await;
        let dr = client(&peers::side(&server, "us-west-2")).await;
        Some(Regions { server, primary, dr })
    }

    /// A fresh table on each side.
    pub async fn stage(&self, script: &str) -> Tables {
        let tables = Tables {
            port: self.server.port,
            script: script.to_owned(),
            primary: self.primary.clone(),
            dr: self.dr.clone(),
        };
        for side in [Side::Primary, Side::Dr] {
            create(tables.client(side), &tables.name(side), &KEY).await;
        }
        tables
    }
}

/// The tables of one script.
pub struct Tables {
    port: u16,
    script: String,
    primary: Client,
    dr: Client,
}

impl Tables {
    fn client(&self, side: Side) -> &Client {
        if side == Side::Dr { &self.dr } else { &self.primary }
    }

    fn name(&self, side: Side) -> String {
        resource_name(&self.script, side)
    }
}

fn text(row: &HashMap<String, A>, name: &str) -> String {
    row[name].as_s().expect("a text").clone()
}

#[async_trait]
impl Stage for Tables {
    fn kind(&self) -> StoreKind {
        StoreKind::DynamoDb
    }

    fn sides(&self) -> String {
        sides_on_port(self.port)
    }

    fn resources(&self) -> String {
        let (primary, dr) = (self.name(Side::Primary), self.name(Side::Dr));
        format!("kind = \"dynamodb\"\nprimary = {{ table = \"{primary}\" }}\ndr = {{ table = \"{dr}\" }}\n")
    }

    fn newest(&self, field: &str) -> String {
        format!("newest_attribute = \"{field}\"\n")
    }

    async fn expire_by(&self, field: &str) {
        for side in [Side::Primary, Side::Dr] {
            let ttl = TimeToLiveSpecification::builder().enabled(true).attribute_name(field).build();
            let request = self.client(side).update_time_to_live().table_name(self.name(side));
            request.time_to_live_specification(ttl.expect("a setting")).send().await.expect("a time to live");
        }
    }

    async fn put(&self, side: Side, row: &Row) {
        let texts = [("id".to_owned(), A::S(row.id.clone())), ("value".to_owned(), A::S(row.value.clone()))];
        let numbers = row.fields.iter().map(|(name, number)| (name.clone(), A::N(number.to_string())));
        put(self.client(side), &self.name(side), texts.into_iter().chain(numbers).collect()).await;
    }

    async fn remove(&self, side: Side, id: &str) {
        let request = self.client(side).delete_item().table_name(self.name(side));
        request.key("id", A::S(id.to_owned())).send().await.expect("a delete");
    }

    async fn values(&self, side: Side) -> BTreeMap<String, String> {
        let reply = self.client(side).scan().table_name(self.name(side)).consistent_read(true).send().await;
        let reply = reply.expect("scanned");
        assert!(reply.last_evaluated_key().is_none(), "a script's table is one page");
        reply.items().iter().map(|row| (text(row, "id"), text(row, "value"))).collect()
    }

    async fn recreate(&self) {
        let name = self.name(Side::Primary);
        self.primary.delete_table().table_name(&name).send().await.expect("deleted");
        create(&self.primary, &name, &KEY).await;
    }

    async fn restore_aside(&self) -> Restored {
        let name = self.name(Side::Base);
        let backup = self.primary.create_backup().table_name(self.name(Side::Primary)).backup_name(&name);
        let backup = backup.send().await.expect("a backup").backup_details.expect("details");
        let restore = self.primary.restore_table_from_backup().target_table_name(&name);
        restore.backup_arn(backup.backup_arn).send().await.expect("a restored table");
        Restored { profile_line: format!("base = {{ table = \"{name}\" }}\n"), as_of: None }
    }
}
