//! A table and a bucket with a few items on each side: small enough to begin anew a hundred times.

use std::collections::HashMap;

use serde_json::Value as Json;

use crate::rig::{BUCKET, DR, Home, PRIMARY, Regions, Row, TABLE, now, reading};

pub const REPLAY: &str = "replay p.toml --apply --yes --json";
pub const PLAN: &str = "plan p.toml --allow-everything --json";
pub const UNDO: &str = "undo p.toml --yes --json";

pub fn profile(regions: &Regions, struck: bool) -> String {
    let (times, base) = match struck {
        true => (format!("disaster_at = {}\n", now()), "base = { checkpoint = \"step\" }\n"),
        false => (String::new(), ""),
    };
    let stores = [("sensors", "dynamodb", "table", TABLE), ("maps", "s3", "bucket", BUCKET)];
    let stores = stores.map(|(name, kind, word, [primary, dr])| {
        format!(
            "[[store]]\nname = \"{name}\"\nkind = \"{kind}\"\nprimary = {{ {word} = \"{primary}\" }}\n\
             dr = {{ {word} = \"{dr}\" }}\n{base}limits = {{ writes_per_second = 0 }}\n\
             policy = {{ delete_limit_percent = 100, overwrite_limit_percent = 100 }}\n"
        )
    });
    format!(
        "name = \"p\"\n{times}{}{}[freeze]\ncommand = [\"true\"]\nnegative_write_test = [\"false\"]\n[cutover]\n\
         hosted_zone = \"{}\"\nrecord = {{ name = \"app.example.com\", type = \"A\", primary = \"primary\", dr = \"dr\" }}\n\
         stages = [50, 100]\nhold_seconds = 0\n",
        regions.sides(),
        stores.concat(),
        regions.zone
    )
}

/// A home whose profile speaks of two Regions in step, each with two rows and two objects.
pub async fn in_step(regions: &Regions) -> Home {
    let home = Home::new();
    for side in [PRIMARY, DR] {
        for at in 1..=2 {
            regions.put(side, reading("a", at, "seeded")).await;
            regions.put_object(side, &format!("m/{at}"), "seeded").await;
        }
    }
    home.write("p.toml", &profile(regions, false));
    home
}

/// An update, a delete and an insert on dr, for either store, since a checkpoint; and a stranded row that stays.
pub async fn struck(regions: &Regions) -> Home {
    let home = in_step(regions).await;
    home.run("checkpoint p.toml --name step").exits(0);
    home.write("p.toml", &profile(regions, true));
    regions.put(DR, reading("a", 1, "by dr")).await;
    regions.delete(DR, "a", 2).await;
    regions.put(DR, reading("b", 3, "by dr")).await;
    regions.put(PRIMARY, reading("c", 4, "stranded")).await;
    regions.put_object(DR, "m/1", "by dr").await;
    regions.delete_object(DR, "m/2").await;
    regions.put_object(DR, "m/3", "by dr").await;
    home
}

pub const STEPS: u64 = 6;

/// What a bucket and a table hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Contents {
    pub rows: HashMap<String, Row>,
    pub objects: HashMap<String, String>,
}

impl Contents {
    pub async fn of(regions: &Regions, side: usize) -> Contents {
        Contents { rows: regions.rows(side).await, objects: regions.objects(side).await }
    }

    /// What the primary holds once dr was replayed: dr's, and the stranded row.
    pub async fn wanted(regions: &Regions) -> Contents {
        let mut wanted = Contents::of(regions, DR).await;
        wanted.rows.insert("c/4".into(), reading("c", 4, "stranded"));
        wanted
    }
}

impl Contents {
    /// Makes the primary hold this.
    pub async fn put_back(&self, regions: &Regions) {
        let now = Contents::of(regions, PRIMARY).await;
        for name in now.rows.keys().filter(|name| !self.rows.contains_key(*name)) {
            let (sensor, at) = name.split_once('/').expect("a key");
            regions.delete(PRIMARY, sensor, at.parse().expect("a number")).await;
        }
        for (_, row) in self.rows.iter().filter(|(name, row)| now.rows.get(*name) != Some(row)) {
            regions.put(PRIMARY, row.clone()).await;
        }
        for name in now.objects.keys().filter(|name| !self.objects.contains_key(*name)) {
            regions.delete_object(PRIMARY, name).await;
        }
        for (name, body) in self.objects.iter().filter(|(name, body)| now.objects.get(*name) != Some(body)) {
            regions.put_object(PRIMARY, name, body).await;
        }
    }
}

const VOLATILE: &[&str] =
    &["read_from", "read_until", "at", "as_of", "number", "base_age_seconds", "issued_at", "generated_at"];

/// A document without what differs between two runs that did the same.
pub fn told(mut document: Json) -> Json {
    fn strip(value: &mut Json) {
        match value {
            Json::Object(fields) => {
                fields.retain(|name, _| !VOLATILE.contains(&name.as_str()));
                fields.values_mut().for_each(strip);
            }
            Json::Array(values) => values.iter_mut().for_each(strip),
            _ => {}
        }
    }
    strip(&mut document);
    document
}
