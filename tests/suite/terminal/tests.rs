//! What every command does on a terminal, and that this rig sees it.

use std::ffi::OsString;
use std::io::Read;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::{Key, LARGE, SMALL, Size, Terminal};
use crate::peers;
use crate::rig::{DR, Home, PRIMARY, Regions, TABLE, reading, sides_on_port};

fn shell(home: &Home, script: &str) -> Terminal {
    let words = ["sh", "-c", script].map(OsString::from).to_vec();
    Terminal::run(home, words, SMALL, &[])
}

fn sensors(more: &str) -> String {
    let [primary, dr] = TABLE;
    format!(
        "[[store]]\nname = \"sensors\"\nkind = \"dynamodb\"\nprimary = {{ table = \"{primary}\" }}\n\
         dr = {{ table = \"{dr}\" }}\n{more}"
    )
}

fn home_of_nothing() -> Home {
    let home = Home::new();
    home.write("p.toml", &format!("name = \"p\"\n{}{}", sides_on_port(peers::free_port()), sensors("")));
    home
}

#[test]
fn what_a_program_leaves_behind_is_seen() {
    let home = Home::new();
    let tidy = shell(&home, "printf '\\033[?1049h\\033[?25lhere'; read go; printf '\\033[?25h\\033[?1049l'; exit 7");
    tidy.wait_for("here");
    assert!(tidy.screen().alternate_screen() && tidy.screen().hide_cursor());
    tidy.keys(&[Key::Enter]);
    assert_eq!(tidy.exit(), 7);
    let untidy = shell(&home, "stty raw -echo; printf '\\033[?1049h\\033[?25l\\033[?1000h\\033[?2004h\\033[31m'");
    assert_eq!(untidy.ended().code, Some(0));
    let left = untidy.left_behind();
    let wanted = ["the alternate screen", "a hidden cursor", "mouse reports", "bracketed paste", "a style"];
    assert_eq!(left[..wanted.len()], wanted, "{left:#?}");
    assert!(left[wanted.len()].starts_with("other line settings"), "{left:#?}");
}

#[test]
fn the_terminal_answers_and_takes_keys_sizes_pastes_and_signals() {
    let home = Home::new();
    let asking = "stty -icanon -echo min 1; printf 'ab\\033[6n'; dd bs=1 count=6 2>/dev/null | od -An -c; stty sane; \
                  printf '\\033]52;c;Y29waWVk\\007\\033]2;the title\\007'; read size; stty size";
    let terminal = shell(&home, asking);
    terminal.wait_for("[   1   ;   3   R");
    terminal.resize(Size { columns: 100, rows: 30 });
    terminal.keys(&[Key::Enter]);
    terminal.wait_for("30 100");
    assert_eq!(terminal.clipboard().as_deref(), Some("copied"));
    assert_eq!(terminal.title(), "the title");
    assert_eq!(terminal.ended().code, Some(0));
    let pasted = shell(&home, "printf '\\033[?2004hready'; read line; printf '\\033[?2004l'");
    pasted.wait_for("ready");
    pasted.paste("x y");
    pasted.keys(&[Key::Enter]);
    // Whoever echoes what is typed shows escapes so.
    pasted.wait_for("^[[200~x y^[[201~");
    assert_eq!(pasted.exit(), 0);
    let clicked = shell(&home, "stty -icanon -echo min 1; echo ready; dd bs=1 count=18 2>/dev/null | od -An -c; clear");
    clicked.wait_for("ready");
    assert!(clicked.svg("a picture").contains(">ready</text>"));
    clicked.click(9, 0);
    clicked.wait_until_gone("ready");
    assert!(clicked.written().contains("[   <   0   ;   1   0   ;   1   M"), "{}", clicked.written());
    let trapped = shell(&home, "trap 'echo caught; exit 3' TERM; echo ready; while :; do sleep 0.05; done");
    trapped.wait_for("ready");
    trapped.signal(Signal::SIGTERM);
    trapped.wait_for("caught");
    assert_eq!(trapped.exit(), 3);
    let killed = shell(&home, "echo ready; read forever");
    killed.wait_for("ready");
    killed.kill9();
    let ended = killed.ended();
    assert_eq!((ended.code, ended.signal.as_deref()), (None, Some("Killed")));
}

#[test]
fn what_never_comes_is_told_with_the_whole_screen() {
    let home = Home::new();
    let terminal = shell(&home, "echo only this");
    terminal.wait_for("only this");
    let waited = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| terminal.wait_for("that")));
    let told = waited.expect_err("it never comes");
    let told = told.downcast_ref::<String>().expect("words");
    assert!(told.contains("`that` never came (Success)") && told.contains("|only this"), "{told}");
}

#[test]
fn completions_scroll_by_in_full() {
    let home = Home::new();
    let terminal = Terminal::start(&home, "completions bash", LARGE, &[]);
    assert_eq!(terminal.exit(), 0);
    let printed = terminal.written();
    assert!(printed.contains("_failback()") && printed.contains("complete -F _failback"), "{printed}");
    assert!(!printed.contains('\x1b'), "a script to be sourced has no escapes");
    assert_eq!(printed.replace("\r\n", "\n"), home.run("completions bash").exits(0).out);
}

#[test]
fn a_bad_profile_is_told_without_escapes() {
    let home = Home::new();
    home.write("bad.toml", "name = \"p\"\n[primary]\nregoin = \"us-east-1\"\n");
    let terminal = Terminal::start(&home, "check bad.toml", SMALL, &[("NO_COLOR", "1")]);
    assert_eq!(terminal.exit(), 2);
    let text = terminal.text();
    assert!(text.contains("bad.toml:3:1") && text.contains("did you mean `region`?"), "{text}");
    assert!(!terminal.written().contains('\x1b'), "{text}");
}

#[test]
fn a_write_is_asked_for_and_only_yes_is_a_yes() {
    let home = home_of_nothing();
    let ask = "This will write to the primary. Type yes to go on:";
    for answer in ["no", "y", "Yes", "yes please", ""] {
        let terminal = Terminal::start(&home, "replay p.toml --apply", SMALL, &[]);
        terminal.wait_for(ask);
        terminal.type_text(answer);
        terminal.keys(&[Key::Enter]);
        terminal.wait_for("error: not confirmed; nothing was changed");
        assert_eq!(terminal.exit(), 2, "{answer}");
    }
    let terminal = Terminal::start(&home, "replay p.toml --apply", SMALL, &[]);
    terminal.wait_for(ask);
    terminal.type_text("yex");
    terminal.keys(&[Key::Backspace, Key::Char('s'), Key::Enter]);
    terminal.wait_for("this session has no plan");
    assert_eq!(terminal.exit(), 2);
    // The end of the input is no answer.
    let terminal = Terminal::start(&home, "undo p.toml", SMALL, &[]);
    terminal.wait_for("Type yes to go on:");
    terminal.keys(&[Key::Ctrl('d')]);
    terminal.wait_for("not confirmed");
    assert_eq!(terminal.exit(), 2);
}

#[test]
fn a_question_can_be_interrupted() {
    let home = home_of_nothing();
    for signal in [None, Some(Signal::SIGTERM), Some(Signal::SIGHUP)] {
        let terminal = Terminal::start(&home, "replay p.toml --apply", SMALL, &[]);
        terminal.wait_for("Type yes to go on:");
        match signal {
            None => terminal.keys(&[Key::Ctrl('c')]),
            Some(signal) => terminal.signal(signal),
        }
        terminal.wait_for("interrupted by SIG");
        terminal.wait_for("run the same command again to resume");
        assert_eq!(terminal.exit(), 5);
    }
}

/// Both sides differ in every item, and are read for seconds.
async fn home_that_reads_slowly(regions: &Regions) -> Home {
    // In many partitions, so that every segment has some: each waits for what the one before has read, a minute in all.
    let large = " ".repeat(8_000);
    for at in 0..40 {
        regions.put(PRIMARY, reading(&format!("s{at}"), at, &format!("1{large}"))).await;
        regions.put(DR, reading(&format!("s{at}"), at, &format!("2{large}"))).await;
    }
    let home = Home::new();
    let slow = sensors("limits = { reads_per_second = 1 }\n");
    home.write("p.toml", &format!("name = \"p\"\n{}{slow}", regions.sides()));
    home
}

#[tokio::test]
async fn progress_is_drawn_in_place_and_an_interrupt_leaves_the_terminal_as_it_was() {
    let Some(regions) = Regions::start().await else { return };
    let home = home_that_reads_slowly(&regions).await;
    let terminal = Terminal::start(&home, "diff p.toml", SMALL, &[]);
    terminal.wait_for("read sensors primary");
    terminal.wait_for("read sensors dr");
    terminal.wait_until("an estimate", |screen| screen.contents().contains("eta "));
    terminal.keys(&[Key::Ctrl('c')]);
    terminal.wait_for("interrupted by SIGINT: nothing is lost");
    assert_eq!(terminal.exit(), 5);
    // Run again without a limit it comes to its end, and of its progress nothing stays.
    home.write("p.toml", &format!("name = \"p\"\n{}{}", regions.sides(), sensors("")));
    let terminal = Terminal::start(&home, "diff p.toml", SMALL, &[]);
    terminal.wait_for("unattributed");
    assert_eq!(terminal.exit(), 1);
    let text = terminal.text();
    assert!(!text.contains("read sensors") && !text.contains("eta"), "{text}");
    assert!(terminal.written().contains("read sensors primary"), "{}", terminal.written());
    // Quiet means no bars.
    let terminal = Terminal::start(&home, "diff p.toml --quiet", SMALL, &[]);
    assert_eq!(terminal.exit(), 1);
    assert!(!terminal.written().contains("read sensors"), "{}", terminal.written());
}

#[tokio::test]
async fn a_second_person_sees_how_far_a_command_has_come() {
    let Some(regions) = Regions::start().await else { return };
    let home = home_that_reads_slowly(&regions).await;
    let work = Terminal::start(&home, "diff p.toml", SMALL, &[]);
    work.wait_for("read sensors dr");
    // It draws before it tells others.
    let told = || std::fs::read_to_string(home.path(".failback/p/progress.json")).unwrap_or_default();
    let is_told = async {
        while !told().contains("read sensors dr") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(90), is_told).await.expect("it tells how far it has come");
    // However long the guest takes to come, the command is under way.
    work.signal(Signal::SIGSTOP);
    let guest = Terminal::start(&home, "run p.toml --watch", SMALL, &[]);
    guest.wait_for("LOOKING ON");
    guest.wait_for("under way there: diff");
    // Of a store the task that began last is shown: that of either side.
    guest.wait_for("read sensors ");
    work.signal(Signal::SIGCONT);
    work.keys(&[Key::Ctrl('c')]);
    assert_eq!(work.exit(), 5);
    guest.wait_until_gone("read sensors ");
    guest.keys(&[Key::Char('q')]);
    assert_eq!(guest.exit(), 0);
}

#[test]
fn a_headless_drill_leads_itself_on_a_terminal_too() {
    let home = Home::new();
    let terminal = Terminal::start(&home, "drill --headless --in-memory --items 200", LARGE, &[]);
    terminal.wait_for("== 7  Customers return in stages");
    terminal.wait_for("THE DRILL CAME HOME");
    assert_eq!(terminal.exit(), 0);
    assert!(!terminal.written().contains("\x1b[?1049h"), "no screen was opened");
}

/// Run by itself in a terminal by the test below.
#[test]
#[ignore = "takes the terminal over and panics; another test runs it"]
fn a_screen_that_panics() {
    let log = std::path::PathBuf::from(std::env::var_os("SCREEN_LOG").expect("said by the test that runs this"));
    let mut taken = failback::tui::Taken::take(Some(&log)).expect("a terminal");
    taken.mouse(true).expect("a mouse");
    std::thread::spawn(|| panic!("some work broke off")).join().expect_err("it panics");
    taken.screen.draw(|frame| frame.render_widget("the work has ended", frame.area())).expect("drawn");
    std::io::stdin().read_exact(&mut [0]).expect("a key");
    panic!("the screen broke off");
}

#[test]
fn a_panic_gives_the_terminal_back_before_it_is_told() {
    let home = Home::new();
    let suite = std::env::current_exe().expect("this very program").into_os_string();
    let test = "terminal::tests::a_screen_that_panics --exact --ignored --nocapture";
    let words = [suite].into_iter().chain(test.split_whitespace().map(OsString::from)).collect();
    let log = home.path("screen.log").into_os_string().into_string().expect("a plain path");
    let terminal = Terminal::run(&home, words, SMALL, &[("SCREEN_LOG", &log)]);
    terminal.wait_for("the work has ended");
    // Work that breaks off elsewhere leaves the screen alone.
    assert!(terminal.screen().alternate_screen());
    assert!(!terminal.text().contains("some work broke off"), "{}", terminal.text());
    terminal.keys(&[Key::Enter]);
    assert_eq!(terminal.exit(), 101);
    let text = terminal.text();
    assert!(text.contains("the screen broke off") && !text.contains("some work broke off"), "{text}");
    let log = std::fs::read_to_string(&log).expect("a log");
    assert!(log.contains("some work broke off") && !log.contains("the screen broke off"), "{log}");
}
