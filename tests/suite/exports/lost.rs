//! Two replicas of one global table without streams, by script, whose exports tell what each took while they were apart.

use super::*;
use crate::fake_aws::{described, fake_aws, ok, table as description};

const APART: [(&str, &str); 2] = [("us-east-1", "us-west-2"), ("us-west-2", "us-east-1")];

fn arn(region: &str) -> String {
    format!("arn:aws:dynamodb:{region}:000000000000:table/orders")
}

fn order(id: &str, contents: u32) -> Json {
    json!({"id": {"S": id}, "contents": {"N": contents.to_string()}})
}

/// Both replicas after they have converged: every scan of either gives this.
fn sides(s3_port: u16) -> String {
    let side = |(side, (region, other)): (&str, (&'static str, &'static str))| {
        let described_as = description(json!({
            "TableId": format!("of {region}"), "TableArn": arn(region), "GlobalTableVersion": "2019.11.21",
            "Replicas": [{"RegionName": other, "ReplicaStatus": "ACTIVE"}],
        }));
        let items = [order("crossed", 3), order("own", 2), order("theirs", 5), order("untouched", 1)];
        let reached = fake_aws(move |operation, _| match described(operation, &described_as) {
            Some(answer) => answer,
            None if operation == "Scan" => ok(json!({"Items": items, "Count": 4, "ScannedCount": 4})),
            None => panic!("{operation} is not scripted"),
        });
        format!(
            "[{side}]\nregion = \"{region}\"\nendpoint_url = \"{}\"\nendpoints = {{ s3 = \"http://127.0.0.1:{s3_port}\" }}\n\
             credentials = {{ access_key_id = \"test\", secret_access_key = \"test\" }}\n",
            reached.endpoint_url.expect("a loopback port")
        )
    };
    ["primary", "dr"].into_iter().zip(APART).map(side).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn exports_tell_what_a_global_table_lost_where_no_stream_does() {
    let Some(regions) = Regions::start().await else { return };
    regions.buckets[PRIMARY].make_bucket(BUCKET, false).await;
    let home = Home::new();
    let struck = Timestamp::from_second(now().as_second() - 1800).expect("an instant");
    let common = seconds(struck, -1800);
    let (from, to) = (text(seconds(common, -60)), text(seconds(struck, 600)));
    let line = |after: i64, id: &str, old: u32, new: u32| {
        let at = seconds(common, after).as_microsecond();
        change(at, Spelling::Text, json!({"id": {"S": id}}), Some(&order(id, old)), Some(&order(id, new)))
    };
    let export = |id: &str, region: &str, lines: &[Json]| {
        Fixture::incremental(id, (&arn(region), &format!("of {region}")), (&from, &to), lines)
    };
    let sides = sides(regions.server.port);
    let lost = async |name: &str, on_primary: &[Json], on_dr: &[Json]| {
        let primary = export(&format!("01-{name}"), "us-east-1", on_primary);
        let dr = export(&format!("02-{name}"), "us-west-2", on_dr);
        for fixture in [&primary, &dr] {
            upload(&regions, fixture).await;
        }
        let changes = format!("primary = \"{}\", dr = \"{}\"", primary.url(BUCKET), dr.url(BUCKET));
        let profile = format!(
            "name = \"p\"\ndisaster_at = {struck}\ndr_as_of = {common}\n{sides}[machine]\nparallel = 1\n[[store]]\n\
             name = \"orders\"\nkind = \"dynamodb\"\nprimary = {{ table = \"orders\" }}\ndr = {{ table = \"orders\" }}\n\
             changes = {{ {changes} }}\n"
        );
        home.write("p.toml", &profile);
        home.run("diff p.toml --json").exits(0).json()["stores"][0]["lost_writes"].clone()
    };

    // `crossed` was 2 here and 3 there when the Regions met again, and is 3 now.
    let own = [line(60, "crossed", 1, 2), line(61, "own", 1, 2)];
    let theirs = [line(600, "crossed", 1, 3), line(700, "theirs", 1, 5)];
    let found = lost("crossed", &own, &theirs).await;
    assert_eq!(found["total"], 1, "{found}");
    let write = &found["listed"][0];
    assert_eq!((&write["key"], &write["side"]), (&json!({"id": {"S": "crossed"}}), &json!("primary")));
    assert_eq!(write["is_certain"], false, "what dr had in between leaves no trace");
    home.run("report p.toml").exits(0).prints("orders lost 1 write").prints("(not certain)");

    // The other way round: dr's write is the one that is gone.
    let found = lost("older", &[line(600, "crossed", 1, 3)], &[line(60, "crossed", 1, 2)]).await;
    assert_eq!((&found["total"], &found["listed"][0]["side"]), (&json!(1), &json!("dr")), "{found}");

    // dr had the primary's write before it made its own.
    let found = lost("followed", &own, &[line(600, "crossed", 2, 3)]).await;
    assert_eq!(found["total"], 0, "{found}");
    // Only one side wrote the key.
    let found = lost("apart", &[line(60, "own", 1, 2)], &[line(700, "theirs", 1, 5)]).await;
    assert_eq!(found["total"], 0, "{found}");
}
