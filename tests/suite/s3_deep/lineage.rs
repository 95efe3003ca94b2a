//! Real replication, a disaster in the midst of it, and what the histories of both buckets say.

use super::{AWAY, HOME, Stage};
use crate::s3::next_second;

/// What a comparison says of a key: verdict and change.
fn told<'a>(delta: &'a std::collections::BTreeMap<String, serde_json::Value>, key: &str) -> (&'a str, &'a str) {
    match delta.get(key) {
        Some(line) => (line["verdict"].as_str().expect("a word"), line["change"].as_str().expect("a word")),
        None => ("same", ""),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uploads_and_deletes_that_never_reached_dr_are_stranded() {
    let Some(stage) = Stage::open().await else { return };
    stage.replicate(&stage.home, HOME, AWAY).await;
    for key in ["kept", "changed-in-dr", "late", "late-and-dr", "deleted-late", "deleted-in-dr", "erased", "gone"] {
        stage.put(HOME, key, "before").await;
    }
    stage.delete(HOME, "gone").await;
    // The link is cut: from here on nothing reaches dr.
    stage.stop_replication().await;
    for key in ["late", "late-and-dr", "new-late"] {
        stage.put(HOME, key, "late").await;
    }
    stage.delete(HOME, "deleted-late").await;
    let struck = next_second(&stage.home, HOME).await;
    stage.put(AWAY, "changed-in-dr", "by dr").await;
    stage.put(AWAY, "late-and-dr", "by dr").await;
    stage.put(AWAY, "new-in-dr", "by dr").await;
    stage.delete(AWAY, "deleted-in-dr").await;
    // A delete of the version itself leaves neither a marker nor a history.
    let versions = stage.home.client.list_object_versions().bucket(HOME).prefix("erased").send().await.expect("listed");
    for version in versions.versions() {
        let request = stage.home.client.delete_object().bucket(HOME).key("erased");
        request.set_version_id(version.version_id().map(str::to_owned)).send().await.expect("erased");
    }
    // The histories tell the same whether objects are asked about one by one or not.
    stage.profile(Some(struck), "base = \"versions\"\ncompare = \"bodies\"", ["", ""]);
    let by_listing = stage.run("diff p.toml --json").exits(1);
    let bodies = stage.delta(&by_listing);
    stage.profile(Some(struck), "base = \"versions\"", ["", ""]);
    let diff = stage.run("diff p.toml --json").exits(1);
    let delta = stage.delta(&diff);
    for verdict in ["unchanged", "converged"] {
        let counted = |diff: &crate::rig::Ran| diff.json()["stores"][0]["verdicts"][verdict].clone();
        assert_eq!(counted(&by_listing), counted(&diff), "{verdict}");
    }
    for (key, expected) in [
        ("kept", ("same", "")),
        ("gone", ("same", "")),
        ("late", ("stranded", "update")),
        ("new-late", ("stranded", "delete")),
        ("deleted-late", ("stranded", "insert")),
        ("changed-in-dr", ("dr_only", "update")),
        ("new-in-dr", ("dr_only", "insert")),
        ("deleted-in-dr", ("dr_only", "delete")),
        ("late-and-dr", ("conflict", "update")),
        ("erased", ("dr_only", "insert")),
    ] {
        assert_eq!(told(&delta, key), expected, "{key}");
        assert_eq!(told(&bodies, key), expected, "{key} by listing");
    }
    let doubt = delta["erased"]["doubt"].as_str().expect("a doubt");
    assert!(doubt.contains("erased"), "a replica of what is no more is not brought back by itself: {doubt}");
    assert_eq!(delta["erased"]["replication"]["dr"], "REPLICA");
    let plan = stage.run("plan p.toml --allow-everything --json").exits(3).json();
    assert_eq!(plan["held"], 2, "the conflict and the erased: {plan}");
    stage.run("replay p.toml --apply --yes --json").exits(3);
    assert_eq!(stage.home.body(HOME, "late").await, "late", "a stranded upload is kept");
    assert_eq!(stage.home.body(HOME, "late-and-dr").await, "late", "a conflict is left alone");
    assert_eq!(stage.home.body(HOME, "changed-in-dr").await, "by dr");
    let gone = stage.home.client.head_object().bucket(HOME).key("erased").send().await;
    assert!(gone.is_err(), "what was erased for good stays erased");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replication_explains_what_differs() {
    let Some(stage) = Stage::open().await else { return };
    stage.put(HOME, "before-any-rule", "x").await;
    stage.replicate(&stage.home, HOME, "media-nowhere").await;
    for key in ["failed-1", "failed-2"] {
        stage.put(HOME, key, "x").await;
    }
    stage.replicate(&stage.home, HOME, AWAY).await;
    stage.put(HOME, "arrived", "x").await;
    stage.put(HOME, "arrived-and-changed", "x").await;
    stage.put(AWAY, "arrived-and-changed", "by dr").await;
    stage.profile(None, "policy = { unattributed = \"dr-wins\" }", ["", ""]);
    let diff = stage.run("diff p.toml").exits(1);
    let sentence = "media: 4 differ: 2 FAILED, 1 COMPLETED, 1 under no rule";
    diff.prints(sentence);
    let json = stage.run("diff p.toml --json").exits(1);
    let delta = stage.delta(&json);
    assert_eq!(delta["failed-1"]["replication"]["primary"], "FAILED");
    assert_eq!(delta["arrived-and-changed"]["replication"]["primary"], "COMPLETED");
    assert!(delta["before-any-rule"]["replication"].is_null());
    assert_eq!(json.json()["stores"][0]["replication"]["FAILED"], 2);
    let report = stage.run("report p.toml --format md").out;
    assert!(report.contains("4 differ: 2 FAILED, 1 COMPLETED, 1 under no rule"), "{report}");
    assert!(!delta.contains_key("arrived"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_never_arrived_is_not_overwritten_on_dr_wins() {
    let Some(stage) = Stage::open().await else { return };
    stage.put(HOME, "k", "older").await;
    stage.put(AWAY, "k", "older").await;
    stage.replicate(&stage.home, HOME, "media-nowhere").await;
    stage.put(HOME, "k", "newer").await;
    stage.profile(None, "policy = { unattributed = \"dr-wins\" }", ["", ""]);
    let plan = stage.run("plan p.toml --allow-everything --json").exits(3).json();
    assert_eq!(plan["held"], 1, "{plan}");
    stage.run("replay p.toml --apply --yes --json").exits(3);
    assert_eq!(stage.home.body(HOME, "k").await, "newer");
    // A person may say so.
    stage.run("decide p.toml --all --choice dr --yes").exits(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn suspended_versioning_and_null_versions_are_conflicts_never_guesses() {
    use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
    let Some(stage) = Stage::open().await else { return };
    for bucket in [HOME, AWAY] {
        stage.put(bucket, "quiet", "before").await;
        stage.put(bucket, "replaced", "before").await;
    }
    let suspended = VersioningConfiguration::builder().status(BucketVersioningStatus::Suspended).build();
    let request = stage.home.client.put_bucket_versioning().bucket(HOME).versioning_configuration(suspended);
    request.send().await.expect("suspended");
    let struck = next_second(&stage.home, HOME).await;
    stage.put(HOME, "replaced", "by whom?").await;
    stage.put(AWAY, "replaced", "by dr").await;
    stage.put(AWAY, "quiet", "by dr").await;
    stage.profile(Some(struck), "base = \"versions\"", ["", ""]);
    let diff = stage.run("diff p.toml --json").exits(1);
    let delta = stage.delta(&diff);
    assert_eq!(told(&delta, "replaced"), ("conflict", "update"), "what the null version replaced is lost");
    assert_eq!(told(&delta, "quiet"), ("dr_only", "update"));
    stage.run("check p.toml").prints("has its versioning suspended");
}
