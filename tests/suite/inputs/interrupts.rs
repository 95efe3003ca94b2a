//! An interrupt at any stage: exit code 5, nothing is lost, and the same command goes on.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::gate::{Fate, ever};
use super::{Bench, REPLAY, UNDO, ended};
use crate::rig::PRIMARY;

impl Bench {
    /// Starts a command, interrupts it while its first such request is under way, and lets it end.
    #[track_caller]
    fn interrupted_at(&self, command: &str, request: &[&'static str]) {
        self.gate.set(&[ever(request, Fate::Held)]);
        let child = self.spawn(command);
        self.gate.wait_until_met();
        kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).expect("a signal");
        let ran = ended(child);
        self.gate.open();
        ran.exits(5).says("interrupted by SIGINT: nothing is lost").says("run the same command again");
    }
}

#[tokio::test]
async fn an_interrupt_at_any_stage_exits_5_and_the_same_command_goes_on() {
    let Some(bench) = Bench::in_step().await else { return };
    bench.interrupted_at("check p.toml", &["DescribeTable", "us-west-2"]);
    bench.home.run("check p.toml").exits(0);
    bench.interrupted_at("checkpoint p.toml --name step", &["HEAD /maps-east/m/1"]);
    assert!(!bench.home.path(".failback/checkpoints/step").exists(), "half a checkpoint is none");
    bench.home.run("checkpoint p.toml --name step").exits(0);
    bench.strike().await;
    let before = bench.contents(PRIMARY).await;
    bench.interrupted_at("diff p.toml", &["Scan", "us-west-2"]);
    bench.home.run("diff p.toml").exits(1);
    bench.interrupted_at("plan p.toml", &["GET /maps-west/?"]);
    bench.home.run("replay p.toml").exits(2).says("this session has no plan");
    bench.home.run("plan p.toml").exits(0).prints("6 steps");
    assert_eq!(bench.contents(PRIMARY).await, before);
    let wanted = bench.home_come().await;
    for request in [["PutItem", "us-east-1"], ["DELETE /maps-east/m/2", ""]] {
        bench.interrupted_at(REPLAY, &request);
    }
    bench.home.run(REPLAY).exits(0);
    assert_eq!(bench.contents(PRIMARY).await, wanted);
    bench.interrupted_at("verify p.toml", &["HEAD /maps-west/m/4"]);
    assert!(!bench.home.path(".failback/p/certificate.json").exists(), "half a verification certifies nothing");
    bench.home.run("verify p.toml").exits(0).prints("AT PARITY");
    for request in [["DeleteItem", "us-east-1"], ["PUT /maps-east/m/1", ""]] {
        bench.interrupted_at(UNDO, &request);
    }
    bench.home.run(UNDO).exits(0);
    assert_eq!(bench.contents(PRIMARY).await, before);
    bench.home.run("verify p.toml --undone").exits(0).prints("as before");
    // The report tells of all of it.
    bench.home.run("report p.toml").exits(0);
}
