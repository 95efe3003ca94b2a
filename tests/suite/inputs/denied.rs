//! Credentials that are wrong, old or not enough, and clocks that are wrong.

use super::gate::{Fate, Gate, ever};
use super::{Bench, FREEZE, REPLAY, UNDO, store};
use crate::peers;
use crate::rig::{Home, PRIMARY, sides_on_port};

#[tokio::test]
async fn a_refused_table_is_told_in_its_own_words_and_the_command_goes_on_later() {
    let Some(bench) = Bench::planned().await else { return };
    let before = bench.contents(PRIMARY).await;
    let not_allowed = "User: arn:aws:iam::123456789012:user/failback is not authorized to perform: dynamodb";
    let credentials = "check that side's credentials and permissions";
    for (command, operation, region, code, message, hint) in [
        ("diff p.toml", "DescribeTable", "us-west-2", "AccessDeniedException", not_allowed, credentials),
        ("plan p.toml", "Scan", "us-east-1", "AccessDeniedException", not_allowed, credentials),
        ("verify p.toml", "DescribeTimeToLive", "us-east-1", "AccessDeniedException", not_allowed, credentials),
        (REPLAY, "BatchGetItem", "us-west-2", "AccessDeniedException", not_allowed, credentials),
        ("diff p.toml", "Scan", "us-west-2", "ExpiredTokenException", "The security token included", credentials),
        ("diff p.toml", "Scan", "us-west-2", "UnrecognizedClientException", "The security token", credentials),
        ("diff p.toml", "Scan", "us-west-2", "InvalidSignatureException", "The request signature we", credentials),
        ("diff p.toml", "Scan", "us-west-2", "InvalidSignatureException", "Signature expired: 2026", "machine's clock"),
        ("diff p.toml", "Scan", "us-west-2", "RequestTimeTooSkewed", "The difference between", "machine's clock"),
        (REPLAY, "PutItem", "us-east-1", "AccessDeniedException", not_allowed, "failback undo takes it back"),
    ] {
        bench.gate.set(&[ever(&[operation, region], Fate::Answered(400, code, message))]);
        let ran = bench.home.run(command);
        let ran = ran.exits(4).says(&format!("{code}: {message}")).says("run the same command again").says(hint);
        let side = if region == "us-east-1" { "primary" } else { "dr" };
        let ran = ran.says(side);
        assert!(!ran.out.contains("PARITY"), "{}", ran.out);
        bench.gate.open();
        if operation != "PutItem" {
            assert_eq!(bench.contents(PRIMARY).await, before, "{command}");
        }
    }
    let wanted = bench.home_come().await;
    bench.home.run(REPLAY).exits(0);
    assert_eq!(bench.contents(PRIMARY).await, wanted);
    bench.home.run(UNDO).exits(0);
    assert_eq!(bench.contents(PRIMARY).await, before);
}

/// Who may what of a bucket of a SeaweedFS server that checks signatures.
fn identities() -> String {
    let identity = |name: &str, actions: &[&str]| {
        serde_json::json!({
            "name": name, "actions": actions,
            "credentials": [{"accessKey": name, "secretKey": format!("secret-of-{name}")}],
        })
    };
    let reader = ["Read:maps-dr", "List:maps-dr", "Tagging:maps-dr", "Read:maps", "List:maps", "Tagging:maps"];
    let identities = [
        identity("owner", &["Admin", "Read", "Write", "List", "Tagging"]),
        identity("reader", &reader),
        identity("stranger", &["Read:other", "List:other"]),
    ];
    serde_json::json!({ "identities": identities }).to_string()
}

fn bucket_profile(port: u16, sts: u16, key: &str, secret: &str) -> String {
    let sides = sides_on_port(port).replace("us-west-2", "us-east-1");
    let sides = sides.replace("credentials =", &format!("endpoints.sts = \"http://127.0.0.1:{sts}\"\ncredentials ="));
    let sides = sides.replace("access_key_id = \"test\"", &format!("access_key_id = \"{key}\""));
    let sides = sides.replace("secret_access_key = \"test\"", &format!("secret_access_key = \"{secret}\""));
    let base = "policy = { unattributed = \"dr-wins\" }\n";
    format!("name = \"p\"\n{sides}{}{FREEZE}", store("maps", "s3", "bucket", ["maps", "maps-dr"], base))
}

#[tokio::test]
async fn a_bucket_s_server_refuses_wrong_signatures_and_missing_permissions() {
    let Some(server) = peers::seaweedfs_of(Some(&identities())) else { return };
    let owner = crate::s3::Region::with(&server, "us-east-1", "owner", "secret-of-owner").await;
    for (bucket, body) in [("maps", "seeded"), ("maps-dr", "by dr")] {
        owner.make_bucket(bucket, true).await;
        owner.put(bucket, "m/1", body.as_bytes()).await;
    }
    // Nobody may ask whose credentials these are: that is told by no error, for the profile names no account.
    let sts = Gate::before(server.port);
    sts.set(&[ever(&["/sts/"], Fate::Answered(403, "AccessDenied", "not authorized to perform: sts"))]);
    let home = Home::new();
    let with = |key: &str, secret: &str| home.write("p.toml", &bucket_profile(server.port, sts.port, key, secret));
    let remedy = "check that side's credentials and permissions, then run the same command again";
    for (key, secret) in [("owner", "wrong"), ("nobody", "secret-of-nobody"), ("stranger", "secret-of-stranger")] {
        with(key, secret);
        home.run("diff p.toml").exits(4).says("bucket maps").says(remedy).says("nothing was decided");
        home.run("check p.toml").exits(4).prints("maps primary").prints("maps dr").prints("credentials");
    }
    with("reader", "secret-of-reader");
    home.run("diff p.toml").exits(1);
    home.run("plan p.toml").exits(0).prints("1 steps");
    home.run(REPLAY).exits(4).says("cannot write s3://maps/m/1").says(remedy).says("failback undo takes it back");
    assert_eq!(owner.body("maps", "m/1").await, "seeded");
    with("owner", "secret-of-owner");
    home.run(REPLAY).exits(0);
    assert_eq!(owner.body("maps", "m/1").await, "by dr");
    home.run("verify p.toml").exits(0).prints("AT PARITY");
}
