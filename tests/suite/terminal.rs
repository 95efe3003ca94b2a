//! The real program in a pseudo terminal: what a person sees, types, and finds again when it has ended.

mod keys;
mod svg;
mod tests;

use std::ffi::OsString;
use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use base64::Engine;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use portable_pty::{CommandBuilder, ExitStatus, MasterPty, PtySize, native_pty_system};
use vt100::{Callbacks, MouseProtocolMode, Parser, Screen};

pub use keys::Key;
pub use svg::{renamed, screen_svg};

use crate::rig::Home;

/// How long anything may take to be seen.
const SEEN_WITHIN: Duration = Duration::from_secs(90);

/// How long nothing is written when a frame has come in whole.
const WHOLE_AFTER: Duration = Duration::from_millis(150);

/// How long the last output of a program that has ended may take to arrive.
const DRAINED_WITHIN: Duration = Duration::from_secs(2);

/// A terminal's size in character cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    pub columns: u16,
    pub rows: u16,
}

/// The smallest terminal that everything must be usable in.
pub const SMALL: Size = Size { columns: 80, rows: 24 };
/// A comfortable one.
pub const LARGE: Size = Size { columns: 120, rows: 40 };

impl Size {
    fn cells(self) -> (NonZeroU16, NonZeroU16) {
        let cells = |count| NonZeroU16::new(count).expect("a terminal has cells");
        (cells(self.rows), cells(self.columns))
    }

    fn of_pty(self) -> PtySize {
        PtySize { rows: self.rows, cols: self.columns, pixel_width: 0, pixel_height: 0 }
    }
}

/// What a terminal does beside showing cells.
#[derive(Default)]
struct Manners {
    /// What it answers.
    replies: Vec<u8>,
    clipboard: Option<String>,
    title: String,
}

impl Callbacks for Manners {
    fn set_window_title(&mut self, _: &mut Screen, title: &[u8]) {
        self.title = String::from_utf8_lossy(title).into_owned();
    }

    fn copy_to_clipboard(&mut self, _: &mut Screen, _kind: &[u8], data: &[u8]) {
        let bytes = base64::engine::general_purpose::STANDARD.decode(data).expect("base64, as OSC 52 says");
        self.clipboard = Some(String::from_utf8(bytes).expect("UTF-8"));
    }

    fn unhandled_csi(&mut self, screen: &mut Screen, i1: Option<u8>, _: Option<u8>, params: &[&[u16]], c: char) {
        match (i1, params, c) {
            (None, [[5]], 'n') => self.replies.extend(b"\x1b[0n"),
            (None, [[6]], 'n') => {
                let (row, column) = screen.cursor_position();
                self.replies.extend(format!("\x1b[{};{}R", row + 1, column + 1).into_bytes());
            }
            // A VT220 with colours, which has no newer keyboard protocols.
            (None, _, 'c') => self.replies.extend(b"\x1b[?62;22c"),
            _ => {}
        }
    }
}

/// What the terminal and the program's end have become, told by their threads.
struct Seen {
    parser: Parser<Manners>,
    /// Everything that was ever written.
    written: Vec<u8>,
    drained: bool,
    ended: Option<ExitStatus>,
}

type Shared = Arc<(Mutex<Seen>, Condvar)>;
type Input = Arc<Mutex<Box<dyn Write + Send>>>;

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Its exit code, where no signal ended it.
    pub code: Option<u32>,
    /// The signal that ended it, in words.
    pub signal: Option<String>,
}

/// A program in a terminal; it is killed when this is dropped.
pub struct Terminal {
    seen: Shared,
    input: Input,
    master: Box<dyn MasterPty + Send>,
    program: Pid,
    /// The line settings before the program began.
    lines_before: String,
}

impl Terminal {
    /// Runs the product in a home with arguments separated by blanks: a terminal with colours, and nothing else of the
    /// tester's environment.
    pub fn start(home: &Home, arguments: &str, size: Size, environment: &[(&str, &str)]) -> Terminal {
        let mut words = vec![crate::rig::program().into()];
        words.extend(arguments.split_whitespace().map(OsString::from));
        Terminal::run(home, words, size, environment)
    }

    /// Runs any program, likewise.
    pub fn run(home: &Home, words: Vec<OsString>, size: Size, environment: &[(&str, &str)]) -> Terminal {
        let pair = native_pty_system().openpty(size.of_pty()).expect("a pseudo terminal");
        let mut command = CommandBuilder::from_argv(words);
        command.env_clear();
        command.cwd(home.path(""));
        let (path, home) = ("/usr/bin:/bin", home.path(""));
        let home = home.to_str().expect("a plain path");
        let usual = [("PATH", path), ("HOME", home), ("TMPDIR", home), ("TERM", "xterm-256color"), ("LANG", "C.UTF-8")];
        for (name, value) in usual.iter().chain(environment) {
            command.env(name, value);
        }
        let lines_before = line_settings(pair.master.as_ref());
        let mut child = pair.slave.spawn_command(command).expect("the program starts");
        // Its own copy is all that keeps the terminal's other end open.
        drop(pair.slave);
        let program = child.process_id().and_then(|pid| i32::try_from(pid).ok()).expect("it was just started");
        let (rows, columns) = size.cells();
        let parser = Parser::new_with_callbacks(rows, columns, 10_000, Manners::default());
        let seen = Seen { parser, written: Vec::new(), drained: false, ended: None };
        let seen: Shared = Arc::new((Mutex::new(seen), Condvar::new()));
        let input: Input = Arc::new(Mutex::new(pair.master.take_writer().expect("the only writer")));
        let reader = pair.master.try_clone_reader().expect("a reader");
        let (shown, replies) = (seen.clone(), input.clone());
        std::thread::spawn(move || show_all(reader, &shown, &replies));
        let told = seen.clone();
        std::thread::spawn(move || {
            let status = child.wait().expect("a child");
            told.0.lock().expect("no panic").ended = Some(status);
            told.1.notify_all();
        });
        Terminal { seen, input, master: pair.master, program: Pid::from_raw(program), lines_before }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.0.lock().expect("nothing panics while it holds the screen")
    }

    /// Waits until the screen has `text`; panics with the whole screen when it never comes.
    #[track_caller]
    pub fn wait_for(&self, text: &str) {
        self.wait("the text", text, |seen| seen.parser.screen().contents().contains(text));
    }

    /// Waits until the screen no longer has `text`.
    #[track_caller]
    pub fn wait_until_gone(&self, text: &str) {
        self.wait("the end of", text, |seen| !seen.parser.screen().contents().contains(text));
    }

    /// Waits until the screen is as wanted; `what` names it.
    #[track_caller]
    pub fn wait_until(&self, what: &str, mut holds: impl FnMut(&Screen) -> bool) {
        self.wait("a screen with", what, |seen| holds(seen.parser.screen()));
    }

    #[track_caller]
    fn wait(&self, kind: &str, what: &str, mut holds: impl FnMut(&Seen) -> bool) {
        let deadline = Instant::now() + SEEN_WITHIN;
        let mut seen = self.seen();
        while !holds(&seen) {
            let over = seen.drained && seen.ended.is_some();
            let left = deadline.saturating_duration_since(Instant::now());
            if over || left.is_zero() {
                let picture = picture(seen.parser.screen());
                let ended = seen.ended.as_ref().map_or("it still runs".into(), |ended| format!("{ended}"));
                drop(seen);
                panic!("{kind} `{what}` never came ({ended}); the screen is\n{picture}");
            }
            seen = self.seen.1.wait_timeout(seen, left).expect("nothing panics while it holds the screen").0;
        }
    }

    /// Waits until nothing more is being written: a frame may come in pieces.
    pub fn wait_for_whole_frame(&self) {
        let mut seen = self.seen();
        let (mut length, mut since) = (seen.written.len(), Instant::now());
        while since.elapsed() < WHOLE_AFTER {
            seen = self.seen.1.wait_timeout(seen, WHOLE_AFTER).expect("nothing panics while it holds the screen").0;
            if seen.written.len() != length {
                (length, since) = (seen.written.len(), Instant::now());
            }
        }
    }

    /// Types plain text, without an Enter.
    pub fn type_text(&self, text: &str) {
        self.send(text.as_bytes());
    }

    /// Presses one key after the other.
    pub fn keys(&self, keys: &[Key]) {
        for key in keys {
            let application = self.seen().parser.screen().application_cursor();
            self.send(&key.bytes(application));
        }
    }

    /// Pastes text as a terminal does: in brackets where the program asked for them.
    pub fn paste(&self, text: &str) {
        let bracketed = self.seen().parser.screen().bracketed_paste();
        let [begin, end] = if bracketed { ["\x1b[200~", "\x1b[201~"] } else { ["", ""] };
        self.send(format!("{begin}{text}{end}").as_bytes());
    }

    /// Presses and releases the left button of the mouse on a cell, counted from 0, as terminals tell it in SGR mode.
    pub fn click(&self, column: u16, row: u16) {
        let (column, row) = (column + 1, row + 1);
        self.send(format!("\x1b[<0;{column};{row}M\x1b[<0;{column};{row}m").as_bytes());
    }

    fn send(&self, bytes: &[u8]) {
        let mut input = self.input.lock().expect("nothing panics while it types");
        input.write_all(bytes).and_then(|()| input.flush()).expect("the terminal takes input");
    }

    /// Changes the size of the window.
    pub fn resize(&self, size: Size) {
        let (rows, columns) = size.cells();
        // First the screen: what the program then draws is for the new size.
        self.seen().parser.set_size(rows, columns);
        self.master.resize(size.of_pty()).expect("resized");
    }

    /// Sends a signal to the program alone.
    pub fn signal(&self, signal: Signal) {
        kill(self.program, signal).expect("the program runs");
    }

    /// Ends the program at once, so that it can tidy nothing up.
    pub fn kill9(&self) {
        self.signal(Signal::SIGKILL);
    }

    /// What the screen shows, without styles.
    pub fn text(&self) -> String {
        self.seen().parser.screen().contents()
    }

    /// Everything the program ever wrote, escapes included.
    pub fn written(&self) -> String {
        String::from_utf8_lossy(&self.seen().written).into_owned()
    }

    /// The screen as it is now.
    pub fn screen(&self) -> Screen {
        self.seen().parser.screen().clone()
    }

    /// The screen as a picture.
    pub fn svg(&self, title: &str) -> String {
        screen_svg(&self.screen(), title)
    }

    /// What the program last put on the clipboard.
    pub fn clipboard(&self) -> Option<String> {
        self.seen().parser.callbacks().clipboard.clone()
    }

    /// The window's title.
    pub fn title(&self) -> String {
        self.seen().parser.callbacks().title.clone()
    }

    /// Waits for the program's end, whatever it leaves behind.
    #[track_caller]
    pub fn ended(&self) -> Ended {
        self.wait("the end of", "the program", |seen| seen.ended.is_some());
        let deadline = Instant::now() + DRAINED_WITHIN;
        let mut seen = self.seen();
        // A process that the program left running may hold the terminal: then nothing tells that its output is complete.
        while !seen.drained {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            seen = self.seen.1.wait_timeout(seen, left).expect("nothing panics while it holds the screen").0;
        }
        let status = seen.ended.clone().expect("it was waited for");
        let signal = status.signal().map(str::to_owned);
        Ended { code: signal.is_none().then(|| status.exit_code()), signal }
    }

    /// Waits for the program's end by itself, makes sure that the terminal is as it was before, and gives the exit code.
    #[track_caller]
    pub fn exit(&self) -> u32 {
        let ended = self.ended();
        let left = self.left_behind();
        assert!(left.is_empty(), "the program left {}:\n{}", left.join(", "), picture(&self.screen()));
        ended.code.unwrap_or_else(|| panic!("it was ended by {:?}:\n{}", ended.signal, picture(&self.screen())))
    }

    /// Everything about the terminal that is not as it was before the program.
    pub fn left_behind(&self) -> Vec<String> {
        let screen = self.screen();
        let mouse = screen.mouse_protocol_mode() != MouseProtocolMode::None;
        let styled = screen.fgcolor() != vt100::Color::Default || screen.bgcolor() != vt100::Color::Default;
        let styled = styled || screen.bold() || screen.dim() || screen.underline() || screen.inverse();
        let lines = line_settings(self.master.as_ref());
        [
            ("the alternate screen", screen.alternate_screen()),
            ("a hidden cursor", screen.hide_cursor()),
            ("mouse reports", mouse),
            ("bracketed paste", screen.bracketed_paste()),
            ("application cursor keys", screen.application_cursor()),
            ("a style", styled),
        ]
        .into_iter()
        .filter(|(_, left)| *left)
        .map(|(what, _)| what.to_owned())
        .chain((lines != self.lines_before).then(|| format!("other line settings ({lines})")))
        .collect()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Where it has ended its process id may be another's.
        if self.seen().ended.is_none() {
            // It leads a session of its own, and with it whatever it started in the foreground.
            let _ = killpg(self.program, Signal::SIGKILL);
        }
    }
}

/// Raw mode, echo and the like, as text that can be compared.
fn line_settings(master: &dyn MasterPty) -> String {
    let found = master.get_termios().expect("a terminal has settings");
    let (input, output) = (found.input_flags, found.output_flags);
    format!("{input:?} {output:?} {:?} {:?}", found.control_flags, found.local_flags)
}

/// Shows what the program writes and answers what it asks, until nobody holds the terminal any more.
fn show_all(mut reader: Box<dyn Read + Send>, seen: &Shared, input: &Input) {
    let mut bytes = [0; 16 * 1024];
    // The end of a terminal's other side is an error on Linux.
    while let Ok(count @ 1..) = reader.read(&mut bytes) {
        let replies = {
            let mut seen = seen.0.lock().expect("nothing panics while it holds the screen");
            seen.written.extend(&bytes[..count]);
            seen.parser.process(&bytes[..count]);
            std::mem::take(&mut seen.parser.callbacks_mut().replies)
        };
        if !replies.is_empty() {
            // A program that asked and went away needs no answer.
            let _ = input.lock().expect("nothing panics while it types").write_all(&replies);
        }
        seen.1.notify_all();
    }
    seen.0.lock().expect("nothing panics while it holds the screen").drained = true;
    seen.1.notify_all();
}

/// The whole screen in a frame, for a person who wants to know why a test failed.
fn picture(screen: &Screen) -> String {
    let (rows, columns) = screen.size();
    let rule = "-".repeat(columns.get().into());
    let lines = screen.rows(0, columns.get()).map(|line| format!("|{line}\n"));
    let (row, column) = screen.cursor_position();
    format!("+{rule}\n{}+{rule}\n{columns}x{rows}, cursor at column {column}, row {row}", lines.collect::<String>())
}
