//! Bad input by the real program: what fails, how it is told, that nothing is lost, and that the same command goes on when
//! the fault is gone.

mod burst;
mod cutovers;
mod denied;
mod gate;
mod interrupts;
mod lost;
mod outage;
mod pacing;
mod preflight;
mod surroundings;

use std::collections::HashMap;
use std::process::{Child, Stdio};

use crate::rig::{BUCKET, DR, Home, PRIMARY, Ran, Regions, Row, TABLE, now, reading, sides_on_port};
use gate::Gate;

/// Two Regions behind a gate, and a home with a profile that goes through it.
struct Bench {
    regions: Regions,
    gate: Gate,
    home: Home,
}

/// A side's contents: items by key, bodies by name.
type Contents = (HashMap<String, Row>, HashMap<String, String>);

const REPLAY: &str = "replay p.toml --apply --yes";
const UNDO: &str = "undo p.toml --yes";

/// Ends a `[[store]]`, once there was a disaster.
const BASE: &str = "base = { checkpoint = \"step\" }\n\
    policy = { delete_limit_percent = 100, overwrite_limit_percent = 100 }\n";

/// A `[freeze]` that is proved.
const FREEZE: &str = "[freeze]\ncommand = [\"true\"]\nnegative_write_test = [\"false\"]\n";

impl Bench {
    /// Both sides are empty.
    async fn start() -> Option<Bench> {
        let regions = Regions::start().await?;
        let gate = Gate::before(regions.server.port);
        let bench = Bench { regions, gate, home: Home::new() };
        bench.profile("", FREEZE);
        Some(bench)
    }

    /// Both sides hold the same few items.
    async fn in_step() -> Option<Bench> {
        let bench = Bench::start().await?;
        for side in [PRIMARY, DR] {
            for at in 1..=6 {
                bench.regions.put(side, reading("a", at, "seeded")).await;
            }
            for at in 1..=4 {
                bench.regions.put_object(side, &format!("m/{at}"), "seeded").await;
            }
        }
        Some(bench)
    }

    /// dr inserts, updates and deletes, and the primary has a write of its own; the profile knows of the disaster.
    async fn strike(&self) {
        self.profile(BASE, FREEZE);
        let regions = &self.regions;
        regions.put(DR, reading("a", 1, "by dr")).await;
        regions.delete(DR, "a", 2).await;
        regions.put(PRIMARY, reading("a", 3, "by primary")).await;
        regions.put(DR, reading("a", 7, "by dr")).await;
        regions.put_object(DR, "m/1", "by dr").await;
        regions.delete_object(DR, "m/2").await;
        regions.put_object(PRIMARY, "m/3", "by primary").await;
        regions.put_object(DR, "new", "by dr").await;
    }

    /// After a checkpoint and a disaster there is a plan of three steps for the table and three for the bucket.
    async fn planned() -> Option<Bench> {
        let bench = Bench::in_step().await?;
        bench.home.run("checkpoint p.toml --name step").exits(0);
        bench.strike().await;
        bench.home.run("plan p.toml").exits(0).prints("6 steps");
        Some(bench)
    }

    /// Writes the profile: `base` ends its stores, `more` ends all of it.
    fn profile(&self, base: &str, more: &str) {
        let struck = if base.is_empty() { String::new() } else { format!("disaster_at = {}\n", now()) };
        let text = format!("name = \"p\"\n{struck}{}{}{more}", sides_on_port(self.gate.port), both_stores(base));
        self.home.write("p.toml", &text);
    }

    /// A profile with a cutover ; `more` ends its `[cutover]`.
    fn with_cutover(&self, base: &str, more: &str) {
        let zone = &self.regions.zone;
        let record = "{ name = \"app.example.com\", type = \"A\", primary = \"primary\", dr = \"dr\" }";
        let cutover = format!("[cutover]\nhosted_zone = \"{zone}\"\nrecord = {record}\nstages = [50, 100]\n{more}");
        self.profile(base, &format!("{FREEZE}{cutover}"));
    }

    /// Sends everything but S3 by way of another port.
    fn through(&self, port: u16) {
        let (gate, other) = (self.gate.port, port);
        let direct = format!("endpoint_url = \"http://127.0.0.1:{gate}\"");
        let both = format!("endpoint_url = \"http://127.0.0.1:{other}\"\nendpoints.s3 = \"http://127.0.0.1:{gate}\"");
        self.home.write("p.toml", &self.home.read("p.toml").replace(&direct, &both));
    }

    async fn contents(&self, side: usize) -> Contents {
        (self.regions.rows(side).await, self.regions.objects(side).await)
    }

    /// What the primary must hold in the end: dr's, but for the primary's own write.
    async fn home_come(&self) -> Contents {
        let (mut rows, mut objects) = self.contents(DR).await;
        rows.insert("a/3".into(), reading("a", 3, "by primary"));
        objects.insert("m/3".into(), "by primary".into());
        (rows, objects)
    }

    fn spawn(&self, arguments: &str) -> Child {
        let mut command = self.home.command(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts")
    }
}

/// Waits for a child and takes what it said.
fn ended(child: Child) -> Ran {
    let output = child.wait_with_output().expect("a child");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// The `[[store]]` of the table and of the bucket.
fn both_stores(base: &str) -> String {
    store("sensors", "dynamodb", "table", TABLE, base) + &store("maps", "s3", "bucket", BUCKET, base)
}

fn store(name: &str, kind: &str, word: &str, [primary, dr]: [&str; 2], base: &str) -> String {
    format!(
        "[[store]]\nname = \"{name}\"\nkind = \"{kind}\"\nprimary = {{ {word} = \"{primary}\" }}\n\
         dr = {{ {word} = \"{dr}\" }}\nlimits = {{ writes_per_second = 0 }}\n{base}"
    )
}
