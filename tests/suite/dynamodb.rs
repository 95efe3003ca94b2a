//! The DynamoDB store against an emulator with two Regions, and against scripted replies.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue as A, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
    StreamSpecification, StreamViewType, TimeToLiveSpecification,
};
use failback::digest::key_of;
use failback::model::{Item, Key, Leaf, Side, StoreId, Value};
use failback::profile::SideProfile;
use failback::store::dynamodb::DynamoDbStore;
use failback::store::{
    BodySource, Depth, ErrorKind, Expected, GuardedWrite, Level, Outcome, ReadStore, Wanted, WriteStore, aws,
    compare_shapes,
};
use futures_util::TryStreamExt;

use crate::peers::{self, Server};

pub type Row = HashMap<String, A>;

fn text(value: &str) -> A {
    A::S(value.into())
}

fn number(value: &str) -> A {
    A::N(value.into())
}

fn row(attributes: &[(&str, A)]) -> Row {
    attributes.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

fn key(id: &str) -> Key {
    key_of(&Value::map([("id", Value::text(id))]))
}

pub async fn client(side: &SideProfile) -> Client {
    let config = aws::sdk_config(side).await;
    let builder =
        aws_sdk_dynamodb::config::Builder::from(&config).endpoint_url(aws::endpoint(side, "dynamodb").unwrap());
    Client::from_conf(builder.build())
}

pub async fn create(client: &Client, table: &str, key: &[(&str, ScalarAttributeType)]) {
    let mut request = client.create_table().table_name(table).billing_mode(BillingMode::PayPerRequest);
    for (index, (name, kind)) in key.iter().enumerate() {
        let role = if index == 0 { KeyType::Hash } else { KeyType::Range };
        let definition = AttributeDefinition::builder().attribute_name(*name).attribute_type(kind.clone());
        let element = KeySchemaElement::builder().attribute_name(*name).key_type(role);
        request = request.attribute_definitions(definition.build().unwrap()).key_schema(element.build().unwrap());
    }
    request.send().await.expect("a table");
}

/// Switches a table's stream on.
pub async fn stream(client: &Client, table: &str) {
    let view = StreamViewType::NewAndOldImages;
    let settings = StreamSpecification::builder().stream_enabled(true).stream_view_type(view).build().unwrap();
    client.update_table().table_name(table).stream_specification(settings).send().await.expect("a stream");
}

pub async fn put(client: &Client, table: &str, row: Row) {
    client.put_item().table_name(table).set_item(Some(row)).send().await.expect("a put");
}

async fn connect(side: &SideProfile, which: Side, version: Option<&str>) -> DynamoDbStore {
    let version = version.map(str::to_owned);
    DynamoDbStore::connect(StoreId("orders".into()), which, side, "orders", version).await.expect("a store")
}

async fn leaves(store: &DynamoDbStore, partitions: usize) -> Vec<Leaf> {
    let scan = store.begin_scan(partitions).await.expect("a scan");
    let mut all = Vec::new();
    for partition in 0..scan.partitions() {
        all.extend(scan.leaves(partition).try_concat().await.expect("leaves"));
    }
    all.sort_by(|one, other| one.key.cmp(&other.key));
    all
}

async fn fetch_one(store: &DynamoDbStore, key: &Key) -> Option<Item> {
    store.fetch(std::slice::from_ref(key), Depth::Content).await.expect("items").remove(0)
}

/// A primary in one Region and a dr in another, each with an empty table `orders` keyed by `id`.
struct Regions {
    _server: Server,
    primary: SideProfile,
    dr: SideProfile,
    at_primary: Client,
    at_dr: Client,
}

async fn regions() -> Option<Regions> {
    let server = peers::ministack()?;
    let (primary, dr) = (peers::side(&server, "us-east-1"), peers::side(&server, "us-west-2"));
    let (at_primary, at_dr) = (client(&primary).await, client(&dr).await);
    for client in [&at_primary, &at_dr] {
        create(client, "orders", &[("id", ScalarAttributeType::S)]).await;
    }
    Some(Regions { _server: server, primary, dr, at_primary, at_dr })
}

fn every_type(id: &str, one: &str) -> Row {
    row(&[
        ("id", text(id)),
        ("s", text("naïve ✓ e\u{301}")),
        ("empty", text("")),
        ("one", number(one)),
        ("long", number("12345678901234567890123456789012345678")),
        ("tiny", number("1E-130")),
        ("huge", number("-9.9999999999999999999999999999999999999E+125")),
        ("b", A::B(Blob::new([0, 255, 10]))),
        ("nothing", A::B(Blob::new([]))),
        ("ss", A::Ss(vec!["b".into(), "a".into()])),
        ("ns", A::Ns(vec!["2".into(), "1.5".into()])),
        ("bs", A::Bs(vec![Blob::new([2]), Blob::new([1])])),
        ("l", A::L(vec![A::Null(true), A::L(vec![]), number("7")])),
        ("m", A::M(row(&[("deep", A::M(row(&[("er", A::Bool(true))])))]))),
        ("null", A::Null(true)),
        ("bool", A::Bool(false)),
    ])
}

#[tokio::test]
async fn all_types_read_alike_on_both_sides_and_replay_to_the_same_digest() {
    let Some(regions) = regions().await else { return };
    put(&regions.at_primary, "orders", every_type("a", "1")).await;
    put(&regions.at_dr, "orders", every_type("a", "1.0")).await;
    put(&regions.at_dr, "orders", every_type("new", "1")).await;
    let big = row(&[("id", text("big")), ("blob", text(&"x".repeat(390 * 1024)))]);
    put(&regions.at_dr, "orders", big).await;
    let primary = connect(&regions.primary, Side::Primary, None).await;
    let dr = connect(&regions.dr, Side::Dr, None).await;
    assert_eq!(leaves(&primary, 1).await, vec![fetch_one(&dr, &key("a")).await.expect("an item").leaf()]);

    let items = dr.fetch(&[key("big"), key("none"), key("new"), key("big")], Depth::Content).await.expect("items");
    let ids: Vec<bool> = items.iter().map(Option::is_some).collect();
    assert_eq!(ids, [true, false, true, true]);
    let (big, new) = (items[0].as_ref().unwrap(), items[2].as_ref().unwrap());
    let keys = [key("big"), key("new")];
    let insert = |index: usize, item| GuardedWrite {
        key: &keys[index],
        expected: Expected::Absent,
        wanted: Wanted::Present { item, body: &dr as &dyn BodySource },
    };
    let writes = [insert(0, big), insert(1, new)];
    assert_eq!(primary.apply(&writes).await.expect("outcomes"), [Outcome::Applied, Outcome::Applied]);
    assert_eq!(primary.apply(&writes).await.expect("outcomes"), vec![Outcome::AlreadyApplied; 2]);
    assert_eq!(leaves(&primary, 3).await, leaves(&dr, 1).await);
    let new = new.clone();
    let update = GuardedWrite { key: &keys[1], expected: Expected::Present(&new), wanted: Wanted::Absent };
    assert_eq!(primary.apply(&[update]).await.expect("outcomes"), [Outcome::Applied], "every type can be guarded on");
}

#[tokio::test]
async fn segments_and_pages_give_one_set_of_leaves() {
    let Some(regions) = regions().await else { return };
    create(&regions.at_dr, "lines", &[("pk", ScalarAttributeType::B), ("line", ScalarAttributeType::N)]).await;
    let pad = "p".repeat(20 * 1024);
    for n in 0..120u8 {
        let line = format!("{n}.5");
        let item = row(&[("pk", A::B(Blob::new([n % 7, 0, 255]))), ("line", number(&line)), ("pad", text(&pad))]);
        put(&regions.at_dr, "lines", item).await;
    }
    let id = StoreId("lines".into());
    let store = DynamoDbStore::connect(id, Side::Dr, &regions.dr, "lines", None).await.expect("a store");
    let one = leaves(&store, 1).await;
    assert_eq!(one.len(), 120);
    assert_eq!(leaves(&store, 5).await, one);
    assert_eq!(leaves(&store, 0).await, one);
    let keys: Vec<Key> = one.iter().rev().map(|leaf| leaf.key.clone()).collect();
    let items = store.fetch(&keys, Depth::Evidence).await.expect("items");
    let fetched: Vec<Leaf> = items.iter().rev().map(|item| item.as_ref().expect("an item").leaf()).collect();
    assert_eq!(fetched, one, "a fetch agrees with a scan, in the order asked for");
    assert!(leaves(&connect(&regions.dr, Side::Dr, None).await, 4).await.is_empty());
}

/// Applies one write to `primary` from `expected` to `wanted`.
async fn write(primary: &DynamoDbStore, id: &str, expected: Option<&Item>, wanted: Option<&Item>) -> Outcome {
    let key = key(id);
    let expected = expected.map_or(Expected::Absent, Expected::Present);
    let wanted = wanted.map_or(Wanted::Absent, |item| Wanted::Present { item, body: primary });
    primary.apply(&[GuardedWrite { key: &key, expected, wanted }]).await.expect("outcomes").remove(0)
}

#[tokio::test]
async fn writes_happen_only_while_the_guard_holds() {
    let Some(regions) = regions().await else { return };
    let stored = |state: &str| row(&[("id", text("a")), ("state", text(state)), ("total", number("1.50"))]);
    let primary = connect(&regions.primary, Side::Primary, None).await;
    put(&regions.at_primary, "orders", stored("old")).await;
    let old = fetch_one(&primary, &key("a")).await.expect("an item");
    put(&regions.at_primary, "orders", stored("new")).await;
    let new = fetch_one(&primary, &key("a")).await.expect("an item");

    for (expected, wanted) in [(None, Some(&old)), (Some(&old), None), (None, None)] {
        match write(&primary, "a", expected, wanted).await {
            Outcome::Refused { found: Some(found), .. } => assert_eq!(*found, new),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(write(&primary, "a", Some(&old), Some(&new)).await, Outcome::AlreadyApplied);
    assert_eq!(write(&primary, "a", Some(&new), Some(&old)).await, Outcome::Applied);
    assert_eq!(write(&primary, "a", Some(&new), Some(&old)).await, Outcome::AlreadyApplied);
    assert_eq!(fetch_one(&primary, &key("a")).await, Some(old.clone()));
    assert_eq!(write(&primary, "a", Some(&old), None).await, Outcome::Applied);
    assert_eq!(write(&primary, "a", Some(&old), None).await, Outcome::AlreadyApplied);
    assert_eq!(write(&primary, "a", None, None).await, Outcome::AlreadyApplied);
    match write(&primary, "a", Some(&old), Some(&new)).await {
        Outcome::Refused { found: None, .. } => (),
        other => panic!("{other:?}"),
    }
    assert!(fetch_one(&primary, &key("a")).await.is_none());
}

#[tokio::test]
async fn an_attribute_added_unseen_is_put_back() {
    let Some(regions) = regions().await else { return };
    let primary = connect(&regions.primary, Side::Primary, None).await;
    put(&regions.at_primary, "orders", row(&[("id", text("a")), ("state", text("old"))])).await;
    let expected = fetch_one(&primary, &key("a")).await.expect("an item");
    put(&regions.at_dr, "orders", row(&[("id", text("a")), ("state", text("new"))])).await;
    let wanted = fetch_one(&connect(&regions.dr, Side::Dr, None).await, &key("a")).await.expect("an item");
    let grown = row(&[("id", text("a")), ("state", text("old")), ("note", text("added meanwhile"))]);
    put(&regions.at_primary, "orders", grown).await;
    let grown = fetch_one(&primary, &key("a")).await.expect("an item");
    for wanted in [Some(&wanted), None] {
        match write(&primary, "a", Some(&expected), wanted).await {
            Outcome::Refused { found: Some(found), .. } => assert_eq!(*found, grown),
            other => panic!("{other:?}"),
        }
        assert_eq!(fetch_one(&primary, &key("a")).await.as_ref(), Some(&grown), "nothing was lost");
    }
}

#[tokio::test]
async fn a_wide_item_is_held_unless_it_carries_a_version() {
    let Some(regions) = regions().await else { return };
    let wide = |version: &str| {
        let mut wide: Row = (0..200).map(|n| (format!("a{n}"), number(version))).collect();
        wide.extend(row(&[("id", text("w")), ("v", number(version))]));
        wide
    };
    put(&regions.at_primary, "orders", wide("1")).await;
    put(&regions.at_dr, "orders", wide("2")).await;
    let plain = connect(&regions.primary, Side::Primary, None).await;
    let there = fetch_one(&plain, &key("w")).await.expect("an item");
    let wanted = fetch_one(&connect(&regions.dr, Side::Dr, None).await, &key("w")).await.expect("an item");
    assert!(there.hold.is_some());
    match write(&plain, "w", Some(&there), Some(&wanted)).await {
        Outcome::Refused { found, .. } => assert_eq!(found.as_deref(), Some(&there)),
        other => panic!("{other:?}"),
    }
    let versioned = connect(&regions.primary, Side::Primary, Some("v")).await;
    assert!(fetch_one(&versioned, &key("w")).await.expect("an item").hold.is_none());
    assert_eq!(write(&versioned, "w", Some(&there), Some(&wanted)).await, Outcome::Applied);
    assert_eq!(write(&versioned, "w", Some(&there), Some(&wanted)).await, Outcome::AlreadyApplied);
    assert_eq!(write(&plain, "w", Some(&there), Some(&wanted)).await, Outcome::AlreadyApplied);
}

#[tokio::test]
async fn identity_shape_expiry_and_checks_tell_what_is_there() {
    let Some(regions) = regions().await else { return };
    let ttl = TimeToLiveSpecification::builder().enabled(true).attribute_name("ttl").build().unwrap();
    let request = regions.at_primary.update_time_to_live().table_name("orders");
    request.time_to_live_specification(ttl).send().await.expect("a time to live");
    put(&regions.at_primary, "orders", row(&[("id", text("a")), ("ttl", number("4102444800"))])).await;
    let primary = connect(&regions.primary, Side::Primary, None).await;
    let dr = connect(&regions.dr, Side::Dr, None).await;
    let item = fetch_one(&primary, &key("a")).await.expect("an item");
    assert_eq!(item.expires_at, Some("2100-01-01T00:00:00Z".parse().unwrap()));

    let (here, there) = (primary.identity().await.expect("identity"), dr.identity().await.expect("identity"));
    assert!(!here.is_same_resource(&there));
    assert_eq!(here, connect(&regions.primary, Side::Base, None).await.identity().await.expect("identity"));
    assert_eq!((here.region.as_deref(), there.region.as_deref()), (Some("us-east-1"), Some("us-west-2")));
    let shapes = (primary.shape().await.expect("a shape"), dr.shape().await.expect("a shape"));
    assert_eq!(shapes.0.binding["key schema"], "id S partition");
    let findings = compare_shapes("orders", &shapes.0, &shapes.1);
    assert_eq!(findings.iter().map(|finding| finding.level).collect::<Vec<_>>(), [Level::Warning], "{findings:?}");
    let findings = primary.check().await;
    assert!(findings.iter().all(|finding| finding.level < Level::Blocker), "{findings:?}");
    assert!(findings.iter().any(|finding| finding.what.contains("by attribute ttl")), "{findings:?}");

    regions.at_dr.delete_table().table_name("orders").send().await.expect("deleted");
    create(&regions.at_dr, "orders", &[("id", ScalarAttributeType::S)]).await;
    assert_eq!(dr.begin_scan(1).await.err().map(|error| error.kind), Some(ErrorKind::Unfit), "made anew");
}

#[tokio::test]
async fn what_is_not_there_is_told_by_kind() {
    let Some(regions) = regions().await else { return };
    let connect = async |side: &SideProfile| {
        let id = StoreId("none".into());
        DynamoDbStore::connect(id, Side::Dr, side, "no-such-table", None).await.err().map(|error| error.kind)
    };
    assert_eq!(connect(&regions.dr).await, Some(ErrorKind::Missing));
    let mut down = regions.dr.clone();
    down.endpoint_url = Some(format!("http://127.0.0.1:{}", peers::free_port()));
    assert_eq!(connect(&down).await, Some(ErrorKind::Unreachable));
    let store = self::connect(&regions.dr, Side::Dr, None).await;
    let Regions { _server, .. } = regions;
    drop(_server);
    let error = store.fetch(&[key("a")], Depth::Evidence).await.expect_err("the server is gone");
    assert_eq!(error.kind, ErrorKind::Unreachable);
}

/// A DynamoDB endpoint that answers by script: operation and number of the call so far to a JSON reply.
fn scripted(reply: impl Fn(&str, usize, &str) -> String + Send + Sync + 'static) -> SideProfile {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let script = Arc::new((reply, std::sync::Mutex::new(HashMap::<String, usize>::new())));
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let script = Arc::clone(&script);
            std::thread::spawn(move || answer(stream, &script.0, &script.1));
        }
    });
    SideProfile {
        region: "us-east-1".into(),
        aws_profile: None,
        role_arn: None,
        account: None,
        endpoint_url: Some(format!("http://127.0.0.1:{port}")),
        endpoints: Default::default(),
        credentials: Some(failback::profile::CredentialsProfile {
            access_key_id: "test".into(),
            secret_access_key: failback::profile::Secret("test".into()),
            session_token: None,
        }),
    }
}

fn answer(
    stream: TcpStream,
    reply: &impl Fn(&str, usize, &str) -> String,
    calls: &std::sync::Mutex<HashMap<String, usize>>,
) {
    let mut reader = BufReader::new(stream.try_clone().expect("a stream"));
    loop {
        let (mut operation, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            let lower = line.trim().to_lowercase();
            if lower.is_empty() {
                break;
            }
            if let Some(target) = lower.strip_prefix("x-amz-target: dynamodb_20120810.") {
                operation = target.to_owned();
            }
            if let Some(bytes) = lower.strip_prefix("content-length: ") {
                length = bytes.parse().expect("a length");
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).expect("a body");
        let call = {
            let mut calls = calls.lock().expect("calls");
            let call = calls.entry(operation.clone()).or_default();
            *call += 1;
            *call
        };
        let body = match operation.as_str() {
            "describetable" => r#"{"Table":{"TableId":"t","TableStatus":"ACTIVE","KeySchema":[{"AttributeName":"id","KeyType":"HASH"}],
                "AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"}],"Replicas":[
                {"RegionName":"us-west-2","ReplicaStatus":"ACTIVE"},{"RegionName":"eu-west-1","ReplicaStatus":"REGION_DISABLED"}]}}"#
                .to_owned(),
            "describetimetolive" => r#"{"TimeToLiveDescription":{"TimeToLiveStatus":"DISABLED"}}"#.to_owned(),
            "describecontinuousbackups" => "{}".to_owned(),
            other => reply(other, call, &String::from_utf8_lossy(&body)),
        };
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length";
        write!(&stream, "{head}: {}\r\n\r\n{body}", body.len()).expect("a reply");
    }
}

#[tokio::test]
async fn unprocessed_keys_are_asked_for_again_and_throttling_is_bounded() {
    let side = scripted(|_, call, body| {
        assert!(body.contains(r#""ConsistentRead":true"#), "{body}");
        let left = r#""UnprocessedKeys":{"orders":{"Keys":[{"id":{"S":"b"}}]}}"#;
        match call {
            1 => format!(r#"{{"Responses":{{"orders":[{{"id":{{"S":"a"}}}}]}},{left}}}"#),
            2 => format!(r#"{{"Responses":{{}},{left}}}"#),
            _ => r#"{"Responses":{"orders":[{"id":{"S":"b"}}]},"UnprocessedKeys":{}}"#.to_owned(),
        }
    });
    let store = connect(&side, Side::Dr, None).await;
    let items = store.fetch(&[key("b"), key("c"), key("a")], Depth::Evidence).await.expect("items");
    assert_eq!(items.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false, true]);

    let never =
        scripted(|_, _, _| r#"{"Responses":{},"UnprocessedKeys":{"orders":{"Keys":[{"id":{"S":"a"}}]}}}"#.to_owned());
    let store = connect(&never, Side::Dr, None).await;
    let error = store.fetch(&[key("a")], Depth::Evidence).await.expect_err("never read");
    assert_eq!(error.kind, ErrorKind::Throttled);
}

#[tokio::test]
async fn empty_pages_go_on_and_unknown_types_are_never_skipped() {
    let side = scripted(|_, call, _| match call {
        1 => r#"{"Items":[],"LastEvaluatedKey":{"id":{"S":"a"}}}"#.to_owned(),
        2 => r#"{"LastEvaluatedKey":{"id":{"S":"b"}}}"#.to_owned(),
        3 => r#"{"Count":1,"Items":[{"id":{"S":"c"}}]}"#.to_owned(),
        _ => r#"{"Count":2,"Items":[{"id":{"S":"d"}},{"id":{"S":"e"},"x":{"FUTURE":"1"}}]}"#.to_owned(),
    });
    let store = connect(&side, Side::Primary, None).await;
    assert_eq!(leaves(&store, 1).await.len(), 1);
    let scan = store.begin_scan(1).await.expect("a scan");
    let error = scan.leaves(0).try_concat().await.expect_err("an unknown type");
    assert_eq!(error.kind, ErrorKind::Unreadable, "{error:?}");
}

#[tokio::test]
async fn a_healthy_global_table_is_never_replayed_into() {
    let side = scripted(|_, _, _| String::new());
    let levels = async |store: DynamoDbStore| {
        let found = store.check().await.into_iter().filter(|finding| finding.what.contains("global table"));
        found.map(|finding| finding.level).collect::<Vec<_>>()
    };
    let primary = async || connect(&side, Side::Primary, None).await;
    // A replica that is cut off still belongs to the group: it is no table by itself yet.
    assert_eq!(levels(primary().await).await, [Level::Blocker; 2]);
    assert_eq!(levels(primary().await.with_counterpart_region("us-west-2")).await, [Level::Blocker; 3]);
    assert_eq!(levels(connect(&side, Side::Dr, None).await).await, [Level::Warning, Level::Warning]);
}
