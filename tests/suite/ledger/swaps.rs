//! Unique values that change hands, among more rows than go into one transaction, there and back.

use super::{CLERK, Ledgers, SIDES, SUPERUSER};
use crate::peers::PostgresMajor;
use crate::rig::{DR, Home, PRIMARY, now};

const ROWS: u32 = 130;

/// Deltas come in the order of key hashes, so neighbours in the ring are spread over all batches.
const SCHEMA: &str = "CREATE TABLE holder (id int PRIMARY KEY, place int UNIQUE NOT NULL, name text UNIQUE NOT NULL, code varchar(6) UNIQUE);
 CREATE TABLE guest (id int PRIMARY KEY, holder int NOT NULL REFERENCES holder);
 GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO clerk;";

async fn ring(user: &'static str, guests: u32) {
    let Some(ledgers) = Ledgers::start([PostgresMajor::V15, PostgresMajor::V15], user).await else { return };
    ledgers.run_both(SCHEMA).await;
    let seed = format!(
        "INSERT INTO holder SELECT n, n, 'holder ' || n, 'c' || n FROM generate_series(1, {ROWS}) n;
         INSERT INTO guest SELECT n, n FROM generate_series(1, {guests}) n"
    );
    ledgers.run_both(&seed).await;
    let home = Home::new();
    let store = |base: &str| {
        let policy = "policy = { overwrite_limit_percent = 100 }\nlimits = { writes_per_second = 0 }\n";
        ledgers.store("[\"public.*\"]", &format!("{base}{policy}"))
    };
    home.write("p.toml", &format!("name = \"p\"\n{SIDES}{}", store("")));
    home.run("checkpoint p.toml --name step").exits(0);
    let base = store("base = { checkpoint = \"step\" }\n");
    home.write("p.toml", &format!("name = \"p\"\ndisaster_at = {}\n{SIDES}{base}", now()));
    let turn = format!(
        "UPDATE holder SET place = -place, name = '-' || name, code = NULL;
         UPDATE holder SET place = 1 + (-place) % {ROWS}, name = 'holder ' || (1 + id % {ROWS}), code = 'c' || (1 + id % {ROWS})"
    );
    ledgers.run(DR, &turn).await;
    let before = ledgers.rows(PRIMARY).await;
    home.run("plan p.toml --allow-everything").exits(0);
    home.run("replay p.toml --apply --yes").exits(0);
    assert_eq!(ledgers.rows(PRIMARY).await, ledgers.rows(DR).await);
    home.run("undo p.toml --yes").exits(0);
    assert_eq!(ledgers.rows(PRIMARY).await, before);
    home.run("verify p.toml --undone").exits(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ring_of_unique_values_turns_and_turns_back_under_a_superuser() {
    ring(SUPERUSER, ROWS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ring_of_unique_values_turns_and_turns_back_under_a_role_with_grants_only() {
    ring(CLERK, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_others_refer_to_trade_unique_values_where_foreign_keys_hold() {
    ring(CLERK, ROWS).await;
}
