//! Lost answers: a write is carried out, and the program only sees a broken connection.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::gate::{Fate, Fault, once};
use super::{Bench, REPLAY, UNDO};
use crate::rig::{BUCKET, PRIMARY};

/// The first answer to each of these requests is lost.
fn lost(requests: [&'static str; 5]) -> Vec<Fault> {
    requests.map(|request| once(&[request], Fate::Lost)).to_vec()
}

impl Bench {
    /// How many versions and markers the primary's bucket keeps of each object.
    async fn versions(&self) -> BTreeMap<String, usize> {
        let client = &self.regions.buckets[PRIMARY].client;
        let listed = client.list_object_versions().bucket(BUCKET[PRIMARY]).send().await.expect("listed");
        let versions = listed.versions().iter().filter_map(|version| version.key());
        let markers = listed.delete_markers().iter().filter_map(|marker| marker.key());
        let mut counts = BTreeMap::new();
        versions.chain(markers).for_each(|key| *counts.entry(key.to_owned()).or_default() += 1);
        counts
    }
}

/// Applied, already there and refused of each store of a replay.
fn counts(document: &Json) -> Vec<[u64; 3]> {
    let stores = document["stores"].as_array().expect("a list");
    let count = |store: &Json, name: &str| store["run"][name].as_u64().expect("a count");
    stores.iter().map(|store| ["applied", "already", "refused"].map(|name| count(store, name))).collect()
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_is_neither_doubled_nor_forgotten() {
    let Some(bench) = Bench::planned().await else { return };
    let (before, wanted) = (bench.contents(PRIMARY).await, bench.home_come().await);
    let versions = bench.versions().await;
    bench.gate.set(&lost([
        "PutItem",
        "DeleteItem",
        "PUT /maps-east/m/1",
        "PUT /maps-east/new",
        "DELETE /maps-east/m/2",
    ]));
    let replayed = bench.home.run(&format!("{REPLAY} --json")).exits(0).json();
    bench.gate.open();
    assert_eq!(counts(&replayed), [[1, 2, 0], [0, 3, 0]], "what was lost counts as there already");
    assert_eq!(bench.contents(PRIMARY).await, wanted);
    let now = bench.versions().await;
    let more = |name: &str| now[name] - versions.get(name).copied().unwrap_or(0);
    assert_eq!(["m/1", "m/2", "new", "m/3"].map(more), [1, 1, 1, 0], "one version for each write");
    bench.home.run("verify p.toml").exits(0).prints("AT PARITY");

    bench.gate.set(&lost([
        "PutItem",
        "DeleteItem",
        "PUT /maps-east/m/1",
        "DELETE /maps-east/new",
        "PUT /maps-east/m/2",
    ]));
    bench.home.run(UNDO).exits(0);
    bench.gate.open();
    assert_eq!(bench.contents(PRIMARY).await, before);
    bench.home.run("verify p.toml --undone").exits(0).prints("as before");
}
