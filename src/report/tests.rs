use std::collections::BTreeMap;

use serde_json::json as value;

use super::{ReportContext, json, markdown, next_action, verdict};
use crate::compare::{BaseSummary, Comparison, SideSummary};
use crate::diff::VerdictCounts;
use crate::journal::{Event, EventRecord, StepState};
use crate::model::{Change, Digest, Identity, Percent, StoreId, StoreKind, Timestamp, Verdict};
use crate::plan::{Forecast, Kept, PlanCounts};
use crate::replay::ReplaySummary;
use crate::session::{PlanSummary, SessionState, StorePlan, StoreReplay, StoreVerification};
use crate::verify::{FenceEvidence, FenceKind};

const PLAN_ID: Digest = Digest([0xab; 32]);

/// A session's events, a minute apart from 04:00.
#[derive(Default, Clone)]
pub(crate) struct Story(pub(crate) Vec<EventRecord>);

pub(crate) fn minute(minute: i64) -> Timestamp {
    "2026-11-22T04:00:00Z".parse::<Timestamp>().unwrap() + jiff::SignedDuration::from_mins(minute)
}

impl Story {
    pub(crate) fn then(mut self, event: Event) -> Story {
        let seq = self.0.len() as i64 + 1;
        self.0.push(EventRecord { seq, at: minute(seq), event });
        self
    }

    pub(crate) fn began(self, command: &str) -> Story {
        self.then(Event::Began { command: command.into(), version: "1".into(), profile: Digest([1; 32]) })
    }

    pub(crate) fn ended(self, command: &str, exit_code: u8) -> Story {
        self.then(Event::Ended { command: command.into(), exit_code })
    }

    pub(crate) fn compared(self, differing: u64) -> Story {
        let at = minute(self.0.len() as i64 + 1);
        let comparison = serde_json::to_value(comparison(differing, at)).unwrap();
        self.then(Event::Compared { by: "diff".into(), comparison })
    }

    pub(crate) fn planned(self, held: u64) -> Story {
        let counts = PlanCounts {
            primary_items: 1_200_000,
            dr_items: 1_200_010,
            inserts: 10,
            updates: 3,
            held,
            accepted: 3,
            ..PlanCounts::default()
        };
        let orders = StorePlan {
            store: StoreId("orders".into()),
            kind: StoreKind::DynamoDb,
            primary: identity("orders"),
            dr: identity("orders-dr"),
            counts,
            limits: Vec::new(),
            forecast: Forecast::default(),
            base_age_seconds: Some(600),
        };
        let summary = serde_json::to_value(PlanSummary { stores: vec![orders] }).unwrap();
        self.then(Event::Planned { plan: PLAN_ID, summary })
    }

    pub(crate) fn replayed(mut self, done: u64, refused: u64) -> Story {
        let (store, key) = (StoreId("orders".into()), "00".to_owned());
        for _ in 0..done {
            let (store, key) = (store.clone(), key.clone());
            self.0.push(EventRecord { seq: 0, at: minute(self.0.len() as i64 + 1), event: Event::Done { store, key } });
        }
        for _ in 0..refused {
            self = self.then(Event::Refused { store: store.clone(), key: key.clone(), reason: "changed".into() });
        }
        let replay = StoreReplay {
            store,
            run: ReplaySummary { applied: done, refused, ..ReplaySummary::default() },
            steps: BTreeMap::from([(StepState::Done, done), (StepState::Refused, refused)]),
            forecast: Default::default(),
        };
        let summary = serde_json::to_value(vec![replay]).unwrap();
        self.then(Event::Replayed { plan: PLAN_ID, summary }).ended("replay --apply", if refused > 0 { 3 } else { 0 })
    }

    pub(crate) fn verified(self, unaccepted: u64) -> Story {
        let evidence = FenceEvidence {
            kind: FenceKind::NegativeWriteTest,
            at: Some(minute(self.0.len() as i64 + 1)),
            detail: "`put-item` was refused with exit code 254".into(),
        };
        let story = self.began("verify").then(Event::Frozen { evidence: serde_json::to_value(evidence).unwrap() });
        let at = minute(story.0.len() as i64 + 1);
        let orders = StoreVerification {
            comparison: comparison(unaccepted + 3, at),
            at_parity: unaccepted == 0,
            accepted: 3,
            unaccepted,
            listed: vec![value!({ "store": "orders", "key": { "id": { "S": "a|`b" } }, "change": "update" })],
            counters_behind: Vec::new(),
        };
        let summary = serde_json::to_value(vec![orders]).unwrap();
        let certificate = (unaccepted == 0).then(|| ".failback/shop/certificate.json".into());
        let code = u8::from(unaccepted > 0);
        story.then(Event::Verified { parity: unaccepted == 0, summary, certificate }).ended("verify", code)
    }

    fn decided_one(self) -> Story {
        self.then(decided(1, "primary", "2 items", None))
    }

    /// A decision that stands, one that was taken back, and an allowance.
    fn decided(self) -> Story {
        let story =
            self.then(decided(1, "both", "held items with \"o-17\" in the key", Some("business/decision-1.ndjson")));
        let story = story.then(decided(2, "primary", "2 items", None));
        let story = story.then(Event::TakenBack { number: 2, by: "tom".into() });
        story.then(Event::Allowed { by: "mia".into(), what: vec!["deletes 1,204".into()] })
    }

    pub(crate) fn traffic(self, share: Option<u8>, step: serde_json::Value) -> Story {
        let share = share.map(|share| Percent::new(share).unwrap());
        self.then(Event::Traffic { share, step })
    }

    pub(crate) fn state(&self) -> SessionState {
        SessionState::fold(&self.0)
    }
}

fn decided(number: i64, choice: &str, scope: &str, file: Option<&str>) -> Event {
    Event::Decided {
        number,
        by: "mia".into(),
        choice: choice.into(),
        scope: scope.into(),
        items: 2,
        seal: "00".into(),
        file: file.map(str::to_owned),
    }
}

fn identity(name: &str) -> Identity {
    let (resource, id) = (format!("table {name}"), format!("{name}-id"));
    Identity { kind: StoreKind::DynamoDb, resource, id, region: None, account: None }
}

fn comparison(differing: u64, until: Timestamp) -> Comparison {
    let side = |name: &str, items: u64, root: u8| SideSummary {
        identity: identity(name),
        items,
        root: Digest([root; 32]),
        read_from: until,
        read_until: until,
    };
    let mut verdicts = VerdictCounts::default();
    verdicts.add(Verdict::Unchanged, 1_200_000 - differing);
    verdicts.add(Verdict::DrOnly, differing);
    Comparison {
        store: StoreId("orders".into()),
        kind: StoreKind::DynamoDb,
        primary: side("orders", 1_200_000, 0x11),
        dr: side("orders-dr", 1_200_010, if differing == 0 { 0x11 } else { 0x22 }),
        base: Some(BaseSummary {
            kind: "checkpoint".into(),
            items: 1_199_990,
            as_of: Some(tb() - jiff::SignedDuration::from_mins(10)),
        }),
        verdicts,
        hours: None,
        replication: None,
        body_bytes: 0,
        forecast: None,
        delta: ".failback/shop/delta/diff-orders.ndjson".into(),
        manifests: ".failback/shop/manifests/diff/orders".into(),
        spelled: 0,
        lost_writes: None,
        indexes: 0,
        unattributed_because: None,
        reads: None,
        logs: None,
        leaves: None,
        not_checked: vec!["items that expired while they were read".into()],
        narrowed: None,
    }
}

pub(crate) fn tb() -> Timestamp {
    "2026-11-22T03:10:00Z".parse().unwrap()
}

fn context() -> ReportContext {
    let kept = |id: &str, verdict, reason: &str| Kept {
        store: StoreId("orders".into()),
        key: value!({ "id": { "S": id } }),
        verdict,
        change: Change::Update,
        primary: None,
        dr: None,
        reason: reason.into(),
        canonical_key: String::new(),
        decision: None,
    };
    ReportContext {
        profile: "shop".into(),
        profile_file: "shop.toml".into(),
        stores: vec!["orders".into()],
        disaster_at: Some(tb()),
        certificate_age_seconds_max: None,
        dr_as_of: None,
        generated_at: minute(300),
        session: ".failback/shop".into(),
        accepted: vec![kept("1", Verdict::Stranded, "stranded = keep")],
        held: vec![kept("2", Verdict::Conflict, "conflict = hold")],
        accepted_file: Some(".failback/shop/accepted.ndjson".into()),
        held_file: Some(".failback/shop/held.ndjson".into()),
        ..ReportContext::default()
    }
}

/// The sentence, the answer, the loss and the next command.
fn head(story: &Story) -> String {
    let state = story.state();
    let answer = verdict(&state, &context());
    let (action, why) = next_action(&state);
    let command = action.command_line();
    let can = if answer.can_cut_over { "yes" } else { "no" };
    let text = markdown(&state, &context());
    assert!(text.contains(&answer.sentence) && text.contains(&answer.loss) && text.contains(&why), "{text}");
    assert_eq!(json(&state, &context())["next"]["command"], command);
    format!("{can}: {}\nloss: {}\nnext: {command}: {why}", answer.sentence, answer.loss)
}

pub(crate) fn checked() -> Story {
    Story::default().began("check").then(Event::Checked { findings: value!([]) }).ended("check", 0)
}

pub(crate) fn compared() -> Story {
    checked().began("diff").compared(17).ended("diff", 1)
}

pub(crate) fn planned(held: u64) -> Story {
    compared().began("plan").compared(17).planned(held).ended("plan", if held > 0 { 3 } else { 0 })
}

pub(crate) fn replayed(refused: u64) -> Story {
    planned(0).began("replay --apply").replayed(13 - refused, refused)
}

pub(crate) fn shifted() -> Story {
    let story = replayed(0).verified(0).began("cutover");
    let story = story.traffic(Some(25), value!({ "event": "shift_intended", "to": 25 }));
    let story = story.traffic(Some(25), value!({ "event": "shifted", "to": 25, "change": "C1" }));
    story.traffic(None, value!({ "event": "health", "ok": true, "detail": "200 | OK" }))
}

fn heads(stories: &[(&str, Story)]) -> String {
    stories.iter().map(|(name, story)| format!("[{name}]\n{}\n", head(story))).collect()
}

#[test]
fn every_stage_has_its_answer() {
    let retreated = value!({ "event": "retreated", "reason": "health failed", "change": null });
    let undone = Event::Undone { store: StoreId("orders".into()), key: "00".into() };
    let stories = [
        ("empty", Story::default()),
        ("checked", checked()),
        ("compared", compared()),
        ("planned with held", planned(4)),
        ("replayed with refused", replayed(2)),
        ("replayed", replayed(0)),
        ("verified, differs", planned(4).began("replay --apply").replayed(13, 0).verified(17)),
        ("verified", replayed(0).verified(0)),
        ("replay begun after verification", replayed(0).verified(0).began("replay --apply")),
        ("diff after verification", replayed(0).verified(0).began("diff").compared(5).ended("diff", 1)),
        ("mid-cutover", shifted()),
        ("shift without outcome", replayed(0).verified(0).traffic(Some(5), value!({ "event": "shift_intended" }))),
        (
            "cut over",
            shifted().traffic(Some(100), value!({ "event": "shifted" })).traffic(None, value!({ "event": "done" })),
        ),
        ("retreated", shifted().traffic(Some(0), retreated)),
        ("undone", replayed(0).began("undo").then(undone.clone()).ended("undo", 0)),
        (
            "undone and proved",
            replayed(0)
                .began("undo")
                .then(undone)
                .ended("undo", 0)
                .began("verify --undone")
                .ended("verify --undone", 0),
        ),
        ("incomplete", compared().began("plan").ended("plan", 4)),
    ];
    assert_eq!(heads(&stories), include_str!("golden/heads.txt"));
}

#[test]
fn an_empty_session_has_a_report() {
    let empty = ReportContext { profile: "shop".into(), session: ".failback/shop".into(), ..ReportContext::default() };
    let text = markdown(&SessionState::default(), &empty);
    assert_eq!(text, include_str!("golden/empty.md"));
}

#[test]
fn a_session_in_the_middle_of_its_cutover_has_all_sections() {
    assert_eq!(markdown(&shifted().state(), &context()), include_str!("golden/cutover.md"));
}

#[test]
fn held_and_differing_items_are_named_by_key() {
    let story = planned(4).began("replay --apply").replayed(13, 0).verified(17);
    assert_eq!(markdown(&story.state(), &context()), include_str!("golden/differs.md"));
}

#[test]
fn a_store_that_was_left_out_is_never_parity() {
    let left_out = ReportContext { stores: vec!["orders".into(), "media".into()], ..context() };
    let state = replayed(0).verified(0).state();
    assert!(verdict(&state, &context()).can_cut_over);
    let answer = verdict(&state, &left_out);
    assert!(!answer.can_cut_over && answer.sentence.contains("media"), "{}", answer.sentence);
}

#[test]
fn an_old_certificate_is_verified_again() {
    let old = ReportContext { certificate_age_seconds_max: Some(900), ..context() };
    let state = replayed(0).verified(0).state();
    let answer = verdict(&state, &old);
    assert!(!answer.can_cut_over && answer.sentence.contains("4 h 31 min ago"), "{}", answer.sentence);
    assert!(markdown(&state, &old).contains("Next: `failback verify shop.toml`"));
    let recent = ReportContext { generated_at: minute(30), ..old };
    assert!(verdict(&state, &recent).can_cut_over);
}

#[test]
fn what_cannot_be_read_is_never_parity() {
    let story =
        replayed(0).verified(0).then(Event::Replayed { plan: PLAN_ID, summary: value!("from a later version") });
    let state = story.state();
    assert!(!verdict(&state, &context()).can_cut_over);
    assert!(markdown(&state, &context()).contains("1 event of the journal could not be read"));
}

#[test]
fn json_names_are_stable() {
    let report = json(&shifted().state(), &context());
    let names: Vec<&String> = report.as_object().unwrap().keys().collect();
    let mut expected = vec![
        "accepted",
        "allowed",
        "began_at",
        "certificate",
        "certificate_check",
        "command",
        "commands",
        "customers",
        "cutover",
        "decisions",
        "disaster_at",
        "disclosure",
        "dr_as_of",
        "fence",
        "findings",
        "format",
        "generated_at",
        "held",
        "last_at",
        "next",
        "plans",
        "profile",
        "profile_file",
        "proof",
        "refused",
        "replays",
        "session",
        "steps",
        "stores",
        "tb",
        "undo",
        "unread_events",
        "unverified_stores",
        "verdict",
        "verified",
    ];
    let mut names: Vec<&str> = names.into_iter().map(String::as_str).collect();
    names.sort_unstable();
    expected.sort_unstable();
    assert_eq!(names, expected);
    assert_eq!(report["format"], 1);
    assert_eq!(report["customers"]["primary_percent"], 25);
    assert_eq!(report["stores"][0]["verdicts_first_seen"]["dr_only"], 17);
    assert_eq!(report["stores"][0]["base_age_seconds"], 600);
}

#[test]
fn numbers_and_times_are_for_people() {
    use super::words::{code, duration, number};
    assert_eq!([0, 999, 1_000, 1_234_567].map(number), ["0", "999", "1,000", "1,234,567"]);
    assert_eq!([0, 59, 60, 4_320, 86_401].map(duration), ["0 s", "59 s", "1 min", "1 h 12 min", "1 d"]);
    assert_eq!(code("a`|b\n"), "`` a`\\|b  ``");
}

#[path = "format_tests.rs"]
mod formats;
