//! Messages in, effects out: by table.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use serde_json::json;

use super::update;
use crate::guide::ReportForm;
use crate::model::Verdict;
use crate::report::tests::{Story, checked, planned, replayed, shifted};
use crate::report::{Disclosure, KeyDisplay, ValueDisplay};
use crate::session::PaceChange;
use crate::session::{Action, BrowseFate, Choice, Exit, Filter, Picked, Rule, SortBy};
use crate::tui::message::{Effect, Ended, Job, Message, Window};
use crate::tui::state::{Dialog, Model, Screen, Setting};
use crate::tui::view::tests::{after, listed, row, setting};

const SIZE: (u16, u16) = (80, 24);

fn press(model: &mut Model, keys: &str) -> Vec<Effect> {
    let code = |key: char| match key {
        '\n' => KeyCode::Enter,
        '\x1b' => KeyCode::Esc,
        key => KeyCode::Char(key),
    };
    keys.chars().flat_map(|key| update(model, Message::Key(code(key).into()))).collect()
}

fn running(model: &mut Model, action: Action) {
    update(model, Message::Began(action));
    assert_eq!(model.running.as_ref().map(|run| run.action), Some(action));
}

fn end(model: &mut Model, action: Action, exit: Exit) -> Vec<Effect> {
    update(model, Message::Ended(Ended { action, exit, trouble: None, seq: model.seq }))
}

#[test]
fn what_changes_nothing_begins_at_once_and_what_does_asks_first() {
    for (story, keys, wanted) in [
        (Story::default(), "n", vec![Effect::Run(Action::Check)]),
        (checked(), "n", vec![Effect::Run(Action::Plan)]),
        (checked(), ":diff\n", vec![Effect::Run(Action::Diff)]),
        (checked(), ":dry\n", vec![Effect::Run(Action::DryRun)]),
        // A plan of an earlier run is made anew; only then it is replayed.
        (planned(0), ":replay: write\n13\n", vec![Effect::Run(Action::Replay)]),
        (planned(0), ":replay: write\n", vec![]),
        (planned(0), ":replay: write\n12\n", vec![]),
        (planned(0), ":replay: write\nyes\n", vec![]),
        (planned(0), ":replay: write\n12\n13\n", vec![Effect::Run(Action::Replay)]),
        (planned(0), ":replay: write\n13\x1b", vec![]),
        (checked(), ":replay: write\n", vec![]),
        (replayed(0), ":freeze and verify\nfreeze\n", vec![Effect::Run(Action::FreezeAndVerify)]),
        (replayed(0), ":freeze and verify\nFREEZE!\n", vec![]),
        (replayed(0), "u13\n", vec![Effect::Run(Action::Undo)]),
        (checked(), "u", vec![]),
        (replayed(0).verified(0), ":cutover: return\n5\n", vec![Effect::Run(Action::Cutover)]),
        (replayed(0).verified(0), ":cutover: return\n5%\n", vec![Effect::Run(Action::Cutover)]),
        (replayed(0).verified(0), ":cutover: return\n100\n", vec![]),
        // Without a certificate there is no cutover to confirm.
        (replayed(0).verified(17), ":cutover: return\n5\n", vec![]),
        (replayed(0), ":cutover: return\n5\n", vec![]),
        (checked(), ":checkpoint\n2026-11-21\n", vec![Effect::Begin(Job::Checkpoint("2026-11-21".into()))]),
        (checked(), ":checkpoint\n \n", vec![]),
        (checked(), ":checkpoint\nname\x1b", vec![]),
        (checked(), ":report as JUnit\n", vec![Effect::Report(ReportForm::Junit, Disclosure::default())]),
        (
            checked(),
            ":HTML with contents\n",
            vec![Effect::Report(ReportForm::Html, Disclosure { values: ValueDisplay::Shown, ..Disclosure::default() })],
        ),
        (
            checked(),
            ":HTML with keys masked\n",
            vec![Effect::Report(ReportForm::Html, Disclosure { keys: KeyDisplay::Masked, ..Disclosure::default() })],
        ),
        (checked(), ":report --iac\n", vec![Effect::Adopt]),
        (checked(), ":rescue\n", vec![Effect::Begin(Job::Rescue)]),
        (checked(), ":rescan\n", vec![Effect::Begin(Job::Rescan)]),
        (checked(), ":sample\n", vec![Effect::Begin(Job::Sample)]),
        (checked(), "w", vec![Effect::Report(ReportForm::Html, Disclosure::default())]),
    ] {
        let mut model = after(&story, SIZE);
        let found = press(&mut model, keys);
        assert_eq!(found, wanted, "{keys:?}: {:?}", model.notice);
    }
}

#[test]
fn a_retreat_needs_one_key_while_customers_are_on_their_way() {
    let mut model = after(&shifted(), SIZE);
    assert_eq!(press(&mut model, "R"), [Effect::Retreat]);
    // Also over a dialog, as long as nothing is being typed there.
    let mut model = after(&shifted(), SIZE);
    assert_eq!(press(&mut model, "?R"), [Effect::Retreat]);
    let mut model = after(&replayed(0).verified(0), SIZE);
    running(&mut model, Action::Cutover);
    assert_eq!(press(&mut model, "R"), [Effect::Retreat]);
    // Customers that are home, or were never moved: a word first.
    let story = shifted().traffic(Some(100), json!({ "event": "shifted", "to": 100, "change": null }));
    let home = story.traffic(None, json!({ "event": "done" }));
    for story in [home, checked()] {
        let mut model = after(&story, SIZE);
        assert_eq!(press(&mut model, "R"), []);
        assert_eq!(press(&mut model, "yes\n"), []);
        assert_eq!(press(&mut model, "retreat\n"), [Effect::Retreat]);
    }
}

#[test]
fn one_thing_at_a_time_and_it_can_be_stopped() {
    let mut model = after(&planned(0), SIZE);
    running(&mut model, Action::Verify);
    assert_eq!(press(&mut model, "n"), []);
    assert_eq!(press(&mut model, ":diff\n"), []);
    assert_eq!(press(&mut model, "x"), [Effect::Stop]);
    assert!(model.running.as_ref().is_some_and(|run| run.stopping));
    end(&mut model, Action::Verify, Exit::Interrupted);
    assert_eq!(press(&mut model, "x"), []);
    let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    running(&mut model, Action::Verify);
    assert_eq!(update(&mut model, Message::Key(interrupt)), [Effect::Stop]);
    // What was stopped is next, and leaving while it runs asks.
    assert_eq!(press(&mut model, "q"), []);
    assert_eq!(press(&mut model, "leave\n"), [Effect::Leave]);
}

#[test]
fn an_action_ends_on_the_screen_once_its_last_event_is_seen() {
    let mut model = after(&planned(0), SIZE);
    running(&mut model, Action::Plan);
    let late = Ended { action: Action::Plan, exit: Exit::Done, trouble: None, seq: model.seq + 1 };
    update(&mut model, Message::Ended(late));
    assert!(model.running.is_some(), "what is next would be judged too early");
    let news = crate::tui::message::SessionNews {
        state: model.state.clone(),
        seq: model.seq + 1,
        undecided: 0,
        events: Vec::new(),
        delta_changed: false,
    };
    update(&mut model, Message::Session(Box::new(news)));
    assert!(model.running.is_none());
    assert_eq!(model.progress.last, Some((Action::Plan, Exit::Done)));
}

#[test]
fn who_looks_on_changes_nothing() {
    for keys in ["n", "R", "x", "u", "5 ", "5+", ":replay: write\n", ":plan: what\n"] {
        let mut model = after(&shifted(), SIZE);
        model.setting = std::sync::Arc::new(Setting { watching: true, ..setting() });
        running(&mut model, Action::Cutover);
        assert_eq!(press(&mut model, keys), [], "{keys:?}");
    }
}

fn browsing(screen: Screen) -> Model {
    let mut model = after(&planned(4), SIZE);
    let digit = if screen == Screen::Held { "3" } else { "2" };
    let asked = press(&mut model, digit);
    assert!(matches!(asked.as_slice(), [Effect::Ask { .. }]), "{asked:?}");
    listed(&mut model, 1_000_000);
    model
}

fn asked(effects: &[Effect]) -> (Filter, SortBy, bool, u64) {
    match effects {
        [Effect::Ask { filter, sort, first, .. }] => (filter.clone(), sort.by, sort.descending, *first),
        other => panic!("no question: {other:?}"),
    }
}

#[test]
fn a_million_lines_are_walked_through_a_window() {
    let mut model = browsing(Screen::Delta);
    assert_eq!(press(&mut model, "j"), [], "the next line is in the window");
    let (_, _, _, first) = asked(&press(&mut model, "G"));
    assert_eq!(model.browser.cursor, 999_999);
    assert!(first > 999_900 && first < 999_999, "{first}");
    // Back at once: the answer for the end, when it comes, is not what is wanted any more.
    assert_eq!(press(&mut model, "g"), []);
    let question = model.browser.question;
    let rows = vec![row("last", Verdict::Conflict, BrowseFate::Held)];
    let end = Window { question, total: Ok(1_000_000), first, rows };
    assert_eq!(asked(&update(&mut model, Message::Window(end))).3, 0);
    // A late answer to an older question is left.
    let question = model.browser.question - 1;
    let late = Window { question, total: Ok(1), first: 0, rows: Vec::new() };
    update(&mut model, Message::Window(late));
    assert_eq!(model.browser.total, Some(1_000_000));
}

#[test]
fn filters_and_orders_go_round() {
    let mut model = browsing(Screen::Delta);
    let (filter, ..) = asked(&press(&mut model, "v"));
    assert_eq!(filter.verdict, Some(Verdict::DrOnly));
    for _ in 0..4 {
        press(&mut model, "v");
    }
    assert_eq!(asked(&press(&mut model, "v")).0.verdict, None);
    assert_eq!(asked(&press(&mut model, "s")).0.store.map(|store| store.0), Some("orders".into()));
    assert_eq!(asked(&press(&mut model, "o")).1, SortBy::Key);
    assert!(asked(&press(&mut model, "O")).2);
    assert_eq!(asked(&press(&mut model, "/abc\n")).0.text, "abc");
    assert_eq!(asked(&press(&mut model, "*")).0, Filter::default());
    let mut model = browsing(Screen::Held);
    assert_eq!(asked(&press(&mut model, "v")).0.fate, Some(BrowseFate::Held), "the screen's own filter stays");
}

#[test]
fn decisions_are_about_the_marked_the_selected_the_open_or_all() {
    let name = |id: &str| {
        let row = row(id, Verdict::Conflict, BrowseFate::Held);
        (row.store, row.key_json)
    };
    let mut model = browsing(Screen::Held);
    assert_eq!(press(&mut model, "d"), [Effect::Decide(Picked::Items(vec![name("o-1")]), Choice::Dr)]);
    let marked = press(&mut model, "  p");
    let mut wanted = vec![name("o-1"), name("日本語のキー")];
    wanted.sort();
    assert_eq!(marked, [Effect::Decide(Picked::Items(wanted), Choice::Primary)]);
    assert!(model.browser.marked.is_empty());
    press(&mut model, "/o-\n");
    listed(&mut model, 9);
    let rule = Rule { store: None, verdict: None, change: None, text: Some("o-".into()) };
    assert_eq!(press(&mut model, "ab"), [Effect::Decide(Picked::Rule(rule), Choice::Both)]);
    let opened = press(&mut model, "g\n");
    assert!(matches!(opened.last(), Some(Effect::Look(_))), "{opened:?}");
    assert_eq!(model.screen, Screen::Item);
    assert_eq!(press(&mut model, "b"), [Effect::Decide(Picked::Items(vec![name("o-1")]), Choice::Both)]);
    press(&mut model, "\x1b");
    assert_eq!(model.screen, Screen::Held);
}

#[test]
fn escape_and_a_key_in_one_packet_are_both_heard() {
    let mut model = after(&checked(), SIZE);
    press(&mut model, "?");
    let both = KeyEvent::new(KeyCode::Char('5'), KeyModifiers::ALT);
    update(&mut model, Message::Key(both));
    assert!(model.dialog.is_none());
    assert_eq!(model.screen, Screen::Replay);
}

#[test]
fn the_pace_is_changed_where_it_is_shown() {
    let mut model = after(&planned(0), SIZE);
    let wanted = [PaceChange::Slower, PaceChange::Faster, PaceChange::Pause, PaceChange::Resume].map(Effect::Pace);
    assert_eq!(press(&mut model, "5-+  "), wanted);
}

#[test]
fn a_failure_is_told_in_full() {
    let mut model = after(&checked(), SIZE);
    running(&mut model, Action::Plan);
    let trouble = crate::tui::state::Trouble { action: Action::Plan, lines: vec!["no".into()] };
    let ended = Ended { action: Action::Plan, exit: Exit::Incomplete, trouble: Some(trouble), seq: model.seq };
    update(&mut model, Message::Ended(ended));
    assert!(matches!(model.dialog, Some(Dialog::Trouble(_))));
    press(&mut model, "\x1b");
    assert_eq!(press(&mut model, "n"), [Effect::Run(Action::Plan)], "it is done again");
}
