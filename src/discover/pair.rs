//! Which resource is whose counterpart: restores before tags before names, and a question wherever that is not plain.

mod records;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

pub use records::{RecordPair, RecordQuestion};

use super::found::{Engine, Found, Place, Resource, ResourceKind, Restore, Survey};
use super::names::Regions;
use crate::model::Timestamp;

/// A tag whose value both sides of a store share, for who wants to say it outright.
const OWN_TAG: &str = "failback:store";

/// What shows that two resources are counterparts, the strongest first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Evidence {
    /// A person said so.
    Chosen,
    /// dr's was restored from the primary's.
    Restored {
        /// What tells of it.
        told_by: String,
        /// The instant the restored data represents.
        as_of: Option<Timestamp>,
    },
    /// One is replicated to the other, in words.
    Replicated {
        /// How.
        how: String,
    },
    /// Both carry the same tag.
    Tagged {
        /// The tag.
        tag: String,
    },
    /// Their names are equal.
    Namesake,
    /// Their names are equal but for Regions, roles and dates.
    AlikeName,
}

impl Evidence {
    /// Equal names and alike ones are one strength: which of two is meant is not for this program to say.
    fn strength(&self) -> u8 {
        match self {
            Evidence::Chosen => 0,
            Evidence::Restored { .. } | Evidence::Replicated { .. } => 1,
            Evidence::Tagged { .. } => 2,
            Evidence::Namesake | Evidence::AlikeName => 3,
        }
    }

    /// The evidence as a person reads it.
    pub fn words(&self) -> String {
        match self {
            Evidence::Chosen => "chosen by hand".to_owned(),
            Evidence::Restored { told_by, as_of: Some(as_of) } => format!("restored, by {told_by}, as of {as_of}"),
            Evidence::Restored { told_by, as_of: None } => format!("restored, by {told_by}"),
            Evidence::Replicated { how } => how.clone(),
            Evidence::Tagged { tag } => format!("both have the tag {tag}"),
            Evidence::Namesake => "the names are equal".to_owned(),
            Evidence::AlikeName => "the names are equal but for Region, role or date".to_owned(),
        }
    }
}

/// Two counterparts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pair {
    /// The primary's.
    pub primary: Resource,
    /// dr's.
    pub dr: Resource,
    /// What shows it.
    pub evidence: Evidence,
    /// Tables of the primary's Region that were restored aside from the primary's: bases.
    pub asides: Vec<Restore>,
    /// Other resources of dr that weaker evidence points to.
    pub also: Vec<String>,
}

/// A resource of the primary whose counterpart is not plain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Question {
    /// The primary's.
    pub primary: Resource,
    /// What it may be in dr; at least one.
    pub candidates: Vec<Candidate>,
    /// Tables of the primary's Region that were restored aside from the primary's.
    pub asides: Vec<Restore>,
}

/// What may be a counterpart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Candidate {
    /// dr's.
    pub dr: Resource,
    /// What speaks for it.
    pub evidence: Evidence,
}

/// A resource without a counterpart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Alone {
    /// The resource.
    pub resource: Resource,
    /// What it is taken to be, where that is known.
    pub why: Option<String>,
}

/// What belongs together, and what is open.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Pairing {
    /// Counterparts.
    pub pairs: Vec<Pair>,
    /// What a person must say.
    pub questions: Vec<Question>,
    /// The primary's resources that nothing in dr is a counterpart of.
    pub primary_alone: Vec<Alone>,
    /// dr's resources that nothing in the primary is a counterpart of.
    pub dr_alone: Vec<Alone>,
    /// Weighted records that shift customers between the sides.
    pub records: Vec<RecordPair>,
    /// Weighted records whose sides are not plain.
    pub record_questions: Vec<RecordQuestion>,
}

impl Pairing {
    /// Pairs everything that was found.
    pub fn of(survey: &Survey) -> Pairing {
        let regions = Regions { primary: &survey.primary.region, dr: &survey.dr.region };
        let mut pairing = Pairing::default();
        for kind in [ResourceKind::Table, ResourceKind::Bucket, ResourceKind::Database] {
            Matching::new(survey, regions, kind).run(&mut pairing);
        }
        (pairing.records, pairing.record_questions) = records::sorted(&survey.records, regions);
        pairing
    }

    /// Settles a question: the primary's resource and one of its candidates are a pair. The candidate is no longer one of
    /// any other question's; a question without candidates has an answer too: none.
    pub fn choose(&mut self, primary: &str, kind: ResourceKind, candidate: usize) {
        let is_asked = |question: &Question| question.primary.name == primary && question.primary.kind() == kind;
        let Some(at) = self.questions.iter().position(is_asked) else { return };
        let Question { primary, mut candidates, asides } = self.questions.remove(at);
        let dr = candidates.remove(candidate.min(candidates.len() - 1)).dr;
        for question in self.questions.iter_mut().filter(|question| question.primary.kind() == kind) {
            question.candidates.retain(|candidate| candidate.dr.name != dr.name);
        }
        let also = candidates.into_iter().map(|candidate| candidate.dr.name).collect();
        self.pairs.push(Pair { primary, dr, evidence: Evidence::Chosen, asides, also });
        let (open, left): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.questions).into_iter().partition(|question| !question.candidates.is_empty());
        self.questions = open;
        let why = || Some("what it might have been is another's counterpart".to_owned());
        self.primary_alone.extend(left.into_iter().map(|question| Alone { resource: question.primary, why: why() }));
        self.pairs.sort_by(|one, other| {
            (one.primary.kind(), &one.primary.name).cmp(&(other.primary.kind(), &other.primary.name))
        });
    }

    /// Settles a question: the primary's resource has no counterpart.
    pub fn choose_none(&mut self, primary: &str, kind: ResourceKind) {
        let is_asked = |question: &Question| question.primary.name == primary && question.primary.kind() == kind;
        let Some(at) = self.questions.iter().position(is_asked) else { return };
        let question = self.questions.remove(at);
        let why = Some("left out by hand".to_owned());
        self.primary_alone.push(Alone { resource: question.primary, why });
    }

    /// Whether a person must still say something.
    pub fn is_open(&self) -> bool {
        !self.questions.is_empty() || !self.record_questions.is_empty() || self.records.len() > 1
    }
}

/// The resources of one kind, being paired.
struct Matching<'a> {
    survey: &'a Survey,
    regions: Regions<'a>,
    primary: Vec<&'a Resource>,
    dr: Vec<&'a Resource>,
    /// Evidence by primary and dr, the strongest only.
    edges: BTreeMap<(usize, usize), Evidence>,
    asides: BTreeMap<usize, Vec<Restore>>,
    aside_of: BTreeMap<usize, String>,
}

impl<'a> Matching<'a> {
    fn new(survey: &'a Survey, regions: Regions<'a>, kind: ResourceKind) -> Matching<'a> {
        let of_kind = |resources: &'a [Resource]| resources.iter().filter(|one| one.kind() == kind).collect::<Vec<_>>();
        let (primary, dr) = (of_kind(&survey.primary.resources), of_kind(&survey.dr.resources));
        let mut matching = Matching {
            survey,
            regions,
            primary,
            dr,
            edges: BTreeMap::new(),
            asides: BTreeMap::new(),
            aside_of: BTreeMap::new(),
        };
        matching.find_asides();
        matching.find_edges();
        matching
    }

    /// What was restored from one resource of the primary's Region to another one is a base, unless dr knows it too.
    fn find_asides(&mut self) {
        let region = self.regions.primary;
        for restore in &self.survey.restores {
            let at = |place: &Place| self.primary.iter().position(|one| one.place(region) == *place);
            let (Some(source), Some(created)) = (at(&restore.source), at(&restore.created)) else { continue };
            let name = &self.primary[created].name;
            let has_namesake = self.dr.iter().any(|one| one.name == *name);
            let is_source = self.survey.restores.iter().any(|other| {
                other.source == restore.created && self.dr.iter().any(|one| one.place(self.regions.dr) == other.created)
            });
            if source != created && !has_namesake && !is_source {
                self.asides.entry(source).or_default().push(restore.clone());
                self.aside_of.insert(created, self.primary[source].name.clone());
            }
        }
    }

    fn find_edges(&mut self) {
        for (one, primary) in self.primary.iter().enumerate() {
            for (two, dr) in self.dr.iter().enumerate() {
                if self.aside_of.contains_key(&one) || !can_be_alike(primary, dr) {
                    continue;
                }
                if let Some(evidence) = self.evidence(primary, dr) {
                    self.edges.insert((one, two), evidence);
                }
            }
        }
    }

    /// The strongest evidence for two resources.
    fn evidence(&self, primary: &Resource, dr: &Resource) -> Option<Evidence> {
        restored(self.survey, self.regions, primary, dr)
            .or_else(|| replicated(self.regions, primary, dr))
            .or_else(|| tagged(self.regions, primary, dr))
            .or_else(|| (primary.name == dr.name).then_some(Evidence::Namesake))
            .or_else(|| {
                (self.regions.core(&primary.name) == self.regions.core(&dr.name)).then_some(Evidence::AlikeName)
            })
    }

    fn run(self, pairing: &mut Pairing) {
        let (mut pairs, mut open) = (Vec::new(), Vec::new());
        let (mut taken_primary, mut taken_dr) = (BTreeSet::new(), BTreeSet::new());
        for strength in 1..=3 {
            let edges: Vec<(usize, usize)> = self
                .edges
                .iter()
                .filter(|((one, two), evidence)| {
                    evidence.strength() == strength && !taken_primary.contains(one) && !taken_dr.contains(two)
                })
                .map(|(edge, _)| *edge)
                .collect();
            for group in groups(&edges) {
                taken_primary.extend(group.iter().map(|(one, _)| *one));
                taken_dr.extend(group.iter().map(|(_, two)| *two));
                match self.plain(&group) {
                    Some(plain) => pairs.extend(plain),
                    None => open.push(group),
                }
            }
        }
        pairs.sort_unstable();
        pairing.pairs.extend(pairs.iter().map(|edge| self.pair(*edge)));
        let mut questions: Vec<Question> = open.iter().flat_map(|group| self.questions(group)).collect();
        questions.sort_by(|one, other| one.primary.name.cmp(&other.primary.name));
        pairing.questions.extend(questions);
        for (at, resource) in self.primary.iter().enumerate().filter(|(at, _)| !taken_primary.contains(at)) {
            let why = self.aside_of.get(&at).map(|source| format!("restored aside from {source}: it can be its base"));
            pairing.primary_alone.push(Alone { resource: (*resource).clone(), why });
        }
        let alone = self.dr.iter().enumerate().filter(|(at, _)| !taken_dr.contains(at));
        pairing.dr_alone.extend(alone.map(|(_, resource)| Alone { resource: (*resource).clone(), why: None }));
    }

    /// The pairs of a group that leaves no choice: one edge, or everybody has a namesake.
    fn plain(&self, group: &[(usize, usize)]) -> Option<Vec<(usize, usize)>> {
        if group.len() == 1 {
            return Some(group.to_vec());
        }
        let namesakes: Vec<(usize, usize)> =
            group.iter().filter(|edge| self.edges[edge] == Evidence::Namesake).copied().collect();
        let is_full = |side: fn(&(usize, usize)) -> usize| {
            group.iter().map(side).collect::<BTreeSet<_>>() == namesakes.iter().map(side).collect()
        };
        (is_full(|edge| edge.0) && is_full(|edge| edge.1)).then_some(namesakes)
    }

    fn pair(&self, edge: (usize, usize)) -> Pair {
        let (one, two) = edge;
        let others = self.edges.keys().filter(|(first, second)| *first == one && *second != two);
        let namesake = |name: &str| self.primary.iter().any(|resource| resource.name == name);
        Pair {
            primary: self.primary[one].clone(),
            dr: self.dr[two].clone(),
            evidence: self.edges[&edge].clone(),
            asides: self.asides.get(&one).cloned().unwrap_or_default(),
            also: others
                .map(|(_, second)| self.dr[*second].name.clone())
                .filter(|name| *name == self.primary[one].name || !namesake(name))
                .collect(),
        }
    }

    fn questions(&self, group: &[(usize, usize)]) -> Vec<Question> {
        let primaries: BTreeSet<usize> = group.iter().map(|(one, _)| *one).collect();
        let candidates = |primary: usize| {
            let edges = group.iter().filter(move |(one, _)| *one == primary);
            edges.map(|edge| Candidate { dr: self.dr[edge.1].clone(), evidence: self.edges[edge].clone() }).collect()
        };
        let question = |primary: usize| Question {
            primary: self.primary[primary].clone(),
            candidates: candidates(primary),
            asides: self.asides.get(&primary).cloned().unwrap_or_default(),
        };
        primaries.into_iter().map(question).collect()
    }
}

/// Edges that hang together by a resource, a group each.
fn groups(edges: &[(usize, usize)]) -> Vec<Vec<(usize, usize)>> {
    let mut groups: Vec<Vec<(usize, usize)>> = Vec::new();
    for edge in edges {
        let meets = |group: &Vec<(usize, usize)>| group.iter().any(|other| other.0 == edge.0 || other.1 == edge.1);
        let (joined, mut apart): (Vec<_>, Vec<_>) = std::mem::take(&mut groups).into_iter().partition(meets);
        let mut group = joined.concat();
        group.push(*edge);
        group.sort_unstable();
        apart.push(group);
        groups = apart;
    }
    groups
}

/// Databases of different engines are never counterparts.
fn can_be_alike(primary: &Resource, dr: &Resource) -> bool {
    match (&primary.found, &dr.found) {
        (Found::Database(one), Found::Database(two)) => one.engine == two.engine,
        (Found::Table(_), Found::Table(_)) | (Found::Bucket(_), Found::Bucket(_)) => true,
        _ => false,
    }
}

/// The latest restore of one to the other.
fn restored(survey: &Survey, regions: Regions<'_>, primary: &Resource, dr: &Resource) -> Option<Evidence> {
    let (source, created) = (primary.place(regions.primary), dr.place(regions.dr));
    let restores = survey.restores.iter().filter(|restore| restore.source == source && restore.created == created);
    let latest = restores.max_by_key(|restore| restore.as_of)?;
    Some(Evidence::Restored { told_by: latest.told_by.clone(), as_of: latest.as_of })
}

fn replicated(regions: Regions<'_>, primary: &Resource, dr: &Resource) -> Option<Evidence> {
    let how = match (&primary.found, &dr.found) {
        (Found::Table(one), Found::Table(_)) => {
            let is_replica = primary.name == dr.name && one.global_regions.iter().any(|region| region == regions.dr);
            is_replica.then(|| "both are replicas of one global table".to_owned())
        }
        (Found::Bucket(one), Found::Bucket(two)) if one.replicates_to.contains(&dr.name) => {
            let back = if two.replicates_to.contains(&primary.name) { ", and back" } else { "" };
            Some(format!("the primary's bucket is replicated to it{back}"))
        }
        (Found::Database(one), Found::Database(two)) => {
            let is_replica = two.replica_of.as_ref() == Some(&primary.place(regions.primary));
            let is_global = one.global_cluster.is_some() && one.global_cluster == two.global_cluster;
            match (is_replica, is_global) {
                (_, true) => Some("both belong to one Aurora global cluster".to_owned()),
                (true, false) => Some("it is a read replica of the primary's".to_owned()),
                (false, false) => None,
            }
        }
        _ => None,
    };
    how.map(|how| Evidence::Replicated { how })
}

/// A tag that names one resource: this program's own, CloudFormation's logical id, or `Name`.
fn tagged(regions: Regions<'_>, primary: &Resource, dr: &Resource) -> Option<Evidence> {
    let shared = |tag: &str| {
        let value = primary.tags.get(tag).filter(|value| !value.is_empty())?;
        (dr.tags.get(tag) == Some(value)).then(|| Evidence::Tagged { tag: format!("{tag} = {value}") })
    };
    let stack =
        |resource: &Resource| resource.tags.get("aws:cloudformation:stack-name").map(|stack| regions.core(stack));
    let same_stack = stack(primary).is_some() && stack(primary) == stack(dr);
    shared(OWN_TAG)
        .or_else(|| if same_stack { shared("aws:cloudformation:logical-id") } else { None })
        .or_else(|| shared("Name"))
}

/// Why two counterparts are not a store that can be replayed; `None` where they are.
pub(super) fn obstacle(primary: &Resource, dr: &Resource, regions: (&str, &str)) -> Option<String> {
    match (&primary.found, &dr.found) {
        (Found::Table(one), Found::Table(two))
            if one.global_regions.iter().any(|region| region == regions.1)
                || two.global_regions.iter().any(|region| region == regions.0) =>
        {
            Some("a global table: its replicas converge by themselves, and a replay could bury newer writes".to_owned())
        }
        (Found::Database(one), Found::Database(two)) => match (&one.engine, &one.global_cluster, &two.global_cluster) {
            _ if one.engine != two.engine => Some("they are of different engines".to_owned()),
            (Engine::Other(engine), ..) => Some(format!("engine {engine} is not supported")),
            (_, Some(one), Some(two)) if one == two => {
                Some(format!("both belong to the Aurora global cluster {one}: switch that over, do not replay"))
            }
            _ if two.replica_of.is_some() => Some(
                "dr's is still a read replica and takes no writes of its own: there is nothing to bring home"
                    .to_owned(),
            ),
            _ if one.database.is_none() || two.database.is_none() => {
                Some("RDS does not tell the name of its database: name it".to_owned())
            }
            _ => None,
        },
        _ => None,
    }
}
