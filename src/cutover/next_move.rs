//! What to do next, decided from what is known: pure, so that every case can be a row of a table.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::Percent;

/// How long a change of unknown fate is given to reach all DNS servers, in seconds, before the TTL is waited out.
/// Route 53 usually needs up to 60.
pub const UNKNOWN_CHANGE_SECONDS: u64 = 60;

/// Two weights, 0 to 255 each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Share {
    /// The primary's weight.
    pub primary: u8,
    /// The dr side's weight.
    pub dr: u8,
}

impl Share {
    /// The weights that give the primary `percent`: of a total of 100, so that the console shows the percentage. Never both
    /// zero, which would serve both equally.
    pub fn of(percent: Percent) -> Share {
        Share { primary: percent.get(), dr: Percent::ALL.get() - percent.get() }
    }

    /// Whether both weights are zero, so that Route 53 serves both equally.
    pub fn is_both_zero(self) -> bool {
        self.primary == 0 && self.dr == 0
    }

    /// Whether the primary is given nothing.
    pub fn is_all_dr(self) -> bool {
        self.primary == 0 && self.dr > 0
    }

    /// Whether the primary is given everything.
    pub fn is_all_primary(self) -> bool {
        self.primary > 0 && self.dr == 0
    }

    /// Whether the primary has less than `percent`; exact, no rounding.
    pub fn is_below(self, percent: Percent) -> bool {
        let total = u32::from(self.primary) + u32::from(self.dr);
        u32::from(self.primary) * 100 < u32::from(percent.get()) * total
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "primary {}, dr {}", self.primary, self.dr)
    }
}

/// How far the last change has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// It is followed and has not reached all DNS servers.
    Pending,
    /// It has reached all DNS servers.
    Insync,
    /// Its id is not known: it was made by another run, or its reply was lost.
    Unknown,
}

/// What probing has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    /// Failures since the last success.
    pub failures_in_row: u32,
    /// This many are unhealthy.
    pub failures_max: u32,
    /// The last probe since the last change; `None` when there was none.
    pub last_ok: Option<bool>,
    /// Until the next probe is due, in seconds.
    pub next_probe_seconds: u64,
}

/// Everything that the decision rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Situation<'a> {
    /// The primary's share at each stage, ascending, ending in 100.
    pub stages: &'a [Percent],
    /// The weights as they were just read.
    pub observed: Share,
    /// The weights as they should be; `None` before the first reading.
    pub expected: Option<Share>,
    /// How far the last change has come.
    pub sync: Propagation,
    /// How long answers may be cached, in seconds.
    pub ttl_seconds: u64,
    /// How long was waited for caches since the change was in sync, in seconds.
    pub ttl_waited_seconds: u64,
    /// How long a stage is watched, in seconds.
    pub hold_seconds: u64,
    /// How long this stage was watched, in seconds.
    pub watched_seconds: u64,
    /// What probing has shown; `None` when the profile has no probe.
    pub health: Option<Health>,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Move {
    /// Give the primary this share.
    Shift(Percent),
    /// Ask again whether the change has reached all DNS servers.
    WaitInsync,
    /// Wait for caches, this long at most before asking again, in seconds.
    WaitTtl(u64),
    /// Watch the stage, this long at most before asking again, in seconds; 0 is a probe at once.
    Watch(u64),
    /// Give everything back to dr.
    Retreat(String),
    /// Somebody else changed the records: do nothing more.
    Drifted(String),
    /// Nothing can be shifted and nothing has to be taken back.
    Stop(String),
    /// The primary serves everything, and was watched doing so.
    Done,
}

/// Decides the next move.
pub fn next_move(situation: &Situation<'_>) -> Move {
    if let Some(ending) = ending(situation) {
        return ending;
    }
    if !situation.observed.is_all_dr() {
        if situation.sync == Propagation::Pending {
            return Move::WaitInsync;
        }
        let ttl_left = ttl_wait_seconds(situation).saturating_sub(situation.ttl_waited_seconds);
        if ttl_left > 0 {
            return Move::WaitTtl(until_probe(situation, ttl_left));
        }
        let hold_left = situation.hold_seconds.saturating_sub(situation.watched_seconds);
        if hold_left > 0 {
            return Move::Watch(until_probe(situation, hold_left));
        }
    }
    // Nothing moves on without a success since the last change.
    if let Some(health) = situation.health
        && health.last_ok != Some(true)
    {
        return Move::Watch(health.next_probe_seconds);
    }
    if situation.observed.is_all_primary() {
        return Move::Done;
    }
    match situation.stages.iter().find(|stage| situation.observed.is_below(**stage)) {
        Some(stage) => Move::Shift(*stage),
        None => Move::Stop("the profile has no stage above the present share".into()),
    }
}

/// How long caches may hold answers from before the last change, in seconds.
pub fn ttl_wait_seconds(situation: &Situation<'_>) -> u64 {
    match situation.sync {
        Propagation::Unknown => situation.ttl_seconds.saturating_add(UNKNOWN_CHANGE_SECONDS),
        Propagation::Pending | Propagation::Insync => situation.ttl_seconds,
    }
}

fn ending(situation: &Situation<'_>) -> Option<Move> {
    let observed = situation.observed;
    if let Some(expected) = situation.expected
        && expected != observed
    {
        return Some(Move::Drifted(format!("the weights are {observed}, they should be {expected}")));
    }
    if observed.is_both_zero() {
        return Some(Move::Stop("both weights are 0, so both sides are served equally: give dr a weight first".into()));
    }
    let health = situation.health?;
    if health.failures_in_row < health.failures_max {
        return None;
    }
    let reason = format!("the primary is unhealthy: {} probes failed in a row", health.failures_in_row);
    Some(if observed.is_all_dr() { Move::Stop(reason) } else { Move::Retreat(reason) })
}

/// Waits are cut short where a probe is due.
fn until_probe(situation: &Situation<'_>, seconds: u64) -> u64 {
    situation.health.map_or(seconds, |health| seconds.min(health.next_probe_seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn percent(number: u8) -> Percent {
        Percent::new(number).expect("a percentage")
    }

    fn stages() -> [Percent; 4] {
        [5, 25, 50, 100].map(percent)
    }

    const HEALTHY: Health = Health { failures_in_row: 0, failures_max: 3, last_ok: Some(true), next_probe_seconds: 10 };

    fn settled(stages: &[Percent], primary: u8, dr: u8) -> Situation<'_> {
        let observed = Share { primary, dr };
        Situation {
            stages,
            observed,
            expected: Some(observed),
            sync: Propagation::Insync,
            ttl_seconds: 60,
            ttl_waited_seconds: 60,
            hold_seconds: 300,
            watched_seconds: 300,
            health: Some(HEALTHY),
        }
    }

    #[test]
    fn settled_stages_lead_to_the_next_one() {
        let stages = stages();
        let rows = [
            ((0, 100), Move::Shift(percent(5))),
            ((0, 1), Move::Shift(percent(5))),
            ((5, 95), Move::Shift(percent(25))),
            ((13, 242), Move::Shift(percent(25))),
            ((12, 243), Move::Shift(percent(5))),
            ((10, 90), Move::Shift(percent(25))),
            ((25, 75), Move::Shift(percent(50))),
            ((1, 1), Move::Shift(percent(100))),
            ((254, 1), Move::Shift(percent(100))),
            ((100, 0), Move::Done),
            ((255, 0), Move::Done),
        ];
        for ((primary, dr), expected) in rows {
            assert_eq!(next_move(&settled(&stages, primary, dr)), expected, "{primary}/{dr}");
        }
    }

    #[test]
    fn a_stage_is_waited_for_in_order() {
        let stages = stages();
        let at = settled(&stages, 25, 75);
        let rows = [
            (Situation { sync: Propagation::Pending, ..at }, Move::WaitInsync),
            (Situation { ttl_waited_seconds: 0, ..at }, Move::WaitTtl(10)),
            (Situation { ttl_waited_seconds: 55, ..at }, Move::WaitTtl(5)),
            (Situation { ttl_waited_seconds: 0, health: None, ..at }, Move::WaitTtl(60)),
            (Situation { sync: Propagation::Unknown, health: None, ..at }, Move::WaitTtl(UNKNOWN_CHANGE_SECONDS)),
            (Situation { watched_seconds: 0, ..at }, Move::Watch(10)),
            (Situation { watched_seconds: 0, health: None, ..at }, Move::Watch(300)),
            (Situation { health: Some(Health { last_ok: None, ..HEALTHY }), ..at }, Move::Watch(10)),
            (Situation { health: Some(Health { last_ok: Some(false), ..HEALTHY }), ..at }, Move::Watch(10)),
        ];
        for (situation, expected) in rows {
            assert_eq!(next_move(&situation), expected, "{situation:?}");
        }
    }

    #[test]
    fn before_the_first_shift_only_health_is_waited_for() {
        let stages = stages();
        let start = Situation {
            sync: Propagation::Unknown,
            ttl_waited_seconds: 0,
            watched_seconds: 0,
            ..settled(&stages, 0, 1)
        };
        assert_eq!(next_move(&start), Move::Shift(percent(5)));
        let unprobed = Health { last_ok: None, next_probe_seconds: 0, ..HEALTHY };
        assert_eq!(next_move(&Situation { health: Some(unprobed), ..start }), Move::Watch(0));
    }

    #[test]
    fn ill_health_takes_back_what_was_given_at_any_moment() {
        let stages = stages();
        let ill = Some(Health { failures_in_row: 3, last_ok: Some(false), ..HEALTHY });
        for sync in [Propagation::Pending, Propagation::Unknown, Propagation::Insync] {
            let situation = Situation { sync, health: ill, ..settled(&stages, 5, 95) };
            assert!(matches!(next_move(&situation), Move::Retreat(_)));
        }
        assert!(matches!(next_move(&Situation { health: ill, ..settled(&stages, 100, 0) }), Move::Retreat(_)));
        assert!(matches!(next_move(&Situation { health: ill, ..settled(&stages, 0, 100) }), Move::Stop(_)));
    }

    #[test]
    fn drift_comes_before_everything() {
        let stages = stages();
        let ill = Some(Health { failures_in_row: 3, last_ok: Some(false), ..HEALTHY });
        let expected = Some(Share { primary: 5, dr: 95 });
        let situation = Situation { expected, health: ill, ..settled(&stages, 6, 95) };
        assert!(matches!(next_move(&situation), Move::Drifted(_)));
    }

    #[test]
    fn two_zero_weights_are_never_taken_for_no_share() {
        let stages = stages();
        assert!(matches!(next_move(&settled(&stages, 0, 0)), Move::Stop(_)));
    }

    #[test]
    fn every_percentage_has_weights_that_mean_it() {
        for number in 0..=100 {
            let share = Share::of(percent(number));
            assert!(!share.is_both_zero() && !share.is_below(percent(number)));
            assert!(number == 100 || share.is_below(percent(number + 1)));
        }
        assert!(Share::of(Percent::ALL).is_all_primary() && Share::of(Percent::ZERO).is_all_dr());
    }
}
