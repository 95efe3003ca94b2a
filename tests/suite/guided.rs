//! The guided session in a real terminal, by keys alone: a person who knows nothing but what the screen says.

use failback::drill::sandbox::Venv;

use crate::peers::left_out;
use crate::rig::Home;
use crate::terminal::{Key, LARGE, SMALL, Terminal, renamed};

/// Steps of one session: a bound on going in circles.
const STEPS_MAX: usize = 40;

/// A line of the screen, counted from the top.
fn line(terminal: &Terminal, at: usize) -> String {
    terminal.text().lines().nth(at).unwrap_or_default().to_owned()
}

/// The line that says what is next.
fn next(terminal: &Terminal) -> String {
    line(terminal, 2)
}

/// What a dialog asks to be typed.
fn wanted(screen: &str) -> Option<String> {
    let flat = screen.replace(['│', '\n'], " ");
    let (_, rest) = flat.split_once("Type ")?;
    rest.split_whitespace().next().map(str::to_owned)
}

/// Waits until nothing is under way.
fn settled(terminal: &Terminal) {
    terminal.wait_until("a next step", |screen| {
        let next = screen.contents().lines().nth(2).unwrap_or_default().to_owned();
        next.starts_with("[n] next") || next.starts_with("done")
    });
}

/// Takes the next step that the screen offers, as a person would; `false` when nothing is left to do.
fn step(terminal: &Terminal) -> bool {
    settled(terminal);
    let before = next(terminal);
    if before.starts_with("done") {
        return false;
    }
    if before.contains("next: decide") {
        terminal.keys(&[Key::Char('3')]);
        terminal.wait_for("undecided");
        terminal.wait_until("held items", |screen| screen.contents().contains("HELD"));
        terminal.keys(&[Key::Char('a')]);
        terminal.wait_for("Decide about all of them");
        terminal.keys(&[Key::Char('d')]);
        terminal.wait_for("nothing is held here");
        terminal.wait_for("0 undecided");
        return true;
    }
    terminal.keys(&[Key::Char('n')]);
    terminal.wait_until("an answer to n", |screen| {
        let text = screen.contents();
        let now = text.lines().nth(2).unwrap_or_default();
        text.contains("> ") && wanted(&text).is_some() || now.starts_with("under way") || now != before
    });
    if let Some(word) = wanted(&terminal.text()) {
        terminal.type_text(&word);
        terminal.keys(&[Key::Enter]);
        terminal.wait_until_gone(&format!("Type {word} "));
    }
    true
}

/// Goes on until nothing is left to do.
fn go_home(terminal: &Terminal) {
    for _ in 0..STEPS_MAX {
        if !step(terminal) {
            return;
        }
    }
    panic!("not home after {STEPS_MAX} steps:\n{}", terminal.text());
}

/// Goes on until the next step is as wanted.
fn go_until(terminal: &Terminal, wanted: &str) {
    for _ in 0..STEPS_MAX {
        settled(terminal);
        if next(terminal).contains(wanted) {
            return;
        }
        assert!(step(terminal), "nothing is left to do, and `{wanted}` never came:\n{}", terminal.text());
    }
    panic!("`{wanted}` never came:\n{}", terminal.text());
}

/// Keeps pictures of the screen in the folder that the environment names, for the documentation.
///
/// Where this very program and its files lie is nobody's concern: they are where they would be on an operator's machine.
fn picture(home: &Home, terminal: &Terminal, name: &str) {
    terminal.wait_for_whole_frame();
    let program = crate::rig::program().with_file_name("");
    let folders = home.path("").with_file_name(".tmp");
    let svg = terminal.svg(&format!("failback: {name}"));
    let svg = renamed(&svg, &program.to_string_lossy(), "/usr/local/bin/");
    let svg = renamed(&svg, &folders.to_string_lossy(), "/tmp/");
    assert!(svg.contains("<text"), "an empty picture of {name}");
    if let Some(folder) = std::env::var_os("FAILBACK_SCREENS") {
        let folder = std::path::PathBuf::from(folder);
        std::fs::create_dir_all(&folder).expect("a folder for pictures");
        std::fs::write(folder.join(format!("{name}.svg")), svg).expect("a picture");
    }
}

/// Presses a key and waits for what it shows.
fn show(terminal: &Terminal, key: Key, words: &str) {
    terminal.keys(&[key]);
    terminal.wait_for(words);
}

#[test]
fn the_drill_comes_home_by_reading_the_screen_at_80x24() {
    let home = Home::new();
    let terminal = Terminal::start(&home, "drill --in-memory --items 120", SMALL, &[]);
    go_until(&terminal, "next: plan");
    picture(&home, &terminal, "stores");
    go_until(&terminal, "next: decide");
    show(&terminal, Key::Char('1'), "unattrb");
    show(&terminal, Key::Enter, "Newest plan: ");
    picture(&home, &terminal, "store");
    show(&terminal, Key::Char('4'), "Forecast");
    picture(&home, &terminal, "plan");
    show(&terminal, Key::Char('2'), "planned");
    picture(&home, &terminal, "delta");
    show(&terminal, Key::Char('3'), "undecided");
    terminal.wait_for("HELD");
    picture(&home, &terminal, "held");
    terminal.keys(&[Key::End]);
    show(&terminal, Key::Enter, "***");
    show(&terminal, Key::Char('m'), "contents are shown");
    picture(&home, &terminal, "item");
    show(&terminal, Key::Char('?'), "Everywhere");
    picture(&home, &terminal, "help");
    terminal.keys(&[Key::Esc]);
    go_until(&terminal, "next: replay --apply");
    show(&terminal, Key::Char('n'), "Replay into the primary");
    picture(&home, &terminal, "confirm");
    terminal.keys(&[Key::Esc]);
    terminal.wait_until_gone("Replay into the primary");
    assert!(step(&terminal));
    settled(&terminal);
    show(&terminal, Key::Char('5'), "delta by pass");
    picture(&home, &terminal, "replay");
    go_until(&terminal, "next: cutover");
    show(&terminal, Key::Char('6'), "AT PARITY");
    picture(&home, &terminal, "verify");
    assert!(step(&terminal));
    terminal.wait_for("primary 25%");
    picture(&home, &terminal, "cutover");
    go_home(&terminal);
    terminal.wait_for("THE DRILL CAME HOME");
    show(&terminal, Key::Char('8'), "cutover ended");
    picture(&home, &terminal, "journal");
    terminal.keys(&[Key::Char('q')]);
    assert_eq!(terminal.exit(), 0);
    assert!(terminal.text().contains("THE DRILL CAME HOME"), "{}", terminal.text());
}

#[test]
fn every_screen_and_dialog_opens_and_a_wrong_word_does_nothing() {
    let home = Home::new();
    let terminal = Terminal::start(&home, "drill --in-memory --items 120", SMALL, &[("NO_COLOR", "1")]);
    terminal.wait_for("[n] next: check");
    go_until(&terminal, "next: decide");
    // One item, three sides; masked until asked for.
    terminal.keys(&[Key::Char('3')]);
    terminal.wait_for("HELD");
    terminal.keys(&[Key::Enter]);
    terminal.wait_for("contents are masked");
    terminal
        .wait_until("both sides", |screen| screen.contents().contains("primary") && screen.contents().contains("***"));
    terminal.keys(&[Key::Char('m')]);
    terminal.wait_for("contents are shown");
    terminal.keys(&[Key::Char('p')]);
    terminal.wait_for("the primary's contents stay");
    terminal.keys(&[Key::Esc, Key::Char('t')]);
    terminal.wait_for("1 item");
    terminal.keys(&[Key::Char('t')]);
    terminal.wait_for("TAKEN BACK");
    terminal.keys(&[Key::Esc, Key::Char('?')]);
    terminal.wait_for("Everywhere");
    terminal.keys(&[Key::Esc]);
    terminal.wait_until_gone("Everywhere");
    terminal.resize(LARGE);
    terminal.wait_until("a wide screen", |screen| {
        screen.contents().contains("─ ○replay") || screen.contents().contains("○replay ─")
    });
    terminal.resize(SMALL);
    terminal.wait_until("a narrow screen", |screen| screen.contents().contains("check ✓diff"));
    for (key, word) in [
        ('1', "primary"),
        ('2', "key"),
        ('4', "Forecast"),
        ('5', "pace:"),
        ('6', "Writers in dr"),
        ('7', "stages"),
        ('8', "began"),
    ] {
        terminal.keys(&[Key::Char(key)]);
        terminal.wait_for(word);
    }
    terminal.keys(&[Key::Char('2'), Key::Char('/')]);
    terminal.wait_for("Only keys that contain");
    terminal.type_text("no such key");
    terminal.keys(&[Key::Enter]);
    terminal.wait_for("nothing differs here");
    // A wrong confirmation: nothing is done.
    terminal.keys(&[Key::Char(':')]);
    terminal.type_text("replay: write");
    terminal.keys(&[Key::Enter]);
    terminal.wait_for("Replay into the primary");
    terminal.type_text("yes");
    terminal.keys(&[Key::Enter]);
    terminal.wait_for("nothing was done");
    terminal.keys(&[Key::Esc]);
    terminal.wait_until_gone("Replay into the primary");
    assert!(!terminal.text().contains("under way"), "{}", terminal.text());
    terminal.keys(&[Key::Char('q')]);
    assert_eq!(terminal.exit(), 3, "items are still held");
}

#[test]
fn killed_in_the_middle_it_goes_on_and_a_retreat_takes_customers_back() {
    if Venv::located().ministack().is_none() {
        return left_out("the sandbox");
    }
    let home = Home::new();
    let venv = Venv::located().folder().display().to_string();
    let around = [("FAILBACK_VENV", venv.as_str())];
    let terminal = Terminal::start(&home, "drill --keep kept --items 200", SMALL, &around);
    terminal.wait_for("[n] next: check");
    go_until(&terminal, "next: decide");
    terminal.kill9();
    terminal.ended();
    drop(terminal);
    // The same session, from where it was; the sandbox still runs.
    let run = "run kept/profile.toml --session kept/session";
    let terminal = Terminal::start(&home, run, SMALL, &around);
    go_until(&terminal, "next: cutover");
    let guest = Terminal::start(&home, &format!("{run} --watch"), LARGE, &around);
    guest.wait_for("LOOKING ON");
    guest.keys(&[Key::Char('n')]);
    guest.wait_for("only the person at the wheel");
    assert!(step(&terminal));
    terminal.wait_for("primary 5%");
    guest.keys(&[Key::Char('7')]);
    guest.wait_for("primary 5%");
    terminal.keys(&[Key::Char('R')]);
    terminal.wait_for("Customers went back to dr");
    guest.wait_for("Customers went back to dr");
    guest.keys(&[Key::Char('q')]);
    assert_eq!(guest.exit(), 0);
    settled(&terminal);
    go_home(&terminal);
    terminal.keys(&[Key::Char('7')]);
    terminal.wait_for("primary 100%");
    terminal.keys(&[Key::Char('q')]);
    assert_eq!(terminal.exit(), 0);
    home.run("drill --stop kept").exits(0);
}

#[test]
fn a_hangup_gives_the_terminal_back() {
    use nix::sys::signal::Signal;
    for signal in [Signal::SIGTERM, Signal::SIGHUP] {
        let home = Home::new();
        let terminal = Terminal::start(&home, "drill --in-memory --items 60", SMALL, &[]);
        terminal.wait_for("[n] next: check");
        terminal.signal(signal);
        assert_eq!(terminal.exit(), 5, "{signal}");
    }
}

#[test]
fn without_a_terminal_it_says_what_to_do() {
    let home = Home::new();
    home.write("p.toml", "");
    home.run("run p.toml").exits(2).says("--headless --yes");
    home.run("run p.toml --watch").exits(2).says("terminal");
}
