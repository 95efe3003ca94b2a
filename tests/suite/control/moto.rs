//! The control plane against an emulator that renames, restores and copies between Regions: what is printed is run by the
//! AWS CLI. What it cannot do (a switchover, restore jobs, the state of a global cluster's replication) stays with recorded
//! shapes.

use std::io::{Read, Write};
use std::net::TcpStream;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value as Json;

use super::two_servers;
use crate::peers::{self, Server};
use crate::rig::{Home, Ran};

const REGION: [&str; 2] = ["us-east-1", "us-west-2"];
const VERSIONS: [(&str, &str); 2] = [("rds", "2014-10-31"), ("ec2", "2016-11-15")];

/// Two emulated Regions, two real servers for their databases, and a folder for the program.
struct Estate {
    home: Home,
    moto: Server,
    servers: [Server; 2],
}

impl Estate {
    async fn start() -> Option<Estate> {
        Some(Estate { home: Home::new(), moto: peers::moto()?, servers: two_servers().await? })
    }

    fn rds(&self, side: usize, action: &str, fields: &[&str]) -> String {
        ask(self.moto.port, (side, "rds"), action, fields)
    }

    /// An instance of PostgreSQL that the server of its side stands for.
    fn make_instance(&self, side: usize, name: &str, settings: &[&str]) {
        let (name, port) = (format!("DBInstanceIdentifier={name}"), format!("Port={}", self.servers[side].port));
        let own = [
            name.as_str(),
            &port,
            "Engine=postgres",
            "EngineVersion=16.4",
            "DBInstanceClass=db.t3.micro",
            "AllocatedStorage=20",
            "MasterUsername=postgres",
            "MasterUserPassword=none-is-asked",
            "DBParameterGroupName=own",
        ];
        self.rds(side, "CreateDBInstance", &[&own[..], settings].concat());
    }

    fn make_cluster(&self, side: usize, name: &str, settings: &[&str]) {
        let (name, port) = (format!("DBClusterIdentifier={name}"), format!("Port={}", self.servers[side].port));
        let own = [
            name.as_str(),
            &port,
            "Engine=aurora-postgresql",
            "EngineVersion=16.4",
            "MasterUsername=postgres",
            "MasterUserPassword=none-is-asked",
            "DBClusterParameterGroupName=own",
        ];
        self.rds(side, "CreateDBCluster", &[&own[..], settings].concat());
        // It is creating when it is looked at first, and available from then on.
        self.rds(side, "DescribeDBClusters", &[]);
    }

    /// Parameter groups `own` for instances and for clusters, with these parameters set; groups of the emulator's own cannot be
    /// read.
    fn make_groups(&self, side: usize, parameters: &[(&str, &str)]) {
        for kind in ["DB", "DBCluster"] {
            let (family, name) = (format!("{kind}ParameterGroupName=own"), "DBParameterGroupFamily=postgres16");
            self.rds(side, &format!("Create{kind}ParameterGroup"), &[&family, name, "Description=own"]);
            let mut fields = vec![family];
            for (at, (name, value)) in parameters.iter().enumerate() {
                let parameter = format!("Parameters.Parameter.{}", at + 1);
                fields.push(format!("{parameter}.ParameterName={name}"));
                fields.push(format!("{parameter}.ParameterValue={value}"));
                fields.push(format!("{parameter}.ApplyMethod=pending-reboot"));
            }
            let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
            self.rds(side, &format!("Modify{kind}ParameterGroup"), &fields);
        }
    }

    /// A profile of one store whose sides are named so.
    fn profile(&self, sides: [&str; 2]) {
        let mut profile = format!(
            "name = \"estate\"\ndisaster_at = 2026-11-22T03:10:00Z\n{}[[store]]\nname = \"books\"\nkind = \"postgres\"\ntables = [\"public.*\"]\n",
            crate::rig::sides_on_port(self.moto.port)
        );
        for (side, named) in ["primary", "dr"].iter().zip(sides) {
            profile +=
                &format!("{side} = {{ {named}, database = \"postgres\", user = \"postgres\", tls = \"disable\" }}\n");
        }
        self.home.write("p.toml", &profile);
    }

    /// Runs a command line as a person would who copied it.
    #[track_caller]
    fn type_in(&self, command: &str) {
        let output = peers::aws_cli(self.moto.port, command).output().expect("a shell");
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// A field of what the AWS CLI shows.
    fn shown(&self, command: &str, pointer: &str) -> Option<String> {
        let output = peers::aws_cli(self.moto.port, command).output().expect("a shell");
        let shown: Json = serde_json::from_slice(&output.stdout).ok()?;
        shown.pointer(pointer).and_then(Json::as_str).map(str::to_owned)
    }
}

/// A security group at an emulator, with rules of `protocol port` from networks; gives its id.
fn security_group(port: u16, side: usize, name: &str, rules: &[(u16, &str)]) -> String {
    let make = [&format!("GroupName={name}")[..], "GroupDescription=a group"];
    let made = ask(port, (side, "ec2"), "CreateSecurityGroup", &make);
    let (_, id) = made.split_once("<groupId>").expect("an id");
    let id = id.split('<').next().expect("an id").to_owned();
    for (port_let_in, whom) in rules {
        // A network, or the id of a group.
        let whom = match whom.starts_with("sg-") {
            true => format!("IpPermissions.1.Groups.1.GroupId={whom}"),
            false => format!("IpPermissions.1.IpRanges.1.CidrIp={whom}"),
        };
        let (group, from) = (format!("GroupId={id}"), format!("IpPermissions.1.FromPort={port_let_in}"));
        let to = format!("IpPermissions.1.ToPort={port_let_in}");
        let fields = [&group[..], "IpPermissions.1.IpProtocol=tcp", &from, &to, &whom];
        ask(port, (side, "ec2"), "AuthorizeSecurityGroupIngress", &fields);
    }
    id
}

/// What security groups let in, by the EC2 of this emulator.
#[tokio::test(flavor = "multi_thread")]
async fn security_groups_are_compared_by_their_rules() {
    let Some(estate) = Estate::start().await else { return };
    let Some(ministack) = peers::ministack() else { return };
    for side in [0, 1] {
        estate.make_groups(side, &[]);
        estate.make_instance(side, ["books", "books-dr"][side], &[]);
    }
    for ec2 in [estate.moto.port, ministack.port] {
        let mut listed = Vec::new();
        for (side, network) in [(0, "10.0.0.0/16"), (1, "10.1.0.0/16")] {
            let app = security_group(ec2, side, "app", &[]);
            let db = security_group(ec2, side, "db", &[(5432, network), (5432, &app), (22, "192.0.2.7/32")]);
            let (name, group) = (["books", "books-dr"][side], format!("VpcSecurityGroupIds.VpcSecurityGroupId.1={db}"));
            estate.rds(side, "ModifyDBInstance", &[&format!("DBInstanceIdentifier={name}"), &group]);
            listed.push(db);
        }
        estate.profile(["instance = \"books\"", "instance = \"books-dr\""]);
        let profile = estate
            .home
            .read("p.toml")
            .replace("credentials =", &format!("endpoints.ec2 = \"http://127.0.0.1:{ec2}\"\ncredentials ="));
        estate.home.write("p.toml", &profile);
        let told = estate.home.run("check p.toml").exits(0);
        let told = told.prints("only the primary lets in tcp 5432 from 10.0.0.0/16");
        let told = told.prints("only dr lets in tcp 5432 from 10.1.0.0/16");
        // The groups `app` have ids of their own, and every group lets out everything.
        let both = format!("security groups {} and {} have 3 rules in common", listed[0], listed[1]);
        told.prints(&both).prints(&format!("--region us-west-2 --group-ids {}", listed[1]));
    }
    let gone = "VpcSecurityGroupIds.VpcSecurityGroupId.1=sg-0123456789abcdef0";
    estate.rds(1, "ModifyDBInstance", &["DBInstanceIdentifier=books-dr", gone]);
    let told = estate.home.run("check p.toml").exits(0);
    told.prints("what these let in is not compared (dr: cannot ask EC2 (DescribeSecurityGroups): Invalid");
}

/// Asks a service of a Region in the query protocol, `fields` as `Name=value`; gives the reply as it came.
#[track_caller]
fn ask(port: u16, (side, service): (usize, &str), action: &str, fields: &[&str]) -> String {
    let (_, version) = VERSIONS.iter().find(|(known, _)| *known == service).expect("a service");
    let mut body = format!("Action={action}&Version={version}");
    for field in fields {
        let (name, value) = field.split_once('=').expect("a field");
        body += &format!("&{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC));
    }
    // The emulator takes the service and the Region from the signature, and does not check that.
    let scope = format!("Credential=test/20261127/{}/{service}/aws4_request", REGION[side]);
    let request = format!(
        "POST / HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\ncontent-type: application/x-www-form-urlencoded\r\n\
         authorization: AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=none\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("connected");
    stream.write_all(request.as_bytes()).expect("asked");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).expect("answered");
    assert!(reply.starts_with("HTTP/1.1 200"), "{action}: {reply}");
    reply
}

/// The commands of this program's, as they were printed.
fn commands<'a>(ran: &'a Ran, beginning: &str) -> Vec<&'a str> {
    ran.out.lines().map(str::trim).filter(|line| line.starts_with(beginning)).collect()
}

/// A snapshot is copied to the other Region and restored there; the primary is restored to a point in time beside itself.
#[tokio::test(flavor = "multi_thread")]
async fn an_instance_is_compared_and_takes_over_its_name_by_the_printed_commands() {
    let Some(estate) = Estate::start().await else { return };
    estate.make_groups(0, &[("work_mem", "65536"), ("max_connections", "500")]);
    estate.make_groups(1, &[("max_connections", "100")]);
    let settings = ["BackupRetentionPeriod=14", "MultiAZ=true", "DeletionProtection=true"];
    estate.make_instance(0, "books", &settings);
    estate.rds(0, "CreateDBSnapshot", &["DBInstanceIdentifier=books", "DBSnapshotIdentifier=saved"]);
    let source = "SourceDBSnapshotIdentifier=arn:aws:rds:us-east-1:123456789012:snapshot:saved";
    estate.rds(1, "CopyDBSnapshot", &[source, "TargetDBSnapshotIdentifier=saved", "SourceRegion=us-east-1"]);
    let port = format!("Port={}", estate.servers[1].port);
    // A restore of the emulator's keeps protection and Multi-AZ, which one of RDS's does not.
    let restore = ["DBSnapshotIdentifier=saved", "DBInstanceIdentifier=books-dr", &port];
    estate.rds(1, "RestoreDBInstanceFromDBSnapshot", &restore);
    let lost = ["BackupRetentionPeriod=1", "MultiAZ=false", "DeletionProtection=false", "DBParameterGroupName=own"];
    let modified = [&["DBInstanceIdentifier=books-dr", "ApplyImmediately=true"][..], &lost].concat();
    estate.rds(1, "ModifyDBInstance", &modified);
    let target = ["SourceDBInstanceIdentifier=books", "TargetDBInstanceIdentifier=books-restored"];
    let restored = [&target[..], &["UseLatestRestorableTime=true", "DBInstanceClass=db.r6g.large"]].concat();
    estate.rds(0, "RestoreDBInstanceToPointInTime", &restored);
    estate.rds(0, "ModifyDBInstance", &["DBInstanceIdentifier=books-restored", "BackupRetentionPeriod=7"]);

    estate.profile(["instance = \"books-restored\"", "instance = \"books-dr\""]);
    let told = estate.home.run("check p.toml").exits(0);
    for words in [
        "backup retention: 7 days on the primary, 1 day on dr",
        "deletion protection: on on the primary, off on dr",
        "Multi-AZ: on on the primary, off on dr",
        "instance class: db.r6g.large on the primary, db.t3.micro on dr",
        "parameter work_mem: 65536 on the primary, the engine's default on dr",
        "parameter max_connections: 500 on the primary, 100 on dr",
        // The emulator has no restore jobs, so that the name alone tells.
        "which resources were restored from what is only known by their names",
        "the instance books-restored was restored from the instance books in us-east-1, by its name alone",
        "its original, the instance books, is still there",
    ] {
        assert!(told.out.contains(words), "{words}: {}", told.out);
    }
    estate.home.run("report p.toml --iac out").exits(0);
    let manual = estate.home.read("out/README.md");
    for words in ["backup retention: 7 days (original: 14 days)", "parameter group: own (as the original)"] {
        assert!(manual.contains(words), "{words}: {manual}");
    }
    let steps = commands(&told, "aws rds ");
    assert_eq!(steps.len(), 4, "two renames and two waits: {steps:?}");
    for step in steps {
        estate.type_in(step);
    }
    let class = |name: &str| {
        let look = format!("aws rds describe-db-instances --region us-east-1 --db-instance-identifier {name}");
        estate.shown(&look, "/DBInstances/0/DBInstanceClass")
    };
    assert_eq!(class("books").as_deref(), Some("db.r6g.large"), "the copy has the name");
    assert_eq!(class("books-before-failback").as_deref(), Some("db.t3.micro"));
    assert_eq!(class("books-restored"), None);
    // Whoever forgets the profile is not led to rename the copy away.
    let told = estate.home.run("check p.toml").exits(2);
    let told = told.prints("books-restored is not there, and books is: it may have been renamed to that already");
    assert_eq!(commands(&told, "aws rds "), [""; 0]);
    estate.profile(["instance = \"books\"", "instance = \"books-dr\""]);
    let told = estate.home.run("check p.toml").exits(0);
    assert!(!told.out.contains("takes the place of"), "{}", told.out);
    // One of the commands that put a difference right, on dr's side.
    let protect = "aws rds modify-db-instance --region us-west-2 --db-instance-identifier books-dr --deletion-protection \
        --apply-immediately";
    assert!(told.out.contains(protect), "{}", told.out);
    estate.type_in(protect);
    let told = estate.home.run("check p.toml").exits(0);
    assert!(!told.out.contains("deletion protection"), "{}", told.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_takes_over_its_name_by_the_printed_commands() {
    let Some(estate) = Estate::start().await else { return };
    for side in [0, 1] {
        estate.make_groups(side, &[("work_mem", "65536")]);
    }
    estate.make_cluster(0, "books", &["BackupRetentionPeriod=14"]);
    estate.make_cluster(1, "books-dr", &["BackupRetentionPeriod=7"]);
    let restored = ["SourceDBClusterIdentifier=books", "DBClusterIdentifier=books-restored"];
    estate.rds(0, "RestoreDBClusterToPointInTime", &[&restored[..], &["UseLatestRestorableTime=true"]].concat());
    estate.rds(0, "DescribeDBClusters", &[]);
    estate.profile(["cluster = \"books-restored\"", "cluster = \"books-dr\""]);
    let told = estate.home.run("check p.toml").exits(0);
    let told = told.prints("backup retention: 14 days on the primary, 7 days on dr");
    let told = told.prints("the cluster books-restored takes the place of books");
    let id = |name: &str| {
        let look = format!("aws rds describe-db-clusters --region us-east-1 --db-cluster-identifier {name}");
        estate.shown(&look, "/DBClusters/0/DbClusterResourceId")
    };
    let (original, copy) = (id("books"), id("books-restored"));
    for step in commands(&told, "aws rds ") {
        estate.type_in(step);
    }
    assert_eq!((id("books"), id("books-before-failback"), id("books-restored")), (copy, original, None));
    estate.profile(["cluster = \"books\"", "cluster = \"books-dr\""]);
    estate.home.run("check p.toml").exits(0);
}

/// The emulator tells no state of replication and cannot switch over, so that the switchover is never told here.
#[tokio::test(flavor = "multi_thread")]
async fn a_global_cluster_is_led_and_its_snapshot_is_saved_and_restored() {
    let Some(estate) = Estate::start().await else { return };
    for side in [0, 1] {
        estate.make_groups(side, &[]);
    }
    let engine = ["GlobalClusterIdentifier=books", "Engine=aurora-postgresql", "EngineVersion=16.4"];
    estate.rds(1, "CreateGlobalCluster", &engine);
    // The first member is the writer.
    estate.make_cluster(1, "books-away", &["GlobalClusterIdentifier=books"]);
    estate.make_cluster(0, "books-home", &["GlobalClusterIdentifier=books"]);
    // The emulator cannot restore a snapshot of a global cluster's member: this one is of a cluster by itself.
    estate.make_cluster(0, "books-before", &[]);
    // It lets anybody use RDS's own prefix, and calls such a snapshot manual.
    let snapshot = "rds:unplanned-global-failover-books-home-2026-11-22-03-12";
    let named = format!("DBClusterSnapshotIdentifier={snapshot}");
    estate.rds(0, "CreateDBClusterSnapshot", &["DBClusterIdentifier=books-before", &named]);
    estate.profile(["global_cluster = \"books\"", "global_cluster = \"books\""]);
    let told = estate.home.run("check p.toml").exits(2);
    let told = told.prints("books-home is a reader of the Aurora global cluster books");
    let told = told.prints("the synchronisation of books-home is not told, not connected");
    let told = told.prints("the lag of books-home is not known");
    let told = told.prints(&format!("save {snapshot} in us-east-1 at once"));
    assert!(!told.out.contains("aws rds switchover-global-cluster"), "{}", told.out);

    let copy = "failback-unplanned-global-failover-books-home-2026-11-22-03-12";
    estate.home.run("checkpoint p.toml --rescue");
    let saved = estate.home.run("checkpoint p.toml --rescue --json").exits(0).json();
    assert_eq!((&saved["snapshots"][0]["copy"], &saved["snapshots"][0]["state"]), (&copy.into(), &"completed".into()));
    let told = estate.home.run("check p.toml").exits(2);
    let told = told.prints(&format!("{snapshot} in us-east-1 is saved as {copy}"));
    let restore = commands(&told, "aws rds restore-db-cluster-from-snapshot");
    let instance = commands(&told, "aws rds create-db-instance");
    let [restore, instance] =
        [restore, instance].map(|found| found.first().expect("a command").replace("CLASS", "db.r6g.large"));
    estate.type_in(&restore);
    estate.type_in(&instance);
    let look = "aws rds describe-db-clusters --region us-east-1 --db-cluster-identifier books-stranded";
    assert_eq!(
        estate.shown(look, "/DBClusters/0/DBClusterMembers/0/DBInstanceIdentifier").as_deref(),
        Some("books-stranded-1")
    );
}
