//! A writer that does not stop before the freeze: passes, freeze, final pass; nothing newer is overwritten.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{AWAY, HOME, Stage};
use crate::rig::now;
use crate::s3::Region;

/// What a writer left, by key; `None` where it deleted.
type Truth = BTreeMap<String, Option<String>>;

/// Stops the writers, and waits until the last of their writes has ended: a pipe is read to which they write then.
const FENCE: &str = "touch fence; read answer < stopped";

/// Writes, overwrites and deletes until the fence is there.
async fn write(region: Region, bucket: &'static str, prefix: &'static str, fence: PathBuf) -> Truth {
    let mut truth = Truth::new();
    let mut turn = 0_u64;
    while !fence.exists() {
        turn += 1;
        let key = format!("{prefix}/{:02}", turn * 7 % 23);
        if turn.is_multiple_of(5) {
            region.delete(bucket, &key).await;
            truth.insert(key, None);
        } else {
            let body = format!("{prefix} turn {turn}");
            region.put(bucket, &key, body.as_bytes()).await;
            truth.insert(key, Some(body));
        }
        tokio::time::sleep(std::time::Duration::from_millis(3)).await;
    }
    truth
}

async fn body_of(region: &Region, bucket: &str, key: &str) -> Option<String> {
    let reply = region.client.get_object().bucket(bucket).key(key).send().await.ok()?;
    let body = reply.body.collect().await.expect("a body").to_vec();
    Some(String::from_utf8(body).expect("text"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_writer_that_never_stops_before_the_freeze_loses_nothing() {
    let Some(stage) = Stage::open().await else { return };
    for n in 0..23 {
        for prefix in ["dr", "primary", "both"] {
            for bucket in [HOME, AWAY] {
                stage.put(bucket, &format!("{prefix}/{n:02}"), "before").await;
            }
        }
    }
    stage.profile(None, "", ["", ""]);
    stage.run("checkpoint p.toml --name step").exits(0);
    stage.profile(
        Some(now()),
        "base = { checkpoint = \"step\" }\npolicy = { delete_limit_percent = 100, overwrite_limit_percent = 100 }",
        ["", ""],
    );
    let made = std::process::Command::new("mkfifo").arg(stage.program.path("stopped")).status().expect("mkfifo");
    assert!(made.success());
    let writer = |region: &Region, bucket, prefix| {
        tokio::spawn(write(region.clone(), bucket, prefix, stage.program.path("fence")))
    };
    let by_dr = writer(&stage.away, AWAY, "dr");
    // Something that nobody knew of goes on writing to the primary, to keys that dr changes too and to others.
    let stray = writer(&stage.home, HOME, "primary");
    let stray_both = writer(&stage.home, HOME, "both");
    let dr_both = writer(&stage.away, AWAY, "both");
    for pass in 0..3 {
        let plan = stage.run("plan p.toml --allow-everything --json");
        assert!(matches!(plan.code, Some(0 | 3)), "pass {pass}: {}", plan.err);
        let replay = stage.run("replay p.toml --apply --yes --json");
        assert!(matches!(replay.code, Some(0 | 1 | 3)), "pass {pass}: {}", replay.err);
        let verify = stage.run("verify p.toml --json");
        assert_ne!(verify.code, Some(0), "pass {pass}: no parity while anything writes: {}", verify.out);
    }
    let frozen = "command = [\"sh\", \"fence.sh\"]\nnegative_write_test = [\"test\", \"!\", \"-e\", \"fence\"]";
    let text = stage.program.read("p.toml");
    let text = text.replace("command = [\"true\"]\nnegative_write_test = [\"false\"]", frozen);
    assert!(text.contains(frozen), "{text}");
    stage.program.write("p.toml", &text);
    stage.program.write("fence.sh", FENCE);
    // The freeze: dr's writers stop, and the stray ones are found and stopped too; then comes the final pass.
    let stopped = stage.program.path("stopped");
    let truths = tokio::spawn(async move {
        let truths = tokio::try_join!(by_dr, stray, stray_both, dr_both).expect("writers");
        tokio::task::spawn_blocking(move || std::fs::write(stopped, "all\n")).await.expect("told").expect("a reader");
        truths
    });
    let replay = stage.run("replay p.toml --apply --freeze --allow-everything --yes --json");
    assert!(matches!(replay.code, Some(0 | 3)), "{}", replay.err);
    let (by_dr, stray, stray_both, dr_both) = truths.await.expect("the writers ended");
    assert!(by_dr.len() == 23 && stray.len() == 23, "every key was written");
    for (key, expected) in &by_dr {
        assert_eq!(body_of(&stage.home, HOME, key).await, *expected, "{key}: dr's last word is on the primary");
    }
    for (key, expected) in &stray {
        assert_eq!(body_of(&stage.home, HOME, key).await, *expected, "{key}: a stranded write is kept");
    }
    for (key, expected) in &stray_both {
        let there = body_of(&stage.home, HOME, key).await;
        let is_drs = dr_both.get(key).is_some_and(|by_dr| *by_dr == there);
        assert!(there == *expected || is_drs, "{key}: neither side's last word, but {there:?}");
        assert!(there == *expected, "{key}: the primary's newer write was overwritten by {there:?}");
    }
}
