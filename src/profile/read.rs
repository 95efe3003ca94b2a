//! A profile's tables, all but `[[store]]`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;

use toml::de::DeTable;

use super::error::Complaint;
use super::schema::{Asked, Rule};
use super::table::{Reading, Table};
use super::{
    CredentialsProfile, CutoverProfile, FreezeProfile, HealthProfile, MachineProfile, Profile, RecordProfile, Secret,
    SideProfile, exports, same, store,
};
use crate::model::Percent;

/// The longest name of a profile or store: folders are named after it.
const NAME_MAX: usize = 64;

/// The longest time any field may state, in seconds: a week.
const SECONDS_MAX: u64 = 7 * 24 * 3600;

/// The services a side may give endpoints for.
const SERVICES: [&str; 8] = ["dynamodb", "dynamodbstreams", "s3", "rds", "ec2", "route53", "sts", "backup"];

/// The record types that can be weighted between Regions.
const RECORD_TYPES: [&str; 7] = ["A", "AAAA", "CNAME", "HTTPS", "SRV", "SVCB", "TXT"];

/// Reads a whole profile, or everything that is wrong with it in the order of the text.
pub(super) fn profile(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Profile, Vec<Complaint>> {
    let document = DeTable::parse(text).map_err(|error| vec![not_toml(text, &error)])?;
    let reading = Reading { text, env, complaints: RefCell::default(), asked: RefCell::default() };
    let profile = read(Table::root(&reading, document.get_ref()));
    let mut complaints = reading.complaints.into_inner();
    complaints.sort_by_key(|(at, _)| *at);
    match profile {
        Some(profile) if complaints.is_empty() => Ok(profile),
        _ => Err(complaints.into_iter().map(|(_, complaint)| complaint).collect()),
    }
}

/// Everything that is asked for while `text` is read, whatever is wrong with it.
pub(super) fn asked(text: &str) -> Asked {
    let Ok(document) = DeTable::parse(text) else { return Asked::default() };
    let reading = Reading { text, env: &|_| None, complaints: RefCell::default(), asked: RefCell::default() };
    read(Table::root(&reading, document.get_ref()));
    reading.asked.into_inner()
}

fn not_toml(text: &str, error: &toml::de::Error) -> Complaint {
    let span = error.span().unwrap_or(text.len()..text.len());
    let complaint = Complaint::at(text, &span, "", format!("not valid TOML: {}", error.message()), None);
    // Inside a multi-line string the line itself may be a secret.
    if text.contains("\"\"\"") || text.contains("'''") { complaint.without_snippet() } else { complaint }
}

/// `None` only where complaints say why.
fn read(root: Table<'_>) -> Option<Profile> {
    let name = root.need_text("name");
    check_name(&root, &name);
    root.rule(Rule::Needs("dr_as_of", &["disaster_at"]));
    let disaster_at = root.instant("disaster_at");
    let dr_as_of = root.instant("dr_as_of");
    let signing_key = root.text("signing_key").map(Into::into);
    match (disaster_at, dr_as_of) {
        (Some(disaster), Some(as_of)) if as_of > disaster => {
            root.complain("dr_as_of", "dr cannot represent an instant after `disaster_at`", None);
        }
        (None, Some(_)) if !root.has("disaster_at") => {
            root.complain("dr_as_of", "`dr_as_of` needs `disaster_at`", Some("state when the disaster struck"));
        }
        _ => {}
    }
    let primary = root.need_table("primary").map(side);
    let dr = root.need_table("dr").map(side);
    let stores = stores(&root);
    let freeze = root.table("freeze").map(freeze);
    let cutover = root.table("cutover").and_then(cutover);
    let machine = root.table("machine").map(machine).unwrap_or_default();
    let rescue = root.table("rescue").map(exports::rescue).unwrap_or_default();
    let reading = root.reading;
    root.finish();
    let (primary, dr) = (primary?, dr?);
    if reading.is_clean() {
        same::check(reading, &primary, &dr, &stores);
    }
    let stores = stores.into_iter().map(|(store, _)| store).collect();
    Some(Profile { name, disaster_at, dr_as_of, primary, dr, stores, freeze, cutover, machine, rescue, signing_key })
}

fn stores(root: &Table<'_>) -> Vec<store::Placed> {
    root.require("store", Some("add a [[store]] for each table, bucket and database"));
    let Some(tables) = root.tables("store") else { return Vec::new() };
    if tables.is_empty() {
        root.complain("store", "there must be at least one [[store]]", None);
    }
    tables.into_iter().filter_map(store::read).collect()
}

/// Complains about a name that cannot name a folder everywhere.
pub(super) fn check_name(table: &Table<'_>, name: &str) {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let begins = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if !name.is_empty() && (!begins || !name.chars().all(fits) || name.ends_with('.') || name.len() > NAME_MAX) {
        let hint = format!(
            "a folder is named after it: begin with a letter or digit, then letters, digits, `-`, `_` and `.`, \
             at most {NAME_MAX}"
        );
        table.complain("name", "not fit for a folder's name", Some(&hint));
    }
}

fn side(table: Table<'_>) -> SideProfile {
    let region = table.need_text("region");
    if !region.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
        table.complain("region", "not a Region's name", Some("write it as AWS does, such as us-east-1"));
    }
    let aws_profile = table.text("aws_profile");
    let role_arn = table.text("role_arn");
    if role_arn.as_ref().is_some_and(|arn| !arn.starts_with("arn:")) {
        table.complain("role_arn", "not an ARN", Some("it begins with arn:aws:iam::"));
    }
    let account = table.text("account");
    if account.as_ref().is_some_and(|id| id.len() != 12 || !id.bytes().all(|b| b.is_ascii_digit())) {
        table.complain("account", "not an account id of 12 digits", None);
    }
    let endpoint_url = http_url(&table, "endpoint_url");
    let endpoints = table.table("endpoints").map(endpoints).unwrap_or_default();
    let credentials = table.table("credentials").map(credentials);
    table.rule(Rule::Apart("credentials", &["aws_profile"]));
    if credentials.is_some() && aws_profile.is_some() {
        let hint = "remove one of them";
        table.complain("credentials", "`credentials` and `aws_profile` cannot both be given", Some(hint));
    }
    table.finish();
    SideProfile { region, aws_profile, role_arn, account, endpoint_url, endpoints, credentials }
}

fn endpoints(table: Table<'_>) -> BTreeMap<String, String> {
    let given = SERVICES.iter().filter_map(|service| Some((service.to_string(), http_url(&table, service)?)));
    let given = given.collect();
    table.finish();
    given
}

fn http_url(table: &Table<'_>, name: &'static str) -> Option<String> {
    let url = table.text(name)?;
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    if !rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/') && !rest.contains(char::is_whitespace)) {
        table.complain(name, "not an http:// or https:// URL", None);
    }
    Some(url)
}

fn credentials(table: Table<'_>) -> CredentialsProfile {
    for name in ["access_key_id", "secret_access_key"] {
        table.require(name, None);
    }
    let Secret(access_key_id) = table.secret("access_key_id").unwrap_or(Secret(String::new()));
    let secret_access_key = table.secret("secret_access_key").unwrap_or(Secret(String::new()));
    let session_token = table.secret("session_token");
    table.finish();
    CredentialsProfile { access_key_id, secret_access_key, session_token }
}

fn freeze(table: Table<'_>) -> FreezeProfile {
    table.require("command", Some("the program that stops dr's writers, such as [\"./fence-dr.sh\"]"));
    let freeze = FreezeProfile {
        command: table.command("command").unwrap_or_default(),
        negative_write_test: table.command("negative_write_test"),
        quiet_seconds: table.number("quiet_seconds", 1..=SECONDS_MAX).unwrap_or(10),
        timeout_seconds: table.number("timeout_seconds", 1..=SECONDS_MAX).unwrap_or(60),
    };
    table.finish();
    freeze
}

fn cutover(table: Table<'_>) -> Option<CutoverProfile> {
    let hosted_zone = table.need_text("hosted_zone");
    let record = table.need_table("record").map(record);
    let stages = stages(&table);
    table.require("hold_seconds", Some("how long each stage is watched, in seconds"));
    let hold_seconds = table.number("hold_seconds", 0..=SECONDS_MAX).unwrap_or_default();
    let health = table.table("health").map(health);
    let certificate_age_seconds_max = table.number("certificate_age_seconds_max", 1..=SECONDS_MAX).unwrap_or(900);
    let insync_timeout_seconds = table.number("insync_timeout_seconds", 1..=SECONDS_MAX).unwrap_or(300);
    table.finish();
    Some(CutoverProfile {
        hosted_zone,
        record: record?,
        stages,
        hold_seconds,
        health,
        certificate_age_seconds_max,
        insync_timeout_seconds,
    })
}

fn record(table: Table<'_>) -> RecordProfile {
    let name = table.need_text("name");
    table.require("type", None);
    let record_type = table.word("type", &RECORD_TYPES.map(|word| (word, word))).unwrap_or_default().to_owned();
    let (primary, dr) = (table.need_text("primary"), table.need_text("dr"));
    if primary == dr && !primary.is_empty() {
        table.complain("dr", "primary and dr cannot be the same record", Some("give the two SetIdentifiers"));
    }
    table.finish();
    RecordProfile { name, record_type, primary, dr }
}

fn stages(table: &Table<'_>) -> Vec<Percent> {
    table.require("stages", Some("the primary's share at each stage, such as [5, 25, 50, 100]"));
    let Some(stages) = table.percents("stages") else { return Vec::new() };
    let complain = |span: &Range<usize>, what: &str| table.reading.complain(span, &table.path_of("stages"), what, None);
    match stages.last() {
        None => table.complain("stages", "there must be at least one stage", Some("write [100] to shift at once")),
        Some((last, span)) if *last != Percent::ALL => complain(span, "the last stage must be 100"),
        _ => {}
    }
    for (stage, span) in stages.iter().filter(|(stage, _)| *stage == Percent::ZERO) {
        complain(span, &format!("a stage of {} shifts nothing", stage.get()));
    }
    for pair in stages.windows(2).filter(|pair| pair[0].0 >= pair[1].0) {
        let what = format!("stages must ascend: {} does not come after {}", pair[1].0.get(), pair[0].0.get());
        complain(&pair[1].1, &what);
    }
    stages.into_iter().map(|(stage, _)| stage).collect()
}

fn health(table: Table<'_>) -> HealthProfile {
    let url = http_url(&table, "url");
    let health_check = table.text("health_check");
    let command = table.command("command");
    table.require_one(&["url", "health_check", "command"]);
    let health = HealthProfile {
        url,
        health_check,
        command,
        timeout_seconds: table.number("timeout_seconds", 1..=3600).unwrap_or(5),
        interval_seconds: table.number("interval_seconds", 1..=3600).unwrap_or(10),
        failures: narrow(table.number("failures", 1..=1000).unwrap_or(3)),
    };
    table.finish();
    health
}

fn machine(table: Table<'_>) -> MachineProfile {
    let default = MachineProfile::default();
    let parallel = table.number("parallel", 1..=1024).map_or(default.parallel, |number| narrow(number) as usize);
    let machine = MachineProfile {
        memory_mib: table.number("memory_mib", 1..=16_777_216).unwrap_or(default.memory_mib),
        parallel,
        spill: table.text("spill").map(Into::into),
    };
    table.finish();
    machine
}

/// A number that was read within bounds that fit.
pub(super) fn narrow(number: u64) -> u32 {
    u32::try_from(number).expect("bounds of this field are below 2^32")
}
