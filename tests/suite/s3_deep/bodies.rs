//! `compare = "bodies"`: what is equal by listing, what is settled by looking, and what one mode says to the other.

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{Tag, Tagging};

use super::{AWAY, HOME, Stage};
use crate::rig::now;
use crate::s3::Region;

const MIB: usize = 1 << 20;
const BODIES: &str = "compare = \"bodies\"\n";

async fn tag(region: &Region, bucket: &str, key: &str, value: &str) {
    let tags = Tagging::builder().tag_set(Tag::builder().key("team").value(value).build().expect("a tag"));
    let tags = tags.build().expect("tags");
    region.client.put_object_tagging().bucket(bucket).key(key).tagging(tags).send().await.expect("tagged");
}

async fn team(region: &Region, bucket: &str, key: &str) -> Option<String> {
    let reply = region.client.get_object_tagging().bucket(bucket).key(key).send().await.expect("tags");
    reply.tag_set().first().map(|tag| tag.value().to_owned())
}

async fn both(stage: &Stage, key: &str, body: &str) {
    stage.put(HOME, key, body).await;
    stage.put(AWAY, key, body).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_of_a_body_is_found_and_what_was_not_looked_at_is_said() {
    let Some(stage) = Stage::open().await else { return };
    for key in ["same", "tags-only", "a b/c+d", "changed", "deleted"] {
        both(&stage, key, "before").await;
    }
    let long = vec![7; 6 * MIB];
    stage.home.put(HOME, "cut-otherwise", &long).await;
    stage.away.put_in_parts(AWAY, "cut-otherwise", &[&long[..5 * MIB], &long[5 * MIB..]], None).await;
    tag(&stage.away, AWAY, "tags-only", "red").await;
    stage.profile(None, BODIES, ["", ""]);
    let step = stage.run("checkpoint p.toml --name step --json").exits(0).json();
    assert_eq!(step["stores"][0]["compared"], "bodies", "{step}");
    let request = stage.away.client.put_object().bucket(AWAY).key("changed").body(ByteStream::from_static(b"after!"));
    request.metadata("by", "dr").content_type("text/plain").tagging("team=blue").send().await.expect("an object");
    stage.delete(AWAY, "deleted").await;
    stage.put(AWAY, "new", "x").await;
    // The same body written again, under metadata of dr's own: no change of a body.
    let request = stage.away.client.put_object().bucket(AWAY).key("same").body(ByteStream::from_static(b"before"));
    request.metadata("by", "dr").send().await.expect("an object");
    let policy = "base = { checkpoint = \"step\" }\n\
                  policy = { unattributed = \"dr-wins\", delete_limit_percent = 100, overwrite_limit_percent = 100 }";
    stage.profile(Some(now()), &format!("{BODIES}{policy}"), ["", ""]);
    let diff = stage.run("diff p.toml --json").exits(1);
    let delta = stage.delta(&diff);
    let told = |key: &str| delta.get(key).and_then(|line| line["verdict"].as_str()).unwrap_or("same");
    for (key, verdict) in [
        ("same", "same"),
        ("tags-only", "same"),
        ("a b/c+d", "same"),
        ("cut-otherwise", "same"),
        // The base does not say who gave it other metadata, so it does not say that dr did.
        ("changed", "unattributed"),
        ("deleted", "dr_only"),
        ("new", "dr_only"),
    ] {
        assert_eq!(told(key), verdict, "{key}");
    }
    let words = diff.json()["stores"][0]["not_checked"].to_string();
    assert!(words.contains("tags and storage class of objects that both sides list"), "{words}");
    stage.run("diff p.toml").exits(1).prints("media: only bodies were compared");
    stage.run("plan p.toml --allow-everything").exits(0);
    stage.run("replay p.toml --apply --yes").exits(0);
    assert_eq!(stage.home.body(HOME, "changed").await, "after!");
    assert_eq!(team(&stage.home, HOME, "changed").await.as_deref(), Some("blue"), "tags go with what is written");
    let head = stage.home.client.head_object().bucket(HOME).key("changed").send().await.expect("there");
    assert_eq!(head.metadata().and_then(|metadata| metadata.get("by")).map(String::as_str), Some("dr"));
    assert_eq!(team(&stage.home, HOME, "tags-only").await, None, "and nothing else is touched");
    stage.run("replay p.toml --apply --yes --freeze").exits(0);
    stage.run("verify p.toml").exits(0);
    let certificate = stage.program.read(".failback/p/certificate.json");
    assert!(certificate.contains("headers, user metadata, tags and storage class"), "{certificate}");
    stage.run("undo p.toml --yes").exits(0);
    assert_eq!(stage.home.body(HOME, "changed").await, "before");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_base_of_bodies_never_lets_tags_of_the_primary_be_overwritten() {
    let Some(stage) = Stage::open().await else { return };
    both(&stage, "k", "before").await;
    both(&stage, "plain", "before").await;
    stage.profile(None, BODIES, ["", ""]);
    stage.run("checkpoint p.toml --name step").exits(0);
    // A stranded change of tags on the primary, of an object that dr gives another body.
    tag(&stage.home, HOME, "k", "stranded").await;
    stage.put(AWAY, "k", "by dr!").await;
    stage.put(AWAY, "plain", "by dr!").await;
    let base = "base = { checkpoint = \"step\" }\npolicy = { overwrite_limit_percent = 100 }";
    stage.profile(Some(now()), &format!("{BODIES}{base}"), ["", ""]);
    let plan = stage.run("plan p.toml --allow-everything --json").exits(3).json();
    assert_eq!(plan["held"], 1, "{plan}");
    stage.run("replay p.toml --apply --yes").exits(3);
    assert_eq!(team(&stage.home, HOME, "k").await.as_deref(), Some("stranded"));
    assert_eq!(stage.home.body(HOME, "k").await, "before");
    assert_eq!(stage.home.body(HOME, "plain").await, "by dr!", "what differs in its body alone follows dr");
    stage.run("verify p.toml").exits(1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_base_of_bodies_never_lets_what_the_primary_wrote_again_be_deleted() {
    let Some(stage) = Stage::open().await else { return };
    both(&stage, "again", "before").await;
    both(&stage, "plain", "before").await;
    both(&stage, "kept", "before").await;
    stage.profile(None, BODIES, ["", ""]);
    stage.run("checkpoint p.toml --name step").exits(0);
    // Times are told in whole seconds.
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    // A stranded write of the same body with metadata of its own, of an object that dr deletes.
    let request = stage.home.client.put_object().bucket(HOME).key("again").body(ByteStream::from_static(b"before"));
    request.metadata("by", "the primary").send().await.expect("an object");
    stage.delete(AWAY, "again").await;
    stage.delete(AWAY, "plain").await;
    let base = "base = { checkpoint = \"step\" }\npolicy = { delete_limit_percent = 100 }";
    stage.profile(Some(now()), &format!("{BODIES}{base}"), ["", ""]);
    let delta = stage.delta(&stage.run("diff p.toml --json").exits(1));
    assert_eq!(delta["again"]["verdict"], "unattributed");
    assert_eq!(delta["plain"]["verdict"], "dr_only");
    stage.run("plan p.toml --allow-everything").exits(3);
    stage.run("replay p.toml --apply --yes").exits(3);
    assert_eq!(stage.home.body(HOME, "again").await, "before");
    let plain = stage.home.client.head_object().bucket(HOME).key("plain").send().await;
    assert!(plain.is_err(), "what was not written again follows dr");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_made_in_one_mode_is_not_held_against_the_other() {
    let Some(stage) = Stage::open().await else { return };
    both(&stage, "k", "before").await;
    for (made, now_is, name) in [(BODIES, "", "bodies"), ("", BODIES, "everything")] {
        stage.profile(None, made, ["", ""]);
        stage.run(&format!("checkpoint p.toml --name {name}")).exits(0);
        let base = format!("base = {{ checkpoint = \"{name}\" }}\n");
        stage.profile(Some(now()), &format!("{base}{now_is}"), ["", ""]);
        stage.run("diff p.toml").exits(2).says(&format!("was made with compare = \"{name}\""));
        stage.profile(Some(now()), &format!("{base}{made}"), ["", ""]);
        stage.run("diff p.toml").exits(0);
    }
    // The primary as it was before the first write is no measure either.
    stage.put(AWAY, "k", "by dr!").await;
    let policy = "policy = { unattributed = \"dr-wins\", overwrite_limit_percent = 100 }\n";
    stage.profile(Some(now()), &format!("{BODIES}{policy}"), ["", ""]);
    stage.run("plan p.toml --allow-everything").exits(0);
    stage.run("replay p.toml --apply --yes").exits(0);
    stage.profile(Some(now()), policy, ["", ""]);
    stage.run("undo p.toml --yes").exits(0);
    assert_eq!(stage.home.body(HOME, "k").await, "before");
    let refused = stage.run("verify p.toml --undone").says("was made with compare = \"bodies\"");
    assert!(!matches!(refused.code, Some(0 | 1)), "neither as before nor not: {refused:?}");
    stage.profile(Some(now()), &format!("{BODIES}{policy}"), ["", ""]);
    stage.run("verify p.toml --undone").exits(0);
}
