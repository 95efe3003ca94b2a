//! What a client spends on an item of a Scan: parsed by the SDK, canonicalised and hashed, or hashed on its way.

use std::time::Duration;

use failback::model::{Side, StoreId};
use failback::store::ReadStore;
use failback::store::dynamodb::DynamoDbStore;
use futures_util::TryStreamExt;

use super::measure::{Cost, Row, Server, cost_of, in_turns, in_words, part, ratio};
use super::{Size, pages};
use crate::loopback::side_on_port;

/// The target: hashing on the way, against the SDK's parser and hashing.
const RATIO_MAX: f64 = 0.45;

const PARTITIONS: usize = 4;

/// Scans the table on `PORT` in one of the `WAY`s, and says how many leaves it has and what they come to.
pub fn play(words: &[&str]) {
    let (way, port) = (words[0], words[1].parse().expect("a port"));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (leaves, sum) = runtime.block_on(async {
        let id = StoreId("orders".into());
        let store = DynamoDbStore::connect(id, Side::Dr, &side_on_port(port, "us-east-1"), "orders", None)
            .await
            .expect("a store");
        let store = if way == "parsed" { store.with_parsed_pages() } else { store };
        let scan = store.begin_scan(PARTITIONS).await.expect("a scan");
        let each = (0..scan.partitions()).map(|partition| {
            let scan = &scan;
            async move {
                let sum = |(leaves, sum): (u64, u64), batch: Vec<failback::model::Leaf>| {
                    let digests =
                        batch.iter().map(|leaf| u64::from_le_bytes(leaf.digest.0[..8].try_into().expect("8 bytes")));
                    let sum = digests.fold(sum, u64::wrapping_add);
                    std::future::ready(Ok((leaves + batch.len() as u64, sum)))
                };
                scan.leaves(partition).try_fold((0, 0), sum).await.expect("leaves")
            }
        });
        let all = futures_util::future::join_all(each).await;
        all.into_iter().fold((0_u64, 0_u64), |(leaves, sum), (more, part)| (leaves + more, sum.wrapping_add(part)))
    });
    println!("\n{{\"leaves\":{leaves},\"sum\":{sum}}}");
}

pub fn run(size: Size) -> Vec<Row> {
    let items: u64 = size.pick(400_000, 3_000);
    let server = Server::start(|port| format!("pages {port} {items}"));
    let scan = |way: &str| {
        let cost = cost_of(&mut part(&format!("scan {way} {}", server.port)));
        assert!(cost.status.success(), "{way}: {}", cost.said);
        cost
    };
    let rounds = size.pick(3, 1);
    let [on_the_way, parsed] = in_turns(rounds, Cost::cpu, [&mut || scan("on-the-way"), &mut || scan("parsed")]);
    assert_eq!(on_the_way.json(), parsed.json(), "both ways give the same leaves");
    assert_eq!(on_the_way.json()["leaves"], items);
    let each = |time: Duration| format!("{:.2} µs", time.as_secs_f64() * 1e6 / items as f64);
    let bytes = pages::ITEM_BYTES;
    vec![
        Row::note(format!("{items} items of {bytes} bytes, parsed by the SDK and hashed"), in_words(&parsed)),
        Row::note("the same, hashed on their way", in_words(&on_the_way)),
        Row::note("an item parsed by the SDK and hashed: user and system time", each(parsed.cpu())),
        Row::note("an item hashed on its way: user and system time", each(on_the_way.cpu())),
        Row::ratio(
            "user and system time, hashed on its way against parsed",
            ratio(on_the_way.cpu(), parsed.cpu()),
            RATIO_MAX,
        ),
    ]
}
