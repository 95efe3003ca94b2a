//! Credentials that are wrong, old or not enough, and clocks that are wrong.

use super::gate::{Fate, ever};
use super::{Bench, REPLAY, UNDO};
use crate::rig::PRIMARY;

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
