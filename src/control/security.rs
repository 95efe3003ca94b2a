//! What the security groups of two databases let in and out, compared rule by rule.
//!
//! Networks of two Regions often differ for good reasons, so that a difference is a warning and never more. What is of one
//! Region by its nature, such as a prefix list, is told as not compared.

use std::collections::{BTreeMap, BTreeSet};

/// Rules of one side that are told one by one; of more only their number.
const RULES_TOLD_MAX: usize = 20;

/// A rule as EC2 tells it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct RuleTold {
    pub(super) is_egress: Option<bool>,
    pub(super) protocol: Option<String>,
    pub(super) from_port: Option<i64>,
    pub(super) to_port: Option<i64>,
    pub(super) cidr_ipv4: Option<String>,
    pub(super) cidr_ipv6: Option<String>,
    pub(super) prefix_list: Option<String>,
    /// The id of a group whose members are meant.
    pub(super) group: Option<String>,
}

/// A rule in the same words on every side; the rules of all groups of a server are one set, for they add up.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rule {
    is_egress: bool,
    /// The protocol and its ports.
    traffic: String,
    peer: Peer,
}

/// Whom a rule is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Peer {
    /// A network in CIDR notation.
    Network(String),
    /// The members of the server's own groups.
    Own,
    /// The members of another group, by its name: its id is of one Region.
    Group(String),
    /// What has no counterpart in another Region.
    Regional(String),
}

impl Rule {
    /// Puts a rule into common words; `own` are the ids of the server's groups, `names` those of groups that rules refer to.
    pub(super) fn of(told: &RuleTold, own: &[String], names: &BTreeMap<String, String>) -> Rule {
        let RuleTold { is_egress, protocol, from_port, to_port, cidr_ipv4, cidr_ipv6, prefix_list, group } = told;
        let peer = match (cidr_ipv4.as_ref().or(cidr_ipv6.as_ref()), group, prefix_list) {
            (Some(network), _, _) => Peer::Network(network.to_lowercase()),
            (None, Some(id), _) if own.contains(id) => Peer::Own,
            (None, Some(id), _) => match names.get(id) {
                Some(name) => Peer::Group(name.clone()),
                None => Peer::Regional(format!("the security group {id}, whose name EC2 does not tell")),
            },
            (None, None, Some(list)) => Peer::Regional(format!("the prefix list {list}")),
            (None, None, None) => Peer::Regional("what EC2 does not tell".into()),
        };
        let traffic = traffic(protocol.as_deref(), *from_port, *to_port);
        match is_egress {
            Some(is_egress) => Rule { is_egress: *is_egress, traffic, peer },
            // Not to know the direction makes it comparable with nothing.
            None => {
                Rule { is_egress: false, traffic, peer: Peer::Regional("a direction that EC2 does not tell".into()) }
            }
        }
    }

    fn is_comparable(&self) -> bool {
        !matches!(self.peer, Peer::Regional(_))
    }

    /// Such as `in tcp 5432 from 10.1.0.0/16`.
    fn words(&self) -> String {
        let Rule { is_egress, traffic, peer } = self;
        let (way, link) = if *is_egress { ("out", "to") } else { ("in", "from") };
        let peer = match peer {
            Peer::Network(network) => network.clone(),
            Peer::Own => "its own groups".to_owned(),
            Peer::Group(name) => format!("the group {name}"),
            Peer::Regional(what) => what.clone(),
        };
        format!("{way} {traffic} {link} {peer}")
    }
}

fn traffic(protocol: Option<&str>, from: Option<i64>, to: Option<i64>) -> String {
    // EC2 tells the well-known ones by name and takes their numbers as well.
    let protocol = match protocol {
        Some("-1") => return "all traffic".into(),
        Some("6") => "tcp",
        Some("17") => "udp",
        Some("1") => "icmp",
        Some("58") => "icmpv6",
        Some(other) => other,
        None => return "a protocol that EC2 does not tell".into(),
    };
    let is_icmp = protocol.starts_with("icmp");
    match (from.filter(|port| *port >= 0), to.filter(|port| *port >= 0)) {
        (None, None) => protocol.to_owned(),
        (Some(0), Some(65_535)) if !is_icmp => protocol.to_owned(),
        (Some(kind), code) if is_icmp => {
            format!("{protocol} type {kind}{}", code.map_or(String::new(), |code| format!(" code {code}")))
        }
        (Some(from), Some(to)) if from == to => format!("{protocol} {from}"),
        (from, to) => {
            let port = |port: Option<i64>| port.map_or("?".to_owned(), |port| port.to_string());
            format!("{protocol} {}-{}", port(from), port(to))
        }
    }
}

/// What two sets of rules are beside each other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Compared {
    /// What only one side lets in or out, in words.
    pub(super) differences: Vec<String>,
    /// What cannot be compared, in words.
    pub(super) regional: Vec<String>,
    /// How many rules both have.
    pub(super) same: usize,
}

/// Compares the rules of both sides, each with its word in sentences.
pub(super) fn compare(sides: [(&str, &BTreeSet<Rule>); 2]) -> Compared {
    let mut compared = Compared::default();
    let [(_, one), (_, other)] = sides;
    compared.same = one.intersection(other).filter(|rule| rule.is_comparable()).count();
    for ((word, own), theirs) in sides.into_iter().zip([other, one]) {
        let only: Vec<&Rule> = own.difference(theirs).filter(|rule| rule.is_comparable()).collect();
        compared
            .differences
            .extend(only.iter().take(RULES_TOLD_MAX).map(|rule| format!("only {word} lets {}", rule.words())));
        if let Some(more @ 1..) = only.len().checked_sub(RULES_TOLD_MAX) {
            compared.differences.push(format!("only {word} has {more} more rules"));
        }
        let regional = own.iter().filter(|rule| !rule.is_comparable());
        compared.regional.extend(regional.map(|rule| format!("{word} lets {}", rule.words())));
    }
    compared
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(protocol: &str, ports: (i64, i64)) -> RuleTold {
        RuleTold {
            is_egress: Some(false),
            protocol: Some(protocol.into()),
            from_port: Some(ports.0),
            to_port: Some(ports.1),
            ..RuleTold::default()
        }
    }

    fn network(protocol: &str, ports: (i64, i64), cidr: &str) -> RuleTold {
        RuleTold { cidr_ipv4: Some(cidr.into()), ..told(protocol, ports) }
    }

    fn rules(all: &[RuleTold], own: &str) -> BTreeSet<Rule> {
        let names = [("sg-app-e", "app"), ("sg-app-w", "app"), ("sg-batch", "batch")];
        let names = names.map(|(id, name)| (id.to_owned(), name.to_owned())).into();
        all.iter().map(|one| Rule::of(one, &[own.to_owned()], &names)).collect()
    }

    #[test]
    fn rules_are_put_into_common_words() {
        let of_group = |id: &str| RuleTold { group: Some(id.into()), ..told("tcp", (5432, 5432)) };
        let rows = [
            (network("tcp", (5432, 5432), "10.1.0.0/16"), "in tcp 5432 from 10.1.0.0/16"),
            (network("6", (5432, 5440), "10.1.0.0/16"), "in tcp 5432-5440 from 10.1.0.0/16"),
            (network("-1", (-1, -1), "0.0.0.0/0"), "in all traffic from 0.0.0.0/0"),
            (network("udp", (0, 65_535), "0.0.0.0/0"), "in udp from 0.0.0.0/0"),
            (network("icmp", (8, -1), "0.0.0.0/0"), "in icmp type 8 from 0.0.0.0/0"),
            (network("icmp", (3, 4), "0.0.0.0/0"), "in icmp type 3 code 4 from 0.0.0.0/0"),
            (RuleTold { cidr_ipv6: Some("FD00::/8".into()), ..told("tcp", (1, 1)) }, "in tcp 1 from fd00::/8"),
            (RuleTold { is_egress: Some(true), ..network("tcp", (1, 1), "::/0") }, "out tcp 1 to ::/0"),
            (of_group("sg-own"), "in tcp 5432 from its own groups"),
            (of_group("sg-app-e"), "in tcp 5432 from the group app"),
        ];
        for (one, words) in &rows {
            let rule = rules(std::slice::from_ref(one), "sg-own").pop_first().expect("a rule");
            assert!(rule.is_comparable() && rule.words() == *words, "{rule:?}");
        }
        for one in [
            of_group("sg-elsewhere"),
            RuleTold { prefix_list: Some("pl-1".into()), ..told("tcp", (1, 1)) },
            told("tcp", (1, 1)),
            RuleTold { is_egress: None, ..rows[0].0.clone() },
        ] {
            let rule = rules(&[one], "sg-own").pop_first().expect("a rule");
            assert!(!rule.is_comparable(), "{rule:?}");
        }
    }

    #[test]
    fn what_only_one_side_lets_in_is_told_and_what_is_regional_is_not_compared() {
        let group = |id: &str| RuleTold { group: Some(id.into()), ..told("tcp", (5432, 5432)) };
        let list = |id: &str| RuleTold { prefix_list: Some(id.into()), ..told("tcp", (443, 443)) };
        let home = rules(&[group("sg-e"), group("sg-app-e"), group("sg-batch"), list("pl-1")], "sg-e");
        let away = rules(&[group("sg-w"), group("sg-app-w"), network("tcp", (5432, 5432), "10.1.0.0/16")], "sg-w");
        let compared = compare([("the primary", &home), ("dr", &away)]);
        assert_eq!(
            compared.differences,
            ["only the primary lets in tcp 5432 from the group batch", "only dr lets in tcp 5432 from 10.1.0.0/16"]
        );
        assert_eq!(compared.regional, ["the primary lets in tcp 443 from the prefix list pl-1"]);
        assert_eq!(compared.same, 2);
    }

    #[test]
    fn many_rules_are_counted() {
        let many: Vec<RuleTold> = (0..25).map(|port| network("tcp", (port, port), "10.0.0.0/8")).collect();
        let compared = compare([("the primary", &rules(&many, "sg")), ("dr", &BTreeSet::new())]);
        assert_eq!(compared.differences.len(), 21);
        assert_eq!(compared.differences[20], "only the primary has 5 more rules");
    }
}
