//! What goes along with an object: encryption, locks, grants, names beyond ASCII; and the rules that would fight.

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    BucketLifecycleConfiguration, EventBridgeConfiguration, ExpirationStatus, LifecycleExpiration, LifecycleRule,
    LifecycleRuleFilter, NotificationConfiguration, ObjectCannedAcl, ObjectOwnership, OwnershipControls,
    OwnershipControlsRule, ServerSideEncryption,
};
use aws_sdk_s3::types::{
    DefaultRetention, ObjectLockConfiguration, ObjectLockEnabled, ObjectLockMode, ObjectLockRetentionMode,
    ObjectLockRule,
};
use failback::profile::BucketProfile;
use failback::store::s3::S3Store;
use failback::store::{Depth, Expected, GuardedWrite, Outcome, ReadStore, Wanted, WriteStore};

use super::{AWAY, HOME, Stage};
use crate::peers;
use crate::rig::{now, sides_on_port};
use crate::s3::Region;

fn key(name: &str) -> failback::model::Key {
    failback::digest::key_of(&failback::model::Value::map([("key", failback::model::Value::text(name))]))
}

async fn store(region: &Region, side: failback::model::Side, profile: BucketProfile) -> S3Store {
    let id = failback::model::StoreId("media".into());
    S3Store::connect(id, side, &region.side, &profile, None).await.expect("a store")
}

/// Carries one object over.
async fn carry(primary: &S3Store, dr: &S3Store, name: &str) -> Outcome {
    let key = key(name);
    let item = dr.fetch(std::slice::from_ref(&key), Depth::Evidence).await.expect("a fetch").remove(0).expect("there");
    let wanted = Wanted::Present { item: &item, body: dr };
    let write = GuardedWrite { key: &key, expected: Expected::Absent, wanted };
    primary.apply(&[write]).await.expect("an outcome").remove(0)
}

fn reason(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Refused { reason, .. } => reason,
        other => panic!("refused, not {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_are_encrypted_with_the_key_of_the_primarys_region() {
    use failback::model::Side;
    let Some(stage) = Stage::open().await else { return };
    let request = stage.away.client.put_object().bucket(AWAY).key("secret").body(ByteStream::from_static(b"x"));
    let request = request.server_side_encryption(ServerSideEncryption::AwsKms).ssekms_key_id("key-of-dr");
    request.send().await.expect("an object");
    let dr = store(&stage.away, Side::Dr, BucketProfile::new(AWAY, "")).await;
    let bare = store(&stage.home, Side::Primary, BucketProfile::new(HOME, "")).await;
    let refused = carry(&bare, &dr, "secret").await;
    assert!(reason(&refused).contains("kms_key"), "never stored with less: {refused:?}");
    let named = BucketProfile { kms_key: Some("key-of-primary".into()), ..BucketProfile::new(HOME, "") };
    let primary = store(&stage.home, Side::Primary, named).await;
    assert_eq!(carry(&primary, &dr, "secret").await, Outcome::Applied);
    let head = stage.home.client.head_object().bucket(HOME).key("secret").send().await.expect("there");
    assert_eq!(head.server_side_encryption(), Some(&ServerSideEncryption::AwsKms));
    assert!(head.ssekms_key_id().is_some_and(|key| key.contains("key-of-primary")), "{:?}", head.ssekms_key_id());
    assert_eq!(carry(&primary, &dr, "secret").await, Outcome::AlreadyApplied);
}

/// The retention of the current version of an object: its mode, and the whole days that are left of it.
async fn retention(region: &Region, bucket: &str, key: &str) -> Option<(String, i64)> {
    let head = region.client.head_object().bucket(bucket).key(key).send().await.expect("there");
    let left = head.object_lock_retain_until_date()?.secs() - now().as_second();
    // Whole days, though a moment of the last has passed.
    Some((head.object_lock_mode()?.as_str().to_owned(), (left + 3_600) / 86_400))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_default_retention_locks_what_has_no_lock_of_its_own() {
    let Some(stage) = Stage::open().await else { return };
    for (region, bucket) in [(&stage.home, "locked-home"), (&stage.away, "locked-away")] {
        let mut request = region.client.create_bucket().bucket(bucket).object_lock_enabled_for_bucket(true);
        if bucket == "locked-away" {
            let place = aws_sdk_s3::types::BucketLocationConstraint::UsWest2;
            let place = aws_sdk_s3::types::CreateBucketConfiguration::builder().location_constraint(place);
            request = request.create_bucket_configuration(place.build());
        }
        request.send().await.expect("a bucket");
    }
    let default = DefaultRetention::builder().mode(ObjectLockRetentionMode::Governance).days(30).build();
    let config = ObjectLockConfiguration::builder().object_lock_enabled(ObjectLockEnabled::Enabled);
    let config = config.rule(ObjectLockRule::builder().default_retention(default).build()).build();
    let request = stage.home.client.put_object_lock_configuration().bucket("locked-home");
    request.object_lock_configuration(config).send().await.expect("a default retention");
    stage.put("locked-away", "plain", "x").await;
    for (key, days) in [("shorter", 5), ("longer", 90)] {
        let until = aws_sdk_s3::primitives::DateTime::from_secs(now().as_second() + days * 86_400);
        let request = stage.away.client.put_object().bucket("locked-away").key(key).body(ByteStream::from_static(b"x"));
        let request = request.object_lock_mode(ObjectLockMode::Compliance).object_lock_retain_until_date(until);
        request.send().await.expect("a locked object");
    }
    let profile = |fields: &str| {
        let text = format!(
            "name = \"p\"\n{}[[store]]\nname = \"media\"\nkind = \"s3\"\nprimary = {{ bucket = \"locked-home\"{fields} }}\n\
             dr = {{ bucket = \"locked-away\" }}\npolicy = {{ unattributed = \"mirror\", deletes = \"mirror\" }}\n",
            sides_on_port(stage.server.port)
        );
        stage.program.write("p.toml", &text);
    };
    profile("");
    let check = stage.run("check p.toml").out;
    assert!(check.contains("by default (GOVERNANCE, 30 days)"), "{check}");
    stage.run("plan p.toml --allow-everything").exits(0);
    stage.run("replay p.toml --apply --yes").exits(0);
    let kept = |days| Some(("COMPLIANCE".to_owned(), days));
    assert_eq!(retention(&stage.home, "locked-home", "plain").await, Some(("GOVERNANCE".to_owned(), 30)));
    assert_eq!(retention(&stage.home, "locked-home", "shorter").await, kept(5), "as dr has it");
    assert_eq!(retention(&stage.home, "locked-home", "longer").await, kept(90));
    stage.run("diff p.toml").exits(0);
    // A lock does not stand in the way of a new version, nor of a delete that keeps the old ones.
    stage.put("locked-away", "plain", "changed").await;
    profile(", object_lock = \"drop\"");
    stage.put("locked-away", "dropped", "x").await;
    stage.delete("locked-away", "longer").await;
    stage.run("plan p.toml --allow-everything").exits(0);
    stage.run("replay p.toml --apply --yes").exits(0);
    assert_eq!(stage.home.body("locked-home", "plain").await, "changed");
    assert_eq!(retention(&stage.home, "locked-home", "dropped").await, Some(("GOVERNANCE".to_owned(), 30)));
    stage.run("diff p.toml").exits(0);
    stage.run("undo p.toml --yes").exits(0);
    let gone = stage.home.client.head_object().bucket("locked-home").key("plain").send().await;
    assert!(gone.is_err(), "a marker stands over what is locked");
    let versions = stage.home.client.list_object_versions().bucket("locked-home").prefix("longer").send().await;
    assert!(!versions.expect("listed").versions().is_empty(), "no locked version is removed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grants_go_along_where_objects_have_them() {
    use failback::model::Side;
    let Some(stage) = Stage::open().await else { return };
    for (region, bucket) in [(&stage.home, HOME), (&stage.away, AWAY)] {
        let rule = OwnershipControlsRule::builder().object_ownership(ObjectOwnership::BucketOwnerPreferred).build();
        let controls = OwnershipControls::builder().rules(rule.expect("a rule")).build().expect("controls");
        let request = region.client.put_bucket_ownership_controls().bucket(bucket).ownership_controls(controls);
        request.send().await.expect("grants are allowed");
        region.client.delete_public_access_block().bucket(bucket).send().await.expect("public grants are allowed");
    }
    let request = stage.away.client.put_object().bucket(AWAY).key("public").body(ByteStream::from_static(b"x"));
    request.acl(ObjectCannedAcl::PublicRead).send().await.expect("an object");
    stage.put(AWAY, "private", "x").await;
    let dr = store(&stage.away, Side::Dr, BucketProfile::new(AWAY, "")).await;
    let primary = store(&stage.home, Side::Primary, BucketProfile::new(HOME, "")).await;
    for name in ["public", "private"] {
        assert_eq!(carry(&primary, &dr, name).await, Outcome::Applied, "{name}");
        let grants = stage.home.client.get_object_acl().bucket(HOME).key(name).send().await.expect("told");
        let is_public = grants.grants().iter().any(|grant| {
            grant.grantee().and_then(|grantee| grantee.uri()).is_some_and(|uri| uri.ends_with("/AllUsers"))
        });
        assert_eq!(is_public, name == "public", "{name}: {:?}", grants.grants());
    }
}

async fn metadata_beyond_ascii(region: &Region) {
    use failback::model::{Side, Value};
    region.make_bucket("words-home", true).await;
    region.make_bucket("words-away", true).await;
    let put = async |bucket: &str, header: &str| {
        let request = region.client.put_object().bucket(bucket).key("k").body(ByteStream::from_static(b"x"));
        request.metadata("title", header).send().await.expect("an object");
    };
    put("words-away", "=?UTF-8?Q?caf=C3=A9_=E2=82=AC?=").await;
    let dr = store(region, Side::Dr, BucketProfile::new("words-away", "")).await;
    let primary = store(region, Side::Primary, BucketProfile::new("words-home", "")).await;
    assert_eq!(carry(&primary, &dr, "k").await, Outcome::Applied);
    let item = primary.fetch(&[key("k")], Depth::Evidence).await.expect("a fetch").remove(0).expect("there");
    let title = item.contents.get("metadata").and_then(|all| all.get("title")).and_then(Value::as_text);
    assert_eq!(title, Some("café €"), "the text, not its spelling");
    let theirs = dr.fetch(&[key("k")], Depth::Evidence).await.expect("a fetch").remove(0).expect("there");
    assert_eq!(item.same_as(&theirs), Some(true), "two spellings of one text are the same");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metadata_beyond_ascii_is_carried_on_ministack() {
    let Some(server) = peers::ministack() else { return };
    metadata_beyond_ascii(&Region::of(&server, "us-east-1").await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metadata_beyond_ascii_is_carried_on_seaweedfs() {
    let Some(server) = peers::seaweedfs() else { return };
    crate::s3::ready(&server).await;
    metadata_beyond_ascii(&Region::of(&server, "us-east-1").await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_that_would_fight_come_with_the_command_that_suspends_them() {
    let Some(stage) = Stage::open().await else { return };
    stage.replicate(&stage.home, HOME, AWAY).await;
    stage.replicate(&stage.away, AWAY, HOME).await;
    let rule = LifecycleRule::builder().id("old").status(ExpirationStatus::Enabled);
    let rule = rule.filter(LifecycleRuleFilter::builder().prefix("").build());
    let rule = rule.expiration(LifecycleExpiration::builder().days(30).build()).build().expect("a rule");
    let lifecycle = BucketLifecycleConfiguration::builder().rules(rule).build().expect("a configuration");
    let request = stage.home.client.put_bucket_lifecycle_configuration().bucket(HOME);
    request.lifecycle_configuration(lifecycle).send().await.expect("a lifecycle");
    let events = EventBridgeConfiguration::builder().build();
    let events = NotificationConfiguration::builder().event_bridge_configuration(events).build();
    let request = stage.home.client.put_bucket_notification_configuration().bucket(HOME);
    request.notification_configuration(events).send().await.expect("notifications");
    stage.home.client.create_multipart_upload().bucket(HOME).key("begun").send().await.expect("an upload");
    stage.profile(None, "", ["", ""]);
    let check = stage.run("check p.toml");
    for words in [
        "what is replayed is replicated back to dr",
        "what dr writes is replicated to the primary",
        "aws s3api delete-bucket-replication --bucket media-home --region us-east-1",
        "aws s3api delete-bucket-replication --bucket media-away --region us-west-2",
        "lifecycle rules that expire objects",
        "aws s3api delete-bucket-lifecycle --bucket media-home",
        "sends its events to EventBridge",
        "put-bucket-notification-configuration --notification-configuration '{}'",
        "1 unfinished uploads in parts",
    ] {
        assert!(check.out.contains(words), "`{words}` is not in\n{}\n{}", check.out, check.err);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archived_object_blocks_with_the_command_that_restores_it() {
    let Some(stage) = Stage::open().await else { return };
    let request = stage.away.client.put_object().bucket(AWAY).key("a film").body(ByteStream::from_static(b"ice"));
    request.storage_class(aws_sdk_s3::types::StorageClass::Glacier).send().await.expect("an object");
    // Archived on both sides alike: nothing has to be read of it.
    for (region, bucket) in [(&stage.home, HOME), (&stage.away, AWAY)] {
        let request = region.client.put_object().bucket(bucket).key("old").body(ByteStream::from_static(b"ice"));
        request.storage_class(aws_sdk_s3::types::StorageClass::DeepArchive).send().await.expect("an object");
    }
    stage.profile(None, "policy = { unattributed = \"dr-wins\" }", ["", ""]);
    let check = stage.run("check p.toml --json");
    let findings = check.json()["findings"].as_array().expect("findings").clone();
    let blockers: Vec<_> = findings.iter().filter(|finding| finding["level"] == "blocker").collect();
    assert_eq!(blockers.len(), 1, "{}", check.out);
    assert_eq!(blockers[0]["subject"], "media dr");
    let words = blockers[0].to_string();
    assert!(words.contains("1 objects of bucket media-away are archived and not restored, of 2"), "{words}");
    assert!(words.contains("restore-object --region us-west-2 --bucket media-away --key"), "{words}");
    let plan = stage.run("plan p.toml --allow-everything --json").exits(3).json();
    let held = stage.program.lines(std::path::Path::new(plan["held_file"].as_str().expect("a file")));
    let reason = held[0]["reason"].as_str().expect("a reason");
    assert!(
        reason.contains("aws s3api restore-object --region us-west-2 --bucket media-away --key \"a film\""),
        "{reason}"
    );
    let masked = stage.run("report p.toml --format md --mask-keys").out;
    assert!(masked.contains("restore-object") && !masked.contains("a film"), "{masked}");
}
