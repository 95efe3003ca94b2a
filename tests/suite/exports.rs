//! Exports as bases and as what is known of changes: whole commands against the emulator.
//!
//! The emulator says that its exports are done and writes nothing: what lies in its buckets here is made of its tables' own
//! items in AWS's documented format. The calls that list, describe and start exports are the emulator's.

mod evidence;
mod fixture;
mod lost;
mod rescue;

use aws_sdk_dynamodb::types::AttributeValue as A;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use failback::model::{FixedClock, Side, StoreId, Timestamp};
use failback::store::dynamodb::DynamoDbStore;
use jiff::SignedDuration;
use serde_json::{Map, Value as Json, json};

use self::fixture::{Fixture, Spelling, change};
use crate::rig::{DR, Home, PRIMARY, Regions, Row, TABLE, now, reading};

const BUCKET: &str = "exports-of-sensors";

/// A value in DynamoDB JSON.
fn value(value: &A) -> Json {
    let bytes = |blob: &aws_sdk_dynamodb::primitives::Blob| BASE64.encode(blob.as_ref());
    match value {
        A::S(text) => json!({ "S": text }),
        A::N(number) => json!({ "N": number }),
        A::B(blob) => json!({ "B": bytes(blob) }),
        A::Ss(texts) => json!({ "SS": texts }),
        A::Ns(numbers) => json!({ "NS": numbers }),
        A::Bs(blobs) => json!({ "BS": blobs.iter().map(bytes).collect::<Vec<_>>() }),
        A::L(values) => json!({ "L": values.iter().map(self::value).collect::<Vec<_>>() }),
        A::M(entries) => json!({ "M": item(entries) }),
        A::Null(is) => json!({ "NULL": is }),
        A::Bool(is) => json!({ "BOOL": is }),
        other => panic!("{other:?} is not known here"),
    }
}

/// An item in DynamoDB JSON.
fn item(row: &Row) -> Json {
    Json::Object(row.iter().map(|(name, attribute)| (name.clone(), value(attribute))).collect::<Map<_, _>>())
}

/// The line of a change: what a row was and what it became.
fn line(at: Timestamp, spelling: Spelling, old: Option<&Row>, new: Option<&Row>) -> Json {
    let row = old.or(new).expect("a row");
    let keys = json!({ "sensor": value(&row["sensor"]), "at": value(&row["at"]) });
    change(at.as_microsecond(), spelling, keys, old.map(item).as_ref(), new.map(item).as_ref())
}

/// The ARN and the id of a table.
async fn table(regions: &Regions, side: usize) -> (String, String) {
    let described = regions.tables[side].describe_table().table_name(TABLE[side]).send().await.expect("described");
    let described = described.table.expect("a table");
    (described.table_arn.expect("an ARN"), described.table_id.expect("an id"))
}

async fn upload(regions: &Regions, fixture: &Fixture) {
    for (key, body) in fixture.objects() {
        regions.buckets[PRIMARY].put(BUCKET, &key, &body).await;
    }
}

fn seconds(at: Timestamp, seconds: i64) -> Timestamp {
    at.checked_add(SignedDuration::from_secs(seconds)).expect("in range")
}

fn text(at: Timestamp) -> String {
    at.to_string()
}

/// A disaster half an hour ago, when dr had what was an hour ago; and what has become of the table since.
struct Outage {
    regions: Regions,
    home: Home,
    /// Tb.
    common: Timestamp,
    /// T0.
    struck: Timestamp,
    /// What both had at Tb.
    base: Vec<Row>,
}

impl Outage {
    async fn begin() -> Option<Outage> {
        let regions = Regions::start().await?;
        regions.buckets[PRIMARY].make_bucket(BUCKET, false).await;
        let struck = Timestamp::from_second(now().as_second() - 1800).expect("an instant");
        let base: Vec<Row> = (1..=20).map(|at| reading("a", at, "seeded")).collect();
        for side in [PRIMARY, DR] {
            for row in &base {
                regions.put(side, row.clone()).await;
            }
        }
        Some(Outage { regions, home: Home::new(), common: seconds(struck, -1800), struck, base })
    }

    /// Writes on both sides since Tb: three of dr's own, two that never reached it, one conflict, one delete on both.
    async fn strike(&self) {
        let regions = &self.regions;
        regions.put(DR, reading("a", 1, "by dr")).await;
        regions.delete(DR, "a", 2).await;
        regions.put(DR, reading("b", 1, "by dr")).await;
        regions.put(PRIMARY, reading("a", 3, "stranded")).await;
        regions.put(PRIMARY, reading("c", 1, "stranded")).await;
        regions.put(PRIMARY, reading("a", 4, "by the primary")).await;
        regions.put(DR, reading("a", 4, "by dr")).await;
        regions.delete(PRIMARY, "a", 5).await;
        regions.delete(DR, "a", 5).await;
    }

    const VERDICTS: [(&'static str, u64); 7] = [
        ("unchanged", 15),
        ("converged", 1),
        ("dr_only", 3),
        ("stranded", 2),
        ("conflict", 1),
        ("unattributed", 0),
        ("expired", 0),
    ];

    fn profile(&self, store: &str) {
        let text = format!(
            "name = \"p\"\ndisaster_at = {}\ndr_as_of = {}\n{}[[store]]\nname = \"sensors\"\nkind = \"dynamodb\"\n\
             primary = {{ table = \"{}\" }}\ndr = {{ table = \"{}\" }}\nlimits = {{ writes_per_second = 0 }}\n\
             policy = {{ delete_limit_percent = 100, overwrite_limit_percent = 100 }}\n{store}\n",
            self.struck,
            self.common,
            self.regions.sides(),
            TABLE[PRIMARY],
            TABLE[DR]
        );
        self.home.write("p.toml", &text);
    }

    /// A FULL export of the primary as of `at`, uploaded.
    async fn full(&self, id: &str, at: Timestamp, rows: &[Row]) -> Fixture {
        let (arn, table_id) = table(&self.regions, PRIMARY).await;
        let items: Vec<Json> = rows.iter().map(item).collect();
        let fixture = Fixture::full(id, (&arn, &table_id), &text(at), &items);
        upload(&self.regions, &fixture).await;
        fixture
    }

    /// An INCREMENTAL export of a side, uploaded.
    async fn incremental(&self, id: &str, side: usize, (from, to): (Timestamp, Timestamp), lines: &[Json]) -> Fixture {
        let (arn, table_id) = table(&self.regions, side).await;
        let fixture = Fixture::incremental(id, (&arn, &table_id), (&text(from), &text(to)), lines);
        upload(&self.regions, &fixture).await;
        fixture
    }

    /// What the primary's own log says of [`Outage::strike`].
    fn primary_lines(&self) -> Vec<Json> {
        let row = |at: u32| &self.base[at as usize - 1];
        let at = |after: i64| seconds(self.common, after);
        vec![
            line(at(60), Spelling::Text, Some(row(3)), Some(&reading("a", 3, "stranded"))),
            line(at(61), Spelling::Number, None, Some(&reading("c", 1, "stranded"))),
            line(at(62), Spelling::Text, Some(row(4)), Some(&reading("a", 4, "by the primary"))),
            line(at(63), Spelling::Bare, Some(row(5)), None),
        ]
    }

    /// What dr's log says of it.
    fn dr_lines(&self) -> Vec<Json> {
        let row = |at: u32| &self.base[at as usize - 1];
        let at = seconds(self.struck, 60);
        vec![
            line(at, Spelling::Text, Some(row(1)), Some(&reading("a", 1, "by dr"))),
            line(at, Spelling::Text, Some(row(2)), None),
            line(at, Spelling::Text, None, Some(&reading("b", 1, "by dr"))),
            line(at, Spelling::Text, Some(row(4)), Some(&reading("a", 4, "by dr"))),
            line(at, Spelling::Text, Some(row(5)), None),
        ]
    }

    #[track_caller]
    fn diff(&self) -> Json {
        self.home.run("diff p.toml --json").exits(1).json()["stores"][0].clone()
    }
}

#[track_caller]
fn assert_verdicts(found: &Json, verdicts: &[(&str, u64)]) {
    let found: Vec<(&str, u64)> =
        verdicts.iter().map(|(word, _)| (*word, found["verdicts"][word].as_u64().expect("a count"))).collect();
    assert_eq!(found, verdicts);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_the_base_of_a_diff() {
    let Some(outage) = Outage::begin().await else { return };
    // Made of what the table truly held, read back from it.
    let held: Vec<Row> = outage.regions.rows(PRIMARY).await.into_values().collect();
    let fixture = outage.full("01695-base", seconds(outage.common, -10), &held).await;
    outage.strike().await;
    outage.profile(&format!("base = {{ export = \"{}\" }}", fixture.url(BUCKET)));
    outage.home.run("check p.toml").exits(0);
    let found = outage.diff();
    assert_verdicts(&found, &Outage::VERDICTS);
    assert_eq!((&found["base"]["kind"], &found["base"]["items"]), (&json!("export"), &json!(20)));
    outage.home.run("diff p.toml").exits(1).prints("base export, 10 s older than what dr had");
    // Beyond the tolerance what rests on it is held, as with any base.
    let old = outage.full("01695-old", seconds(outage.common, -4000), &held).await;
    outage.profile(&format!("base = {{ export = \"{}\" }}", old.url(BUCKET)));
    outage.home.run("plan p.toml --allow-everything").exits(3);
    assert!(outage.home.read(".failback/p/held.ndjson").contains("the base is 4000 s older than what dr had"));
    let late = outage.full("01695-late", seconds(outage.struck, 1), &held).await;
    outage.profile(&format!("base = {{ export = \"{}\" }}", late.url(BUCKET)));
    outage.home.run("diff p.toml").exits(2).says("after the disaster at");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_of_exports_leads_to_the_base_and_a_gap_is_named() {
    let Some(outage) = Outage::begin().await else { return };
    outage.strike().await;
    let at = |before: i64| seconds(outage.common, -before);
    // Two windows before Tb: row 6 was another, row 7 was not there, row 99 was, and row 8 came and went.
    let base = &outage.base;
    let older = reading("a", 6, "older");
    let gone = reading("a", 99, "gone");
    let mut earlier: Vec<Row> = base.iter().filter(|row| row["at"] != base[6]["at"]).cloned().collect();
    earlier.push(gone.clone());
    let six = earlier.iter_mut().find(|row| row["at"] == base[5]["at"]).expect("row 6");
    *six = older.clone();
    let full = outage.full("01-full", at(7200), &earlier).await;
    let half = reading("a", 6, "half way");
    let first = [
        line(at(5000), Spelling::Text, Some(&older), Some(&half)),
        line(at(5001), Spelling::Number, Some(&gone), None),
    ];
    let first = outage.incremental("02-first", PRIMARY, (at(7260), at(3600)), &first).await;
    let second = [
        line(at(3000), Spelling::Number, Some(&half), Some(&base[5])),
        line(at(3001), Spelling::Text, None, Some(&base[6])),
    ];
    let second = outage.incremental("03-second", PRIMARY, (at(3600), at(0)), &second).await;
    let urls = [&second, &full, &first].map(|fixture| format!("\"{}\"", fixture.url(BUCKET)));
    outage.profile(&format!("base = {{ export = [{}] }}", urls.join(", ")));
    let found = outage.diff();
    assert_verdicts(&found, &Outage::VERDICTS);
    assert_eq!(found["base"]["as_of"], json!(text(outage.common)));

    // dr's windows do not follow the primary's.
    let of_dr = outage.incremental("04-dr", DR, (at(7260), at(0)), &[]).await;
    outage.profile(&format!("base = {{ export = [{}, \"{}\"] }}", urls[1], of_dr.url(BUCKET)));
    outage.home.run("diff p.toml").exits(4).says("name exports of one table");
    outage.profile(&format!("base = {{ export = [{}, {}] }}", urls[1], urls[0]));
    let gap = format!("nothing tells what changed from {} to {}", at(7200), at(3600));
    outage.home.run("diff p.toml").exits(4).says(&gap);
    outage.home.run("check p.toml").prints(&gap);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_of_a_namesake_or_a_file_that_is_not_there_ends_the_diff() {
    let Some(outage) = Outage::begin().await else { return };
    let fixture = outage.full("01695-base", outage.common, &outage.base).await;
    outage.profile(&format!("base = {{ export = \"{}\" }}", fixture.url(BUCKET)));
    outage.home.run("diff p.toml").exits(0);
    let client = &outage.regions.buckets[PRIMARY].client;
    client.delete_object().bucket(BUCKET).key(fixture.data(1)).send().await.expect("deleted");
    outage.home.run("diff p.toml").exits(4).says("which is not there");
    outage.profile(&format!("base = {{ export = \"{}x\" }}", fixture.url(BUCKET)));
    outage.home.run("diff p.toml").exits(2).says("there is no s3://exports-of-sensors/x/AWSDynamoDB/01695-basex");
    outage.profile("base = { export = \"s3://nowhere-at-all/AWSDynamoDB/1\" }");
    outage.home.run("diff p.toml").exits(2).says("nowhere-at-all");
    let (arn, _) = table(&outage.regions, PRIMARY).await;
    let foreign = Fixture::full("02-foreign", (&arn, "another-id"), &text(outage.common), &[]);
    upload(&outage.regions, &foreign).await;
    outage.profile(&format!("base = {{ export = \"{}\" }}", foreign.url(BUCKET)));
    outage.home.run("diff p.toml").exits(4).says("with id another-id, which was made anew since");
}

#[tokio::test(flavor = "multi_thread")]
async fn stranded_writes_are_found_from_the_primarys_own_changes_without_a_base() {
    let Some(outage) = Outage::begin().await else { return };
    outage.strike().await;
    let window = (seconds(outage.common, -60), seconds(outage.struck, 600));
    let changes = outage.incremental("04-primary", PRIMARY, window, &outage.primary_lines()).await;
    outage.profile(&format!("changes = {{ primary = \"{}\" }}", changes.url(BUCKET)));
    let found = outage.diff();
    assert_verdicts(&found, &Outage::VERDICTS);
    assert_eq!(found["base"]["kind"], "changes");
    let delta = outage.home.lines(found["delta"].as_str().expect("a path").as_ref());
    let stranded: Vec<&Json> =
        delta.iter().filter(|line| line["verdict"] == "stranded").map(|line| &line["key"]).collect();
    assert_eq!(stranded.len(), 2);
    assert!(stranded.iter().any(|key| key["sensor"]["S"] == "c"), "{stranded:?}");

    // A window that ends with the disaster misses what a clock a minute apart would still write.
    let short = (window.0, outage.struck);
    let short = outage.incremental("05-short", PRIMARY, short, &outage.primary_lines()).await;
    outage.profile(&format!("changes = {{ primary = \"{}\" }}", short.url(BUCKET)));
    outage.home.run("diff p.toml").exits(2).says("nothing tells what was written from then to");
    outage.home.run("check p.toml").exits(2).prints("nothing tells what was written from then to");
    // dr's own export is none of the primary.
    let of_dr = outage.incremental("06-dr", DR, window, &outage.dr_lines()).await;
    outage.profile(&format!("changes = {{ primary = \"{}\" }}", of_dr.url(BUCKET)));
    outage.home.run("diff p.toml").exits(4).says("is no export of this store");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_between_reads_only_what_changed_and_verify_reads_everything() {
    let Some(outage) = Outage::begin().await else { return };
    outage.strike().await;
    let from = seconds(outage.common, -60);
    let lines = outage.primary_lines();
    let primary = outage.incremental("07-primary", PRIMARY, (from, seconds(outage.struck, 600)), &lines).await;
    let primary = primary.url(BUCKET);
    let first = outage.incremental("08-dr", DR, (from, seconds(outage.struck, 600)), &outage.dr_lines()).await;
    let changes = |dr: &[&str]| {
        format!("changes = {{ primary = \"{primary}\", dr = [\"{}\"], read = \"changed\" }}", dr.join("\", \""))
    };
    outage.profile(&changes(&[&first.url(BUCKET)]));
    let found = outage.diff();
    assert_verdicts(&found, &[("unchanged", 0), ("dr_only", 3), ("stranded", 2), ("conflict", 1), ("unattributed", 0)]);
    assert_eq!((&found["complete"], &found["narrowed"]["keys"]), (&json!(false), &json!(7)));
    outage
        .home
        .run("diff p.toml")
        .exits(1)
        .prints("only 7 changed keys were read; this rests on both sides being alike");

    // The first plan reads everything all the same: an undo is proved by it.
    let planned = outage.home.run("plan p.toml --allow-everything --json").exits(3).json();
    assert_eq!(planned["stores"][0]["counts"]["primary_items"], 20);
    outage.home.run("replay p.toml --apply --yes").exits(3);
    // dr goes on: what its next window names is found, and what no window names is not.
    let was = reading("a", 9, "seeded");
    outage.regions.put(DR, reading("a", 9, "later")).await;
    outage.regions.put(DR, reading("d", 1, "later")).await;
    outage.regions.put(DR, reading("a", 10, "told by no window")).await;
    let later = seconds(outage.struck, 900);
    let lines = [
        line(later, Spelling::Text, Some(&was), Some(&reading("a", 9, "later"))),
        line(later, Spelling::Text, None, Some(&reading("d", 1, "later"))),
    ];
    let window = (seconds(outage.struck, 600), seconds(outage.struck, 1700));
    let second = outage.incremental("09-dr", DR, window, &lines).await;
    outage.profile(&changes(&[&first.url(BUCKET), &second.url(BUCKET)]));
    let planned = outage.home.run("plan p.toml --allow-everything --json").exits(3).json();
    let counts = &planned["stores"][0]["counts"];
    assert_eq!(
        (&counts["inserts"], &counts["updates"], &counts["deletes"]),
        (&json!(1), &json!(1), &json!(0)),
        "{counts}"
    );
    assert_eq!(counts["primary_items"], 20, "limits are shares of the whole table");
    outage.home.run("replay p.toml --apply --yes").exits(3);
    let verified = outage.home.run("verify p.toml --json").exits(1).json();
    assert!(verified.to_string().contains("\"10\""), "verify finds what no window names: {verified}");
    // Nothing but what was written is taken back, as the first full reading proves.
    outage.home.run("undo p.toml --yes").exits(0);
    outage.home.run("verify p.toml --undone").exits(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn check_tells_which_bases_exist() {
    let Some(outage) = Outage::begin().await else { return };
    outage.profile("");
    outage
        .home
        .run("check p.toml")
        .exits(0)
        .prints("point-in-time recovery is off, so the state dr had cannot be exported");
    let tables = &outage.regions.tables[PRIMARY];
    tables.create_backup().table_name(TABLE[PRIMARY]).backup_name("nightly").send().await.expect("a backup");
    let (arn, table_id) = table(&outage.regions, PRIMARY).await;
    let request = tables.export_table_to_point_in_time().table_arn(&arn).s3_bucket(BUCKET).s3_prefix("x");
    let at = aws_sdk_dynamodb::primitives::DateTime::from_secs(outage.common.as_second());
    let started = request.export_time(at).send().await.expect("started").export_description.expect("described");
    let id = started.export_arn.as_deref().and_then(|arn| arn.rsplit_once('/')).expect("an id").1.to_owned();
    outage.home.run("check p.toml").exits(0).prints("is being made");
    let arn_of_export = started.export_arn.expect("an ARN");
    for _ in 0..100 {
        let described = tables.describe_export().export_arn(&arn_of_export).send().await.expect("described");
        let described = described.export_description.expect("described");
        if described.export_status.is_some_and(|status| status.as_str() == "COMPLETED") {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let out = outage.home.run("check p.toml").exits(0).out;
    let export = format!("a FULL export as of {}: s3://{BUCKET}/x/AWSDynamoDB/{id}", outage.common);
    // The emulator writes nothing: that is found out.
    assert!(out.contains(&format!("{export} is said to be done, but its manifest is not there")), "{out}");
    assert!(out.contains("backup nightly of ") && out.contains("(USER) can be restored into a table aside"), "{out}");
    let fixture = Fixture::full(&id, (&arn, &table_id), &text(outage.common), &[]);
    upload(&outage.regions, &fixture).await;
    outage.home.run("check p.toml").exits(0).prints(&format!("{export} exists; no lifecycle rule removes it"));
    expire_after(&outage.regions, 3).await;
    let told = format!("{export} exists; lifecycle rule tidy removes it 3 days after it was made");
    outage.home.run("check p.toml").exits(0).prints(&told);
}

/// The emulator's AWS Backup keeps nothing: its answer is made up here.
#[tokio::test]
async fn what_aws_backup_keeps_is_told_with_its_end() {
    let Some(regions) = Regions::start().await else { return };
    let answer = json!({
        "RecoveryPoints": [
            { "RecoveryPointArn": "arn:aws:backup:1", "CreationDate": 1_795_316_400, "Status": "COMPLETED", "BackupVaultName": "nightly" },
            { "RecoveryPointArn": "arn:aws:backup:2", "CreationDate": 1_795_316_400, "Status": "EXPIRED", "BackupVaultName": "other" },
        ],
        "CalculatedLifecycle": { "DeleteAt": 1_798_340_400 },
    });
    let backup = crate::peers::Answerer::start("200 OK", &answer.to_string()).await;
    let mut side = regions.buckets[PRIMARY].side.clone();
    side.endpoints.insert("backup".into(), format!("http://127.0.0.1:{}", backup.port));
    let id = StoreId("sensors".into());
    let store = DynamoDbStore::connect(id, Side::Primary, &side, TABLE[PRIMARY], None).await.expect("a store");
    let found = store.check_bases(&side, None, &FixedClock(now())).await;
    let told: Vec<&str> = found.iter().map(|finding| finding.what.as_str()).collect();
    let words = "AWS Backup's recovery point of 2026-11-22T03:00:00Z in vault nightly can be restored into a table aside \
                 until 2026-12-27T03:00:00Z";
    assert_eq!(told, [words]);
    side.endpoints.insert("backup".into(), "http://127.0.0.1:1".into());
    let found = store.check_bases(&side, None, &FixedClock(now())).await;
    assert!(found[0].what.contains("it cannot be told what AWS Backup keeps"), "{}", found[0].what);
}

/// A lifecycle rule on the bucket of exports.
async fn expire_after(regions: &Regions, days: i32) {
    use aws_sdk_s3::types::{
        BucketLifecycleConfiguration, ExpirationStatus, LifecycleExpiration, LifecycleRule, LifecycleRuleFilter,
    };
    let rule = LifecycleRule::builder().id("tidy").filter(LifecycleRuleFilter::builder().prefix("x/").build());
    let rule = rule.expiration(LifecycleExpiration::builder().days(days).build()).status(ExpirationStatus::Enabled);
    let rules = BucketLifecycleConfiguration::builder().rules(rule.build().expect("a rule")).build().expect("rules");
    let client = &regions.buckets[PRIMARY].client;
    let request = client.put_bucket_lifecycle_configuration().bucket(BUCKET).lifecycle_configuration(rules);
    request.send().await.expect("a rule");
}
