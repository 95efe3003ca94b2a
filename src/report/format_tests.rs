//! The report in its other formats: snapshots, the schema, what is masked, and what a test runner is told.

use snapbox::{assert_data_eq, file};

use super::*;
use crate::diff::{BaseState, DeltaLine, HourCounts};
use crate::journal::StepState;
use crate::report::{DeltaTable, Disclosure, KeyDisplay, Proof, Standing, ValueDisplay, disclose, html, junit};
use crate::session::{CertificateFound, DeltaSample, Exhibits, Fate, KeptAs, RefusedStep};

/// What a person could read a key or a value by.
const SECRETS: [&str; 3] = ["secret-key", "secret-value", "a|`b"];

fn refused(context: ReportContext) -> ReportContext {
    let key = value!({ "id": { "S": "secret-key" } });
    let step = RefusedStep {
        store: StoreId("orders".into()),
        key: key.clone(),
        verdict: "dr_only".into(),
        change: "update".into(),
        reason: "the primary changed since the plan".into(),
    };
    let name = (StoreId("orders".into()), key.to_string());
    let values = BTreeMap::from([(name, Some(value!({ "M": { "total": { "S": "secret-value" } } })))]);
    let lines = DeltaSample::Lines(vec![line("secret-key")]);
    let delta = BTreeMap::from([(StoreId("orders".into()), lines)]);
    let exhibits = Exhibits { refused: vec![step], refused_total: 250, delta, certificate: None, values };
    context.with_exhibits(exhibits, Disclosure::default())
}

fn line(id: &str) -> DeltaLine {
    DeltaLine {
        store: StoreId("orders".into()),
        key: value!({ "id": { "S": id } }),
        verdict: Verdict::DrOnly,
        change: Change::Insert,
        primary: None,
        dr: Some(Digest([2; 32])),
        base: BaseState::Absent,
        canonical_key: hex::encode(id),
        bytes: 10,
        primary_untouched: true,
        newer: None,
        changed_at: None,
        replication: None,
        doubt: None,
        hold: None,
        hold_delete: None,
        expiry_proved: false,
        spelling: false,
        rank: 0,
    }
}

/// A session in which something is held, refused and differs, with the hours of its differences.
fn troubled() -> SessionState {
    let mut state = planned(4).began("replay --apply").replayed(11, 2).verified(17).state();
    let hours = BTreeMap::from([(-24, 1), (-1, 2), (0, 9), (7, 5)]);
    for comparison in state.first_comparisons.values_mut() {
        comparison.hours = Some(HourCounts { since: tb(), hours: hours.clone(), untold: 3 });
    }
    state
}

fn shown(keys: KeyDisplay, values: ValueDisplay) -> ReportContext {
    ReportContext { disclosure: Disclosure { keys, values }, ..refused(context()) }
}

/// The page without its style, which changes for other reasons.
fn body(state: &SessionState, context: &ReportContext) -> String {
    let page = html(state, context);
    let (head, rest) = page.split_once("<style>").expect("a style");
    let (_, rest) = rest.split_once("</style>").expect("an end of the style");
    // A line for each block, so that a difference can be read.
    format!("{head}{rest}\n")
        .replace("<section", "\n<section")
        .replace("<article", "\n<article")
        .replace("<tr", "\n<tr")
}

/// A cutover whose weights before are known.
fn cut_over() -> Story {
    let from = value!({ "primary": 0, "dr": 100 });
    let story = replayed(0).verified(0).began("cutover");
    let story = story.traffic(Some(25), value!({ "event": "shift_intended", "from": from, "to": 25 }));
    let story = story.traffic(Some(25), value!({ "event": "shifted", "to": 25, "change": "C1" }));
    let story = story.traffic(None, value!({ "event": "health", "ok": false, "detail": "503" }));
    story.traffic(Some(0), value!({ "event": "retreated", "reason": "health failed", "change": "C2" }))
}

#[test]
fn the_pages_are_as_before() {
    let empty = ReportContext { profile: "shop".into(), session: ".failback/shop".into(), ..ReportContext::default() };
    assert_data_eq!(body(&SessionState::default(), &empty), file!["golden/empty.html"].raw());
    assert_data_eq!(body(&troubled(), &refused(context())), file!["golden/troubled.html"].raw());
    assert_data_eq!(body(&cut_over().state(), &context()), file!["golden/retreated.html"].raw());
}

#[test]
fn the_test_results_are_as_before() {
    let two = ReportContext { stores: vec!["orders".into(), "media".into()], ..context() };
    let told = |state: &SessionState| junit(state, &two).expect("XML");
    assert_data_eq!(told(&troubled()), file!["golden/troubled.junit.xml"].raw());
    assert_data_eq!(told(&replayed(0).verified(0).state()), file!["golden/certified.junit.xml"].raw());
}

#[test]
fn only_certified_parity_passes() {
    let case = |story: &Story, context: &ReportContext| {
        let xml = junit(&story.state(), context).expect("XML");
        let orders = xml.split("<testcase").find(|case| case.contains("name=\"orders\"")).expect("a case").to_owned();
        let kinds = ["<failure", "<error", "<skipped"].into_iter().find(|kind| orders.contains(kind));
        kinds.unwrap_or("pass").trim_start_matches('<').to_owned()
    };
    let undone = Event::Undone { store: StoreId("orders".into()), key: "00".into() };
    let equal = checked().began("diff").compared(0).ended("diff", 0);
    for (story, expected) in [
        (Story::default(), "skipped"),
        (checked(), "skipped"),
        (Story::default().began("diff").ended("diff", 4), "error"),
        (compared(), "failure"),
        (equal.clone(), "error"),
        (equal.began("verify").ended("verify", 4), "error"),
        (replayed(0).verified(17), "failure"),
        (replayed(0).verified(0), "pass"),
        (shifted(), "pass"),
        (replayed(0).verified(0).began("replay --apply"), "error"),
        (replayed(0).verified(0).began("undo").then(undone).ended("undo", 0), "error"),
    ] {
        assert_eq!(case(&story, &context()), expected, "{:#?}", story.state().commands);
    }
}

#[test]
fn a_certificate_that_cannot_be_relied_on_fails_and_is_told() {
    let damaged = CertificateFound::Unusable("its signature does not fit".into());
    let exhibits = Exhibits { certificate: Some(damaged), ..Exhibits::default() };
    let context = context().with_exhibits(exhibits, Disclosure::default());
    let state = replayed(0).verified(0).state();
    assert!(junit(&state, &context).expect("XML").contains("type=\"unusable\""));
    assert!(html(&state, &context).contains("The certificate cannot be relied on"));
    let report = json(&state, &context);
    assert_eq!(
        (&report["certificate_check"]["valid"], &report["verdict"]["can_cut_over"]),
        (&false.into(), &false.into())
    );
    assert_eq!(report["next"]["command"], "failback verify PROFILE");
    assert!(
        report["verdict"]["sentence"].as_str().is_some_and(|text| text.contains("cannot be relied on")),
        "{report}"
    );
}

#[test]
fn every_json_report_is_as_the_schema_says() {
    let schema = serde_json::from_str(include_str!("../../docs/report.schema.json")).expect("JSON");
    let schema = jsonschema::draft202012::new(&schema).expect("a schema");
    let stories = [
        Story::default(),
        checked(),
        compared(),
        planned(4),
        replayed(2),
        replayed(0).verified(17),
        cut_over(),
        planned(4).decided(),
    ];
    let states = stories.iter().map(Story::state).chain([troubled(), shifted().state()]);
    for state in states {
        for values in [ValueDisplay::Masked, ValueDisplay::Shown] {
            let report = json(&state, &shown(KeyDisplay::Shown, values));
            let errors: Vec<String> =
                schema.iter_errors(&report).map(|error| format!("{error} at {}", error.instance_path())).collect();
            assert_eq!(errors, [""; 0], "{report:#}");
        }
    }
    let mut wrong = json(&troubled(), &context());
    wrong["verdict"]["can_cut_over"] = value!("yes");
    assert!(!schema.is_valid(&wrong), "the schema looks at what it says");
    wrong = json(&troubled(), &context());
    wrong["more"] = value!(1);
    assert!(!schema.is_valid(&wrong), "a new field is a new line of the schema");
}

#[test]
fn decisions_are_told_with_who_and_when_and_struck_once_taken_back() {
    let mut state = planned(4).decided().state();
    let text = markdown(&state, &context());
    let section = text.split("\n## ").find(|section| section.starts_with("Decisions")).expect("a section");
    assert!(section.contains("- 1. mia at "), "{section}");
    assert!(
        section.contains("kept in a file for the business\n  - both sides' contents: `business/decision-1.ndjson`")
    );
    assert!(section.contains("accepted difference~~ taken back by tom at "), "{section}");
    assert!(section.contains("allowed: deletes 1,204"), "{section}");
    let page = html(&state, &context());
    assert!(page.contains("<s>the primary's contents stay, an accepted difference</s> Taken back by tom"), "{page}");
    let mut masked = shown(KeyDisplay::Masked, ValueDisplay::Masked);
    masked.held[0].canonical_key = "6f2d3137".into();
    disclose(&mut state, &mut masked);
    for report in [markdown(&state, &masked), html(&state, &masked), json(&state, &masked).to_string()] {
        assert!(report.contains("in the key") && !report.contains("o-17") && !report.contains("6f2d3137"), "{report}");
    }
}

#[test]
fn a_decision_taken_back_ends_the_worth_of_a_proof_and_of_the_plan() {
    let decided = || planned(0).decided_one();
    let proved = decided().planned(0).began("replay --apply").replayed(1, 0).verified(0);
    assert!(verdict(&proved.clone().state(), &context()).can_cut_over);
    let state = proved.then(Event::TakenBack { number: 1, by: "tom".into() }).state();
    assert!(!verdict(&state, &context()).can_cut_over);
    assert_eq!(
        Standing::of(&state).proof,
        Proof::Overtaken("decision 1 was taken back after the last verification".into())
    );
    assert_eq!(next_action(&state).0, crate::session::Action::Plan);
    let before_planning = decided().then(Event::TakenBack { number: 1, by: "tom".into() }).state();
    assert_eq!(before_planning.plan_lost_decision, None, "no plan rests on it");
}

#[test]
fn the_json_report_is_as_before() {
    let report = json(&troubled(), &refused(context()));
    assert_data_eq!(format!("{report:#}\n"), file!["golden/troubled.json"].raw());
}

#[test]
fn values_are_masked_unless_they_are_asked_for() {
    let masked = shown(KeyDisplay::Shown, ValueDisplay::Masked);
    let asked = shown(KeyDisplay::Shown, ValueDisplay::Shown);
    let state = troubled();
    for text in [html(&state, &masked), markdown(&state, &masked)] {
        assert!(!text.contains("secret-value"), "{text}");
    }
    assert!(html(&state, &masked).contains("••••") && html(&state, &masked).contains("values masked"));
    for text in [html(&state, &asked), markdown(&state, &asked), json(&state, &asked).to_string()] {
        assert!(text.contains("secret-value"), "{text}");
    }
    let page = html(&state, &asked);
    assert!(page.contains("VALUES SHOWN") && page.contains("none kept"), "{page}");
}

#[test]
fn masked_keys_are_nowhere() {
    let mut context = shown(KeyDisplay::Masked, ValueDisplay::Masked);
    let mut state = troubled();
    let shown = html(&state, &context) + &markdown(&state, &context) + &json(&state, &context).to_string();
    assert!(SECRETS.iter().filter(|secret| shown.contains(**secret)).count() >= 2, "there is something to mask");
    disclose(&mut state, &mut context);
    let texts = [html(&state, &context), markdown(&state, &context), json(&state, &context).to_string()];
    for text in &texts {
        assert!(SECRETS.iter().all(|secret| !text.contains(secret)), "{text}");
        assert!(text.contains("mask"), "the report says that keys are masked: {text}");
    }
    // The mask can be found again by hashing the key's text as it is in a delta file.
    let digest = blake3::hash(br#"{"id":{"S":"secret-key"}}"#).to_hex();
    assert!(texts.iter().all(|text| text.contains(&digest[..16])));
}

#[test]
fn names_from_outside_stay_text() {
    let nasty = "<script>alert(1)</script>";
    let mut context = ReportContext { stores: vec![nasty.into()], profile: nasty.into(), ..context() };
    context.held[0].reason = nasty.into();
    context.held[0].key = value!({ nasty: { "S": "\u{7}\u{0}\"'>" } });
    let page = html(&troubled(), &context);
    assert!(!page.contains("<script"), "{page}");
    assert!(page.contains("&lt;script&gt;") && !page.contains('\u{0}'));
}

#[test]
fn a_table_of_the_delta_has_what_became_of_each_item() {
    let fates = [
        Fate::Unplanned,
        Fate::Step(StepState::Refused, "the primary changed, since".into()),
        Fate::Kept(KeptAs::Held, "changed on \"both\" sides".into()),
        Fate::Kept(KeptAs::Accepted, String::new()),
    ];
    let table = |keys| {
        let mut text = Vec::new();
        let mut table = DeltaTable::new(&mut text, Disclosure { keys, ..Disclosure::default() }).expect("a table");
        fates.iter().for_each(|fate| table.add(&line("a,b"), fate).expect("a row"));
        table.end().expect("an end");
        String::from_utf8(text).expect("UTF-8")
    };
    let expected = "store,key,verdict,change,state,reason\n\
        orders,\"{\"\"id\"\":{\"\"S\"\":\"\"a,b\"\"}}\",dr_only,insert,unplanned,\n\
        orders,\"{\"\"id\"\":{\"\"S\"\":\"\"a,b\"\"}}\",dr_only,insert,refused,\"the primary changed, since\"\n\
        orders,\"{\"\"id\"\":{\"\"S\"\":\"\"a,b\"\"}}\",dr_only,insert,held,\"changed on \"\"both\"\" sides\"\n\
        orders,\"{\"\"id\"\":{\"\"S\"\":\"\"a,b\"\"}}\",dr_only,insert,accepted,\n";
    assert_eq!(table(KeyDisplay::Shown), expected);
    assert!(!table(KeyDisplay::Masked).contains("a,b"));
}

#[test]
fn a_long_list_is_paged_and_what_is_left_out_is_said() {
    let mut context = context();
    let one = context.held[0].clone();
    context.held = vec![one; 450];
    let mut state = planned(450).state();
    state.plans.last_mut().expect("a plan").2.stores[0].counts.held = 450;
    let page = html(&state, &context);
    assert!(page.contains("Show 180 more") && page.contains("250 more are not on this page"), "{page}");
    assert!(page.contains(".failback/shop/held.ndjson"));
}
