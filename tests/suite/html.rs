//! The HTML report in a real browser: readable on a phone and a desktop, light and dark, printable, and silent.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use failback::compare::Quiet;
use failback::drill::sandbox::Lifetime;
use failback::drill::story::Scale;
use failback::drill::{Drill, Narrator, Scene};
use failback::model::{FixedClock, Value};
use failback::profile::Profile;
use failback::session::{Options, Session, Surroundings};
use failback::store::memory::MemoryRegistry;
use serde_json::Value as Json;

use crate::browser::{Browser, Look};
use crate::rig::{Home, now};

const PHONE: Look = Look { width: 390, height: 844, scheme: "light", media: "screen" };
const DESKTOP: Look = Look { width: 1280, height: 900, scheme: "light", media: "screen" };
/// A4 less its margins.
const PAPER: Look = Look { width: 688, height: 1016, scheme: "light", media: "print" };

/// Differences of the large session: more than a page shows.
const MANY: u32 = 450;

/// Keys that try to break out of the page, or out of their box.
const NASTY: [&str; 5] = [
    "<script>console.error('out')</script>",
    "\"'><img src=x onerror=alert(1)>",
    "&lt;b&gt;&amp;",
    "\u{202e}txt.exe\u{0007}",
    "averylongkeywithoutanyblanksaverylongkeywithoutanyblanksaverylongkeywithoutanyblanksaverylongkeywithoutanyblanks",
];

struct Silent;

impl Narrator for Silent {
    fn show(&mut self, _: Scene<'_>) {}
}

/// A session that came home: the drill in memory.
async fn finished(home: &Home) {
    let drill = Drill {
        scale: Scale { items: 300, seed: 7 },
        folder: home.path("."),
        lifetime: Lifetime::Attached,
        program: env!("CARGO_BIN_EXE_failback").into(),
        clock: Arc::new(failback::cli::SystemClock),
        progress: Arc::new(Quiet),
    };
    assert_eq!(drill.run_in_memory(&mut Silent).await.expect("a drill"), 0);
}

/// A session in the middle: one store differs a lot and is held, another was never compared.
async fn unfinished(home: &Home) {
    let text = "name = \"shop\"\n[primary]\nregion = \"us-east-1\"\n[dr]\nregion = \"us-west-2\"\n\
                [[store]]\nname = \"orders\"\nkind = \"memory\"\nprimary = { table = \"orders\" }\ndr = { table = \"orders-dr\" }\n\
                [[store]]\nname = \"media\"\nkind = \"memory\"\nprimary = { table = \"media\" }\ndr = { table = \"media-dr\" }\n";
    home.write("profile.toml", text);
    let memory = MemoryRegistry::new();
    let (primary, dr) = (memory.table("orders"), memory.table("orders-dr"));
    let keys = (0..MANY).map(|number| format!("order-{number}")).chain(NASTY.map(String::from));
    for (number, key) in keys.enumerate() {
        let key = Value::map([("id", Value::text(&key))]);
        let total = |total: i64| Value::map([("total", Value::Number(total.into()))]);
        dr.put(&key, total(1));
        if number % 3 == 0 {
            primary.put(&key, total(2));
        }
    }
    let profile = Profile::parse(text, "profile.toml", &|_| None).expect("a profile");
    let options = Options { stores: vec!["orders".into()], ..Options::default() };
    let around = Surroundings {
        clock: Arc::new(FixedClock(now())),
        progress: Arc::new(Quiet),
        memory,
        checkpoints: home.path("checkpoints"),
        dial: None,
    };
    let session = Session::open(&home.path("session"), profile, text, options, around).expect("a session");
    session.begin("plan").expect("recorded");
    session.plan().await.expect("a plan");
    session.end("plan", 3).expect("recorded");
}

fn page(home: &Home, more: &str) -> PathBuf {
    home.run(&format!("report profile.toml --session session --format html --output page.html {more}")).exits(0);
    home.path("page.html")
}

/// An expression that comes to the numbers a page is judged by.
const MEASURES: &str = include_str!("measures.js");

fn number(measures: &Json, name: &str) -> f64 {
    measures[name].as_f64().unwrap_or_else(|| panic!("{name} of {measures}"))
}

fn assert_readable(browser: &mut Browser, file: &Path, look: Look) -> Json {
    browser.show(file, look);
    let measures = browser.evaluate(MEASURES);
    let told = format!("{look:?}: {measures:#}");
    assert_eq!(browser.complaints, [""; 0], "{look:?}");
    for nothing in ["overflow", "scripts", "unnamed", "ids", "broken", "wide"] {
        assert_eq!(number(&measures, nothing), 0.0, "{nothing}: {told}");
    }
    assert!(number(&measures["smallest"], "size") >= 9.5, "{told}");
    assert!(number(&measures["palest"], "contrast") >= 4.5, "{told}");
    assert!(number(&measures, "texts") > 50.0, "{told}");
    match (look.media, look.scheme) {
        ("print", _) => assert_eq!(number(&measures, "folded"), 0.0, "what is folded is not printed: {told}"),
        (_, scheme) => {
            assert!(
                number(&measures, "answer") <= f64::from(look.height),
                "the answer is in the first screenful: {told}"
            );
            let paper = number(&measures, "paper");
            assert!(if scheme == "dark" { paper < 0.1 } else { paper > 0.9 }, "{told}");
        }
    }
    measures
}

fn assert_prints(browser: &mut Browser, file: &Path) {
    assert_readable(browser, file, PAPER);
    // A dark desktop prints on white paper all the same.
    let dark = assert_readable(browser, file, Look { scheme: "dark", ..PAPER });
    assert!(number(&dark, "paper") > 0.9, "{dark:#}");
    let printed = browser.print();
    assert!(printed.starts_with(b"%PDF-") && printed.len() > 10_000, "{} bytes", printed.len());
    assert_eq!(browser.complaints, [""; 0]);
}

fn assert_readable_everywhere(browser: &mut Browser, file: &Path) {
    for look in [PHONE, DESKTOP] {
        for scheme in ["light", "dark"] {
            assert_readable(browser, file, Look { scheme, ..look });
        }
    }
    assert_prints(browser, file);
}

/// Keeps pictures where a person asked for them.
fn keep_pictures(browser: &mut Browser, file: &Path, name: &str) {
    let Ok(folder) = std::env::var("FAILBACK_PICTURES") else { return };
    for (of, look) in [("phone", PHONE), ("desktop", DESKTOP)] {
        for scheme in ["light", "dark"] {
            browser.show(file, Look { scheme, ..look });
            let picture = browser.picture();
            std::fs::write(format!("{folder}/{name}-{of}-{scheme}.png"), picture).expect("written");
        }
    }
    browser.show(file, PAPER);
    std::fs::write(format!("{folder}/{name}.pdf"), browser.print()).expect("written");
}

#[tokio::test]
async fn the_page_of_a_finished_session_is_readable_in_a_browser() {
    let Some(mut browser) = Browser::start() else { return };
    let home = Home::new();
    finished(&home).await;
    let file = page(&home, "");
    assert_readable_everywhere(&mut browser, &file);
    let charts = browser.evaluate("document.querySelectorAll('svg').length");
    assert!(charts.as_f64().is_some_and(|charts| charts >= 4.0), "verdicts, hours and weights: {charts}");
    let text = browser.evaluate("document.querySelector('#answer').innerText");
    let text = text.as_str().expect("a text");
    for words in ["Can we cut over?", "It is done", "What would we lose?", "Not checked", "at parity", "values masked"]
    {
        assert!(text.contains(words), "{words} is not in the first screenful:\n{text}");
    }
    keep_pictures(&mut browser, &file, "finished");
}

#[tokio::test]
async fn the_page_of_a_large_unfinished_session_is_readable_in_a_browser() {
    let Some(mut browser) = Browser::start() else { return };
    let home = Home::new();
    unfinished(&home).await;
    for (name, more) in [("unfinished", ""), ("values", "--show-values"), ("keys", "--mask-keys")] {
        let file = page(&home, more);
        assert_readable_everywhere(&mut browser, &file);
        keep_pictures(&mut browser, &file, name);
    }
}

#[test]
fn a_script_a_picture_and_a_wide_box_are_noticed() {
    let Some(mut browser) = Browser::start() else { return };
    let home = Home::new();
    let bad = "<!DOCTYPE html><title>x</title><body><div id=answer style='width:900px;color:#999'>text</div>\
               <img src='http://127.0.0.1:1/x.png'><script>console.error('out')</script>";
    home.write("bad.html", bad);
    browser.show(&home.path("bad.html"), PHONE);
    let measures = browser.evaluate(MEASURES);
    assert!(number(&measures, "overflow") > 0.0 && number(&measures, "scripts") == 2.0, "{measures:#}");
    assert!(number(&measures["palest"], "contrast") < 4.5, "{measures:#}");
    assert!(browser.complaints.len() >= 2, "{:?}", browser.complaints);
}
