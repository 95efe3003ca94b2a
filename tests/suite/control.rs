//! The control plane around databases: sides that RDS names, global clusters, settings, restored resources.

mod fake_rds;
mod moto;

use failback::model::{Side, StoreId};
use failback::profile::{CredentialsProfile, DatabaseProfile, Secret, SideProfile};
use failback::store::mysql::MysqlStore;
use failback::store::postgres::PostgresStore;
use failback::store::{ErrorKind, ReadStore, RowStore};
use serde_json::{Value as Json, json};

use self::fake_rds::{FakeRds, Holdings};
use crate::peers::{self, PostgresMajor};
use crate::rig::Home;

const ARN: [&str; 2] =
    ["arn:aws:rds:us-east-1:111122223333:cluster:books-home", "arn:aws:rds:us-west-2:111122223333:cluster:books-away"];

/// A side whose RDS is a fake one.
fn reached(rds: &FakeRds, region: &str) -> SideProfile {
    let credentials = CredentialsProfile {
        access_key_id: "test".into(),
        secret_access_key: Secret("test".into()),
        session_token: None,
    };
    SideProfile {
        region: region.into(),
        endpoint_url: Some(format!("http://127.0.0.1:{}", rds.port)),
        credentials: Some(credentials),
        ..crate::postgres::reached()
    }
}

fn instance(name: &str, engine: &str, port: u16) -> Json {
    json!({
        "DBInstanceIdentifier": name, "DbiResourceId": format!("db-{name}"), "Engine": engine, "EngineVersion": "16.4",
        "DBInstanceStatus": "available", "MasterUsername": "keeper", "DBInstanceClass": "db.r6g.large",
        "Endpoint": { "Address": "localhost", "Port": port }, "MultiAZ": true, "BackupRetentionPeriod": 14,
        "DeletionProtection": true, "StorageEncrypted": true, "IAMDatabaseAuthenticationEnabled": true,
        "CACertificateIdentifier": "rds-ca-rsa2048-g1", "DBSubnetGroup": { "DBSubnetGroupName": "private" },
        "VpcSecurityGroups/VpcSecurityGroupMembership": [{ "VpcSecurityGroupId": format!("sg-{name}"), "Status": "active" }],
        "DBParameterGroups/DBParameterGroup": [{ "DBParameterGroupName": "own", "ParameterApplyStatus": "in-sync" }],
    })
}

fn cluster(side: usize, engine: &str, port: u16) -> Json {
    let name = ARN[side].rsplit(':').next().expect("a name");
    json!({
        "DBClusterIdentifier": name, "DBClusterArn": ARN[side], "DbClusterResourceId": format!("cluster-{name}"),
        "Engine": engine, "EngineVersion": "16.4", "Status": "available", "Endpoint": "localhost", "Port": port,
        "ReaderEndpoint": "localhost", "MasterUsername": "keeper", "MultiAZ": true, "BackupRetentionPeriod": 14,
        "DeletionProtection": true, "StorageEncrypted": true, "IAMDatabaseAuthenticationEnabled": true,
        "DBSubnetGroup": "private", "DBClusterParameterGroup": "own",
    })
}

/// A global cluster whose writer is dr's member.
fn global(members: &[(usize, bool)]) -> Json {
    let members: Vec<Json> = members
        .iter()
        .map(|(side, is_writer)| {
            json!({ "DBClusterArn": ARN[*side], "IsWriter": is_writer, "SynchronizationStatus": "connected" })
        })
        .collect();
    json!({
        "GlobalClusterIdentifier": "books", "Status": "available", "Engine": "aurora-postgresql", "EngineVersion": "16.4",
        "GlobalClusterMembers/GlobalClusterMember": members,
    })
}

fn named(change: fn(&mut DatabaseProfile), user: &str, database: &str) -> DatabaseProfile {
    let mut named = DatabaseProfile {
        user: Some(user.into()),
        database: Some(database.into()),
        tls: Some(failback::profile::TlsMode::Disable),
        ..DatabaseProfile::default()
    };
    change(&mut named);
    named
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mysql_side_is_found_by_its_instance_or_cluster() {
    let Some(server) = peers::mariadb() else { return };
    crate::mysql::sql(&server, "", "CREATE DATABASE wiki;\nCREATE TABLE wiki.page (id INT PRIMARY KEY)").await;
    let rds = FakeRds::start(Holdings {
        instances: vec![instance("wiki", "mariadb", server.port), instance("other", "postgres", server.port)],
        clusters: vec![cluster(0, "aurora-mysql", server.port)],
        ..Holdings::default()
    });
    let side = reached(&rds, "us-east-1");
    let connect = async |database: DatabaseProfile| {
        MysqlStore::connect(StoreId("wiki".into()), Side::Dr, &side, &database, &["*".into()]).await
    };
    let by_instance: fn(&mut DatabaseProfile) = |one| one.instance = Some("wiki".into());
    let by_cluster: fn(&mut DatabaseProfile) = |one| one.cluster = Some("books-home".into());
    for (change, id) in [(by_instance, "db-wiki"), (by_cluster, "cluster-books-home")] {
        let store = connect(named(change, "root", "wiki")).await.expect("connected");
        assert_eq!(store.begin_scan(1).await.expect("a scan").partitions(), 1);
        let identity = store.identity().await.expect("an identity");
        assert!(identity.id.contains(id), "{identity:?}");
    }
    let other = connect(named(|one| one.instance = Some("other".into()), "root", "wiki")).await.err().expect("unfit");
    assert_eq!(other.to_string(), "other is postgres, not MySQL or MariaDB");
    let gone = connect(named(|one| one.instance = Some("gone".into()), "root", "wiki")).await.err().expect("missing");
    assert_eq!(gone.kind, ErrorKind::Missing);
    rds.change(|held| held.instances[0]["DBInstanceStatus"] = "rebooting".into());
    let away = connect(named(by_instance, "root", "wiki")).await.err().expect("unfit");
    assert_eq!(away.to_string(), "wiki is rebooting, not available");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_side_is_the_member_of_a_global_cluster_in_its_region() {
    let Some(server) = peers::postgres(PostgresMajor::V15) else { return };
    crate::postgres::sql(&server, "CREATE TABLE t (id int PRIMARY KEY)").await;
    let mut away = cluster(1, "aurora-postgresql", server.port);
    away["Endpoint"] = "nowhere.invalid".into();
    let rds = FakeRds::start(Holdings {
        clusters: vec![away],
        globals: vec![global(&[(0, true), (1, false)])],
        ..Holdings::default()
    });
    let database = || named(|one| one.global_cluster = Some("books".into()), "postgres", "postgres");
    let connect = async |region: &str| {
        let side = reached(&rds, region);
        PostgresStore::connect(StoreId("books".into()), Side::Dr, &side, &database(), &["public.*".into()]).await
    };
    // It is a reader, so that its writer endpoint leads nowhere.
    let store = connect("us-west-2").await.expect("connected");
    assert_eq!(store.begin_scan(1).await.expect("a scan").partitions(), 1);
    let error = connect("eu-west-1").await.err().expect("no member");
    assert_eq!(
        error.to_string(),
        "the Aurora global cluster books has no member in eu-west-1: its members are books-home in us-east-1 and \
         books-away in us-west-2"
    );
    rds.change(|held| held.globals.clear());
    assert_eq!(connect("us-west-2").await.err().expect("gone").kind, ErrorKind::Missing);
}

/// Two fake Regions and a profile of one store in them.
struct Estate {
    home: Home,
    rds: [FakeRds; 2],
}

impl Estate {
    fn new(holdings: [Holdings; 2], store: &str) -> Estate {
        Estate::of("postgres", holdings, &format!("tables = [\"public.*\"]\n{store}"))
    }

    fn of(kind: &str, holdings: [Holdings; 2], store: &str) -> Estate {
        let rds = holdings.map(FakeRds::start);
        let home = Home::new();
        let credentials = "credentials = { access_key_id = \"test\", secret_access_key = \"test\" }";
        let mut profile = "name = \"estate\"\ndisaster_at = 2026-11-22T03:10:00Z\n".to_owned();
        for (side, (region, rds)) in ["primary", "dr"].iter().zip([("us-east-1", &rds[0]), ("us-west-2", &rds[1])]) {
            let port = rds.port;
            profile += &format!(
                "[{side}]\nregion = \"{region}\"\nendpoint_url = \"http://127.0.0.1:{port}\"\n{credentials}\n"
            );
        }
        home.write("p.toml", &format!("{profile}[[store]]\nname = \"books\"\nkind = \"{kind}\"\n{store}"));
        Estate { home, rds }
    }

    /// What `check` prints, without the ports.
    fn checked(&self, code: i32) -> String {
        let out = self.home.run("check p.toml").exits(code).out;
        out.lines()
            .filter(|line| !line.contains("127.0.0.1") && !line.contains("localhost"))
            .map(|line| format!("{line}\n"))
            .collect()
    }
}

#[track_caller]
fn assert_golden(text: &str, name: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/control/golden").join(name);
    snapbox::assert_data_eq!(text, snapbox::Data::read_from(&path, None).raw());
}

const BY_GLOBAL: &str =
    "primary = { global_cluster = \"books\", database = \"postgres\", user = \"postgres\", tls = \"disable\" }
dr = { global_cluster = \"books\", database = \"postgres\", user = \"postgres\", tls = \"disable\" }
policy = { unattributed = \"dr-wins\" }
";

/// Two servers with a table of two rows, one of which differs.
async fn two_servers() -> Option<[peers::Server; 2]> {
    let servers = [peers::postgres(PostgresMajor::V15)?, peers::postgres(PostgresMajor::V15)?];
    for (server, value) in servers.iter().zip(["home", "away"]) {
        let rows =
            format!("CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, '{value}'), (2, 'same')");
        crate::postgres::sql(server, &rows).await;
    }
    Some(servers)
}

/// Has a server tell lags as Aurora's function does: dr is the writer, the primary is behind, as was reckoned a while ago.
async fn tell_lag(server: &peers::Server, durability_ms: &str, age: &str) {
    let function = format!(
        "CREATE OR REPLACE FUNCTION pg_catalog.aurora_global_db_status() RETURNS TABLE (aws_region text,
           highest_lsn_written bigint, durability_lag_in_msec real, rpo_lag_in_msec real,
           last_lag_calculation_time timestamptz, feedback_epoch bigint, feedback_xmin bigint) LANGUAGE sql AS $$ VALUES
           ('us-west-2', 93763984222, -1::real, -1::real, '1970-01-01 00:00:00+00'::timestamptz, 0::bigint, 0::bigint),
           ('us-east-1', 93763984222, {durability_ms}::real, 120, clock_timestamp() - interval '{age}', 2, 3315479243) $$"
    );
    crate::postgres::sql(server, &function).await;
}

async fn global_estate() -> Option<(Estate, [peers::Server; 2])> {
    let servers = two_servers().await?;
    let held = |side: usize| Holdings {
        clusters: vec![cluster(side, "aurora-postgresql", servers[side].port)],
        globals: vec![global(&[(1, true), (0, false)])],
        ..Holdings::default()
    };
    Some((Estate::new([held(0), held(1)], BY_GLOBAL), servers))
}

#[tokio::test(flavor = "multi_thread")]
async fn check_leads_a_global_cluster_home_and_a_rescue_saves_its_snapshot() {
    let Some((estate, servers)) = global_estate().await else { return };
    tell_lag(&servers[1], "300", "1 s").await;
    let snapshot = json!({
        "DBClusterSnapshotIdentifier": "rds:unplanned-global-failover-books-home-2026-11-22-03-12",
        "DBClusterIdentifier": "books-home", "SnapshotCreateTime": "2026-11-22T03:12:00Z", "Engine": "aurora-postgresql",
        "EngineVersion": "16.4", "Status": "available", "SnapshotType": "automated", "BackupRetentionPeriod": 7,
        "DBClusterSnapshotArn": "arn:aws:rds:us-east-1:111122223333:cluster-snapshot:rds:unplanned-global-failover-books-home-2026-11-22-03-12",
    });
    estate.rds[0].change(|held| held.snapshots.push(snapshot));
    let told = estate.checked(2);
    assert_golden(&told, "global.txt");
    // The copy is started once, whatever is run how often.
    let copy = "failback-unplanned-global-failover-books-home-2026-11-22-03-12";
    for _ in 0..2 {
        estate.home.run("checkpoint p.toml --rescue").exits(4).prints(copy).prints("in progress");
    }
    let done = estate.rds[0].done();
    let source = "rds:unplanned-global-failover-books-home-2026-11-22-03-12";
    let asked = format!(
        "CopyDBClusterSnapshot SourceDBClusterSnapshotIdentifier={source} TargetDBClusterSnapshotIdentifier={copy}"
    );
    assert_eq!((done, estate.rds[1].done()), (vec![asked], Vec::new()));
    estate.rds[0].change(|held| held.snapshots[1]["Status"] = "available".into());
    let saved = estate.home.run("checkpoint p.toml --rescue --json").exits(0).json();
    assert_eq!(saved["snapshots"][0]["state"], "completed");
    // With everything saved the switchover is told.
    let told = estate.checked(2);
    let switch = "aws rds switchover-global-cluster --region us-west-2 --global-cluster-identifier books \
        --target-db-cluster-identifier arn:aws:rds:us-east-1:111122223333:cluster:books-home";
    assert!(told.contains(switch), "{told}");
    estate.rds[1].change(|held| held.denied.push("DescribeDBClusterSnapshots"));
    let told = estate.checked(2);
    assert!(!told.contains(switch) && told.contains("the snapshots of us-west-2 could not be listed"), "{told}");
}

/// The lag is asked of dr's own server, by a function of the name and the shape that Aurora's has.
#[tokio::test(flavor = "multi_thread")]
async fn the_lag_of_a_global_cluster_holds_its_switchover_back() {
    let Some((estate, servers)) = global_estate().await else { return };
    let switch = "aws rds switchover-global-cluster";
    let query = "SELECT aws_region, durability_lag_in_msec, rpo_lag_in_msec FROM aurora_global_db_status()";
    let held = |words: &str| {
        let told = estate.checked(2);
        assert!(told.contains(words) && told.contains(query) && !told.contains(switch), "{words}: {told}");
    };
    held(
        "[unknown] wait until the group is at rest, connected and of low lag; now: the lag of books-home is not known",
    );
    tell_lag(&servers[1], "3200", "1 s").await;
    held(
        "[now] wait until the group is at rest, connected and of low lag; now: the lag of books-home is 3.2 s, waits until below 1 s",
    );
    tell_lag(&servers[1], "NULL", "1 s").await;
    held("the lag of books-home is not known: the database tells no lag of us-east-1");
    tell_lag(&servers[1], "0", "10 min").await;
    held("not known: the database reckoned the lag of us-east-1 60");
    tell_lag(&servers[1], "999", "1 s").await;
    let told = estate.checked(2);
    assert!(told.contains("[done] the group is at rest and connected, and books-home is 1.0 s behind"), "{told}");
    assert!(told.contains(switch), "{told}");
    crate::postgres::sql(&servers[1], "DROP FUNCTION pg_catalog.aurora_global_db_status()").await;
    held("not known: cannot ask for the lag of the global cluster");
}

/// No table can be made in information_schema, so that MariaDB is a server that does not tell.
#[tokio::test(flavor = "multi_thread")]
async fn a_mysql_server_that_tells_no_lag_holds_the_switchover_back() {
    let (Some(home), Some(away)) = (peers::mariadb(), peers::mariadb()) else { return };
    for server in [&home, &away] {
        crate::mysql::sql(server, "", "CREATE DATABASE wiki;\nCREATE TABLE wiki.page (id INT PRIMARY KEY)").await;
    }
    let servers = [home, away];
    let held = |side: usize| {
        let mut global = global(&[(1, true), (0, false)]);
        global["Engine"] = "aurora-mysql".into();
        Holdings {
            clusters: vec![cluster(side, "aurora-mysql", servers[side].port)],
            globals: vec![global],
            ..Holdings::default()
        }
    };
    let sides: String = ["primary", "dr"]
        .map(|side| {
            format!(
                "{side} = {{ global_cluster = \"books\", database = \"wiki\", user = \"root\", tls = \"disable\" }}\n"
            )
        })
        .concat();
    let estate = Estate::of("mysql", [held(0), held(1)], &format!("tables = [\"*\"]\n{sides}"));
    let told = estate.checked(2);
    for words in [
        "[unknown] wait until the group is at rest, connected and of low lag; now: the lag of books-home is not known: \
         cannot ask for the lag of the global cluster",
        "SELECT aws_region, durability_lag_in_milliseconds, rpo_lag_in_milliseconds FROM \
         information_schema.aurora_global_db_status",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    assert!(!told.contains("aws rds switchover-global-cluster"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_row_is_written_into_a_member_of_a_global_cluster() {
    let Some((estate, servers)) = global_estate().await else { return };
    let value = async || {
        let url = format!("postgres://postgres@127.0.0.1:{}/postgres", servers[0].port);
        let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.expect("connected");
        tokio::spawn(connection);
        client.query_one("SELECT v FROM t WHERE id = 1", &[]).await.expect("a row").get::<_, String>(0)
    };
    estate.home.run("plan p.toml").exits(0);
    let why = "nothing was written to books primary: books-home is a reader of the Aurora global cluster books";
    estate.home.run("replay p.toml --apply --yes").exits(4).says(why);
    estate.rds[0].change(|held| held.denied.push("DescribeGlobalClusters"));
    estate.home.run("replay p.toml --apply --yes").exits(4);
    assert_eq!(value().await, "home");
    // Taken out of its group, it is a cluster like any other.
    estate.rds[0].change(|held| (held.denied, held.globals) = (Vec::new(), vec![global(&[(0, true)])]));
    estate.home.run("replay p.toml --apply --yes").exits(0);
    assert_eq!(value().await, "away");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_compares_the_settings_of_both_sides() {
    let Some(servers) = two_servers().await else { return };
    let (home, mut away) =
        (instance("books", "postgres", servers[0].port), instance("books-dr", "postgres", servers[1].port));
    for (field, value) in [
        ("MultiAZ", json!(false)),
        ("BackupRetentionPeriod", json!(1)),
        ("DeletionProtection", json!(false)),
        ("CACertificateIdentifier", json!("rds-ca-ecc384-g1")),
    ] {
        away[field] = value;
    }
    away["DBParameterGroups/DBParameterGroup"][0]["ParameterApplyStatus"] = "pending-reboot".into();
    let held = |instance: Json, set: &[(&str, &str)]| Holdings {
        instances: vec![instance],
        parameters: [(
            "own".to_owned(),
            set.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
        )]
        .into(),
        ..Holdings::default()
    };
    let estate = Estate::new(
        [held(home, &[("work_mem", "65536"), ("max_connections", "500")]), held(away, &[("max_connections", "100")])],
        "primary = { instance = \"books\", database = \"postgres\", user = \"postgres\", tls = \"disable\" }
dr = { instance = \"books-dr\", database = \"postgres\", user = \"postgres\", tls = \"disable\" }\n",
    );
    let told = estate.checked(0);
    assert_golden(&told, "settings.txt");
    assert!(
        estate.home.run("report p.toml").exits(0).out.contains("backup retention: 14 days on the primary, 1 day on dr")
    );
    assert_eq!((estate.rds[0].done(), estate.rds[1].done()), (Vec::new(), Vec::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_instance_is_mapped_renamed_by_hand_and_imported() {
    let Some(servers) = two_servers().await else { return };
    let job = |source: &str, created: &str| {
        json!({
            "RestoreJobId": "5B06-1", "Status": "COMPLETED", "RecoveryPointCreationDate": 1_795_316_400,
            "SourceResourceArn": source, "CreatedResourceArn": created,
        })
    };
    let original = "arn:aws:rds:us-east-1:111122223333:db:books";
    let held = |instance: Json, job: Json| Holdings {
        instances: vec![instance],
        restore_jobs: vec![job],
        ..Holdings::default()
    };
    let estate = Estate::new(
        [
            held(
                instance("books-2", "postgres", servers[0].port),
                job(original, "arn:aws:rds:us-east-1:111122223333:db:books-2"),
            ),
            held(
                instance("books-dr", "postgres", servers[1].port),
                job(original, "arn:aws:rds:us-west-2:111122223333:db:books-dr"),
            ),
        ],
        "primary = { instance = \"books-2\", database = \"postgres\", user = \"postgres\", tls = \"disable\" }
dr = { instance = \"books-dr\", database = \"postgres\", user = \"postgres\", tls = \"disable\" }\n",
    );
    // What RDS retains of the original tells some of what it had.
    let retained = json!({
        "DBInstanceIdentifier": "books", "DbiResourceId": "db-books", "Status": "retained", "BackupRetentionPeriod": 30,
        "OptionGroupName": "audited",
    });
    estate.rds[0].change(|held| held.automated_backups.push(retained));
    estate.home.run("report p.toml --iac out").exits(2).says("failback check");
    let told = estate.checked(0);
    assert_golden(&told, "restored.txt");
    estate.home.run("report p.toml --iac out").exits(0).says("out");
    let import: hcl_edit::structure::Body = estate.home.read("out/terraform-2-import.tf").parse().expect("HCL");
    let block = import.blocks().next().expect("a block");
    assert_eq!(block.body.get_attribute("id").and_then(|id| id.value.as_str()), Some("books"));
    let listed: Json = serde_json::from_str(&estate.home.read("out/cloudformation-import.json")).expect("JSON");
    assert_eq!(listed[0]["ResourceIdentifier"]["DBInstanceIdentifier"], "books");
    let manual = estate.home.read("out/README.md");
    assert!(
        manual.contains("backup retention: 14 days (original: 30 days); Multi-AZ: on; deletion protection: on"),
        "{manual}"
    );
    assert!(manual.contains("where the original had any: option group, master password."), "{manual}");
    // Files of a person are not written over.
    estate.home.run("report p.toml --iac out").exits(2).says("README.md");
    assert_eq!((estate.rds[0].done(), estate.rds[1].done()), (Vec::new(), Vec::new()));
    estate.rds[0].change(|held| held.instances.push(instance("books", "postgres", 1)));
    assert!(estate.checked(0).contains("books-before-failback"));
}

/// The emulator's tables tell nothing of the restore that made them, so that only the name is left; what a table tells itself
/// is read in the documented shape, beside the code.
#[tokio::test(flavor = "multi_thread")]
async fn a_restored_table_is_mapped_to_its_original_and_cannot_be_renamed() {
    use crate::rig::{DR, PRIMARY, Regions, TABLE, reading};

    let Some(regions) = Regions::start().await else { return };
    let client = &regions.tables[PRIMARY];
    regions.put(PRIMARY, reading("a", 1, "x")).await;
    regions.put(DR, reading("a", 1, "x")).await;
    let backup =
        client.create_backup().table_name(TABLE[PRIMARY]).backup_name("nightly").send().await.expect("a backup");
    let arn = backup.backup_details.expect("details").backup_arn;
    let restore = client.restore_table_from_backup().backup_arn(arn).target_table_name(TABLE[DR]);
    restore.send().await.expect("restored");
    let home = Home::new();
    let store = format!(
        "[[store]]\nname = \"sensors\"\nkind = \"dynamodb\"\nprimary = {{ table = \"{}\" }}\ndr = {{ table = \"{}\" }}\n",
        TABLE[DR], TABLE[DR]
    );
    home.write("p.toml", &format!("name = \"sensors\"\n{}{store}", regions.sides()));
    let there = home.run("check p.toml").exits(0);
    let from = "the table sensors-restored was restored from the table sensors in us-east-1, by its name alone";
    let there = there.prints(from).prints("its original, the table sensors, is still there");
    assert!(!there.out.contains("aws dynamodb restore-table"), "{}", there.out);
    client.delete_table().table_name(TABLE[PRIMARY]).send().await.expect("deleted");
    let again = "aws dynamodb restore-table-to-point-in-time --region us-east-1 --source-table-name sensors-restored \
        --target-table-name sensors --use-latest-restorable-time";
    home.run("check p.toml").exits(0).prints("its original, the table sensors, is gone").prints(again);
    home.run("report p.toml --iac out").exits(0);
    assert!(home.read("out/terraform-2-import.tf").contains("id = \"sensors-restored\""));
    let manual = home.read("out/README.md");
    assert!(manual.contains("stream and stream ARN: off; time to live: off; point-in-time recovery: off"), "{manual}");
}

/// A restore job of S3, in the shape that AWS Backup's model documents; the buckets are real.
#[tokio::test(flavor = "multi_thread")]
async fn a_restored_bucket_is_mapped_to_its_original_and_imported() {
    use crate::rig::{BUCKET, DR, PRIMARY, Regions};

    let Some(regions) = Regions::start().await else { return };
    for side in [PRIMARY, DR] {
        regions.put_object(side, "a.png", "a picture").await;
    }
    let job = |id: &str, created: &str| {
        json!({
            "RestoreJobId": id, "Status": "COMPLETED", "ResourceType": "S3", "RecoveryPointCreationDate": 1_795_316_400,
            "SourceResourceArn": "arn:aws:s3:::maps", "CreatedResourceArn": format!("arn:aws:s3:::{created}"),
        })
    };
    let jobs = vec![job("5B06-1", BUCKET[PRIMARY]), job("5B06-2", BUCKET[DR])];
    let backup = FakeRds::start(Holdings { restore_jobs: jobs, ..Holdings::default() });
    let home = Home::new();
    let asked = format!("endpoints.backup = \"http://127.0.0.1:{}\"\ncredentials =", backup.port);
    let sides = regions.sides().replace("credentials =", &asked);
    let (one, other) = (BUCKET[PRIMARY], BUCKET[DR]);
    let store = format!(
        "[[store]]\nname = \"maps\"\nkind = \"s3\"\nprimary = {{ bucket = \"{one}\" }}\ndr = {{ bucket = \"{other}\" }}\n"
    );
    home.write("p.toml", &format!("name = \"maps\"\n{sides}{store}"));
    let told = home.run("check p.toml").exits(0);
    let from = "was restored from the bucket maps in its Region as of 2026-11-22T03:00:00Z, by AWS Backup restore job";
    let told =
        told.prints(&format!("the bucket {one} {from} 5B06-1")).prints(&format!("the bucket {other} {from} 5B06-2"));
    let told = told.prints("its original, the bucket maps, is gone");
    told.prints(&format!("a bucket cannot be renamed: point what uses maps at {one}"));
    regions.buckets[PRIMARY].make_bucket("maps", true).await;
    home.run("check p.toml").exits(0).prints("its original, the bucket maps, is still there");
    home.run("report p.toml --iac out").exits(0);
    assert!(home.read("out/terraform-2-import.tf").contains(&format!("id = \"{one}\"")));
    let manual = home.read("out/README.md");
    assert!(manual.contains(&format!("the bucket {one} in us-east-1 takes the place of maps")), "{manual}");
    assert!(manual.contains("versioning: on (as the original); lifecycle rules: none (as the original)"), "{manual}");
}
