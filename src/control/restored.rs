//! Which resources are restored copies of others, and how a copy takes its original's place.

use serde::{Deserialize, Serialize};

use super::guide::{Guide, GuideStep, StepState, quoted};
use crate::discover::{Place, ResourceKind, Restore};
use crate::model::{Side, Timestamp};
use crate::store::{Finding, Level};

/// A resource that a profile names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The store.
    pub store: String,
    /// The side.
    pub side: Side,
    /// Its kind, Region and name.
    pub place: Place,
    /// What it is for Terraform and CloudFormation.
    pub kind: AdoptedKind,
}

impl Named {
    /// A resource of a store, in its Region and by its name.
    pub fn new(store: &str, side: Side, kind: AdoptedKind, (region, name): (&str, &str)) -> Named {
        Named { store: store.to_owned(), side, place: place(kind, region, name), kind }
    }
}

/// A resource that takes another's place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adopted {
    /// The store.
    pub store: String,
    /// What it is.
    pub kind: AdoptedKind,
    /// Its Region.
    pub region: String,
    /// Its own name.
    pub name: String,
    /// The name of what it is a copy of.
    pub original: String,
    /// What tells so.
    pub told_by: String,
    /// A cluster's instances, which keep their names.
    pub instances: Vec<String>,
    /// Whether it is to be renamed to its original's name, which only RDS can do.
    pub is_renamed: bool,
    /// What it has of what a restore does not bring along, as far as that is known.
    #[serde(default)]
    pub present: Vec<Present>,
}

/// An attribute that a restored copy has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Present {
    /// Which.
    pub attribute: String,
    /// What the copy has.
    pub value: String,
    /// What the original has or had, where anything tells.
    pub original: Option<String>,
}

/// What a resource is for Terraform and CloudFormation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AdoptedKind {
    /// A DynamoDB table.
    Table,
    /// An S3 bucket.
    Bucket,
    /// An RDS instance.
    Instance,
    /// An RDS cluster.
    Cluster,
}

impl AdoptedKind {
    /// The word for one of them.
    pub fn word(self) -> &'static str {
        match self {
            AdoptedKind::Table => "table",
            AdoptedKind::Bucket => "bucket",
            AdoptedKind::Instance => "instance",
            AdoptedKind::Cluster => "cluster",
        }
    }
}

impl Adopted {
    /// The name it has once it has taken its place.
    pub fn final_name(&self) -> &str {
        if self.is_renamed { &self.original } else { &self.name }
    }
}

/// What is known of the original of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// It is there.
    There,
    /// It was looked for and is not there.
    Gone,
    /// It could not be asked.
    Unknown(String),
}

/// Where a resource comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) original: Place,
    pub(super) told_by: String,
    pub(super) as_of: Option<Timestamp>,
    /// Whether a service says so; a name alone is a hint.
    pub(super) is_proved: bool,
}

/// A store's resource on the other side.
#[derive(Clone, Copy)]
pub(super) struct Counterpart<'a> {
    pub(super) place: &'a Place,
    /// What that was restored from.
    pub(super) source: Option<&'a Source>,
}

/// How the names of restored resources end.
const RESTORED: [&str; 6] = ["-restored", "-restore", "_restored", ".restored", "-recovered", "-pitr"];

/// What a resource was restored from: the last restore that made it, else by its name.
pub(super) fn source(named: &Named, restores: &[Restore]) -> Option<Source> {
    let made = restores.iter().filter(|restore| restore.created == named.place);
    if let Some(restore) = made.max_by_key(|restore| restore.as_of) {
        return Some(Source {
            original: restore.source.clone(),
            told_by: restore.told_by.clone(),
            as_of: restore.as_of,
            is_proved: true,
        });
    }
    let name = RESTORED.iter().find_map(|end| named.place.name.strip_suffix(end)).filter(|name| !name.is_empty())?;
    let original = Place { name: name.to_owned(), ..named.place.clone() };
    Some(Source { original, told_by: "its name alone".into(), as_of: None, is_proved: false })
}

/// What a restored resource means for a failback: findings, and for a copy on the primary's side how it takes its
/// original's place.
pub(super) fn judge(
    named: &Named,
    counterpart: Counterpart<'_>,
    source: &Source,
    origin: &Origin,
) -> (Vec<Finding>, Option<Guide>, Option<Adopted>) {
    let Named { store, side, place, kind } = named;
    let subject = format!("{store} {side}");
    let word = kind.word();
    let as_of = source.as_of.map_or(String::new(), |at| format!(" as of {at}"));
    let from = format!("{} {} in {}", word, source.original.name, region_of(&source.original));
    let what = format!("the {word} {} was restored from the {from}{as_of}, by {}", place.name, source.told_by);
    let mut findings = vec![Finding::new(Level::Note, &subject, what)];
    let is_of_both = counterpart.source.is_some_and(|other| other.original == source.original);
    if source.original == *place || source.original == *counterpart.place {
        return (findings, None, None);
    }
    if *side != Side::Primary || source.original.region != place.region {
        if source.is_proved && !is_of_both {
            let what = format!(
                "the other side of this store is {} in {}, and this was restored from another resource, the {from}",
                counterpart.place.name,
                region_of(counterpart.place)
            );
            let hint = "make sure that the profile pairs what belongs together";
            findings.push(Finding::new(Level::Warning, &subject, what).with_hint(hint));
        }
        return (findings, None, None);
    }
    let adopted = Adopted {
        store: store.clone(),
        kind: *kind,
        region: place.region.clone(),
        name: place.name.clone(),
        original: source.original.name.clone(),
        told_by: source.told_by.clone(),
        instances: Vec::new(),
        is_renamed: matches!(kind, AdoptedKind::Instance | AdoptedKind::Cluster),
        present: Vec::new(),
    };
    let guide = takes_over(&adopted, origin);
    let what = match origin {
        Origin::There => format!(
            "its original, the {word} {}, is still there: replay into that instead where it is whole",
            adopted.original
        ),
        Origin::Gone => format!("its original, the {word} {}, is gone", adopted.original),
        Origin::Unknown(why) => {
            format!("whether its original, the {word} {}, is still there is not known: {why}", adopted.original)
        }
    };
    let hint = "what names the original (applications, IAM, alarms, infrastructure as code) does not name this one: see the steps below";
    findings.push(Finding::new(Level::Warning, &subject, what).with_hint(hint));
    (findings, Some(guide), Some(adopted))
}

/// What is told of a copy that is not there: it may have its original's name by now.
pub(super) fn renamed(named: &Named, original: &Place, origin: &Origin) -> Option<Finding> {
    let is_renamable = matches!(named.kind, AdoptedKind::Instance | AdoptedKind::Cluster);
    if named.side != Side::Primary || !is_renamable || *origin != Origin::There {
        return None;
    }
    let (word, name, original) = (named.kind.word(), &named.place.name, &original.name);
    let what = format!("the {word} {name} is not there, and {original} is: it may have been renamed to that already");
    let hint = format!("if so, write {original} instead of {name} into the profile; rename nothing again");
    Some(Finding::new(Level::Warning, format!("{} {}", named.store, named.side), what).with_hint(hint))
}

fn region_of(place: &Place) -> &str {
    if place.region.is_empty() { "its Region" } else { &place.region }
}

/// The steps by which a copy takes its original's place.
fn takes_over(adopted: &Adopted, origin: &Origin) -> Guide {
    let Adopted { store, kind, name, original, .. } = adopted;
    let mut steps = match kind {
        AdoptedKind::Instance | AdoptedKind::Cluster => renames(adopted, origin),
        AdoptedKind::Table => vec![table(adopted, origin)],
        AdoptedKind::Bucket => vec![GuideStep::new(
            StepState::Now,
            format!(
                "a bucket cannot be renamed: point what uses {original} at {name}, or, where {original} is still yours, copy \
                 the objects into it with this program, {name} as `dr`"
            ),
        )],
    };
    steps.push(
        GuideStep::new(
            StepState::Now,
            "have Terraform or CloudFormation adopt it: this writes the import and what they will find different",
        )
        .typing("failback report PROFILE --iac DIRECTORY"),
    );
    let title = format!("the {} {name} takes the place of {original}", kind.word());
    Guide { store: store.clone(), title, steps }
}

/// Frees the original's name, and gives it to the copy.
fn renames(adopted: &Adopted, origin: &Origin) -> Vec<GuideStep> {
    let Adopted { kind, region, name, original, .. } = adopted;
    let kind = kind.word();
    if let Origin::Unknown(why) = origin {
        let what = format!("find out first whether the {kind} {original} is still there: {why}");
        let look = format!("aws rds describe-db-{kind}s --region {region} --db-{kind}-identifier {}", quoted(original));
        return vec![GuideStep::new(StepState::Unknown, what).typing(look)];
    }
    let old = format!("{original}-before-failback");
    let rename = |from: &str, to: &str| {
        format!(
            "aws rds modify-db-{kind} --region {region} --db-{kind}-identifier {} --new-db-{kind}-identifier {} \
             --apply-immediately",
            quoted(from),
            quoted(to)
        )
    };
    let wait = |name: &str| {
        format!("aws rds wait db-{kind}-available --region {region} --db-{kind}-identifier {}", quoted(name))
    };
    let stop = "stop the application's writes: a rename changes the endpoint, and the server is away for about 10 minutes at \
                each, so this takes about";
    let total = if *origin == Origin::There { "20 minutes" } else { "10 minutes" };
    let mut steps = vec![GuideStep::new(StepState::Now, format!("{stop} {total}"))];
    if *origin == Origin::There {
        let what = format!("free the name {original}: its {kind} becomes {old}, with its data and backups as they are");
        steps.push(GuideStep::new(StepState::Now, what).typing(rename(original, &old)).typing(wait(&old)));
    }
    let state = if *origin == Origin::There { StepState::Later } else { StepState::Now };
    let what = format!(
        "give the name to the copy: {name} becomes {original} (repeat a wait that does not know the new name yet)"
    );
    steps.push(GuideStep::new(state, what).typing(rename(name, original)).typing(wait(original)));
    let what = format!(
        "write {original} instead of {name} into the profile and plan anew; the resource id stays the copy's own, so that \
         policies for rds-db:connect must name it"
    );
    steps.push(GuideStep::new(StepState::Later, what).typing("failback check PROFILE").typing("failback plan PROFILE"));
    steps
}

/// A table cannot be renamed: it is restored once more, under the name that was freed.
fn table(adopted: &Adopted, origin: &Origin) -> GuideStep {
    let Adopted { region, name, original, .. } = adopted;
    let region = format!("--region {region}");
    match origin {
        Origin::Unknown(why) => {
            let what = format!("find out first whether the table {original} is still there: {why}");
            GuideStep::new(StepState::Unknown, what)
                .typing(format!("aws dynamodb describe-table {region} --table-name {}", quoted(original)))
        }
        Origin::There => GuideStep::new(
            StepState::Now,
            format!(
                "a table cannot be renamed, and {original} is there: keep it and let the profile's `primary` be {original}; \
                 {name} is then only a base or can go"
            ),
        ),
        Origin::Gone => GuideStep::new(
            StepState::Now,
            format!(
                "a table cannot be renamed: either point what uses {original} at {name}, or, with writes stopped, restore \
                 {name} once more as {original}, which takes from minutes to hours by its size; auto scaling, alarms, tags, \
                 the stream, time to live and point-in-time recovery have to be set anew on it"
            ),
        )
        .typing(format!(
            "aws dynamodb restore-table-to-point-in-time {region} --source-table-name {} --target-table-name {} \
             --use-latest-restorable-time",
            quoted(name),
            quoted(original)
        )),
    }
}

/// The kind of a place in ARNs and restore jobs.
fn place(kind: AdoptedKind, region: &str, name: &str) -> Place {
    let (kind, region) = match kind {
        AdoptedKind::Table => (ResourceKind::Table, region),
        AdoptedKind::Bucket => (ResourceKind::Bucket, ""),
        AdoptedKind::Instance | AdoptedKind::Cluster => (ResourceKind::Database, region),
    };
    Place { kind, region: region.to_owned(), name: name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(side: Side, kind: AdoptedKind, region: &str, name: &str) -> Named {
        Named::new("ledger", side, kind, (region, name))
    }

    fn alone(place: &Place) -> Counterpart<'_> {
        Counterpart { place, source: None }
    }

    fn restore(from: Place, to: &Place, as_of: &str) -> Restore {
        let told_by = "AWS Backup restore job 5B06-1".to_owned();
        Restore { source: from, created: to.clone(), as_of: as_of.parse().ok(), told_by }
    }

    #[test]
    fn what_an_earlier_version_noted_is_still_read() {
        let noted = r#"{"store": "orders", "kind": "table", "region": "us-east-1", "name": "orders-restored", "original": "orders",
            "told_by": "its name alone", "instances": [], "is_renamed": false}"#;
        let read: Adopted = serde_json::from_str(noted).expect("it has all that it had");
        assert_eq!((read.final_name(), read.present.as_slice()), ("orders-restored", [].as_slice()));
    }

    #[test]
    fn a_job_goes_before_a_name_and_the_last_job_before_others() {
        let copy = named(Side::Primary, AdoptedKind::Instance, "us-east-1", "ledger-restored");
        let by_name = source(&copy, &[]).expect("a source");
        assert_eq!((by_name.original.name.as_str(), by_name.is_proved), ("ledger", false));
        let of = |name: &str| place(AdoptedKind::Instance, "us-east-1", name);
        let jobs = [
            restore(of("books"), &copy.place, "2026-11-22T03:00:00Z"),
            restore(of("accounts"), &copy.place, "2026-11-23T03:00:00Z"),
            restore(of("other"), &of("ledger"), "2026-11-24T03:00:00Z"),
        ];
        let by_job = source(&copy, &jobs).expect("a source");
        assert_eq!((by_job.original.name.as_str(), by_job.is_proved), ("accounts", true));
        assert_eq!(source(&named(Side::Primary, AdoptedKind::Instance, "us-east-1", "ledger"), &[]), None);
    }

    #[test]
    fn a_copy_of_the_other_side_is_what_a_failback_is_for() {
        let dr = named(Side::Dr, AdoptedKind::Instance, "us-west-2", "ledger-r");
        let home = place(AdoptedKind::Instance, "us-east-1", "ledger");
        let source = source(&dr, &[restore(home.clone(), &dr.place, "2026-11-22T03:00:00Z")]).expect("a source");
        let (findings, guide, adopted) = judge(&dr, alone(&home), &source, &Origin::There);
        assert_eq!((findings.len(), guide, adopted), (1, None, None));
        assert!(
            findings[0].what.contains("as of 2026-11-22T03:00:00Z, by AWS Backup restore job 5B06-1"),
            "{findings:?}"
        );
        let other = place(AdoptedKind::Instance, "us-east-1", "accounts");
        let (findings, ..) = judge(&dr, alone(&other), &source, &Origin::There);
        assert_eq!(findings[1].level, Level::Warning);
        assert!(findings[1].what.contains("was restored from another resource"), "{findings:?}");
        let twin = Counterpart { place: &other, source: Some(&source) };
        assert_eq!(judge(&dr, twin, &source, &Origin::There).0.len(), 1, "both are copies of one original");
    }

    fn guided(kind: AdoptedKind, origin: &Origin) -> String {
        let copy = named(Side::Primary, kind, "us-east-1", "ledger-restored");
        let away = place(kind, "us-west-2", "ledger-dr");
        let (findings, guide, adopted) = judge(&copy, alone(&away), &source(&copy, &[]).expect("a source"), origin);
        assert_eq!(findings.len(), 2, "{findings:?}");
        assert_eq!(adopted.expect("adopted").original, "ledger");
        let guide = guide.expect("a guide");
        let mut text = format!("{}\n", guide.title);
        for step in guide.steps {
            text += &format!("[{}] {}\n", step.state.word(), step.what);
            step.commands.iter().for_each(|command| text += &format!("    {command}\n"));
        }
        text
    }

    #[test]
    fn the_steps_say_what_is_away_for_how_long() {
        let mut text = String::new();
        for kind in [AdoptedKind::Instance, AdoptedKind::Cluster, AdoptedKind::Table, AdoptedKind::Bucket] {
            for origin in [Origin::There, Origin::Gone, Origin::Unknown("access denied".into())] {
                text += &format!("{:?}: {}\n", origin, guided(kind, &origin));
            }
        }
        snapbox::assert_data_eq!(text, snapbox::file!["golden/renames.txt"].raw());
    }

    #[test]
    fn what_is_not_known_is_not_renamed() {
        for kind in [AdoptedKind::Instance, AdoptedKind::Cluster, AdoptedKind::Table] {
            let text = guided(kind, &Origin::Unknown("access denied".into()));
            assert!(!text.contains("modify-db") && !text.contains("restore-table"), "{text}");
        }
    }
}
