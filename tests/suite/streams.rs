//! Streams of many shards, by script: no emulator splits shards, trims records or signs deletes by time to live.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use failback::digest::key_of;
use failback::model::{Key, Side, StoreId, Timestamp, Value};
use failback::store::dynamodb::DynamoDbStore;
use failback::store::{ChangeSet, Changes, Image, LogMark, LogStart, ReadStore};
use serde_json::{Value as Json, json};

use crate::fake_aws::{Answer, described, fake_aws, ok, refused, table};

const STREAM: &str = "arn:aws:dynamodb:us-east-1:000000000000:table/orders/stream/2026-11-22T00:00:00.000";

/// One shard: its parent, whether it is closed, and the ids written in it with their sequence numbers from 1.
#[derive(Clone, Default)]
struct Shard {
    parent: Option<&'static str>,
    is_closed: bool,
    ids: Vec<&'static str>,
    /// Records trimmed from its beginning.
    trimmed: usize,
}

/// A stream that a test changes between readings; two shards a page of its description, two records a page of a shard.
#[derive(Clone, Default)]
struct Stream {
    shards: BTreeMap<&'static str, Shard>,
    /// Iterators that were given out, by their text: the shard and the place.
    iterators: HashMap<String, (String, usize)>,
    /// Iterators that have expired when they are used; the next are good again.
    expiring: usize,
    /// Shards in the order their first pages were read.
    read: Vec<String>,
    is_off: bool,
}

type Shared = Arc<Mutex<Stream>>;

fn record(id: &str, number: usize) -> Json {
    json!({
        "eventName": "INSERT",
        "dynamodb": {
            "ApproximateCreationDateTime": 1_795_000_000, "Keys": {"id": {"S": id}},
            "NewImage": {"id": {"S": id}, "n": {"N": "1.0"}}, "SequenceNumber": format!("{number}"),
        },
    })
}

impl Stream {
    fn answer(&mut self, operation: &str, body: &Json) -> Answer {
        let specification = json!({"StreamSpecification": {"StreamEnabled": !self.is_off, "StreamViewType": "NEW_AND_OLD_IMAGES"},
            "LatestStreamArn": STREAM});
        if let Some(answer) = described(operation, &table(specification)) {
            return answer;
        }
        match operation {
            "DescribeStream" => self.describe(body["ExclusiveStartShardId"].as_str()),
            "GetShardIterator" => {
                let (shard, after) = (body["ShardId"].as_str().expect("a shard"), body["SequenceNumber"].as_str());
                let Some(known) = self.shards.get(shard) else { return refused("ResourceNotFoundException") };
                let place = match (body["ShardIteratorType"].as_str(), after) {
                    (Some("TRIM_HORIZON"), None) => known.trimmed,
                    (Some("AFTER_SEQUENCE_NUMBER"), Some(number)) => number.parse().expect("a number"),
                    other => panic!("{other:?}"),
                };
                if place < known.trimmed {
                    return refused("TrimmedDataAccessException");
                }
                ok(json!({ "ShardIterator": self.iterator(shard, place) }))
            }
            "GetRecords" => self.page(body["ShardIterator"].as_str().expect("an iterator")),
            other => panic!("{other} is not scripted"),
        }
    }

    fn describe(&self, after: Option<&str>) -> Answer {
        let rest: Vec<_> = self.shards.iter().filter(|(id, _)| after.is_none_or(|after| **id > after)).collect();
        let shards = rest.iter().take(2).map(|(id, shard)| {
            let mut range = json!({"StartingSequenceNumber": "0"});
            if shard.is_closed {
                range["EndingSequenceNumber"] = json!("999");
            }
            json!({"ShardId": id, "ParentShardId": shard.parent, "SequenceNumberRange": range})
        });
        let last = (rest.len() > 2).then(|| *rest[1].0);
        ok(json!({"StreamDescription": {
            "StreamArn": STREAM, "StreamStatus": "ENABLED", "CreationRequestDateTime": 1_794_000_000,
            "Shards": shards.collect::<Vec<_>>(), "LastEvaluatedShardId": last,
        }}))
    }

    fn iterator(&mut self, shard: &str, place: usize) -> String {
        let text = format!("iterator-{}", self.iterators.len());
        self.iterators.insert(text.clone(), (shard.to_owned(), place));
        text
    }

    fn page(&mut self, iterator: &str) -> Answer {
        if self.expiring > 0 {
            self.expiring -= 1;
            return refused("ExpiredIteratorException");
        }
        let (id, place) = self.iterators[iterator].clone();
        let Some(shard) = self.shards.get(id.as_str()).cloned() else { return refused("ResourceNotFoundException") };
        if !self.read.contains(&id) {
            self.read.push(id.clone());
        }
        let end = shard.ids.len().min(place + 2);
        let records: Vec<Json> = (place..end).map(|at| record(shard.ids[at], at + 1)).collect();
        let next = (!shard.is_closed || end < shard.ids.len()).then(|| self.iterator(&id, end));
        ok(json!({ "Records": records, "NextShardIterator": next }))
    }
}

fn shard(parent: Option<&'static str>, is_closed: bool, ids: &[&'static str]) -> Shard {
    Shard { parent, is_closed, ids: ids.to_vec(), trimmed: 0 }
}

async fn store(stream: &Shared) -> DynamoDbStore {
    let stream = Arc::clone(stream);
    let side = fake_aws(move |operation, body| stream.lock().expect("a stream").answer(operation, body));
    DynamoDbStore::connect(StoreId("orders".into()), Side::Dr, &side, "orders", None).await.expect("a store")
}

fn at(text: &str) -> Timestamp {
    text.parse().expect("an instant")
}

const EARLY: &str = "2026-11-22T10:00:00Z";
const LATER: &str = "2026-11-22T11:00:00Z";

async fn start(store: &DynamoDbStore) -> LogMark {
    match store.log_start(at(EARLY)).await.expect("a start") {
        LogStart::Mark(mark) => mark,
        LogStart::NoLog(why) => panic!("{why}"),
    }
}

async fn all(store: &DynamoDbStore, since: &LogMark) -> ChangeSet {
    match store.changes(since, at(LATER)).await.expect("changes") {
        Changes::All(set) => set,
        other => panic!("{other:?}"),
    }
}

async fn gap(store: &DynamoDbStore, since: &LogMark, now: &str) -> String {
    match store.changes(since, at(now)).await.expect("an answer") {
        Changes::Gap(why) | Changes::NoLog(why) => why,
        Changes::All(set) => panic!("{} keys, and no gap", set.keys.len()),
    }
}

fn keys(ids: &[&str]) -> Vec<Key> {
    let mut keys: Vec<Key> = ids.iter().map(|id| key_of(&Value::map([("id", Value::text(*id))]))).collect();
    keys.sort();
    keys
}

fn told(set: &ChangeSet) -> Vec<Key> {
    set.keys.keys().cloned().collect()
}

/// A root that was closed before anybody looked, with two open children.
fn split_once() -> Shared {
    let shards = [
        ("a", shard(None, true, &["old"])),
        ("b", shard(Some("a"), false, &["b1"])),
        ("c", shard(Some("a"), false, &[])),
    ];
    Arc::new(Mutex::new(Stream { shards: shards.into(), ..Stream::default() }))
}

fn change(stream: &Shared, change: impl FnOnce(&mut Stream)) {
    change(&mut stream.lock().expect("a stream"));
}

#[tokio::test]
async fn shards_are_read_parents_first_and_go_on_where_they_were() {
    let stream = split_once();
    let store = store(&stream).await;
    let mark = start(&store).await;
    change(&stream, |stream| {
        stream.shards.insert("b", shard(Some("a"), true, &["b1", "b2", "b3"]));
        stream.shards.insert("d", shard(Some("b"), true, &["d1", "b2"]));
        stream.shards.insert("e", shard(Some("d"), false, &["e1"]));
        stream.shards.get_mut("c").expect("c").ids = vec!["c1"];
    });
    let set = all(&store, &mark).await;
    assert_eq!(told(&set), keys(&["b1", "b2", "b3", "c1", "d1", "e1"]), "what was closed before the mark is left out");
    assert_eq!(set.records(), 7);
    let read = stream.lock().expect("a stream").read.clone();
    let place = |id: &str| read.iter().position(|read| read == id).expect("read");
    assert!(place("b") < place("d") && place("d") < place("e"), "{read:?}");
    assert!(!read.contains(&"a".to_owned()), "{read:?}");
    assert!(matches!(set.keys[&keys(&["c1"])[0]][0].after, Image::Present(_)));

    // The parents are dropped once they are read; the open ones go on after their last record.
    change(&stream, |stream| {
        stream.shards.retain(|id, _| !["a", "b", "d"].contains(id));
        stream.shards.get_mut("e").expect("e").ids.push("e2");
        stream.expiring = 2;
    });
    let since = all(&store, &set.until).await;
    assert_eq!(told(&since), keys(&["e2"]), "an expired iterator is made anew where the reading was");
    assert!(all(&store, &since.until).await.keys.is_empty());
}

#[tokio::test]
async fn whatever_may_be_lost_is_a_gap() {
    let trimmed = |stream: &mut Stream| {
        let b = stream.shards.get_mut("b").expect("b");
        (b.ids, b.trimmed) = (vec!["b1", "b2", "b3"], 2);
    };
    let dropped = |stream: &mut Stream| drop(stream.shards.remove("b"));
    let orphan = |stream: &mut Stream| drop(stream.shards.insert("e", shard(Some("d"), false, &["e1"])));
    let off = |stream: &mut Stream| stream.is_off = true;
    type Loss<'a> = (&'a dyn Fn(&mut Stream), &'a str);
    let cases: [Loss<'_>; 4] =
        [(&trimmed, "trimmed"), (&dropped, "was dropped"), (&orphan, "came and went"), (&off, "has no stream")];
    for (lose, words) in cases {
        let stream = split_once();
        let store = store(&stream).await;
        let read = all(&store, &start(&store).await).await;
        change(&stream, lose);
        let why = gap(&store, &read.until, LATER).await;
        assert!(why.contains(words), "{words}: {why}");
    }
    let stream = split_once();
    let store = store(&stream).await;
    let mark = start(&store).await;
    assert!(gap(&store, &mark, "2026-11-23T09:30:00Z").await.contains("24 hours"));
    assert!(
        gap(&store, &mark, "2026-11-22T09:59:59Z").await.contains("24 hours"),
        "a clock that went back tells nothing"
    );
    let other = LogMark { log: "another".into(), ..mark };
    assert!(gap(&store, &other, LATER).await.contains("another stream"));
}

#[tokio::test]
async fn only_the_service_itself_signs_a_delete_by_expiry() {
    let remove = |id: &str, identity: Json| {
        json!({
            "eventName": "REMOVE", "userIdentity": identity,
            "dynamodb": {"Keys": {"id": {"S": id}}, "OldImage": {"id": {"S": id}}, "SequenceNumber": "1"},
        })
    };
    let identities = [
        ("expired", json!({"Type": "Service", "PrincipalId": "dynamodb.amazonaws.com"})),
        ("person", json!({"Type": "AssumedRole", "PrincipalId": "dynamodb.amazonaws.com"})),
        ("other", json!({"Type": "Service", "PrincipalId": "replication.dynamodb.amazonaws.com"})),
        ("unsigned", json!(null)),
    ];
    let records: Vec<Json> = identities.iter().map(|(id, identity)| remove(id, identity.clone())).collect();
    let side = fake_aws(move |operation, _| {
        let on = json!({"StreamSpecification": {"StreamEnabled": true}, "LatestStreamArn": STREAM});
        described(operation, &table(on)).unwrap_or_else(|| match operation {
            "DescribeStream" => {
                ok(json!({"StreamDescription": {"StreamStatus": "ENABLED", "CreationRequestDateTime": 1_795_305_600,
                "Shards": [{"ShardId": "a", "SequenceNumberRange": {"EndingSequenceNumber": "9"}}]}}))
            }
            "GetShardIterator" => ok(json!({"ShardIterator": "x"})),
            "GetRecords" => ok(json!({ "Records": records })),
            other => panic!("{other} is not scripted"),
        })
    });
    let store =
        DynamoDbStore::connect(StoreId("orders".into()), Side::Dr, &side, "orders", None).await.expect("a store");
    let history = store.history(at(LATER)).await.expect("a history");
    assert_eq!(history.whole_since, Some(at("2026-11-22T00:00:00Z")), "it began when it was switched on");
    let Changes::All(set) = history.changes else { panic!("a gap") };
    for (id, _) in &identities {
        let record = set.keys[&keys(&[id])[0]][0];
        assert_eq!((record.by_expiry, record.after), (*id == "expired", Image::Absent), "{id}");
    }
}
