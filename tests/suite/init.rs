//! `failback init` against two emulated Regions: what is found, what is paired, and that the profile is of use.
//!
//! The emulator tells of no restore, neither in AWS Backup nor of a table: those replies are tested beside their mapping.

use std::process::Command;

use aws_sdk_dynamodb::types::ScalarAttributeType;
use failback::store::aws::{endpoint, sdk_config};
use serde_json::{Value as Json, json};

use crate::peers;
use crate::rig::{BUCKET, DR, Home, PRIMARY, Ran, Regions, TABLE, reading};

const REGIONS: &str = "--primary us-east-1 --dr us-west-2";

/// Runs init as somebody whose environment has the emulator's credentials.
fn init(home: &Home, arguments: &str) -> Ran {
    ran(&mut command(home, &format!("init {arguments}")))
}

fn command(home: &Home, arguments: &str) -> Command {
    let mut command = home.command(arguments);
    command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
    command
}

fn ran(command: &mut Command) -> Ran {
    let output = command.output().expect("the program starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// Names of pairs as `kind primary dr`.
fn pairs(document: &Json) -> Vec<String> {
    let text = |pair: &Json, field: &str| pair[field].as_str().unwrap_or_default().to_owned();
    let pairs = document["pairs"].as_array().expect("pairs").iter();
    pairs.map(|pair| format!("{} {} {}", text(pair, "kind"), text(pair, "primary"), text(pair, "dr"))).collect()
}

async fn rds(regions: &Regions, side: usize) -> aws_sdk_rds::Client {
    let side = &regions.buckets[side].side;
    let mut builder = aws_sdk_rds::config::Builder::from(&sdk_config(side).await);
    builder.set_endpoint_url(endpoint(side, "rds"));
    aws_sdk_rds::Client::from_conf(builder.build())
}

#[tokio::test]
async fn tables_buckets_and_records_become_a_profile_that_check_and_diff_read_unchanged() {
    let Some(regions) = Regions::start().await else { return };
    regions.put(PRIMARY, reading("a", 1, "kept")).await;
    regions.put(DR, reading("b", 2, "new")).await;
    regions.put_object(PRIMARY, "map", "old").await;
    let home = Home::new();
    let endpoint = format!("--endpoint-url http://127.0.0.1:{}", regions.server.port);
    let written = init(&home, &format!("{REGIONS} {endpoint} --name atlas --json")).exits(0);
    let document = written.json();
    assert_eq!(
        pairs(&document),
        [format!("table {} {}", TABLE[0], TABLE[1]), format!("bucket {} {}", BUCKET[0], BUCKET[1])]
    );
    assert_eq!(document["records"][0]["primary"]["identifier"], "primary");
    assert_eq!((&document["not_listed"], &document["questions"]), (&json!([]), &json!([])));
    let profile = home.read("failback.toml");
    assert!(profile.contains(&format!("hosted_zone = \"{}\"", regions.zone)), "{profile}");
    assert!(profile.contains("base = \"versions\""), "{profile}");
    let checked = ran(&mut command(&home, "check failback.toml --json")).exits(0).json();
    assert_eq!((&checked["profile"], &checked["blocked"]), (&json!("atlas"), &json!(false)));
    assert_eq!(checked["stores"].as_array().map(Vec::len), Some(2));
    assert_eq!((&checked["weights"]["primary"], &checked["weights"]["dr"]), (&json!(0), &json!(100)));
    let compared = ran(&mut command(&home, "diff failback.toml --store sensors --json")).exits(1).json();
    assert_eq!(compared["stores"][0]["verdicts"]["unattributed"], 2);
}

#[tokio::test]
async fn a_file_that_is_there_is_replaced_with_yes_only() {
    let Some(regions) = Regions::start().await else { return };
    let home = Home::new();
    let arguments = format!("{REGIONS} --endpoint-url http://127.0.0.1:{} -o mine.toml", regions.server.port);
    home.write("mine.toml", "my own");
    init(&home, &arguments).exits(2).says("mine.toml is there already").says("--yes");
    assert_eq!(home.read("mine.toml"), "my own");
    init(&home, &format!("{arguments} --yes")).exits(0).prints("written: mine.toml with 2 stores");
    assert!(home.read("mine.toml").contains("name = \"system\""));
    init(&home, &format!("{REGIONS} -o nowhere/mine.toml --endpoint-url http://127.0.0.1:{}", regions.server.port))
        .exits(2)
        .says("cannot write nowhere/mine.toml");
}

#[tokio::test]
async fn what_is_ambiguous_is_left_open_and_exits_3() {
    let Some(regions) = Regions::start().await else { return };
    let schema = [("id", ScalarAttributeType::S)];
    crate::dynamodb::create(&regions.tables[DR], "sensors-dr", &schema).await;
    crate::dynamodb::create(&regions.tables[PRIMARY], "lonely", &schema).await;
    regions.make_zone("2").await;
    let home = Home::new();
    let arguments = format!("{REGIONS} --endpoint-url http://127.0.0.1:{}", regions.server.port);
    let document = init(&home, &format!("{arguments} --json")).exits(3).json();
    assert_eq!(pairs(&document), [format!("bucket {} {}", BUCKET[0], BUCKET[1])]);
    assert_eq!(document["questions"][0]["primary"]["name"], TABLE[0]);
    let candidates = document["questions"][0]["candidates"].as_array().expect("candidates");
    let names: Vec<&Json> = candidates.iter().map(|candidate| &candidate["dr"]["name"]).collect();
    assert_eq!(names, ["sensors-dr", "sensors-restored"]);
    assert_eq!(document["unpaired"]["primary"][0]["resource"]["name"], "lonely");
    let profile = home.read("failback.toml");
    for words in ["OPEN: which table of dr", "OPEN: which weighted records", "- table lonely"] {
        assert!(profile.contains(words), "{words} is not in\n{profile}");
    }
    ran(&mut command(&home, "check failback.toml")).exits(0);
    // What is left out by name is no question.
    let exclude = "--exclude sensors-dr --exclude lone* --yes";
    let document = init(&home, &format!("{arguments} {exclude} --json")).exits(3).json();
    assert_eq!((pairs(&document).len(), &document["questions"]), (2, &json!([])));
    let document = init(&home, &format!("{arguments} --include maps-* --yes --json")).exits(3).json();
    assert_eq!(pairs(&document), [format!("bucket {} {}", BUCKET[0], BUCKET[1])]);
}

#[tokio::test]
async fn databases_are_found_as_rds_knows_them() {
    let Some(regions) = Regions::start().await else { return };
    for (side, ledger, wiki) in [(PRIMARY, "ledger", "wiki"), (DR, "ledger-dr", "wiki-dr")] {
        let client = rds(&regions, side).await;
        for (name, engine) in [(ledger, "postgres"), (wiki, "mysql")] {
            let request = client.create_db_instance().db_instance_identifier(name).engine(engine).db_name("books");
            let request = request.db_instance_class("db.t3.micro").allocated_storage(20).master_username("keeper");
            request.master_user_password("not-shown-1").send().await.expect("an instance");
        }
        let request = client.create_db_cluster().db_cluster_identifier(format!("{ledger}-aurora"));
        let request = request.engine("aurora-postgresql").database_name("books").master_username("keeper");
        request.master_user_password("not-shown-1").send().await.expect("a cluster");
    }
    let home = Home::new();
    let arguments = format!("{REGIONS} --endpoint-url http://127.0.0.1:{}", regions.server.port);
    let ran = init(&home, &format!("{arguments} --include ledger* --include wiki* --json")).exits(0);
    let document = ran.json();
    let expected = ["database ledger ledger-dr", "database ledger-aurora ledger-dr-aurora", "database wiki wiki-dr"];
    assert_eq!(pairs(&document), expected);
    let stores: Vec<&Json> = document["pairs"].as_array().expect("pairs").iter().map(|pair| &pair["store"]).collect();
    assert_eq!(stores, [&json!("ledger"), &json!("ledger-aurora"), &json!("wiki")]);
    let profile = home.read("failback.toml");
    for words in [
        "instance = \"ledger-dr\"\ndatabase = \"books\"\nuser = \"keeper\"",
        "cluster = \"ledger-dr-aurora\"",
        "kind = \"mysql\"\ntables = [\"*\"]\n",
        "instance = \"wiki-dr\"\ndatabase = \"books\"\nuser = \"keeper\"",
    ] {
        assert!(profile.contains(words), "{words} is not in\n{profile}");
    }
    assert!(!profile.contains("not-shown"), "{profile}");
    let read = failback::profile::Profile::load(&home.path("failback.toml"), &|_| None).expect("a profile");
    assert_eq!(read.stores.len(), 3);
}

#[tokio::test]
async fn replication_and_global_tables_are_seen() {
    let Some(regions) = Regions::start().await else { return };
    let client = &regions.buckets[PRIMARY].client;
    regions.buckets[PRIMARY].make_bucket("pictures", true).await;
    regions.buckets[DR].make_bucket("gallery", true).await;
    use aws_sdk_s3::types::{
        DeleteMarkerReplication, DeleteMarkerReplicationStatus, Destination, ReplicationConfiguration, ReplicationRule,
        ReplicationRuleFilter, ReplicationRuleStatus,
    };
    let destination = Destination::builder().bucket("arn:aws:s3:::gallery").build().expect("a destination");
    let markers = DeleteMarkerReplication::builder().status(DeleteMarkerReplicationStatus::Disabled).build();
    let rule = ReplicationRule::builder().status(ReplicationRuleStatus::Enabled).priority(1).destination(destination);
    let rule = rule.filter(ReplicationRuleFilter::builder().prefix("").build()).delete_marker_replication(markers);
    let rules = ReplicationConfiguration::builder().role("arn:aws:iam::000000000000:role/r");
    let rules = rules.rules(rule.build().expect("a rule")).build().expect("rules");
    client
        .put_bucket_replication()
        .bucket("pictures")
        .replication_configuration(rules)
        .send()
        .await
        .expect("replicated");
    let tables = &regions.tables[PRIMARY];
    crate::dynamodb::create(tables, "carts", &[("id", ScalarAttributeType::S)]).await;
    use aws_sdk_dynamodb::types::{CreateReplicationGroupMemberAction, ReplicationGroupUpdate};
    let create = CreateReplicationGroupMemberAction::builder().region_name("us-west-2").build().expect("a replica");
    let update = ReplicationGroupUpdate::builder().create(create).build();
    tables.update_table().table_name("carts").replica_updates(update).send().await.expect("a global table");
    let home = Home::new();
    let arguments = format!("{REGIONS} --endpoint-url http://127.0.0.1:{}", regions.server.port);
    let document = init(&home, &format!("{arguments} --exclude sensors* --json")).exits(0).json();
    let expected = ["table carts carts", "bucket maps-east maps-west", "bucket pictures gallery"];
    assert_eq!(pairs(&document), expected);
    let evidence: Vec<&Json> =
        document["pairs"].as_array().expect("pairs").iter().map(|pair| &pair["evidence"]["by"]).collect();
    assert_eq!(evidence, ["replicated", "alike_name", "replicated"]);
    assert_eq!(document["pairs"][0]["store"], Json::Null, "a global table is no store");
    let profile = home.read("failback.toml");
    assert!(profile.contains("# NOT A STORE: a global table"), "{profile}");
}

#[test]
fn what_cannot_be_listed_is_named_and_exits_4() {
    let home = Home::new();
    let arguments = format!("{REGIONS} --endpoint-url http://127.0.0.1:{}", peers::free_port());
    let document = init(&home, &format!("{arguments} --json")).exits(4).json();
    let gaps = document["not_listed"].as_array().expect("gaps");
    let named = |what: &str| gaps.iter().filter(|gap| gap["what"] == what).count();
    for what in ["DynamoDB tables", "S3 buckets", "RDS instances", "RDS clusters", "AWS Backup restore jobs"] {
        assert_eq!(named(what), 2, "{what} in {gaps:?}");
    }
    assert_eq!(named("Route 53 records"), 1);
    let profile = home.read("failback.toml");
    assert!(
        profile.contains("# NOT LISTED") && profile.contains("# - DynamoDB tables of dr: cannot list tables"),
        "{profile}"
    );
}

#[test]
fn bad_arguments_exit_2_and_write_nothing() {
    let home = Home::new();
    for (arguments, words) in [
        ("", "--primary"),
        ("--primary us-east-1", "--dr"),
        ("--primary us-east-1 --dr us-east-1", "between two Regions"),
        ("--primary US --dr us-west-2", "not a Region's name"),
        ("--primary us-east-1 --dr us-west-2 --name a/b", "not fit for a folder's name"),
        ("--primary us-east-1 --dr us-west-2 --dr-role-arn x", "not an ARN"),
        ("--primary us-east-1 --dr us-west-2 --endpoint-url ftp://x", "not an http:// or https:// URL"),
    ] {
        init(&home, arguments).exits(2).says(words);
    }
    assert!(!home.path("failback.toml").exists());
}

/// A person at a terminal is asked what is open, in words and numbers.
#[tokio::test]
async fn a_question_at_a_terminal_is_answered_by_its_number() {
    use portable_pty::{CommandBuilder, PtySize, native_pty_system};
    use std::io::{Read, Write};

    let Some(regions) = Regions::start().await else { return };
    crate::dynamodb::create(&regions.tables[DR], "sensors-dr", &[("id", ScalarAttributeType::S)]).await;
    let home = Home::new();
    let pty = native_pty_system().openpty(PtySize { rows: 40, cols: 160, ..Default::default() }).expect("a terminal");
    let mut program = CommandBuilder::new(crate::rig::program());
    let endpoint = format!("http://127.0.0.1:{}", regions.server.port);
    program.args(["init", "--primary", "us-east-1", "--dr", "us-west-2", "--endpoint-url", &endpoint]);
    program.cwd(home.path(""));
    program.env_clear();
    for (name, value) in [("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test"), ("PATH", "/usr/bin:/bin")] {
        program.env(name, value);
    }
    program.env("HOME", home.path(""));
    let mut child = pty.slave.spawn_command(program).expect("the program starts");
    drop(pty.slave);
    let mut reader = pty.master.try_clone_reader().expect("a reader");
    let mut writer = pty.master.take_writer().expect("a writer");
    let shown = tokio::task::spawn_blocking(move || {
        let (mut shown, mut answers) = (String::new(), ["seven\n", "2\n"].into_iter());
        let (mut buffer, mut asked) = ([0; 4096], 0);
        // The terminal ends with an error once the program is gone.
        while let Ok(length @ 1..) = reader.read(&mut buffer) {
            shown += &String::from_utf8_lossy(&buffer[..length]);
            while shown.matches("leave it open: ").count() > asked {
                asked += 1;
                let answer = answers.next().unwrap_or("\n");
                writer.write_all(answer.as_bytes()).expect("an answer");
            }
        }
        shown
    });
    let shown = shown.await.expect("shown");
    let exit = child.wait().expect("a child").exit_code();
    assert_eq!(exit, 0, "{shown}");
    for words in ["Which table of dr is the counterpart of sensors?", "1  sensors-dr (", "\"seven\" is none of them"] {
        assert!(shown.contains(words), "{words} is not in\n{shown}");
    }
    let profile = home.read("failback.toml");
    assert!(profile.contains("# Table sensors and sensors-restored: chosen by hand"), "{profile}");
    assert!(profile.contains("# Passed over in dr: sensors-dr"), "{profile}");
}
