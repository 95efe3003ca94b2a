//! Throttling with its reasons, and tables that must not be written, by script: no emulator knows either.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use failback::digest::{item_digest, key_of};
use failback::model::{Item, Side, StoreId, Value};
use failback::store::dynamodb::DynamoDbStore;
use failback::store::{ErrorKind, Expected, GuardedWrite, Level, Outcome, ReadStore, Wanted, WriteStore};
use serde_json::{Value as Json, json};

use crate::fake_aws::{Answer, described, fake_aws, ok, refused_with, table};

const TABLE: &str = "arn:aws:dynamodb:us-east-1:000000000000:table/orders";

/// The ids in the order they were written, and how often each was tried.
#[derive(Default)]
struct Written {
    order: Vec<String>,
    tries: HashMap<String, u32>,
}

type Shared = Arc<Mutex<Written>>;

/// A table whose writes are throttled by a script: the id and the try to a code and a reason.
async fn throttling(
    script: impl Fn(&str, u32) -> Option<(&'static str, &'static str)> + Send + Sync + 'static,
) -> (DynamoDbStore, Shared) {
    let written = Shared::default();
    let shared = written.clone();
    let side = fake_aws(move |operation, body| {
        described(operation, &table(json!({}))).unwrap_or_else(|| put(&script, &shared, operation, body))
    });
    let store = DynamoDbStore::connect(StoreId("orders".into()), Side::Primary, &side, "orders", None).await;
    (store.expect("a store"), written)
}

fn put(
    script: &impl Fn(&str, u32) -> Option<(&'static str, &'static str)>,
    written: &Shared,
    operation: &str,
    body: &Json,
) -> Answer {
    assert_eq!((operation, &body["ReturnConsumedCapacity"]), ("PutItem", &json!("INDEXES")));
    let id = body["Item"]["id"]["S"].as_str().expect("an id").to_owned();
    let mut written = written.lock().expect("unharmed");
    let tries = written.tries.entry(id.clone()).or_default();
    *tries += 1;
    if let Some((code, reason)) = script(&id, *tries) {
        let resource = if reason.starts_with("Index") { format!("{TABLE}/index/by-day") } else { TABLE.to_owned() };
        let reasons = json!([{"reason": reason, "resource": resource}]);
        return refused_with(code, json!({"ThrottlingReasons": reasons, "throttlingReasons": reasons}));
    }
    written.order.push(id);
    ok(json!({"ConsumedCapacity": {
        "CapacityUnits": 3.0, "Table": {"CapacityUnits": 2.0}, "GlobalSecondaryIndexes": {"by-day": {"CapacityUnits": 1.0}},
    }}))
}

fn item(id: &str) -> Item {
    let contents = Value::map([("id", Value::text(id))]);
    Item {
        key: key_of(&contents),
        digest: item_digest(&contents),
        evidence: Vec::new(),
        contents,
        size: 2,
        modified_at: None,
        expires_at: None,
        hold: None,
    }
}

async fn insert(store: &DynamoDbStore, ids: &[&str]) -> failback::store::Result<Vec<Outcome>> {
    let items: Vec<Item> = ids.iter().map(|id| item(id)).collect();
    let writes = items.iter().map(|item| GuardedWrite {
        key: &item.key,
        expected: Expected::Absent,
        wanted: Wanted::Present { item, body: store },
    });
    let writes: Vec<GuardedWrite<'_>> = writes.collect();
    store.apply(&writes).await
}

const HOT: (&str, &str) = ("ThrottlingException", "TableWriteKeyRangeThroughputExceeded");

#[tokio::test]
async fn a_hot_partition_does_not_hold_up_the_rest() {
    let (store, written) = throttling(|id, tries| (id.starts_with("hot") && tries < 3).then_some(HOT)).await;
    let ids: Vec<String> = (0..40).map(|n| if n % 4 == 0 { format!("hot-{n}") } else { format!("cold-{n}") }).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let outcomes = insert(&store, &ids).await.expect("outcomes");
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Applied), "{outcomes:?}");
    let order = written.lock().expect("unharmed").order.clone();
    let first_hot = order.iter().position(|id| id.starts_with("hot")).expect("written at last");
    assert_eq!(first_hot, 30, "all the others went before: {order:?}");
    let spent = store.spent();
    assert_eq!((spent.throttled, spent.parked, spent.held_back_by_indexes), (20, 20, 0));
    assert_eq!((spent.write_units, spent.index_write_units), (3 * 40, 40));
}

#[tokio::test]
async fn what_a_hot_partition_will_not_take_is_parked_and_nothing_else() {
    let (store, written) = throttling(|id, _| (id == "hot").then_some(HOT)).await;
    let outcomes = insert(&store, &["a", "hot", "b"]).await.expect("outcomes");
    assert_eq!((&outcomes[0], &outcomes[2]), (&Outcome::Applied, &Outcome::Applied));
    assert!(matches!(&outcomes[1], Outcome::Parked { reason } if reason.contains("partition")), "{outcomes:?}");
    assert_eq!(written.lock().expect("unharmed").tries["hot"], 4, "its tries are bounded, and the SDK adds none");
}

#[tokio::test]
async fn an_index_that_holds_its_table_back_is_recognised_and_waited_for() {
    let slow = ("ProvisionedThroughputExceededException", "IndexWriteProvisionedThroughputExceeded");
    let (store, _) = throttling(move |_, tries| (tries < 2).then_some(slow)).await;
    let outcomes = insert(&store, &["a", "b", "c"]).await.expect("outcomes");
    assert_eq!(outcomes, vec![Outcome::Applied; 3]);
    let spent = store.spent();
    assert_eq!((spent.throttled, spent.held_back_by_indexes, spent.parked), (3, 3, 0));
}

#[tokio::test]
async fn an_ordered_batch_is_never_reordered_by_parking() {
    let (store, written) = throttling(|_, tries| (tries < 2).then_some(HOT)).await;
    insert(&store, &["a", "a"]).await.expect("outcomes");
    assert_eq!(written.lock().expect("unharmed").order, ["a", "a"]);
    assert_eq!(store.spent().parked, 0);
}

/// A table described so; every write and page that reaches it is a failure of the test.
async fn standing(more: Json) -> DynamoDbStore {
    let side = fake_aws(move |operation, _| {
        described(operation, &table(more.clone())).unwrap_or_else(|| panic!("{operation} reached the table"))
    });
    let store = DynamoDbStore::connect(StoreId("orders".into()), Side::Primary, &side, "orders", None).await;
    store.expect("a store").with_counterpart_region("us-west-2")
}

#[tokio::test]
async fn a_global_table_is_never_written_whatever_a_plan_says() {
    let replica = |status: &str| json!({"Replicas": [{"RegionName": "us-west-2", "ReplicaStatus": status}]});
    let cases = [
        replica("ACTIVE"),
        replica("CREATING"),
        replica("DELETING"),
        replica("REGION_DISABLED"),
        replica("INACCESSIBLE_ENCRYPTION_CREDENTIALS"),
        replica("ARCHIVED"),
        replica("OF_A_LATER_YEAR"),
        json!({"GlobalTableVersion": "2017.11.29"}),
        json!({"MultiRegionConsistency": "STRONG"}),
        json!({"TableStatus": "ARCHIVED"}),
        json!({"TableStatus": "INACCESSIBLE_ENCRYPTION_CREDENTIALS"}),
    ];
    for case in cases {
        let store = standing(case.clone()).await;
        let error = insert(&store, &["a"]).await.expect_err("nothing may be written");
        assert_eq!(error.kind, ErrorKind::Unfit, "{case}");
        assert!(store.check().await.iter().any(|finding| finding.level == Level::Blocker), "{case}");
    }
}

#[tokio::test]
async fn a_table_that_is_not_in_use_is_not_read_either() {
    for status in ["CREATING", "DELETING", "ARCHIVED", "INACCESSIBLE_ENCRYPTION_CREDENTIALS", "OF_A_LATER_YEAR"] {
        let store = standing(json!({"TableStatus": status})).await;
        let error = store.begin_scan(1).await.err().expect("not readable");
        assert!(error.kind == ErrorKind::Unfit && error.to_string().contains(status), "{error}");
    }
}

#[tokio::test]
async fn what_a_table_is_warm_for_is_told_with_how_to_warm_it() {
    let warm =
        json!({"WarmThroughput": {"ReadUnitsPerSecond": 12000, "WriteUnitsPerSecond": 4000, "Status": "ACTIVE"}});
    let findings = standing(warm).await.check().await;
    let told = findings.iter().find(|finding| finding.what.contains("4000 write")).expect("told");
    assert!(told.hint.as_deref().is_some_and(|hint| hint.contains("--warm-throughput")), "{told:?}");
}
