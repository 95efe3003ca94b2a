//! Every screen at 80x24 and at 120x40, as text.

use std::path::Path;
use std::sync::Arc;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use serde_json::json;
use snapbox::{Data, assert_data_eq};

use super::draw;
use crate::diff::Replication;
use crate::digest::key_of;
use crate::guide::Means;
use crate::journal::Event;
use crate::model::{Change, Digest, StoreId, Timestamp, Value, Verdict};
use crate::report::tests::{Story, checked, minute, planned, replayed, shifted, tb};
use crate::session::{
    Action, BrowseFate, BrowseRow, DecisionMade, Exit, ItemSides, SampleOutcome, Seen, SessionState, StoreSample,
    TaskProgress,
};
use crate::tui::message::{Ended, Message, SessionNews, Tick, Window};
use crate::tui::state::{CutoverSetting, Model, OpenItem, Running, Screen, Setting, Tone, Trouble};
use crate::tui::theme::Theme;
use crate::tui::update::update;
use crate::tui::view::event_words;

const SIZES: [(u16, u16); 2] = [(80, 24), (120, 40)];

pub(in crate::tui) fn setting() -> Setting {
    Setting {
        profile: "shop".into(),
        folder: ".failback/shop".into(),
        primary_region: "us-east-1".into(),
        dr_region: "us-west-2".into(),
        disaster_at: Some(tb()),
        stores: vec![
            (StoreId("orders".into()), "dynamodb".into()),
            (StoreId("media".into()), "s3".into()),
            (StoreId("ledger-of-the-whole-company".into()), "postgres".into()),
        ],
        means: Means { freeze: true, cutover: true },
        freeze: Some("./fence-dr.sh".into()),
        fence: "a write that must be refused: ./try-write.sh".into(),
        cutover: Some(CutoverSetting {
            record: "app.example.com A".into(),
            stages: vec![5, 25, 50, 100],
            hold_seconds: 300,
            health: Some("GET https://app.example.com/health, every 10 s, 3 failures in a row retreat".into()),
            certificate_age_seconds_max: 3_600,
        }),
        watching: false,
        drill: false,
    }
}

/// A screen on a session in which all of this has happened.
pub(in crate::tui) fn after(story: &Story, size: (u16, u16)) -> Model {
    let theme = Theme { colour: true, unicode: true };
    let mut model = Model::new(setting(), theme, minute(60), size);
    let events = story.0.iter().filter_map(|record| Some((record.at, event_words(&record.event)?))).collect();
    let state = story.state();
    let undecided = state.plans.last().map_or(0, |(_, _, summary)| summary.held());
    let news = SessionNews { state: Arc::new(state), seq: 1, undecided, events, delta_changed: true };
    update(&mut model, Message::Session(Box::new(news)));
    model
}

pub(in crate::tui) fn row(id: &str, verdict: Verdict, fate: BrowseFate) -> BrowseRow {
    BrowseRow {
        store: StoreId("orders".into()),
        key_json: json!({ "id": { "S": id } }).to_string(),
        key_text: format!("id={id}"),
        canonical_key: key_of(&Value::map([("id", Value::text(id))])),
        verdict,
        change: Change::Update,
        bytes: 1_234,
        changed_at: None,
        fate,
        reason: "changed on both sides".into(),
        primary: Some(Digest([1; 32])),
        dr: Some(Digest([2; 32])),
        base: "unknown".into(),
    }
}

/// Gives the list of differences an answer.
pub(in crate::tui) fn listed(model: &mut Model, total: u64) {
    let names = ["o-1", "日本語のキー", "with\nbreak", &"long".repeat(40)];
    let rows = (0..total.min(60)).map(|at| {
        let verdict = [Verdict::Conflict, Verdict::DrOnly][at as usize % 2];
        let fate = [BrowseFate::Held, BrowseFate::Planned, BrowseFate::Accepted][at as usize % 3];
        row(names.get(at as usize).copied().unwrap_or("o"), verdict, fate)
    });
    let question = model.browser.question;
    update(model, Message::Window(Window { question, total: Ok(total), first: 0, rows: rows.collect() }));
}

/// What the screen shows, line by line.
fn text(model: &Model) -> String {
    let (width, height) = model.size;
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a screen in memory");
    terminal.draw(|frame| draw(frame, model)).expect("drawn");
    let buffer = terminal.backend().buffer();
    let line = |y: u16| {
        let mut skip = 0;
        let cells = (0..width).filter_map(|x| {
            let symbol = buffer[(x, y)].symbol();
            // A wide character takes the next cell too.
            let shown = skip == 0;
            skip = if shown { unicode_width::UnicodeWidthStr::width(symbol).saturating_sub(1) } else { skip - 1 };
            shown.then_some(symbol)
        });
        cells.collect::<String>().trim_end().to_owned() + "\n"
    };
    (0..height).map(line).collect()
}

fn golden(name: &str, of: impl Fn((u16, u16)) -> Model) {
    for size in SIZES {
        let file = format!("src/tui/golden/{name}-{}x{}.txt", size.0, size.1);
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        assert_data_eq!(text(&of(size)), Data::read_from(&file, None).raw());
    }
}

fn on(screen: Screen, mut model: Model) -> Model {
    model.screen = screen;
    model
}

fn tick(model: &mut Model, tasks: Vec<TaskProgress>) {
    update(model, Message::Tick(Tick { now: minute(61), tasks, pace: Default::default() }));
}

fn task(name: &str, done: u64, items: Option<u64>) -> TaskProgress {
    TaskProgress { task: name.into(), done, items, per_second: 512.0, ended: false }
}

#[test]
fn the_first_screen() {
    golden("first", |size| after(&Story::default(), size));
}

#[test]
fn stores_while_they_are_read() {
    golden("stores-reading", |size| {
        let mut model = after(&checked(), size);
        model.running = Some(Running { action: Action::Plan, since: minute(59), stopping: false });
        tick(&mut model, vec![task("read orders primary", 600_000, Some(1_200_000)), task("read media dr", 77, None)]);
        model
    });
}

#[test]
fn stores_with_held_items() {
    golden("stores-held", |size| {
        let mut model = after(&planned(4), size);
        let ended = Ended { action: Action::Plan, exit: Exit::Undecided, trouble: None, seq: 1 };
        update(&mut model, Message::Ended(ended));
        on(Screen::Stores, model)
    });
    golden("store", |size| on(Screen::Store, after(&planned(4), size)));
}

#[test]
fn differences_and_held_items() {
    golden("delta", |size| {
        let mut model = on(Screen::Delta, after(&planned(4), size));
        listed(&mut model, 1_000_000);
        model
    });
    golden("held", |size| {
        let mut model = on(Screen::Held, after(&planned(4), size));
        listed(&mut model, 4);
        model.browser.marked.insert((StoreId("orders".into()), model.browser.rows[1].key_json.clone()));
        model
    });
    golden("delta-empty", |size| {
        let mut model = on(Screen::Delta, after(&checked(), size));
        listed(&mut model, 0);
        model
    });
}

fn item(size: (u16, u16), revealed: bool) -> Model {
    let mut model = on(Screen::Item, after(&planned(4), size));
    let contents = |total: &str, note: Option<&str>| {
        let mut fields = json!({ "id": { "S": "o-1" }, "total": { "N": total } });
        if let Some(note) = note {
            fields["note"] = json!({ "S": note });
        }
        Seen::Contents(json!({ "M": fields }))
    };
    let sides = ItemSides {
        base: Seen::DigestOnly(Digest([7; 32])),
        primary: contents("10.5", None),
        dr: contents("12", Some("paid twice, call the customer at once and say sorry")),
    };
    model.item = Some(OpenItem {
        row: row("o-1", Verdict::Conflict, BrowseFate::Held),
        sides: Some(Ok(sides)),
        revealed,
        scroll: 0,
        from: Screen::Held,
    });
    model
}

/// An object that differs, with how far replication came with each copy.
fn object(size: (u16, u16), primary: Option<&str>, dr: Option<&str>) -> String {
    let mut model = item(size, false);
    let copy = |word: Option<&str>| {
        let told = word.map(|word| json!({ "M": { "replication": { "S": word } } })).unwrap_or(json!({ "M": {} }));
        Seen::Contents(json!({ "M": { "size": { "N": "5" }, "location": told } }))
    };
    let replication = Replication::of(primary, dr).expect("a word of replication");
    let open = model.item.as_mut().expect("an item");
    open.row.reason = replication.doubt(Verdict::DrOnly).unwrap_or_default();
    let primary = primary.map_or(Seen::Gone("deleted by a marker, over 2 versions".into()), |word| copy(Some(word)));
    open.sides = Some(Ok(ItemSides { base: Seen::Absent, primary, dr: copy(dr) }));
    text(&model)
}

#[test]
fn an_item_says_how_far_replication_came_with_it() {
    for size in SIZES {
        let shown = object(size, Some("PENDING"), None);
        assert!(shown.contains("not there") && shown.contains("there, PENDING"), "{shown}");
        let why = shown.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(why.contains("the primary's object never reached dr (replication PENDING)"), "{shown}");
        let shown = object(size, None, Some("REPLICA"));
        assert!(shown.contains("there, REPLICA") && shown.contains("not there: deleted by"), "{shown}");
        let why = shown.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(why.contains("dr's object is a replica, and the primary no longer has it"), "{shown}");
    }
}

#[test]
fn one_item_masked_and_revealed() {
    golden("item-masked", |size| item(size, false));
    golden("item", |size| item(size, true));
}

#[test]
fn the_plan() {
    golden("plan", |size| on(Screen::Plan, after(&planned(4), size)));
    golden("plan-none", |size| on(Screen::Plan, after(&checked(), size)));
}

#[test]
fn replaying_and_after() {
    golden("replay", |size| {
        let mut model = on(Screen::Replay, after(&planned(0), size));
        model.running = Some(Running { action: Action::Replay, since: minute(60), stopping: false });
        model.rates = (0..100).map(|at| 400 + (at * 37) % 200).collect();
        tick(&mut model, vec![task("replay orders", 5_000, Some(13_000))]);
        model
    });
    golden("replay-refused", |size| on(Screen::Replay, after(&replayed(2), size)));
}

#[test]
fn verification_and_certificate() {
    golden("verify-before", |size| on(Screen::Verify, after(&replayed(0), size)));
    golden("verify", |size| {
        let mut model = on(Screen::Verify, after(&replayed(0).verified(0), size));
        model.printed = vec!["fence-dr.sh: security group sg-1 closed".into()];
        model
    });
    golden("verify-differs", |size| on(Screen::Verify, after(&replayed(0).verified(17), size)));
}

#[test]
fn the_dial() {
    golden("cutover-before", |size| on(Screen::Cutover, after(&replayed(0).verified(0), size)));
    golden("cutover", |size| {
        let story = shifted().traffic(None, json!({ "event": "insync", "change": "C1", "ttl_seconds": 600 }));
        let mut model = on(Screen::Cutover, after(&story, size));
        model.running = Some(Running { action: Action::Cutover, since: minute(15), stopping: false });
        tick(&mut model, Vec::new());
        model.now = story.0.last().map_or(Timestamp::UNIX_EPOCH, |record| record.at);
        model
    });
    golden("cutover-retreated", |size| {
        let retreated = json!({ "event": "retreated", "reason": "health failed", "change": null });
        on(Screen::Cutover, after(&shifted().traffic(Some(0), retreated), size))
    });
}

#[test]
fn the_journal() {
    golden("journal", |size| on(Screen::Journal, after(&shifted(), size)));
}

fn pressing(mut model: Model, keys: &str) -> Model {
    for key in keys.chars() {
        let code = match key {
            '\n' => crossterm::event::KeyCode::Enter,
            key => crossterm::event::KeyCode::Char(key),
        };
        update(&mut model, Message::Key(code.into()));
    }
    model
}

#[test]
fn dialogs() {
    golden("confirm-replay", |size| pressing(after(&planned(0), size), "n12\n"));
    golden("confirm-cutover", |size| pressing(after(&replayed(0).verified(0), size), ":cutover: return\n"));
    golden("confirm-retreat", |size| pressing(after(&replayed(0).verified(0), size), "R"));
    golden("checkpoint", |size| pressing(after(&checked(), size), ":checkpoint\n2026"));
    golden("stages", |size| pressing(after(&planned(4), size), "i"));
    golden("help", |size| pressing(after(&checked(), size), "?"));
    golden("palette", |size| pressing(after(&checked(), size), ":re"));
    golden("find", |size| pressing(on(Screen::Delta, after(&planned(0), size)), "/customer"));
    golden("decisions", |size| {
        let mut model = on(Screen::Held, after(&planned(4), size));
        let decision = |number: i64, taken_back| DecisionMade {
            number,
            at: minute(30 + number),
            by: "ana@bastion".into(),
            choice: "dr".into(),
            scope: "1 item".into(),
            items: 1,
            seal: String::new(),
            file: None,
            plans_before: 1,
            taken_back,
        };
        let mut state = SessionState::clone(&model.state);
        state.decisions = vec![decision(1, Some((minute(40), "ben@bastion".into()))), decision(2, None)];
        model.state = Arc::new(state);
        pressing(model, "t")
    });
    golden("decide-all", |size| {
        let mut model = on(Screen::Held, after(&planned(4), size));
        listed(&mut model, 4);
        pressing(model, "a")
    });
    golden("trouble", |size| {
        let mut model = after(&checked(), size);
        let lines = ["cannot read dr of store orders", "because: connection refused", "What to do: see that it runs"];
        let trouble = Trouble { action: Action::Plan, lines: lines.map(str::to_owned).into() };
        let ended = Ended { action: Action::Plan, exit: Exit::Incomplete, trouble: Some(trouble), seq: 1 };
        update(&mut model, Message::Ended(ended));
        model
    });
    golden("told", |size| {
        let mut model = after(&checked(), size);
        let store = StoreSample {
            store: StoreId("orders".into()),
            segments_read: 10,
            segments: 200,
            looked_at: 61_204,
            changed: 12,
            only_dr: 3,
            only_primary: 0,
            differing_at_most: 0.001_25,
        };
        let outcome = SampleOutcome { percent: 5.0, stores: vec![store] };
        let lines = crate::report::sample_sentences(&outcome);
        update(&mut model, Message::Told { title: "A quick look".into(), lines });
        model
    });
}

#[test]
fn watching_and_drilling() {
    golden("watching", |size| {
        let mut model = after(&replayed(0), size);
        model.setting = Arc::new(Setting { watching: true, ..setting() });
        model
    });
    golden("drill", |size| {
        let mut model = after(&checked(), size);
        model.setting = Arc::new(Setting { drill: true, ..setting() });
        let lines =
            ["T0: the primary Region fails", "customers are served by DR", "the primary is back: look before touching"];
        update(&mut model, Message::Narrated(lines.map(str::to_owned).into()));
        model.say(Tone::Good, "check: done");
        model
    });
}

#[test]
fn nothing_panics_at_any_size() {
    let stories = [Story::default(), planned(4), replayed(2).verified(17), shifted()];
    for story in &stories {
        for screen in Screen::TABS.into_iter().chain([Screen::Store, Screen::Item]) {
            for size in [(1, 1), (20, 5), (60, 16), (61, 17), (80, 24), (99, 31), (100, 32), (300, 100)] {
                let mut model = on(screen, after(story, size));
                listed(&mut model, 3);
                assert!(!text(&model).is_empty());
                for keys in ["?", ":", "n", "R", "t", "/"] {
                    assert!(!text(&pressing(model.clone(), keys)).is_empty());
                }
            }
        }
    }
}

#[test]
fn without_unicode_every_cell_is_ascii() {
    for screen in Screen::TABS {
        let mut model = on(screen, after(&shifted(), (80, 24)));
        model.theme = Theme { colour: false, unicode: false };
        model.rates = [1, 2, 3].into();
        let shown = text(&pressing(model, "?"));
        assert!(shown.is_ascii(), "{screen:?}\n{shown}");
    }
}

#[test]
fn every_event_has_words_or_is_counted_elsewhere() {
    let step = Event::Done { store: StoreId("orders".into()), key: "00".into() };
    assert_eq!(event_words(&step), None);
    for record in shifted().0 {
        let words = event_words(&record.event);
        assert!(matches!(record.event, Event::Done { .. }) || words.is_some_and(|words| words.len() > 3));
    }
}
