//! Whole disasters as scripts: `tests/scenarios/*.txt`, each played at every place it is for, with one golden text for all.
//!
//! A line that begins with `> ` is a command; what follows is what it must print. A script that does not play everywhere says
//! so by a line `# only: dynamodb, postgres`. `FAILBACK_BLESS=1` writes what was printed into the files, to be read before it
//! is committed.

mod dynamodb;
mod improvised;
mod memory;
mod mysql;
mod player;
mod postgres;
mod s3;
mod script;
mod stage;

use futures_util::future::join_all;

use crate::peers::{self, PostgresMajor};
use script::Script;
use stage::{Place, Stage};

use Place::{DynamoDb, MariaDb, Memory, Postgres15, Postgres18, S3Ministack, S3SeaweedFs};

/// What plays where. The scripts say it too: a script that is lost, or that no longer plays somewhere, is noticed by this.
const BILL: &[(&str, &[Place])] = &[
    ("1-plain-failback", &Place::ALL),
    ("2-stranded-and-conflicts", &Place::ALL),
    ("3-no-base", &Place::ALL),
    ("4-empty-dr", &Place::ALL),
    ("5-behind-the-back", &Place::ALL),
    ("6-catch-up", &Place::ALL),
    ("7-recreated", &[Memory, DynamoDb, Postgres15, Postgres18, MariaDb, S3Ministack]),
    ("8-newest", &[DynamoDb, Postgres15, Postgres18, MariaDb]),
    ("9-expired", &[Memory, DynamoDb]),
    ("10-restored-base", &[DynamoDb, Postgres15, Postgres18, MariaDb, S3Ministack, S3SeaweedFs]),
    ("11-base-of-unknown-age", &[DynamoDb, Postgres15, Postgres18, MariaDb]),
    ("12-base-too-old", &Place::ALL),
    ("13-base-after-disaster", &Place::ALL),
    ("14-two-passes-then-freeze", &Place::ALL),
    ("15-undo-after-two-passes", &Place::ALL),
    ("16-stranded-deletes", &Place::ALL),
    ("17-converged", &Place::ALL),
    ("18-odd-keys", &Place::ALL),
    ("19-empty-key", &[Memory, Postgres15, Postgres18, MariaDb]),
    ("20-keys-like-paths", &[Memory, DynamoDb, Postgres15, Postgres18, MariaDb, S3Ministack]),
    ("21-base-too-new", &Place::ALL),
    ("22-late-changes", &Place::ALL),
    ("23-again-after-undo", &Place::ALL),
];

#[test]
fn the_scripts_play_where_the_bill_says() {
    let scripts = Script::all();
    let mut said: Vec<(&str, &[Place])> =
        scripts.iter().map(|script| (script.name.as_str(), script.places.as_slice())).collect();
    let mut bill = BILL.to_vec();
    said.sort_by_key(|(name, _)| *name);
    bill.sort_by_key(|(name, _)| *name);
    assert_eq!(said, bill);
}

/// Plays every script that is for `place`, together, and compares all that was printed.
async fn play_all<S: Stage + 'static>(place: Place, stage: impl AsyncFn(&str) -> S) {
    let scripts: Vec<Script> = Script::all().into_iter().filter(|script| script.places.contains(&place)).collect();
    let plays = scripts.iter().map(async |script| {
        let stage = Box::new(stage(&script.name).await);
        (script, player::play(&script.text, stage).await)
    });
    let played = join_all(plays).await;
    let mut ran: Vec<&str> = played.iter().map(|(script, _)| script.name.as_str()).collect();
    let mut due: Vec<&str> = BILL.iter().filter(|(_, places)| places.contains(&place)).map(|(name, _)| *name).collect();
    ran.sort_unstable();
    due.sort_unstable();
    assert_eq!(ran, due, "what ran at {place:?}");
    let is_blessed = std::env::var("FAILBACK_BLESS").is_ok_and(|bless| bless == "1");
    let mut different = improvise(place, &stage).await;
    for (script, printed) in played {
        if is_blessed && script.places.first() == Some(&place) {
            std::fs::write(&script.path, &printed).expect("blessed");
        } else if printed != script.text {
            different.push(format!("{} at {place:?}:\n{}", script.name, marked(&script.text, &printed)));
        }
    }
    assert!(different.is_empty(), "printed otherwise:\n{}", different.join("\n"));
}

/// Plays the improvised scripts in memory and at `place`, and tells what was printed otherwise.
async fn improvise<S: Stage + 'static>(place: Place, stage: &impl AsyncFn(&str) -> S) -> Vec<String> {
    let plays = improvised::all().into_iter().map(async |(name, script)| {
        let golden = player::play(&script, Box::new(memory::InMemory::new())).await;
        let printed = player::play(&script, Box::new(stage(&name).await)).await;
        (printed != golden).then(|| format!("{name} at {place:?}:\n{}", marked(&golden, &printed)))
    });
    join_all(plays).await.into_iter().flatten().collect()
}

/// What was printed, up to the first line that is not as it must be.
fn marked(golden: &str, printed: &str) -> String {
    let mut golden = golden.lines();
    let mut text = String::new();
    for line in printed.lines() {
        match golden.next() {
            Some(must) if must == line => text += &format!("  {line}\n"),
            must => return text + &format!("! {line}\nmust be\n! {}\n", must.unwrap_or("the end")),
        }
    }
    text + &format!("! the end\nmust be\n! {}\n", golden.next().unwrap_or("the end"))
}

#[tokio::test(flavor = "multi_thread")]
async fn scenarios_in_memory() {
    play_all(Memory, async |_| memory::InMemory::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scenarios_on_dynamodb() {
    let Some(regions) = dynamodb::Regions::open().await else { return };
    play_all(DynamoDb, async |script| regions.stage(script).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scenarios_on_postgres_15() {
    let Some(databases) = postgres::Databases::open(PostgresMajor::V15).await else { return };
    play_all(Postgres15, async |script| databases.stage(script).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scenarios_on_postgres_18() {
    let Some(databases) = postgres::Databases::open(PostgresMajor::V18).await else { return };
    play_all(Postgres18, async |script| databases.stage(script).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scenarios_on_mariadb() {
    let Some(databases) = mysql::Databases::open().await else { return };
    play_all(MariaDb, async |script| databases.stage(script).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scenarios_on_s3_in_ministack() {
    let Some(cloud) = s3::Cloud::open(peers::ministack()).await else { return };
    play_all(S3Ministack, async |script| cloud.stage(script).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scenarios_on_s3_in_seaweedfs() {
    let Some(cloud) = s3::Cloud::open(peers::seaweedfs()).await else { return };
    play_all(S3SeaweedFs, async |script| cloud.stage(script).await).await;
}
