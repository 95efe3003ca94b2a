//! The pace of a replay that another process does, changed by a command.

use super::gate::{Fate, ever};
use super::{Bench, REPLAY, ended};
use crate::rig::PRIMARY;

#[tokio::test]
async fn a_script_pauses_a_replay_and_lets_it_go_on() {
    let Some(bench) = Bench::planned().await else { return };
    let (home, before) = (&bench.home, bench.contents(PRIMARY).await);
    let wanted = bench.home_come().await;
    bench.gate.set(&[ever(&["PutItem", "us-east-1"], Fate::Held)]);
    let child = bench.spawn(REPLAY);
    bench.gate.wait_until_met();
    home.run("pace p.toml").exits(0).prints(&format!("process {} goes at 100% of the profile's limits", child.id()));
    home.run("pace p.toml slower").exits(0).prints("goes at 75%");
    home.run("pace p.toml 150%").exits(0).prints("goes at 150%");
    let paused = home.run("pace p.toml pause --json").exits(0).json();
    assert_eq!(
        (&paused["paused"], &paused["percent"], &paused["pid"]),
        (&true.into(), &150.into(), &child.id().into())
    );
    bench.gate.open();
    // What was under way ends, and the bucket, which comes after the table, is not begun.
    while bench.contents(PRIMARY).await.0 != wanted.0 {
        tokio::task::yield_now().await;
    }
    home.run("pace p.toml").exits(0).prints("is paused; it goes on at 150%");
    assert_eq!(bench.contents(PRIMARY).await.1, before.1);
    home.run("pace p.toml resume").exits(0).prints("goes at 150%");
    ended(child).exits(0);
    assert_eq!(bench.contents(PRIMARY).await, wanted);
    home.run("pace p.toml pause").exits(2).says("no command is at work on this session").says("change limits there");
    home.run("pace p.toml 0%").exits(2).says("not slower, faster, pause, resume or 1% to 400%");
    home.run("pace p.toml quick").exits(2).says("not slower, faster, pause, resume or 1% to 400%");
    home.run("verify p.toml").exits(0).prints("AT PARITY");
}
