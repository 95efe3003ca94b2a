//! How an Aurora global cluster goes home: by saving what only the old primary had, and by a switchover, never by rows and
//! never by a failover that loses data.

use super::guide::{Guide, GuideStep, StepState, quoted};
use super::lag::{self, LAG_MS_MAX, in_seconds};
use crate::model::Timestamp;
use crate::store::sql::rds::global::{GlobalCluster, Member};
use crate::store::{Finding, Level};

/// How the names of the snapshots begin that RDS takes of an old primary before it rebuilds it.
pub(super) const UNPLANNED: &str = "rds:unplanned-global-failover-";

/// What is known of a global cluster.
#[derive(Debug, Clone)]
pub(super) struct GlobalFacts {
    pub(super) cluster: GlobalCluster,
    pub(super) members: Vec<MemberFacts>,
    pub(super) snapshots: Vec<RegionSnapshots>,
    /// The lag of the member at home in milliseconds, or why it is not known; `None` where that is the writer.
    pub(super) lag: Option<Result<u64, String>>,
}

/// What the Region of a member tells of it.
#[derive(Debug, Clone)]
pub(super) struct MemberFacts {
    pub(super) arn: String,
    /// Its status and version, or why they are not known.
    pub(super) told: Result<MemberTold, String>,
}

/// What a member's Region tells.
#[derive(Debug, Clone)]
pub(super) struct MemberTold {
    pub(super) status: String,
    pub(super) version: String,
}

/// The snapshots of one Region that save what an unplanned failover cut off.
#[derive(Debug, Clone)]
pub(super) struct RegionSnapshots {
    pub(super) region: String,
    /// The snapshots, or why they are not known.
    pub(super) found: Result<Vec<SnapshotFacts>, String>,
}

/// One such snapshot.
#[derive(Debug, Clone)]
pub(super) struct SnapshotFacts {
    pub(super) id: String,
    pub(super) taken: Option<Timestamp>,
    pub(super) engine: Option<String>,
    pub(super) version: Option<String>,
    pub(super) retention_days: Option<i32>,
    /// A manual copy of it and its status.
    pub(super) copy: Option<(String, String)>,
}

impl SnapshotFacts {
    /// The name of the manual copy that is made of it.
    pub(super) fn copy_name(&self) -> String {
        format!("failback-{}", self.id.trim_start_matches("rds:"))
    }

    /// When RDS deletes it, where that is told.
    fn expires(&self) -> Option<Timestamp> {
        let days = self.retention_days.filter(|days| *days > 0)?;
        self.taken?.checked_add(jiff::SignedDuration::from_hours(24 * i64::from(days))).ok()
    }

    pub(super) fn copy_command(&self, region: &str) -> String {
        format!(
            "aws rds copy-db-cluster-snapshot --region {region} --source-db-cluster-snapshot-identifier {} \
             --target-db-cluster-snapshot-identifier {}",
            quoted(&self.id),
            quoted(&self.copy_name())
        )
    }
}

/// The finding that no row is replayed, and the steps that lead home instead.
pub(super) fn way_home(store: &str, home: &Member, facts: &GlobalFacts) -> (Finding, Guide) {
    let cluster = &facts.cluster;
    let what = format!(
        "{} is {} of the Aurora global cluster {}: nothing is replayed into it, it goes home by a switchover",
        home.name(),
        home.role(),
        cluster.id
    );
    let finding = Finding::new(Level::Blocker, format!("{store} primary"), what)
        .with_hint("take the steps below; or take the cluster out of its group first, if rows are to be replayed");
    let gate = gate(home, facts);
    let mut steps = members(facts);
    steps.extend(snapshots(facts));
    steps.extend(restore(facts));
    steps.push(waiting(home, facts, &gate));
    steps.push(switchover(home, cluster, &gate));
    steps.push(proof(home));
    let title = format!("the way home of the Aurora global cluster {}", cluster.id);
    (finding, Guide { store: store.to_owned(), title, steps })
}

/// Who is who, which is nothing to do.
fn members(facts: &GlobalFacts) -> Vec<GuideStep> {
    let cluster = &facts.cluster;
    let mut words = Vec::new();
    let mut state = StepState::Done;
    for member in &cluster.members {
        let told = facts.members.iter().find(|told| told.arn == member.arn).map(|found| &found.told);
        let told = match told {
            Some(Ok(MemberTold { status, version })) => format!("{status}, version {version}"),
            Some(Err(why)) => {
                state = StepState::Unknown;
                format!("not known: {why}")
            }
            None => {
                state = StepState::Unknown;
                "not asked".to_owned()
            }
        };
        let sync = member.synchronization.as_deref().unwrap_or("not told");
        words.push(format!(
            "{} in {} is {}, {told}, synchronisation {sync}",
            member.name(),
            member.region(),
            member.role()
        ));
    }
    let status = cluster.status.as_deref().unwrap_or("of unknown status");
    let moving = cluster.under_way.as_ref().map_or(String::new(), |what| format!(" ({what})"));
    let engine = [cluster.engine.as_deref(), cluster.version.as_deref()].into_iter().flatten().collect::<Vec<_>>();
    let what =
        format!("look at the members: {} is {status}{moving}, {}; {}", cluster.id, engine.join(" "), words.join("; "));
    vec![GuideStep::new(state, what)]
}

/// Saves what only the old primary had.
fn snapshots(facts: &GlobalFacts) -> Vec<GuideStep> {
    let mut steps = Vec::new();
    for RegionSnapshots { region, found } in &facts.snapshots {
        match found {
            Err(why) => steps.push(
                GuideStep::new(
                    StepState::Unknown,
                    format!("look for a snapshot {UNPLANNED}* in {region}, which could not be listed: {why}"),
                )
                .typing(list_command(region)),
            ),
            Ok(found) => steps.extend(found.iter().map(|snapshot| saved(region, snapshot))),
        }
    }
    if steps.is_empty() {
        let regions: Vec<&str> = facts.snapshots.iter().map(|one| one.region.as_str()).collect();
        let what = format!(
            "save what only the old primary had: there is no snapshot {UNPLANNED}* in {}, so no unplanned failover left \
             one, or it has expired",
            regions.join(" or ")
        );
        steps.push(GuideStep::new(StepState::Done, what));
    }
    steps
}

fn list_command(region: &str) -> String {
    format!(
        "aws rds describe-db-cluster-snapshots --region {region} --snapshot-type automated \
         --query \"DBClusterSnapshots[?starts_with(DBClusterSnapshotIdentifier, '{UNPLANNED}')]\""
    )
}

fn saved(region: &str, snapshot: &SnapshotFacts) -> GuideStep {
    let expires = match snapshot.expires() {
        Some(at) => format!("RDS deletes it at {at}"),
        None => "RDS deletes it with the backups of its cluster, and does not tell when".to_owned(),
    };
    match &snapshot.copy {
        Some((copy, status)) if status == "available" => {
            GuideStep::new(StepState::Done, format!("{} in {region} is saved as {copy}", snapshot.id))
        }
        Some((copy, status)) => {
            let what = format!("wait for the copy of {} in {region}: {copy} is {status}; {expires}", snapshot.id);
            let wait = "aws rds wait db-cluster-snapshot-available";
            GuideStep::new(StepState::Now, what)
                .typing(format!("{wait} --region {region} --db-cluster-snapshot-identifier {}", quoted(copy)))
        }
        None => {
            let what = format!(
                "save {} in {region} at once: it alone has the writes that never left the old primary; {expires} \
                 (failback checkpoint --rescue starts this copy)",
                snapshot.id
            );
            GuideStep::new(StepState::Now, what).typing(snapshot.copy_command(region))
        }
    }
}

/// Looks for stranded rows in what was saved.
fn restore(facts: &GlobalFacts) -> Vec<GuideStep> {
    let mut steps = Vec::new();
    for RegionSnapshots { region, found } in &facts.snapshots {
        for snapshot in found.iter().flatten() {
            let (name, state) = match &snapshot.copy {
                Some((copy, status)) if status == "available" => (copy.clone(), StepState::Now),
                _ => (snapshot.copy_name(), StepState::Later),
            };
            let aside = format!("{}-stranded", facts.cluster.id);
            let engine = snapshot.engine.as_deref().or(facts.cluster.engine.as_deref()).unwrap_or("ENGINE");
            let version = snapshot.version.as_ref().map_or(String::new(), |one| format!(" --engine-version {one}"));
            let writer = facts.cluster.writer().map_or("WRITER", Member::name);
            let what = format!(
                "restore it aside in {region} and look for stranded rows: in a profile of its own let `primary` be \
                 {{ cluster = \"{aside}\", .. }} and `dr` be {{ cluster = \"{writer}\", .. }}, with base = \"none\"; \
                 failback diff names every row that differs, and what only {aside} has was stranded. Delete it afterwards"
            );
            steps.push(
                GuideStep::new(state, what)
                    .typing(format!(
                        "aws rds restore-db-cluster-from-snapshot --region {region} --db-cluster-identifier {aside} \
                         --snapshot-identifier {} --engine {engine}{version}",
                        quoted(&name)
                    ))
                    .typing(format!(
                        "aws rds create-db-instance --region {region} --db-cluster-identifier {aside} \
                         --db-instance-identifier {aside}-1 --engine {engine} --db-instance-class CLASS"
                    )),
            );
        }
    }
    steps
}

/// Why a switchover is not to be asked for; nothing where everything is known and at rest.
fn gate(home: &Member, facts: &GlobalFacts) -> Vec<String> {
    let cluster = &facts.cluster;
    let mut closed = Vec::new();
    if cluster.status.as_deref() != Some("available") {
        closed.push(format!("{} is {}", cluster.id, cluster.status.as_deref().unwrap_or("of unknown status")));
    }
    closed.extend(cluster.under_way.clone());
    match cluster.writer() {
        None => closed.push("RDS does not tell of exactly one writer".into()),
        Some(writer) if writer.arn != home.arn && home.synchronization.as_deref() != Some("connected") => {
            let told = home.synchronization.as_deref().unwrap_or("not told");
            closed.push(format!("the synchronisation of {} is {told}, not connected", home.name()));
        }
        Some(_) => {}
    }
    closed.extend(lag_closed(home, facts));
    let mut versions = Vec::new();
    for member in &cluster.members {
        match facts.members.iter().find(|told| told.arn == member.arn).map(|found| &found.told) {
            Some(Ok(told)) => {
                if told.status != "available" {
                    closed.push(format!("{} is {}", member.name(), told.status));
                }
                versions.push(told.version.clone());
            }
            Some(Err(why)) => closed.push(format!("the status of {} is not known: {why}", member.name())),
            None => closed.push(format!("the status of {} was not asked", member.name())),
        }
    }
    versions.sort();
    versions.dedup();
    if versions.len() > 1 {
        closed.push(format!("the members run different versions, {}", versions.join(" and ")));
    }
    for RegionSnapshots { region, found } in &facts.snapshots {
        match found {
            Err(_) => closed.push(format!("the snapshots of {region} could not be listed")),
            Ok(found) => closed.extend(
                found
                    .iter()
                    .filter(|one| one.copy.as_ref().is_none_or(|(_, status)| status != "available"))
                    .map(|one| format!("{} is not saved yet", one.id)),
            ),
        }
    }
    closed
}

/// Why the lag of the member at home keeps a switchover back.
fn lag_closed(home: &Member, facts: &GlobalFacts) -> Option<String> {
    match &facts.lag {
        Some(Err(why)) => Some(format!("the lag of {} is not known: {why}", home.name())),
        Some(Ok(lag)) if *lag >= LAG_MS_MAX => {
            let (lag, max) = (in_seconds(*lag), LAG_MS_MAX / 1_000);
            Some(format!("the lag of {} is {lag}, waits until below {max} s", home.name()))
        }
        Some(Ok(_)) | None => None,
    }
}

fn waiting(home: &Member, facts: &GlobalFacts, gate: &[String]) -> GuideStep {
    let id = quoted(&facts.cluster.id);
    let what = match (gate, &facts.lag) {
        ([], Some(Ok(lag))) => {
            format!("the group is at rest and connected, and {} is {} behind", home.name(), in_seconds(*lag))
        }
        ([], _) => "the group is at rest and connected".to_owned(),
        _ => format!("wait until the group is at rest, connected and of low lag; now: {}", gate.join("; ")),
    };
    let state = match (is_known(facts), gate) {
        (false, _) => StepState::Unknown,
        (true, []) => StepState::Done,
        (true, _) => StepState::Now,
    };
    let writer = facts.cluster.writer().map_or(home.region(), Member::region);
    GuideStep::new(state, what)
        .typing(format!("aws rds describe-global-clusters --region {writer} --global-cluster-identifier {id}"))
        .typing(lag::command(facts.cluster.engine.as_deref()))
}

fn is_known(facts: &GlobalFacts) -> bool {
    let is_lag_known = !matches!(facts.lag, Some(Err(_)));
    is_lag_known
        && facts.members.iter().all(|member| member.told.is_ok())
        && facts.snapshots.iter().all(|one| one.found.is_ok())
}

fn switchover(home: &Member, cluster: &GlobalCluster, gate: &[String]) -> GuideStep {
    let Some(writer) = cluster.writer() else {
        return GuideStep::new(StepState::Unknown, "switch over, once RDS tells which member is the writer");
    };
    if writer.arn == home.arn {
        return GuideStep::new(StepState::Done, format!("{} is the writer: the switchover is done", home.name()));
    }
    let what = format!(
        "stop the application's writes and switch over to {}: no write is lost, writes stop for some minutes. Never use \
         failover-global-cluster with --allow-data-loss for this",
        home.name()
    );
    if !gate.is_empty() {
        return GuideStep::new(StepState::Later, format!("{what}. Not yet: {}", gate.join("; ")));
    }
    GuideStep::new(StepState::Now, what).typing(format!(
        "aws rds switchover-global-cluster --region {} --global-cluster-identifier {} --target-db-cluster-identifier {}",
        writer.region(),
        quoted(&cluster.id),
        quoted(&home.arn)
    ))
}

fn proof(home: &Member) -> GuideStep {
    let state = if home.is_writer == Some(true) { StepState::Now } else { StepState::Later };
    let what = "prove by rows that both Regions hold the same, then bring the customers home";
    GuideStep::new(state, what).typing("failback verify PROFILE").typing("failback cutover PROFILE")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: &str = "arn:aws:rds:us-east-1:111122223333:cluster:books-home";
    const AWAY: &str = "arn:aws:rds:us-west-2:111122223333:cluster:books-away";

    fn member(arn: &str, is_writer: bool) -> Member {
        let synchronization = Some("connected".to_owned());
        Member { arn: arn.to_owned(), is_writer: Some(is_writer), synchronization }
    }

    fn facts() -> GlobalFacts {
        let told = || Ok(MemberTold { status: "available".into(), version: "16.4".into() });
        GlobalFacts {
            cluster: GlobalCluster {
                id: "books".into(),
                status: Some("available".into()),
                engine: Some("aurora-postgresql".into()),
                version: Some("16.4".into()),
                under_way: None,
                members: vec![member(AWAY, true), member(HOME, false)],
            },
            members: [AWAY, HOME].map(|arn| MemberFacts { arn: arn.into(), told: told() }).into(),
            snapshots: ["us-east-1", "us-west-2"]
                .map(|region| RegionSnapshots { region: region.into(), found: Ok(Vec::new()) })
                .into(),
            lag: Some(Ok(300)),
        }
    }

    fn snapshot(copy: Option<&str>) -> SnapshotFacts {
        SnapshotFacts {
            id: format!("{UNPLANNED}books-home-2026-11-22-03-12"),
            taken: "2026-11-22T03:12:00Z".parse().ok(),
            engine: Some("aurora-postgresql".into()),
            version: Some("16.4".into()),
            retention_days: Some(7),
            copy: copy.map(|status| ("failback-unplanned".to_owned(), status.to_owned())),
        }
    }

    fn guide(facts: &GlobalFacts) -> Guide {
        let home = facts.cluster.members.iter().find(|member| member.arn == HOME).expect("a member");
        let (finding, guide) = way_home("books", home, facts);
        assert_eq!(finding.level, Level::Blocker);
        guide
    }

    fn switching(guide: &Guide) -> &GuideStep {
        &guide.steps[guide.steps.len() - 2]
    }

    #[test]
    fn at_rest_the_switchover_is_to_be_typed_and_never_a_failover() {
        let guide = guide(&facts());
        let step = switching(&guide);
        assert_eq!(
            (step.state, step.commands.as_slice()),
            (
                StepState::Now,
                [format!(
                    "aws rds switchover-global-cluster --region us-west-2 --global-cluster-identifier books \
                     --target-db-cluster-identifier {HOME}"
                )]
                .as_slice()
            )
        );
        let typed: Vec<&String> = guide.steps.iter().flat_map(|step| &step.commands).collect();
        assert!(typed.iter().all(|command| !command.contains("failover-global-cluster")), "{typed:?}");
    }

    /// Every single thing that is not known to be fine keeps the switchover back.
    #[test]
    fn whatever_is_not_known_to_be_fine_holds_the_switchover_back() {
        type Change = fn(&mut GlobalFacts);
        let changes: [(&str, Change); 13] = [
            ("books is modifying", |facts| facts.cluster.status = Some("modifying".into())),
            ("of unknown status", |facts| facts.cluster.status = None),
            ("failing-over", |facts| facts.cluster.under_way = Some("failing-over from a to b".into())),
            ("pending-resync", |facts| facts.cluster.members[1].synchronization = Some("pending-resync".into())),
            ("not told", |facts| facts.cluster.members[1].synchronization = None),
            ("books-home is creating", |facts| {
                facts.members[1].told = Ok(MemberTold { status: "creating".into(), version: "16.4".into() });
            }),
            ("denied", |facts| facts.members[0].told = Err("denied".into())),
            ("was not asked", |facts| facts.members.truncate(1)),
            ("different versions", |facts| {
                facts.members[1].told = Ok(MemberTold { status: "available".into(), version: "16.6".into() });
            }),
            ("could not be listed", |facts| facts.snapshots[0].found = Err("denied".into())),
            ("is not saved yet", |facts| facts.snapshots[0].found = Ok(vec![snapshot(Some("creating"))])),
            ("lag of books-home is 1.0 s, waits until below 1 s", |facts| facts.lag = Some(Ok(1_000))),
            ("lag of books-home is not known: no rights", |facts| facts.lag = Some(Err("no rights".into()))),
        ];
        for (words, change) in changes {
            let mut facts = facts();
            change(&mut facts);
            let guide = guide(&facts);
            let step = switching(&guide);
            assert_eq!((step.state, step.commands.len()), (StepState::Later, 0), "{words}: {step:?}");
            assert!(step.what.contains(words), "{words}: {step:?}");
        }
        let mut facts = facts();
        facts.lag = Some(Err("no rights".into()));
        let told = guide(&facts);
        let wait = &told.steps[told.steps.len() - 3];
        assert_eq!(wait.state, StepState::Unknown);
        assert!(wait.commands[1].contains("aurora_global_db_status()"), "{wait:?}");
        facts.cluster.members[0].is_writer = None;
        assert_eq!(switching(&guide(&facts)).state, StepState::Unknown);
    }

    #[test]
    fn a_snapshot_is_saved_before_it_expires_and_looked_into() {
        let mut facts = facts();
        facts.snapshots[0].found = Ok(vec![snapshot(None)]);
        let told = guide(&facts);
        assert!(told.steps[1].what.contains("RDS deletes it at 2026-11-29T03:12:00Z"), "{:?}", told.steps[1]);
        assert_eq!(
            told.steps[1].commands,
            ["aws rds copy-db-cluster-snapshot --region us-east-1 --source-db-cluster-snapshot-identifier \
              rds:unplanned-global-failover-books-home-2026-11-22-03-12 --target-db-cluster-snapshot-identifier \
              failback-unplanned-global-failover-books-home-2026-11-22-03-12"]
        );
        assert_eq!((told.steps[1].state, told.steps[2].state), (StepState::Now, StepState::Later));
        facts.snapshots[0].found = Ok(vec![snapshot(Some("available"))]);
        let told = guide(&facts);
        assert_eq!((told.steps[1].state, told.steps[2].state), (StepState::Done, StepState::Now));
        assert!(told.steps[2].commands[0].contains("--snapshot-identifier failback-unplanned "), "{told:?}");
        facts.snapshots[0].found = Ok(vec![SnapshotFacts { retention_days: None, ..snapshot(None) }]);
        assert!(guide(&facts).steps[1].what.contains("does not tell when"));
    }

    #[test]
    fn once_the_writer_is_home_only_the_proof_is_left() {
        let mut facts = facts();
        facts.cluster.members = vec![member(AWAY, false), member(HOME, true)];
        facts.lag = None;
        let guide = guide(&facts);
        assert_eq!(switching(&guide).state, StepState::Done);
        let last = guide.steps.last().expect("a step");
        assert_eq!((last.state, last.commands[0].as_str()), (StepState::Now, "failback verify PROFILE"));
    }
}
