//! Table patterns, lists of names, and the order of tables by their foreign keys.

use std::collections::BTreeSet;

/// Names listed in one finding; of more, the number is told.
const NAMES_LISTED: usize = 12;

/// Names as a finding lists them.
pub(in crate::store) fn listed(names: &[String]) -> String {
    match names.len().checked_sub(NAMES_LISTED) {
        None | Some(0) => names.join(", "),
        Some(more) => format!("{} and {more} more", names[..NAMES_LISTED].join(", ")),
    }
}

/// Whether `text` matches a pattern in which `*` stands for any run and `?` for any one character.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut at, mut seen) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while seen < text.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, seen));
                at += 1;
            }
            Some(&wanted) if wanted == '?' || wanted == text[seen] => {
                at += 1;
                seen += 1;
            }
            _ => match star {
                Some((star_at, from)) => {
                    star = Some((star_at, from + 1));
                    at = star_at + 1;
                    seen = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|&rest| rest == '*')
}

/// Ranks tables `0..count` so that parents come before children; tables in one cycle share a rank.
///
/// `references` holds pairs of child and parent.
pub(in crate::store) fn ranks(count: usize, references: &[(usize, usize)]) -> Vec<u32> {
    let ancestors: Vec<BTreeSet<usize>> = (0..count).map(|table| ancestors_of(table, references)).collect();
    let mut ranks = vec![0u32; count];
    // Every pass settles at least one more level, and there are no more levels than tables.
    for _ in 0..count {
        let mut changed = false;
        for &(child, parent) in references {
            let is_cycle = ancestors[parent].contains(&child);
            let least = if is_cycle { ranks[parent] } else { ranks[parent] + 1 };
            if ranks[child] < least {
                ranks[child] = least;
                changed = true;
            }
        }
        if !changed {
            break;
        }
    }
    ranks
}

fn ancestors_of(table: usize, references: &[(usize, usize)]) -> BTreeSet<usize> {
    let mut seen = BTreeSet::from([table]);
    let mut open = vec![table];
    while let Some(next) = open.pop() {
        for &(_, parent) in references.iter().filter(|(child, _)| *child == next) {
            if seen.insert(parent) {
                open.push(parent);
            }
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_names() {
        for (pattern, text, expected) in [
            ("public.*", "public.orders", true),
            ("public.o?ders", "public.orders", true),
            ("public.order", "public.orders", false),
            ("*.audit_*_log", "x.audit_a_b_log", true),
            ("*", "", true),
            ("?", "", false),
            ("a*b*c", "aXbYbc", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn parents_rank_before_children_and_cycles_share_a_rank() {
        // 0 <- 1 <- 2, 2 <-> 3, 4 refers to itself, 5 <- 3.
        let ranks = ranks(6, &[(1, 0), (2, 1), (2, 3), (3, 2), (4, 4), (3, 5)]);
        assert_eq!(ranks, [0, 1, 2, 2, 0, 0]);
    }
}
