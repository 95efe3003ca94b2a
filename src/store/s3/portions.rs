//! A listing in portions that can be read at the same time, found by looking at how keys begin.
//!
//! Together the portions hold every key, whatever appears while they are read: a folder's portion beside those of its
//! subfolders lists what none of them holds, and ranges of keys leave no gap between them. Portions rest on no order of
//! keys, except for ranges, which go back to listing all of theirs where a server turns out to keep another order.

use std::collections::{BTreeSet, VecDeque};

use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::S3Store;
use super::listing::{Asked, PAGE, Place};
use crate::store::Result;

/// What folders of keys end with.
const DELIMITER: &str = "/";
/// Portions for each that is read at the same time, so that uneven ones even out.
const PORTIONS_EACH: usize = 8;
/// Portions at most.
const PORTIONS_MAX: usize = 256;
/// Subfolders of one folder that become portions of their own; more of them are cut into ranges.
const FOLDERS_MAX: usize = 64;
/// Ranges of folders for each that is read at the same time; the last page of a range may reach beyond its end.
const RANGES_EACH: usize = 2;
/// Requests spent on looking for portions.
const LOOKS_MAX: usize = 64;
/// Requests spent on finding the ranges of one folder.
const PROBES_MAX: usize = 96;
/// The last of all characters: what begins with a text comes before that text and this.
const LAST: char = char::MAX;

/// A part of a bucket's keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Portion {
    /// All that begins so.
    Prefix(String),
    /// All that begins so, without what begins with one of the others.
    Besides { prefix: String, others: BTreeSet<String> },
    /// All that begins so and is after one key and not after the other.
    Range { prefix: String, after: Option<String>, until: Option<String> },
}

impl S3Store {
    /// Divides the current objects under the prefix into about as many portions as `readers` can share.
    pub(super) async fn portions(&self, readers: usize) -> Result<Vec<Portion>> {
        let wanted = if readers > 1 { (readers * PORTIONS_EACH).min(PORTIONS_MAX) } else { 1 };
        let mut portions = Vec::new();
        let mut open = VecDeque::from([self.prefix.clone()]);
        let mut looks = 0;
        while let Some(prefix) = open.pop_front() {
            if portions.len() + open.len() + 1 >= wanted || looks == LOOKS_MAX {
                portions.push(Portion::Prefix(prefix));
                continue;
            }
            looks += 1;
            let asked = Asked { prefix: prefix.clone(), delimiter: Some(DELIMITER), after: None };
            let page = self.page(&asked, None, PAGE).await?;
            // A delimiter at the end of what is asked for would make a folder of itself.
            let folders: BTreeSet<String> = page.prefixes.into_iter().filter(|folder| *folder != prefix).collect();
            if page.next.is_some() {
                portions.extend(self.ranges(prefix).await?);
            } else if folders.len() > FOLDERS_MAX {
                portions.extend(ranges_of(prefix, &folders, readers * RANGES_EACH));
            } else if folders.is_empty() {
                portions.push(Portion::Prefix(prefix));
            } else {
                open.extend(folders.iter().cloned());
                portions.push(Portion::Besides { prefix, others: folders });
            }
        }
        Ok(portions)
    }

    /// Cuts what begins with `prefix` where its next character changes.
    async fn ranges(&self, prefix: String) -> Result<Vec<Portion>> {
        let whole = || vec![Portion::Prefix(prefix.clone())];
        let mut begin = prefix.clone();
        let mut cuts: Vec<String> = Vec::new();
        let mut after = None;
        for _ in 0..PROBES_MAX {
            let asked = Asked { prefix: begin.clone(), delimiter: None, after: after.clone() };
            let page = self.page(&asked, None, 1).await?;
            let first = page.places.first().and_then(|place| place.full_key.strip_prefix(&begin));
            match first.map(|rest| rest.chars().next()) {
                Some(Some(character)) => {
                    let cut = format!("{begin}{character}{LAST}");
                    if cuts.last().is_some_and(|last| *last >= cut) {
                        // Not in the order of keys: ranges would mean nothing.
                        return Ok(whole());
                    }
                    after = Some(cut.clone());
                    cuts.push(cut);
                }
                // The key is what all begin with, such as a folder's own: nothing is learned of the next character.
                Some(None) if after.is_none() => after = Some(begin.clone()),
                // All begin with one more character.
                None if cuts.len() == 1 => {
                    begin = cuts.remove(0);
                    begin.pop();
                    after = None;
                }
                _ => break,
            }
        }
        // The last range has no end.
        cuts.pop();
        Ok(cut_at(&prefix, &cuts))
    }

    /// The objects of one portion, in pages.
    pub(super) fn portion_places(&self, portion: Portion) -> BoxStream<'_, Result<Vec<Place>>> {
        let all = |prefix: String| Asked { prefix, ..Asked::default() };
        match portion {
            Portion::Prefix(prefix) => self.pages(all(prefix)).map_ok(|page| page.places).boxed(),
            Portion::Besides { prefix, others } => {
                let asked = Asked { prefix, delimiter: Some(DELIMITER), after: None };
                let pages = self.pages(asked).map_ok(move |page| {
                    let own = stream::iter([Ok(page.places)]);
                    // What appeared since the portions were found.
                    let newer = page.prefixes.into_iter().filter(|folder| !others.contains(folder)).collect::<Vec<_>>();
                    let newer = newer.into_iter().map(move |prefix| self.pages(all(prefix)).map_ok(|page| page.places));
                    own.chain(stream::iter(newer).flatten())
                });
                pages.try_flatten().boxed()
            }
            Portion::Range { prefix, after, until } => self.range_places(prefix, after, until),
        }
    }

    fn range_places(
        &self,
        prefix: String,
        after: Option<String>,
        until: Option<String>,
    ) -> BoxStream<'_, Result<Vec<Place>>> {
        let asked = Asked { prefix: prefix.clone(), delimiter: None, after: after.clone() };
        let state = Some((self.pages(asked), after, Order::Kept));
        let pages = stream::try_unfold(state, move |state| {
            let (prefix, until) = (prefix.clone(), until.clone());
            async move {
                let Some((mut pages, last, order)) = state else { return Ok(None) };
                let Some(page) = pages.try_next().await? else { return Ok(None) };
                if order == Order::Unknown {
                    return Ok(Some((page.places, Some((pages, None, order)))));
                }
                if !is_ascending(last.as_deref(), &page.places) {
                    tracing::warn!(bucket = self.bucket, "keys are not listed in order: listing all of them");
                    let all = self.pages(Asked { prefix, ..Asked::default() });
                    return Ok(Some((Vec::new(), Some((all, None, Order::Unknown)))));
                }
                let last = page.places.last().map(|place| place.full_key.clone()).or(last);
                let is_beyond = |place: &Place| until.as_ref().is_some_and(|until| place.full_key > *until);
                let is_end = page.places.iter().any(is_beyond);
                let places = page.places.into_iter().filter(|place| !is_beyond(place)).collect();
                Ok(Some((places, (!is_end).then_some((pages, last, order)))))
            }
        });
        pages.boxed()
    }
}

/// What begins with `prefix` in so many ranges, cut between its folders.
fn ranges_of(prefix: String, folders: &BTreeSet<String>, wanted: usize) -> Vec<Portion> {
    let each = folders.len().div_ceil(wanted.max(1));
    let last = folders.last();
    let ends = folders.iter().skip(each - 1).step_by(each).filter(|folder| Some(*folder) != last);
    cut_at(&prefix, &ends.map(|folder| format!("{folder}{LAST}")).collect::<Vec<_>>())
}

/// What begins with `prefix` in ranges that end at these keys, and one more without an end.
fn cut_at(prefix: &str, cuts: &[String]) -> Vec<Portion> {
    let starts = [None].into_iter().chain(cuts.iter().cloned().map(Some));
    let ends = cuts.iter().cloned().map(Some).chain([None]);
    starts.zip(ends).map(|(after, until)| Portion::Range { prefix: prefix.to_owned(), after, until }).collect()
}

/// Whether a server was seen to list keys in another order than theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Kept,
    Unknown,
}

/// Whether a page goes on where the last one ended, in the order of keys. A key with two readings may be either.
fn is_ascending(last: Option<&str>, places: &[Place]) -> bool {
    let exact = places.iter().filter(|place| place.otherwise.is_none()).map(|place| place.full_key.as_str());
    let keys: Vec<&str> = last.into_iter().chain(exact).collect();
    keys.windows(2).all(|pair| pair[0] < pair[1])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(full_key: &str) -> Place {
        Place { full_key: full_key.into(), otherwise: None, version_id: None, listed: None }
    }

    #[test]
    fn another_order_than_that_of_keys_is_seen() {
        let keys = |names: &[&str]| names.iter().map(|name| place(name)).collect::<Vec<_>>();
        assert!(is_ascending(None, &keys(&["a", "a/b", "b", "é", "日"])));
        assert!(is_ascending(Some("a"), &keys(&["b"])) && !is_ascending(Some("b"), &keys(&["a"])));
        assert!(!is_ascending(None, &keys(&["a/x", "a.txt"])), "a tree of folders is in another order");
        assert!(!is_ascending(Some("a"), &keys(&["a"])));
    }

    #[test]
    fn ranges_of_folders_leave_no_gap() {
        let folders: BTreeSet<String> = (0..100).map(|n| format!("p/{n:02}/")).collect();
        for wanted in [1, 7, 8, 99, 100, 500] {
            let ranges = ranges_of("p/".into(), &folders, wanted);
            assert!(
                (wanted.min(100) / 2..=wanted.min(100)).contains(&ranges.len().max(1)),
                "{wanted}: {}",
                ranges.len()
            );
            let mut end = Some(None);
            for range in &ranges {
                let Portion::Range { prefix, after, until } = range else { panic!("a range") };
                assert_eq!((prefix.as_str(), Some(after)), ("p/", end.as_ref()), "each begins where the last ended");
                end = Some(until.clone());
            }
            assert_eq!(end, Some(None), "the last has no end");
        }
    }

    #[test]
    fn what_begins_with_a_text_comes_before_it_and_the_last_character() {
        let cut = format!("a{LAST}");
        for key in ["a", "a/b", "aé", "a日本", "a\u{10FFFE}"] {
            assert!(*key <= *cut, "{key:?}");
        }
        assert!(["b", "é"].iter().all(|key| **key > *cut));
    }
}
