//! The runbook names every right that the program needs: whoever writes an IAM policy by it is not surprised at night.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Every operation of DynamoDB and of its streams, as the SDK's clients name them; the right has the same name.
const DYNAMODB: &str = "batch_execute_statement batch_get_item batch_write_item create_backup create_global_table \
    create_table delete_backup delete_item delete_resource_policy delete_table describe_backup \
    describe_continuous_backups describe_contributor_insights describe_endpoints describe_export describe_global_table \
    describe_global_table_settings describe_import describe_kinesis_streaming_destination describe_limits describe_table \
    describe_table_replica_auto_scaling describe_time_to_live disable_kinesis_streaming_destination \
    enable_kinesis_streaming_destination execute_statement execute_transaction export_table_to_point_in_time get_item \
    get_resource_policy import_table list_backups list_contributor_insights list_exports list_global_tables list_imports \
    list_tables list_tags_of_resource put_item put_resource_policy query restore_table_from_backup \
    restore_table_to_point_in_time scan tag_resource transact_get_items transact_write_items untag_resource \
    update_continuous_backups update_contributor_insights update_global_table update_global_table_settings update_item \
    update_kinesis_streaming_destination update_table update_table_replica_auto_scaling update_time_to_live \
    describe_stream get_records get_shard_iterator list_streams";

/// How the names of S3's operations begin.
const S3_VERBS: [&str; 15] = [
    "get_object",
    "get_bucket",
    "put_object",
    "put_bucket",
    "head_object",
    "head_bucket",
    "list_object",
    "list_bucket",
    "list_multipart",
    "list_parts",
    "delete_object",
    "create_multipart",
    "complete_multipart",
    "abort_multipart",
    "upload_part",
];

/// S3's operations and the rights that they take, where those are named otherwise.
const S3_RIGHTS: [(&str, &str); 15] = [
    ("complete_multipart_upload", "PutObject"),
    ("create_multipart_upload", "PutObject"),
    ("upload_part", "PutObject"),
    ("upload_part_copy", "PutObject"),
    ("get_bucket_encryption", "GetEncryptionConfiguration"),
    ("get_bucket_lifecycle_configuration", "GetLifecycleConfiguration"),
    ("get_bucket_notification_configuration", "GetBucketNotification"),
    ("get_bucket_replication", "GetReplicationConfiguration"),
    ("get_object_lock_configuration", "GetBucketObjectLockConfiguration"),
    ("head_bucket", "ListBucket"),
    ("head_object", "GetObject"),
    ("list_buckets", "ListAllMyBuckets"),
    ("list_multipart_uploads", "ListBucketMultipartUploads"),
    ("list_object_versions", "ListBucketVersions"),
    ("list_objects_v2", "ListBucket"),
];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let all = entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] });
    all.filter(|path| path.extension().is_some_and(|end| end == "rs") && !path.ends_with("tests.rs")).collect()
}

/// The names of all calls without arguments below these folders: an operation of an SDK's client begins as one.
fn calls(folders: &[&str]) -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = BTreeSet::new();
    for path in folders.iter().flat_map(|folder| sources(&root.join(folder))) {
        let text = std::fs::read_to_string(path).expect("a source file");
        let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        for after in text.split('.').skip(1) {
            let end = after.find(|c| !is_name(c)).unwrap_or(after.len());
            if after[end..].starts_with("()") {
                found.insert(after[..end].to_owned());
            }
        }
    }
    found
}

/// `describe_table` as `DescribeTable`.
fn camel(call: &str) -> String {
    let capital = |word: &str| word[..1].to_uppercase() + &word[1..];
    call.split('_').map(capital).collect()
}

#[track_caller]
fn assert_named(service: &str, call: &str, right: &str) {
    let runbook = include_str!("../../docs/runbook.md");
    let is_named = runbook.contains(&format!("`{service}:{right}`")) || runbook.contains(&format!("`{right}`"));
    assert!(is_named, "docs/runbook.md, \"Rights\", lacks {service}:{right}, which {call}() takes");
}

#[test]
fn the_runbook_names_every_right_that_dynamodb_asks_for() {
    let operations: BTreeSet<&str> = DYNAMODB.split_whitespace().collect();
    let called = calls(&["src/store/dynamodb", "src/discover"]);
    let called: Vec<&String> = called.iter().filter(|call| operations.contains(call.as_str())).collect();
    for known in ["describe_table", "describe_time_to_live", "scan", "put_item", "get_records", "list_tables"] {
        assert!(called.iter().any(|call| *call == known), "{known} is called: {called:?}");
    }
    called.iter().for_each(|call| assert_named("dynamodb", call, &camel(call)));
}

#[test]
fn the_runbook_names_every_right_that_s3_asks_for() {
    let called = calls(&["src/store/s3", "src/store/dynamodb", "src/discover"]);
    let is_operation = |call: &&String| S3_VERBS.iter().any(|verb| call.starts_with(verb));
    let called: Vec<&String> = called.iter().filter(is_operation).collect();
    for known in ["get_object", "head_bucket", "list_objects_v2", "upload_part_copy"] {
        assert!(called.iter().any(|call| *call == known), "{known} is called: {called:?}");
    }
    for call in called {
        let right = S3_RIGHTS.iter().find(|(operation, _)| call == operation);
        assert_named("s3", call, &right.map_or(camel(call), |(_, right)| (*right).to_owned()));
    }
}

/// How the names of RDS's operations begin; accessors of its replies begin otherwise.
const RDS_VERBS: [&str; 8] =
    ["describe_", "copy_", "create_", "modify_", "delete_", "restore_", "switchover_", "failover_"];

#[test]
fn the_runbook_names_every_right_that_rds_asks_for_and_nothing_else_is_changed() {
    let called = calls(&["src/store/sql", "src/control", "src/discover"]);
    let is_operation = |call: &&String| {
        let is_of_rds = call.contains("_db_") || call.contains("global_cluster");
        is_of_rds && RDS_VERBS.iter().any(|verb| call.starts_with(verb))
    };
    let called: Vec<&String> = called.iter().filter(is_operation).collect();
    for known in ["describe_db_instances", "describe_global_clusters", "describe_db_cluster_parameters"] {
        assert!(called.iter().any(|call| *call == known), "{known} is called: {called:?}");
    }
    let changing: Vec<&&String> = called.iter().filter(|call| !call.starts_with("describe_")).collect();
    assert_eq!(changing, [&"copy_db_cluster_snapshot"]);
    called.iter().for_each(|call| assert_named("rds", call, &camel(call).replace("Db", "DB")));
}

/// EC2 is asked by hand, so that the names of operations stand in the source as they are.
#[test]
fn the_runbook_names_every_right_that_ec2_asks_for() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/control/aws/ec2.rs");
    let text = std::fs::read_to_string(path).expect("a source file");
    let asked = text.split("ask(reached, \"").skip(1).filter_map(|rest| rest.split('"').next());
    let asked: BTreeSet<&str> = asked.collect();
    assert_eq!(asked.len(), 2, "{asked:?}");
    asked.iter().for_each(|operation| assert_named("ec2", operation, operation));
}
