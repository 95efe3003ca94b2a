//! Bodies that share no proof: one of the two is read, counted in the forecast, and what was written of it is known again.

use super::{AWAY, HOME, Stage};

const MIB: usize = 1 << 20;

fn noise(seed: u8) -> Vec<u8> {
    let mut bytes = vec![0; 6 * MIB];
    blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut bytes);
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_body_of_two_is_read_and_counted_in_the_forecast() {
    let Some(stage) = Stage::open().await else { return };
    let bytes = noise(1);
    stage.home.put(HOME, "film", &bytes).await;
    stage.away.put_in_parts(AWAY, "film", &[&bytes[..5 * MIB], &bytes[5 * MIB..]], None).await;
    stage.profile(None, "", ["", ""]);
    let plan = stage.run("plan p.toml --json").exits(0).json();
    assert_eq!(plan["comparisons"][0]["verdicts"]["unchanged"], 1, "{plan}");
    let read = plan["stores"][0]["forecast"]["body_bytes"].as_u64().expect("counted");
    assert_eq!(read, 2 * bytes.len() as u64, "one side, by the next pass and by the verification: {plan}");
    stage.run("plan p.toml").exits(0).prints("bytes of bodies still to be read");
    stage.run("verify p.toml").exits(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_written_of_a_body_without_a_proof_is_known_again_by_an_undo() {
    let Some(stage) = Stage::open().await else { return };
    let bytes = noise(2);
    stage.put(HOME, "film", "before").await;
    stage.away.put_in_parts(AWAY, "film", &[&bytes[..5 * MIB], &bytes[5 * MIB..]], None).await;
    stage.profile(None, "policy = { unattributed = \"dr-wins\", overwrite_limit_percent = 100 }", ["", ""]);
    stage.run("plan p.toml --allow-everything").exits(0);
    stage.run("replay p.toml --apply --yes").exits(0);
    stage.run("diff p.toml").exits(0);
    stage.run("replay p.toml --apply --yes").exits(0);
    stage.run("undo p.toml --yes").exits(0);
    assert_eq!(stage.home.body(HOME, "film").await, "before");
}
