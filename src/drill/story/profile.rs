//! The profile of a drill, as an operator would write it.

use std::path::Path;

use super::dns::RECORD;
use super::leader::Leader;
use super::ledger::DATABASE;
use super::plant::{WINNERS, Winner};
use super::world::{Struck, World, region};
use super::{media, orders};
use crate::drill::sandbox::Record;
use crate::model::Side;

/// What a drill's profile says beyond the sandbox.
#[derive(Debug, Clone, Copy)]
pub struct DrillProfile<'a> {
    /// This program, for the freeze commands.
    pub program: &'a Path,
    /// When the disaster struck; absent before.
    pub struck: Option<Struck>,
    /// The checkpoint's name or path; absent before it is taken.
    pub checkpoint: Option<&'a str>,
}

/// A profile that reaches every store of `world`: in the sandbox at `record`, or in memory without one.
pub fn profile_toml(world: &World, record: Option<&Record>, drill: DrillProfile<'_>) -> String {
    let times = drill.struck.map_or_else(String::new, |struck| {
        format!("disaster_at = {}\ndr_as_of = {}\n", struck.disaster_at, struck.dr_as_of)
    });
    let sides = [(Side::Primary, "primary"), (Side::Dr, "dr")].map(|(side, name)| {
        let endpoint = record.map_or_else(String::new, |record| {
            let credentials = "{ access_key_id = \"test\", secret_access_key = \"test\" }";
            format!("endpoint_url = \"{}\"\ncredentials = {credentials}\n", record.aws_endpoint())
        });
        format!("[{name}]\nregion = \"{}\"\n{endpoint}", region(side))
    });
    let stores = stores(record, drill.checkpoint, world.leader());
    let commands = freeze(world.folder(), drill.program);
    let cutover = cutover(world.hosted_zone().unwrap_or("in-memory"), world.leader());
    format!("name = \"drill\"\n{times}\n{}\n{stores}\n{commands}\n{cutover}", sides.join("\n"))
}

fn stores(record: Option<&Record>, checkpoint: Option<&str>, leader: Leader) -> String {
    let base = checkpoint.map_or_else(String::new, |name| format!("base = {{ checkpoint = {} }}\n", quoted(name)));
    let store = |name: &str, kind: &str, [primary, dr]: [String; 2], winner: Winner, more: &str| {
        let conflict = leader.conflict_policy(winner);
        format!(
            "[[store]]\nname = \"{name}\"\nkind = \"{kind}\"\nprimary = {{ {primary} }}\ndr = {{ {dr} }}\n{more}{base}\
             policy = {{ conflict = \"{conflict}\", stranded = \"keep\" }}\nlimits = {{ writes_per_second = 0 }}\n"
        )
    };
    let Some(record) = record else {
        let names = |store: &str| [format!("name = \"{store}\""), format!("name = \"{store}-dr\"")];
        let in_memory = |name: &str, winner: Winner| store(name, "memory", names(name), winner, "");
        return WINNERS.map(|(name, winner)| in_memory(name, winner)).join("\n");
    };
    let sides = [Side::Primary, Side::Dr];
    let tables = sides.map(|side| format!("table = \"{}\"", orders::table(side)));
    let buckets = sides.map(|side| format!("bucket = \"{}\"", media::bucket(side)));
    let databases = sides.map(|side| {
        let port = record.postgres_port(side);
        format!("url = \"postgres://postgres@127.0.0.1:{port}/{DATABASE}\", tls = \"disable\"")
    });
    let [(orders, orders_winner), (media, media_winner), (ledger, ledger_winner)] = WINNERS;
    [
        store(orders, "dynamodb", tables, orders_winner, ""),
        store(media, "s3", buckets, media_winner, ""),
        store(ledger, "postgres", databases, ledger_winner, "tables = [\"public.*\"]\n"),
    ]
    .join("\n")
}

fn freeze(folder: &Path, program: &Path) -> String {
    let command = |flag: &str| {
        let words = [&*program.to_string_lossy(), "drill", flag, &*folder.to_string_lossy()].map(quoted);
        format!("[{}]", words.join(", "))
    };
    format!("[freeze]\ncommand = {}\nnegative_write_test = {}\n", command("--fence"), command("--try-write"))
}

fn cutover(hosted_zone: &str, leader: Leader) -> String {
    format!(
        "[cutover]\nhosted_zone = \"{hosted_zone}\"\n\
         record = {{ name = \"{}\", type = \"A\", primary = \"primary\", dr = \"dr\" }}\n\
         stages = [5, 25, 50, 100]\nhold_seconds = {}\nhealth = {{ command = [\"true\"], interval_seconds = 1 }}\n",
        RECORD.trim_end_matches('.'),
        leader.hold_seconds()
    )
}

/// A TOML basic string; JSON's escapes are among TOML's.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
