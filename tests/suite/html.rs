//! The HTML report in a real browser: readable on a phone and a desktop, light and dark, printable, and silent.

use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use crate::browser::{Browser, Look};
use crate::report::{finished, unfinished};
use crate::rig::Home;

const PHONE: Look = Look { width: 390, height: 844, scheme: "light", media: "screen" };
const DESKTOP: Look = Look { width: 1280, height: 900, scheme: "light", media: "screen" };
/// A4 less its margins.
const PAPER: Look = Look { width: 688, height: 1016, scheme: "light", media: "print" };

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
    std::fs::write(format!("{folder}/{name}-paper.png"), browser.picture()).expect("written");
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
    let bad = "<!DOCTYPE html><meta name=viewport content='width=device-width'><title>x</title><body><div id=answer style='width:900px;color:#999'>text</div>\
               <img src='http://127.0.0.1:1/x.png'><script>console.error('out')</script>";
    home.write("bad.html", bad);
    browser.show(&home.path("bad.html"), PHONE);
    let measures = browser.evaluate(MEASURES);
    assert!(number(&measures, "overflow") > 0.0 && number(&measures, "scripts") == 2.0, "{measures:#}");
    assert!(number(&measures["palest"], "contrast") < 4.5, "{measures:#}");
    assert!(browser.complaints.len() >= 2, "{:?}", browser.complaints);
}
