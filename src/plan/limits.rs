//! Ceilings: what a plan may not do without being told that it may.

use serde::{Deserialize, Serialize};

use crate::model::Change;
use crate::profile::PolicyProfile;

/// What an operator allowed on the command line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Allowances {
    /// `--allow-deletes`: more deletes than the limit.
    pub deletes: bool,
    /// `--allow-overwrites`: more overwrites than the limit.
    pub overwrites: bool,
    /// `--allow-empty-dr`: dr holds nothing at all.
    pub empty_dr: bool,
    /// `--allow-everything`: every item of the primary is touched.
    pub everything: bool,
    /// `--accept-base-age`: the base is older than Tb by more than the tolerance.
    pub base_age: bool,
}

impl Allowances {
    /// What either allows.
    pub fn and(self, more: Allowances) -> Allowances {
        let Allowances { deletes, overwrites, empty_dr, everything, base_age } = self;
        Allowances {
            deletes: deletes || more.deletes,
            overwrites: overwrites || more.overwrites,
            empty_dr: empty_dr || more.empty_dr,
            everything: everything || more.everything,
            base_age: base_age || more.base_age,
        }
    }
}

/// What a plan would do to one store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanCounts {
    /// Items on the primary.
    pub primary_items: u64,
    /// Items on dr.
    pub dr_items: u64,
    /// Steps that insert.
    pub inserts: u64,
    /// Steps that overwrite.
    pub updates: u64,
    /// Steps that delete.
    pub deletes: u64,
    /// Items held for a person.
    pub held: u64,
    /// Accepted differences.
    pub accepted: u64,
    /// Bytes that are written.
    pub bytes: u64,
    /// DynamoDB write units of the steps, by the size of each item: one for each begun KiB.
    #[serde(default)]
    pub write_units: u64,
}

impl PlanCounts {
    /// Counts one step.
    pub fn add(&mut self, change: Change, bytes: u64) {
        match change {
            Change::Insert => self.inserts += 1,
            Change::Update => self.updates += 1,
            Change::Delete => self.deletes += 1,
        }
        self.write_units += bytes.div_ceil(1024).max(1);
        if change != Change::Delete {
            self.bytes += bytes;
        }
    }

    /// All steps.
    pub fn steps(&self) -> u64 {
        self.inserts + self.updates + self.deletes
    }
}

/// Below this many items on the primary, percentages say little and are not applied.
const SMALL_STORE_ITEMS: u64 = 20;

/// Why the steps of a store must be held, each with the flag that allows it; empty when they may run.
pub fn limit_reasons(counts: &PlanCounts, policy: &PolicyProfile, allowed: &Allowances) -> Vec<String> {
    let mut reasons = Vec::new();
    let items = counts.primary_items;
    let over = |count: u64, percent: u8| {
        items >= SMALL_STORE_ITEMS && u128::from(count) * 100 > u128::from(items) * u128::from(percent)
    };
    if counts.dr_items == 0 && items > 0 && counts.deletes > 0 && !allowed.empty_dr {
        reasons.push("dr is empty: following it would empty the primary (--allow-empty-dr)".into());
    }
    let percent = policy.delete_limit_percent;
    if over(counts.deletes, percent.get()) && !allowed.deletes {
        let deletes = counts.deletes;
        reasons.push(format!("deletes {deletes} of {items} items, more than {percent} (--allow-deletes)"));
    }
    let percent = policy.overwrite_limit_percent;
    if over(counts.updates, percent.get()) && !allowed.overwrites {
        let updates = counts.updates;
        reasons.push(format!("overwrites {updates} of {items} items, more than {percent} (--allow-overwrites)"));
    }
    if items > 1 && counts.updates + counts.deletes >= items && !allowed.everything {
        reasons.push(format!("touches every one of the primary's {items} items (--allow-everything)"));
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_takes_a_unit_for_each_begun_kibibyte_deletes_too() {
        let mut counts = PlanCounts::default();
        counts.add(Change::Insert, 1_025);
        counts.add(Change::Update, 1_024);
        counts.add(Change::Delete, 3_000);
        counts.add(Change::Delete, 0);
        assert_eq!((counts.write_units, counts.bytes), (2 + 1 + 3 + 1, 2_049));
    }

    fn reasons(counts: PlanCounts, allowed: Allowances) -> usize {
        limit_reasons(&counts, &PolicyProfile::default(), &allowed).len()
    }

    #[test]
    fn limits_hold_until_they_are_allowed() {
        let base = PlanCounts { primary_items: 100, dr_items: 100, ..PlanCounts::default() };
        assert_eq!(reasons(PlanCounts { deletes: 20, ..base }, Allowances::default()), 0);
        let many = PlanCounts { deletes: 21, ..base };
        assert_eq!(reasons(many, Allowances::default()), 1);
        assert_eq!(reasons(many, Allowances { deletes: true, ..Allowances::default() }), 0);
        assert_eq!(reasons(PlanCounts { updates: 51, ..base }, Allowances::default()), 1);
    }

    #[test]
    fn an_empty_dr_is_never_mirrored_without_a_word() {
        let counts = PlanCounts { primary_items: 3, deletes: 3, ..PlanCounts::default() };
        let all = Allowances { deletes: true, overwrites: true, everything: true, base_age: true, empty_dr: false };
        assert_eq!(reasons(counts, all), 1);
        assert_eq!(reasons(counts, Allowances { empty_dr: true, ..all }), 0);
    }
}
