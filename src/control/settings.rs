//! In which settings two databases differ, each with the command that would put it right on either side.
//!
//! A promoted or restored copy often lacks what its original had: parameter groups, retention, protection. Which side is
//! right is for a person to say, so both commands are told and none is run.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use super::guide::quoted;
use super::security::{self, Compared, Rule};
use crate::store::{Finding, Level};

/// How RDS runs a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Instance,
    Cluster,
}

/// The settings of one server. What RDS does not tell is `None`, which equals nothing but itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) form: Form,
    pub(super) name: String,
    pub(super) region: String,
    pub(super) engine: Option<String>,
    pub(super) version: Option<String>,
    pub(super) class: Option<String>,
    pub(super) multi_az: Option<bool>,
    pub(super) retention_days: Option<i32>,
    pub(super) is_protected: Option<bool>,
    pub(super) is_encrypted: Option<bool>,
    pub(super) has_iam: Option<bool>,
    /// Of an instance itself; of a cluster those of its instances.
    pub(super) authorities: Vec<String>,
    /// The cluster's instances; an instance has none.
    pub(super) instances: Vec<String>,
    pub(super) subnet_group: Option<String>,
    pub(super) security_groups: Vec<String>,
    /// What these let in and out, or why that is not known.
    pub(super) rules: Result<BTreeSet<Rule>, String>,
    pub(super) parameter_group: Option<String>,
    /// The parameters that somebody set, or why they are not known.
    pub(super) parameters: Result<BTreeMap<String, String>, String>,
    /// What waits for a restart or a maintenance window.
    pub(super) waiting: Vec<String>,
}

impl Server {
    fn kind(&self) -> &'static str {
        match self.form {
            Form::Instance => "instance",
            Form::Cluster => "cluster",
        }
    }

    /// The command that changes it by `options`.
    fn modified(&self, options: &str) -> String {
        let (kind, name) = (self.kind(), quoted(&self.name));
        format!(
            "aws rds modify-db-{kind} --region {} --db-{kind}-identifier {name} {options} --apply-immediately",
            self.region
        )
    }
}

/// A side's word in sentences.
const SIDES: [&str; 2] = ["the primary", "dr"];

/// Everything that differs, as warnings, and what is not compared, as notes.
pub(super) fn compare(store: &str, primary: &Server, dr: &Server) -> Vec<Finding> {
    let mut found = Comparison { subject: format!("{store} settings"), sides: [primary, dr], findings: Vec::new() };
    found.waiting();
    found.facts();
    if primary.form == dr.form && primary.engine == dr.engine {
        found.alike();
        found.parameters();
    } else {
        let what = format!(
            "the primary is {} and dr is {}: versions, classes and parameters of these are not compared",
            described(primary),
            described(dr)
        );
        found.tell(Level::Note, what, None);
    }
    found.networks();
    found.findings
}

fn described(server: &Server) -> String {
    let a = if server.form == Form::Instance { "an" } else { "a" };
    format!("{a} {} of {}", server.kind(), server.engine.as_deref().unwrap_or("an unknown engine"))
}

struct Comparison<'a> {
    subject: String,
    sides: [&'a Server; 2],
    findings: Vec<Finding>,
}

impl Comparison<'_> {
    fn tell(&mut self, level: Level, what: String, hint: Option<String>) {
        let finding = Finding::new(level, &self.subject, what);
        self.findings.push(match hint {
            Some(hint) => finding.with_hint(hint),
            None => finding,
        });
    }

    /// Tells of a setting that differs; `fix` is the command that gives a side the other side's value.
    fn differs<T: PartialEq>(
        &mut self,
        name: &str,
        value: impl Fn(&Server) -> Option<T>,
        words: impl Fn(&T) -> String,
        fix: impl Fn(&Server, &T) -> String,
    ) {
        let [primary, dr] = self.sides;
        let values = [value(primary), value(dr)];
        let told = |value: &Option<T>| value.as_ref().map_or("not told by RDS".to_owned(), &words);
        if values[0] == values[1] && values[0].is_some() {
            return;
        }
        let what = format!("{name}: {} on the primary, {} on dr", told(&values[0]), told(&values[1]));
        let hint = match &values {
            [Some(one), Some(other)] => Some(either(&fix(dr, one), &fix(primary, other))),
            _ => None,
        };
        self.tell(Level::Warning, what, hint);
    }

    fn facts(&mut self) {
        self.differs(
            "backup retention",
            |one| one.retention_days,
            |retention| days(*retention),
            |side, days| side.modified(&format!("--backup-retention-period {days}")),
        );
        self.differs(
            "deletion protection",
            |one| one.is_protected,
            |is| on_off(*is),
            |side, is| side.modified(if *is { "--deletion-protection" } else { "--no-deletion-protection" }),
        );
        self.differs(
            "IAM authentication",
            |one| one.has_iam,
            |is| on_off(*is),
            |side, is| {
                let no = if *is { "" } else { "no-" };
                side.modified(&format!("--{no}enable-iam-database-authentication"))
            },
        );
        self.differs("storage encryption", |one| one.is_encrypted, |is| on_off(*is), |side, is| {
            let (kind, name) = (side.kind(), &side.name);
            let cluster = if side.form == Form::Cluster { "cluster-" } else { "" };
            match is {
                true => format!(
                    "{name} cannot be encrypted where it is: snapshot it, aws rds copy-db-{cluster}snapshot --kms-key-id KEY, \
                     and restore the copy as a new {kind}"
                ),
                false => format!("{name} cannot be decrypted, and need not be"),
            }
        });
    }

    fn alike(&mut self) {
        self.differs(
            "engine version",
            |one| one.version.clone(),
            Clone::clone,
            |side, version| {
                let own = side.version.as_deref().unwrap_or_default();
                match is_older(own, version) {
                    true => side.modified(&format!("--engine-version {version} --allow-major-version-upgrade")),
                    false => format!("{} cannot go back to {version}", side.name),
                }
            },
        );
        if self.sides[0].form == Form::Instance {
            self.differs(
                "instance class",
                |one| one.class.clone(),
                Clone::clone,
                |side, class| side.modified(&format!("--db-instance-class {class}")),
            );
        }
        self.differs("Multi-AZ", |one| one.multi_az, |is| on_off(*is), |side, is| match (side.form, is) {
            (Form::Instance, true) => side.modified("--multi-az"),
            (Form::Instance, false) => side.modified("--no-multi-az"),
            (Form::Cluster, true) => format!(
                "aws rds create-db-instance --region {} --db-cluster-identifier {} --db-instance-identifier NAME --engine {} \
                 --db-instance-class CLASS, in another Availability Zone",
                side.region,
                quoted(&side.name),
                side.engine.as_deref().unwrap_or("ENGINE")
            ),
            (Form::Cluster, false) => format!("delete the readers of {}", side.name),
        });
        let sorted = |server: &Server| {
            let mut all = server.authorities.clone();
            all.sort();
            all.dedup();
            (!all.is_empty()).then_some(all)
        };
        self.differs("certificate authority", sorted, |all| all.join(", "), |side, all| {
            let names = if side.form == Form::Instance { std::slice::from_ref(&side.name) } else { &side.instances };
            let authority = all.join(" or ");
            let commands: Vec<String> = names
                .iter()
                .map(|name| {
                    format!(
                        "aws rds modify-db-instance --region {} --db-instance-identifier {} --ca-certificate-identifier \
                         {authority} --apply-immediately",
                        side.region,
                        quoted(name)
                    )
                })
                .collect();
            if commands.is_empty() { format!("{} has no instances", side.name) } else { commands.join(" && ") }
        });
    }

    /// The parameters that somebody set, one by one; groups have names of their own in every Region.
    fn parameters(&mut self) {
        let [primary, dr] = self.sides;
        let (ours, theirs) = match (&primary.parameters, &dr.parameters) {
            (Ok(ours), Ok(theirs)) => (ours, theirs),
            _ => {
                for (side, server) in SIDES.iter().zip([primary, dr]) {
                    if let Err(why) = &server.parameters {
                        self.tell(Level::Warning, format!("the parameters of {side} are not known: {why}"), None);
                    }
                }
                return;
            }
        };
        let mut names: Vec<&String> = ours.keys().chain(theirs.keys()).collect();
        names.sort();
        names.dedup();
        for name in names.into_iter().filter(|name| ours.get(*name) != theirs.get(*name)) {
            let (one, other) = (ours.get(name), theirs.get(name));
            let told = |value: Option<&String>| value.map_or("the engine's default".to_owned(), Clone::clone);
            let what = format!("parameter {name}: {} on the primary, {} on dr", told(one), told(other));
            let hint = either(&set_parameter(dr, name, one), &set_parameter(primary, name, other));
            self.tell(Level::Warning, what, Some(hint));
        }
    }

    /// Subnet and security groups are of one Region: only what is odd about them can be told.
    fn networks(&mut self) {
        let [primary, dr] = self.sides;
        let group = |server: &Server| server.subnet_group.clone().unwrap_or_else(|| "none".into());
        let is_default = |server: &Server| group(server) == "default";
        if is_default(primary) != is_default(dr) {
            let what = format!("subnet group: {} on the primary, {} on dr", group(primary), group(dr));
            let fix = |side: &Server| match side.form {
                Form::Instance => side.modified("--db-subnet-group-name GROUP"),
                Form::Cluster => format!("the subnet group of the cluster {} is chosen when it is made", side.name),
            };
            self.tell(Level::Warning, what, Some(either(&fix(dr), &fix(primary))));
        }
        self.security_groups(&format!("subnet groups {} and {}", group(primary), group(dr)));
    }

    fn security_groups(&mut self, subnets: &str) {
        let [primary, dr] = self.sides;
        let listed = |server: &Server| match server.security_groups.as_slice() {
            [] => "none".to_owned(),
            groups => groups.join(", "),
        };
        let groups = format!("security groups {} and {}", listed(primary), listed(dr));
        let look: Vec<String> = self
            .sides
            .iter()
            .filter(|side| !side.security_groups.is_empty())
            .map(|side| {
                let groups = side.security_groups.join(" ");
                format!("aws ec2 describe-security-groups --region {} --group-ids {groups}", side.region)
            })
            .collect();
        let look = (!look.is_empty()).then(|| look.join("; "));
        if let (Ok(ours), Ok(theirs)) = (&primary.rules, &dr.rules) {
            let Compared { differences, regional, same } = security::compare([(SIDES[0], ours), (SIDES[1], theirs)]);
            let rules = if same == 1 { "1 rule".to_owned() } else { format!("{same} rules") };
            let what = match differences.is_empty() && regional.is_empty() {
                true => format!("{groups} let in and out the same, by {rules}; {subnets} are not compared"),
                false => format!("{groups} have {rules} in common; {subnets} are not compared"),
            };
            for difference in differences {
                self.tell(Level::Warning, difference, look.clone());
            }
            if !regional.is_empty() {
                let what =
                    format!("rules that have no counterpart in another Region, not compared: {}", regional.join(", "));
                self.tell(Level::Note, what, look.clone());
            }
            return self.tell(Level::Note, what, None);
        }
        let unknown = SIDES
            .iter()
            .zip(self.sides)
            .filter_map(|(side, server)| server.rules.as_ref().err().map(|why| format!("{side}: {why}")));
        let why = unknown.collect::<Vec<_>>().join("; ");
        let what = format!("{subnets}, {groups}: what these let in is not compared ({why})");
        let level =
            if primary.security_groups.len() == dr.security_groups.len() { Level::Note } else { Level::Warning };
        self.tell(level, what, look);
    }

    fn waiting(&mut self) {
        let [primary, dr] = self.sides;
        for (side, server) in SIDES.iter().zip([primary, dr]) {
            for what in &server.waiting {
                let what = format!("{} on {side}: {what}", server.name);
                self.tell(Level::Warning, what, None);
            }
        }
    }
}

/// A setting that is on or off, in words.
pub(super) fn on_off(is: bool) -> String {
    if is { "on".to_owned() } else { "off".to_owned() }
}

/// How long backups are kept, in words.
pub(super) fn days(days: i32) -> String {
    match days {
        0 => "no automated backups".to_owned(),
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    }
}

fn either(dr: &dyn Display, primary: &dyn Display) -> String {
    format!("dr as the primary is: {dr}; the primary as dr is: {primary}")
}

fn set_parameter(side: &Server, name: &str, value: Option<&String>) -> String {
    let cluster = if side.form == Form::Cluster { "cluster-" } else { "" };
    let group = side.parameter_group.as_deref().unwrap_or("GROUP");
    if group.starts_with("default.") {
        let kind = side.kind();
        let option =
            if side.form == Form::Cluster { "--db-cluster-parameter-group-name" } else { "--db-parameter-group-name" };
        return format!(
            "{} runs on {group}, which cannot be changed: make a group of its own (aws rds create-db-{cluster}parameter-group), \
             set {name} there and use it by aws rds modify-db-{kind} {option}",
            side.name
        );
    }
    let (verb, set) = match value {
        Some(value) => ("modify", format!("ParameterName={name},ParameterValue={value},ApplyMethod=pending-reboot")),
        None => ("reset", format!("ParameterName={name},ApplyMethod=pending-reboot")),
    };
    format!(
        "aws rds {verb}-db-{cluster}parameter-group --region {} --db-{cluster}parameter-group-name {} --parameters {}",
        side.region,
        quoted(group),
        quoted(&set)
    )
}

/// Whether a version comes before another, number by number; what is no number comes after those that are.
fn is_older(one: &str, other: &str) -> bool {
    let parts = |version: &str| -> Vec<(u64, String)> {
        version.split(['.', '-', '_']).map(|part| (part.parse().unwrap_or(u64::MAX), part.to_owned())).collect()
    };
    parts(one) < parts(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(name: &str, region: &str) -> Server {
        Server {
            form: Form::Instance,
            name: name.into(),
            region: region.into(),
            engine: Some("postgres".into()),
            version: Some("16.4".into()),
            class: Some("db.r6g.large".into()),
            multi_az: Some(true),
            retention_days: Some(14),
            is_protected: Some(true),
            is_encrypted: Some(true),
            has_iam: Some(true),
            authorities: vec!["rds-ca-rsa2048-g1".into()],
            instances: Vec::new(),
            subnet_group: Some("ledger".into()),
            security_groups: vec!["sg-1".into()],
            rules: Err("denied".into()),
            parameter_group: Some("ledger".into()),
            parameters: Ok([("work_mem".to_owned(), "65536".to_owned())].into()),
            waiting: Vec::new(),
        }
    }

    fn words(findings: &[Finding]) -> Vec<String> {
        let warned = findings.iter().filter(|finding| finding.level == Level::Warning);
        warned.map(|one| format!("{}\n  {}", one.what, one.hint.as_deref().unwrap_or("-"))).collect()
    }

    #[test]
    fn servers_that_are_set_alike_only_tell_what_is_not_compared() {
        let found = compare("ledger", &server("ledger", "us-east-1"), &server("ledger-dr", "us-west-2"));
        assert_eq!(found.iter().map(|one| one.level).collect::<Vec<_>>(), [Level::Note]);
        assert!(found[0].what.contains("is not compared"), "{found:?}");
    }

    #[test]
    fn a_promoted_copy_is_told_what_it_lacks() {
        let primary = server("ledger", "us-east-1");
        let dr = Server {
            version: Some("16.10".into()),
            class: Some("db.r6g.xlarge".into()),
            multi_az: Some(false),
            retention_days: Some(0),
            is_protected: Some(false),
            is_encrypted: Some(false),
            has_iam: Some(false),
            authorities: vec!["rds-ca-ecc384-g1".into()],
            subnet_group: Some("default".into()),
            security_groups: vec!["sg-2".into(), "sg-3".into()],
            parameter_group: Some("default.postgres16".into()),
            parameters: Ok([("max_connections".to_owned(), "500".to_owned())].into()),
            waiting: vec!["ledger-pg waits for a restart".into()],
            ..server("ledger-dr", "us-west-2")
        };
        let told = words(&compare("ledger", &primary, &dr)).join("\n");
        snapbox::assert_data_eq!(told + "\n", snapbox::file!["golden/promoted.txt"].raw());
    }

    #[test]
    fn clusters_are_changed_as_clusters() {
        let cluster = |name: &str| Server {
            form: Form::Cluster,
            engine: Some("aurora-postgresql".into()),
            class: None,
            instances: vec![format!("{name}-1"), format!("{name}-2")],
            ..server(name, "us-east-1")
        };
        let dr = Server {
            multi_az: Some(false),
            retention_days: Some(1),
            authorities: vec!["rds-ca-ecc384-g1".into()],
            parameters: Ok(BTreeMap::new()),
            subnet_group: Some("default".into()),
            ..cluster("away")
        };
        let told = words(&compare("ledger", &cluster("home"), &dr)).join("\n");
        snapbox::assert_data_eq!(told + "\n", snapbox::file!["golden/cluster.txt"].raw());
    }

    #[test]
    fn what_rds_does_not_tell_is_never_alike() {
        let unknown = Server { multi_az: None, parameters: Err("denied".into()), ..server("ledger", "us-east-1") };
        let told = words(&compare("ledger", &unknown, &unknown));
        assert_eq!(told[0], "Multi-AZ: not told by RDS on the primary, not told by RDS on dr\n  -");
        assert!(told.contains(&"the parameters of the primary are not known: denied\n  -".to_owned()), "{told:?}");
    }

    #[test]
    fn an_instance_and_a_cluster_are_compared_where_both_have_a_setting() {
        let aurora = Server {
            form: Form::Cluster,
            engine: Some("aurora-postgresql".into()),
            retention_days: Some(1),
            ..server("ledger-dr", "us-west-2")
        };
        let found = compare("ledger", &server("ledger", "us-east-1"), &aurora);
        assert_eq!(words(&found).len(), 1, "{found:?}");
        let note = "the primary is an instance of postgres and dr is a cluster of aurora-postgresql";
        assert!(found.iter().any(|one| one.level == Level::Note && one.what.contains(note)), "{found:?}");
    }

    #[test]
    fn what_security_groups_let_in_is_a_warning_and_what_is_not_known_a_note() {
        use super::super::security::RuleTold;
        let lets = |cidr: &str| {
            let told = RuleTold { is_egress: Some(false), cidr_ipv4: Some(cidr.into()), ..RuleTold::default() };
            Ok([Rule::of(&told, &[], &BTreeMap::new())].into())
        };
        let compared = |rules: [Result<BTreeSet<Rule>, String>; 2]| {
            let [ours, theirs] = rules;
            let primary = Server { rules: ours, ..server("ledger", "us-east-1") };
            let dr = Server { rules: theirs, ..server("ledger-dr", "us-west-2") };
            compare("ledger", &primary, &dr)
        };
        let alike = compared([lets("10.0.0.0/16"), lets("10.0.0.0/16")]);
        assert_eq!(words(&alike), [""; 0]);
        assert!(alike[0].what.contains("let in and out the same, by 1 rule;"), "{alike:?}");
        let apart = words(&compared([lets("10.0.0.0/16"), lets("10.1.0.0/16")]));
        assert!(
            apart[0].starts_with("only the primary lets in") && apart[1].starts_with("only dr lets in"),
            "{apart:?}"
        );
        let unknown = compared([lets("10.0.0.0/16"), Err("denied".into())]);
        assert_eq!(words(&unknown), [""; 0]);
        assert!(unknown[0].what.ends_with("is not compared (dr: denied)"), "{unknown:?}");
    }

    #[test]
    fn versions_are_ordered_by_their_numbers() {
        for (older, newer) in [
            ("16.4", "16.10"),
            ("9.6", "10.1"),
            ("8.0.36", "8.4.0"),
            ("8.0.mysql_aurora.3.04.0", "8.0.mysql_aurora.3.10.1"),
        ] {
            assert!(is_older(older, newer) && !is_older(newer, older), "{older} {newer}");
        }
    }
}
