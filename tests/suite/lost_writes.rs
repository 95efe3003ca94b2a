//! Two replicas of one global table whose streams keep images, by script: an emulator's replicas never cross on their way.

use failback::model::Timestamp;
use serde_json::{Value as Json, json};

use crate::fake_aws::{Answer, described, fake_aws, ok, table};
use crate::rig::{Home, now};

/// A region and its stream: the changes of `id` as (seconds ago, contents before, contents after).
struct Replica {
    region: &'static str,
    other: &'static str,
    changes: Vec<(&'static str, i64, Option<u32>, u32)>,
}

fn item(id: &str, contents: u32) -> Json {
    json!({"id": {"S": id}, "contents": {"N": contents.to_string()}})
}

impl Replica {
    fn arn(&self) -> String {
        format!("arn:aws:dynamodb:{}:000000000000:table/orders", self.region)
    }

    fn description(&self) -> Json {
        table(json!({
            "TableId": format!("of {}", self.region), "TableArn": self.arn(), "TableSizeBytes": 12_000, "ItemCount": 3,
            "StreamSpecification": {"StreamEnabled": true, "StreamViewType": "NEW_AND_OLD_IMAGES"},
            "LatestStreamArn": format!("{}/stream/2026", self.arn()), "GlobalTableVersion": "2019.11.21",
            "Replicas": [{"RegionName": self.other, "ReplicaStatus": "ACTIVE"}],
        }))
    }

    fn records(&self, at: Timestamp) -> Vec<Json> {
        let record = |(number, (id, ago, before, after)): (usize, &(&str, i64, Option<u32>, u32))| {
            json!({
                "eventName": if before.is_some() { "MODIFY" } else { "INSERT" },
                "dynamodb": {
                    "ApproximateCreationDateTime": at.as_second() - ago, "Keys": {"id": {"S": id}},
                    "OldImage": before.map(|before| item(id, before)), "NewImage": item(id, *after),
                    "SequenceNumber": format!("{}", number + 1),
                },
            })
        };
        self.changes.iter().enumerate().map(record).collect()
    }

    fn answer(&self, at: Timestamp, operation: &str) -> Answer {
        if let Some(answer) = described(operation, &self.description()) {
            return answer;
        }
        match operation {
            // Both replicas have converged by now.
            "Scan" => ok(json!({
                "Items": [item("crossed", 3), item("followed", 3), item("untouched", 1)], "Count": 3, "ScannedCount": 3,
                "ConsumedCapacity": {"TableName": "orders", "CapacityUnits": 4.0},
            })),
            "DescribeStream" => ok(json!({"StreamDescription": {
                "StreamStatus": "ENABLED", "CreationRequestDateTime": at.as_second() - 7_200,
                "Shards": [{"ShardId": "a", "SequenceNumberRange": {"StartingSequenceNumber": "1", "EndingSequenceNumber": "9"}}],
            }})),
            "GetShardIterator" => ok(json!({"ShardIterator": "x"})),
            "GetRecords" => ok(json!({"Records": self.records(at)})),
            other => panic!("{other} is not scripted"),
        }
    }
}

/// The profile of two replicas that answer by script.
fn profile(replicas: [Replica; 2], at: Timestamp) -> String {
    let sides = replicas.into_iter().zip(["primary", "dr"]).map(|(replica, side)| {
        let region = replica.region;
        let reached = fake_aws(move |operation, _| replica.answer(at, operation));
        format!(
            "[{side}]\nregion = \"{region}\"\nendpoint_url = \"{}\"\n\
             credentials = {{ access_key_id = \"test\", secret_access_key = \"test\" }}\n",
            reached.endpoint_url.expect("a loopback port")
        )
    });
    format!(
        "name = \"p\"\n{}[machine]\nparallel = 1\n[[store]]\nname = \"orders\"\nkind = \"dynamodb\"\n\
         primary = {{ table = \"orders\" }}\ndr = {{ table = \"orders\" }}\n",
        sides.collect::<String>()
    )
}

#[test]
fn a_write_that_a_global_table_lost_is_told_by_diff_and_in_every_report() {
    // `crossed`: 2 is written here while 3 is written there; 3 is the newer one and comes here ten seconds later.
    // `followed`: 2 and then 3 are written there, and come here one after the other.
    let replicas = [
        Replica {
            region: "us-east-1",
            other: "us-west-2",
            changes: vec![
                ("crossed", 1_810, Some(1), 2),
                ("crossed", 1_800, Some(2), 3),
                ("followed", 1_700, Some(1), 2),
                ("followed", 1_690, Some(2), 3),
            ],
        },
        Replica {
            region: "us-west-2",
            other: "us-east-1",
            changes: vec![
                ("crossed", 1_809, Some(1), 3),
                ("followed", 1_709, Some(1), 2),
                ("followed", 1_699, Some(2), 3),
            ],
        },
    ];
    let home = Home::new();
    home.write("p.toml", &profile(replicas, now()));
    let diff = home.run("diff p.toml --json").exits(0);
    assert!(
        diff.err.contains("orders: the global table lost 1 writes to newer ones of the other Region"),
        "{}",
        diff.err
    );
    let store = diff.json()["stores"][0].clone();
    let lost = &store["lost_writes"];
    assert_eq!(lost["total"], 1, "{lost}");
    let write = &lost["listed"][0];
    assert_eq!((&write["key"], &write["side"]), (&json!({"id": {"S": "crossed"}}), &json!("primary")));
    assert_eq!(write["is_certain"], true, "the other Region had its write nine seconds before it came here");
    assert!(write["at"].is_string() && write["written"].is_string(), "{write}");

    assert_eq!(store["reads"], json!({"units": 8, "forecast": 6}), "two pages of four units, two tables of three");
    diff.says("orders: reading took 8 read units; forecast 6");

    let words = "global table orders lost 1 write to newer ones of the other Region";
    home.run("report p.toml").exits(0).prints(words).prints("crossed").prints("took 8 read units (forecast 6)");
    home.run("report p.toml --format html").exits(0).prints(words).prints("crossed");
    let report = home.run("report p.toml --json").exits(0).json();
    assert_eq!(report["stores"][0]["lost_writes"], *lost);
    assert_eq!(report["stores"][0]["reads"], store["reads"]);
    for format in ["md", "html", "json"] {
        let masked = home.run(&format!("report p.toml --mask-keys --format {format}")).exits(0);
        assert!(!masked.out.contains("crossed"), "{format}: {}", masked.out);
    }
}
