//! S3 in depth: replication and both histories as the base, what goes along with an object, portions of a listing, rules that
//! fight, inventories, and a writer that does not stop before the freeze.

mod along;
mod bodies;
mod inventory;
mod ladder;
mod lineage;
mod listing;
mod writers;

use aws_sdk_s3::types::{
    DeleteMarkerReplication, DeleteMarkerReplicationStatus, Destination, ReplicationConfiguration, ReplicationRule,
    ReplicationRuleFilter, ReplicationRuleStatus,
};
use failback::model::Timestamp;
use serde_json::Value as Json;

use crate::peers::{self, Server};
use crate::rig::{Home, Ran, sides_on_port};
use crate::s3::Region;

/// A bucket a side on one server, and a profile in a home of its own.
struct Stage {
    server: Server,
    home: Region,
    away: Region,
    program: Home,
}

const HOME: &str = "media-home";
const AWAY: &str = "media-away";

impl Stage {
    async fn open() -> Option<Stage> {
        let server = peers::ministack()?;
        let (home, away) = (Region::of(&server, "us-east-1").await, Region::of(&server, "us-west-2").await);
        home.make_bucket(HOME, true).await;
        away.make_bucket(AWAY, true).await;
        Some(Stage { server, home, away, program: Home::new() })
    }

    /// Writes the profile; `fields` go to the store, `primary` and `dr` to its buckets.
    fn profile(&self, struck: Option<Timestamp>, fields: &str, [primary, dr]: [&str; 2]) {
        let times = struck.map(|at| format!("disaster_at = {at}\n")).unwrap_or_default();
        let text = format!(
            "name = \"p\"\n{times}{}[[store]]\nname = \"media\"\nkind = \"s3\"\n\
             primary = {{ bucket = \"{HOME}\"{primary} }}\ndr = {{ bucket = \"{AWAY}\"{dr} }}\n\
             limits = {{ writes_per_second = 0 }}\n{fields}\n[freeze]\ncommand = [\"true\"]\n\
             negative_write_test = [\"false\"]\n",
            sides_on_port(self.server.port)
        );
        self.program.write("p.toml", &text);
    }

    fn run(&self, arguments: &str) -> Ran {
        self.program.run(arguments)
    }

    /// The delta of a `diff --json`, by key.
    fn delta(&self, diff: &Ran) -> std::collections::BTreeMap<String, Json> {
        let path = diff.json()["stores"][0]["delta"].as_str().expect("a path").to_owned();
        let lines = self.program.lines(std::path::Path::new(&path)).into_iter();
        lines.map(|line| (line["key"]["key"].as_str().expect("a key").to_owned(), line)).collect()
    }

    /// Replicates what is written at home to `target` from now on; delete markers too.
    async fn replicate(&self, region: &Region, from: &str, target: &str) {
        let rule = ReplicationRule::builder()
            .id("all")
            .priority(1)
            .status(ReplicationRuleStatus::Enabled)
            .filter(ReplicationRuleFilter::builder().prefix("").build())
            .delete_marker_replication(
                DeleteMarkerReplication::builder().status(DeleteMarkerReplicationStatus::Enabled).build(),
            )
            .destination(Destination::builder().bucket(format!("arn:aws:s3:::{target}")).build().expect("a target"));
        let configuration = ReplicationConfiguration::builder().role("arn:aws:iam::000000000000:role/replication");
        let configuration = configuration.rules(rule.build().expect("a rule")).build().expect("a configuration");
        let request = region.client.put_bucket_replication().bucket(from).replication_configuration(configuration);
        request.send().await.expect("replication");
    }

    async fn stop_replication(&self) {
        self.home.client.delete_bucket_replication().bucket(HOME).send().await.expect("no replication");
    }

    async fn put(&self, bucket: &str, key: &str, body: &str) {
        let region = if bucket == HOME { &self.home } else { &self.away };
        region.put(bucket, key, body.as_bytes()).await;
    }

    async fn delete(&self, bucket: &str, key: &str) {
        let region = if bucket == HOME { &self.home } else { &self.away };
        region.delete(bucket, key).await;
    }
}
