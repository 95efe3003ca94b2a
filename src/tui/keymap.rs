//! Which key does what, in one table: the footer, the help and the palette are made of it.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::state::Screen;
use crate::guide::ReportForm;
use crate::report::{Disclosure, KeyDisplay, ValueDisplay};
use crate::session::{Action, Choice};

/// What a key or the palette asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// The next safe action.
    Next,
    /// A certain action.
    Do(Action),
    /// Ends what is running; it resumes when done again.
    Stop,
    /// All traffic back to dr.
    Retreat,
    /// Shows a screen.
    Show(Screen),
    /// The screen to the right.
    NextScreen,
    /// The screen to the left.
    PreviousScreen,
    /// One level up, or closes a dialog.
    Back,
    /// Opens what is selected.
    Open,
    /// Moves the selection by lines.
    Line(i64),
    /// Moves the selection by pages.
    Page(i64),
    /// To the first line.
    First,
    /// To the last line.
    Last,
    /// Asks for the text that keys must contain.
    FilterText,
    /// The next store, or all.
    FilterStore,
    /// The next verdict, or all.
    FilterVerdict,
    /// The next change, or all.
    FilterChange,
    /// No filter.
    FilterNone,
    /// The next order.
    Sort,
    /// The order the other way round.
    SortReverse,
    /// Adds the line to the selection, or takes it out.
    Mark,
    /// Decides on the selection.
    Decide(Choice),
    /// Decides on everything that the filter shows.
    DecideAll,
    /// Lists decisions, to take one back.
    Decisions,
    /// Shows contents, or masks them.
    Reveal,
    /// Replays slower.
    Slower,
    /// Replays faster.
    Faster,
    /// Holds writes back, or goes on.
    Pause,
    /// Writes a report into the session folder.
    WriteReport(ReportForm, Disclosure),
    /// Writes files for Terraform and CloudFormation into the session folder.
    Adopt,
    /// Asks for a name, and keeps the state that both sides share under it.
    Checkpoint,
    /// Starts the exports that save the bases of tables, or looks how far they are.
    Rescue,
    /// Plans anew from a full reading.
    Rescan,
    /// Looks at a part of every store.
    Sample,
    /// All stages, and why closed ones are closed.
    Stages,
    /// All commands, by name.
    Palette,
    /// All keys.
    Help,
    /// Reports the mouse, or leaves it to the terminal.
    Mouse,
    /// Leaves.
    Quit,
}

/// Where a key counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Everywhere.
    All,
    /// In lists and long texts.
    Lists,
    /// In the delta and among the held items.
    Browser,
    /// Where one item can be decided.
    Items,
    /// With one item.
    Item,
    /// While replaying.
    Replay,
}

/// One line of the table.
#[derive(Debug, Clone, Copy)]
pub struct Binding {
    /// The keys, as they are shown.
    pub keys: &'static [Press],
    /// What they ask for.
    pub command: Command,
    /// Where.
    pub scope: Scope,
    /// One or two words, for the footer; empty where it is not shown there.
    pub short: &'static str,
    /// What happens, in words.
    pub words: &'static str,
}

/// A key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Press {
    /// A character as it is typed, upper or lower case.
    Char(char),
    /// A character with Ctrl.
    Ctrl(char),
    /// Any other key.
    Code(KeyCode),
}

impl Press {
    /// The key's name on the screen.
    pub fn name(self) -> String {
        match self {
            Press::Char(' ') => "Space".into(),
            Press::Char(c) => c.to_string(),
            Press::Ctrl(c) => format!("Ctrl-{}", c.to_ascii_uppercase()),
            Press::Code(code) => code_name(code).into(),
        }
    }

    fn is(self, event: KeyEvent) -> bool {
        let control = event.modifiers.contains(KeyModifiers::CONTROL);
        match self {
            Press::Char(c) => event.code == KeyCode::Char(c) && !control,
            Press::Ctrl(c) => event.code == KeyCode::Char(c) && control,
            Press::Code(code) => event.code == code,
        }
    }
}

fn code_name(code: KeyCode) -> &'static str {
    match code {
        KeyCode::Enter => "Enter",
        KeyCode::Esc => "Esc",
        KeyCode::Tab => "Tab",
        KeyCode::BackTab => "Shift-Tab",
        KeyCode::Up => "Up",
        KeyCode::Down => "Down",
        KeyCode::PageUp => "PgUp",
        KeyCode::PageDown => "PgDn",
        KeyCode::Home => "Home",
        KeyCode::End => "End",
        KeyCode::Backspace => "Backspace",
        _ => "?",
    }
}

const fn bind(
    keys: &'static [Press],
    command: Command,
    scope: Scope,
    short: &'static str,
    words: &'static str,
) -> Binding {
    Binding { keys, command, scope, short, words }
}

use Press::{Char, Code, Ctrl};

/// Every key.
pub const BINDINGS: &[Binding] = &[
    bind(&[Char('n')], Command::Next, Scope::All, "next", "the next safe action; what changes anything asks first"),
    bind(&[Char('x'), Ctrl('c')], Command::Stop, Scope::All, "stop", "stop what is running; doing it again resumes"),
    bind(&[Char('R')], Command::Retreat, Scope::All, "RETREAT", "give all traffic back to dr; works at any time"),
    bind(&[Char('1')], Command::Show(Screen::Stores), Scope::All, "", "stores"),
    bind(&[Char('2')], Command::Show(Screen::Delta), Scope::All, "", "delta: every difference"),
    bind(&[Char('3')], Command::Show(Screen::Held), Scope::All, "", "held items and decisions"),
    bind(&[Char('4')], Command::Show(Screen::Plan), Scope::All, "", "plan: what would be written"),
    bind(&[Char('5')], Command::Show(Screen::Replay), Scope::All, "", "replay and catch-up"),
    bind(&[Char('6')], Command::Show(Screen::Verify), Scope::All, "", "freeze, verification and certificate"),
    bind(&[Char('7')], Command::Show(Screen::Cutover), Scope::All, "", "cutover: the dial"),
    bind(&[Char('8')], Command::Show(Screen::Journal), Scope::All, "", "journal: all that happened"),
    bind(&[Code(KeyCode::Tab)], Command::NextScreen, Scope::All, "", "the screen to the right"),
    bind(&[Code(KeyCode::BackTab)], Command::PreviousScreen, Scope::All, "", "the screen to the left"),
    bind(&[Code(KeyCode::Esc), Code(KeyCode::Backspace)], Command::Back, Scope::All, "", "one level up, or close"),
    bind(&[Code(KeyCode::Enter)], Command::Open, Scope::Lists, "open", "open what is selected"),
    bind(&[Code(KeyCode::Up), Char('k')], Command::Line(-1), Scope::Lists, "", "one line up"),
    bind(&[Code(KeyCode::Down), Char('j')], Command::Line(1), Scope::Lists, "", "one line down"),
    bind(&[Code(KeyCode::PageUp)], Command::Page(-1), Scope::Lists, "", "one page up"),
    bind(&[Code(KeyCode::PageDown)], Command::Page(1), Scope::Lists, "", "one page down"),
    bind(&[Code(KeyCode::Home), Char('g')], Command::First, Scope::Lists, "", "the first line"),
    bind(&[Code(KeyCode::End), Char('G')], Command::Last, Scope::Lists, "", "the last line"),
    bind(&[Char('/')], Command::FilterText, Scope::Browser, "find", "only keys that contain a text"),
    bind(&[Char('s')], Command::FilterStore, Scope::Browser, "store", "only the next store; then all again"),
    bind(&[Char('v')], Command::FilterVerdict, Scope::Browser, "verdict", "only the next verdict; then all again"),
    bind(&[Char('c')], Command::FilterChange, Scope::Browser, "change", "only the next change; then all again"),
    bind(&[Char('*')], Command::FilterNone, Scope::Browser, "", "everything again"),
    bind(
        &[Char('o')],
        Command::Sort,
        Scope::Browser,
        "order",
        "the next order: file, key, verdict, change, size, time",
    ),
    bind(&[Char('O')], Command::SortReverse, Scope::Browser, "", "the same order the other way round"),
    bind(&[Char(' ')], Command::Mark, Scope::Browser, "mark", "mark the line, or unmark it"),
    bind(&[Char('d')], Command::Decide(Choice::Dr), Scope::Items, "dr", "decide: dr's contents go to the primary"),
    bind(
        &[Char('p')],
        Command::Decide(Choice::Primary),
        Scope::Items,
        "primary",
        "decide: the primary's contents stay",
    ),
    bind(
        &[Char('b')],
        Command::Decide(Choice::Both),
        Scope::Items,
        "both",
        "decide: dr's contents go to the primary, and both are kept in a file for the business",
    ),
    bind(&[Char('a')], Command::DecideAll, Scope::Browser, "all", "decide on all held items that the filter shows"),
    bind(&[Char('t')], Command::Decisions, Scope::Items, "", "list decisions, and take one back"),
    bind(&[Char('m')], Command::Reveal, Scope::Item, "reveal", "show the contents, or mask them"),
    bind(&[Char('-')], Command::Slower, Scope::Replay, "slower", "write slower"),
    bind(&[Char('+'), Char('=')], Command::Faster, Scope::Replay, "faster", "write faster"),
    bind(&[Char(' ')], Command::Pause, Scope::Replay, "pause", "hold writes back, or go on"),
    bind(&[Char('u')], Command::Do(Action::Undo), Scope::All, "", "undo: restore what was overwritten; asks first"),
    bind(
        &[Char('w')],
        Command::WriteReport(ReportForm::Html, MASKED),
        Scope::All,
        "",
        "write the HTML report into the session's folder",
    ),
    bind(&[Char('i')], Command::Stages, Scope::All, "stages", "every stage, and why closed ones are closed"),
    bind(&[Char(':')], Command::Palette, Scope::All, "commands", "all commands by name"),
    bind(&[Char('?')], Command::Help, Scope::All, "help", "this help"),
    bind(&[Char('M')], Command::Mouse, Scope::All, "", "use the mouse here, or leave it to the terminal"),
    bind(&[Char('q')], Command::Quit, Scope::All, "quit", "leave; nothing is lost, and the same command goes on"),
];

/// Contents masked and keys shown, as reports are unless something else is asked for.
const MASKED: Disclosure = Disclosure { keys: KeyDisplay::Shown, values: ValueDisplay::Masked };

/// Commands that have no key, for the palette.
pub const UNBOUND: &[(Command, &str)] = &[
    (Command::Do(Action::Check), "check: identities, schemas, permissions, weights"),
    (Command::Do(Action::Diff), "diff: read both sides and classify; changes nothing"),
    (Command::Do(Action::Plan), "plan: what would be written, what is held"),
    (Command::Do(Action::DryRun), "dry run: try the plan without writing"),
    (Command::Do(Action::Replay), "replay: write the plan, guarded and journalled"),
    (Command::Do(Action::FinalPass), "final pass: stop dr's writers, plan anew and replay"),
    (Command::Do(Action::FreezeAndVerify), "freeze and verify: stop dr's writers, then read both sides anew"),
    (Command::Do(Action::Verify), "verify: read both sides anew and certify"),
    (Command::Do(Action::VerifyUndone), "verify the undo: prove that the primary is what it was"),
    (Command::Checkpoint, "checkpoint: keep what both sides share now, as the base of a later failback"),
    (Command::Rescue, "checkpoint --rescue: start the exports that save the bases of tables, or see how far they are"),
    (Command::Rescan, "plan --rescan: plan from a full reading, whatever change logs tell"),
    (Command::Sample, "diff --sample 5%: a quick look at a part of every store, which proves nothing"),
    (
        Command::WriteReport(ReportForm::Html, Disclosure { values: ValueDisplay::Shown, ..MASKED }),
        "report as HTML with contents of items shown, into the session's folder",
    ),
    (
        Command::WriteReport(ReportForm::Html, Disclosure { keys: KeyDisplay::Masked, ..MASKED }),
        "report as HTML with keys masked, into the session's folder",
    ),
    (Command::WriteReport(ReportForm::Markdown, MASKED), "report as Markdown, into the session's folder"),
    (Command::WriteReport(ReportForm::Json, MASKED), "report as JSON, into the session's folder"),
    (Command::WriteReport(ReportForm::Junit, MASKED), "report as JUnit's XML, into the session's folder"),
    (
        Command::WriteReport(ReportForm::Csv, MASKED),
        "report as CSV, every difference on a line, into the session's folder",
    ),
    (Command::Adopt, "report --iac: files by which IaC adopts what was restored"),
    (Command::Do(Action::Cutover), "cutover: return customers in stages"),
];

/// What a key asks for on a screen.
pub fn command_of(screen: Screen, event: KeyEvent) -> Option<Command> {
    let scopes = scopes(screen);
    // The narrower scope first: Space marks a line in lists and pauses a replay.
    let found = scopes.iter().rev().find_map(|scope| {
        BINDINGS.iter().find(|binding| binding.scope == *scope && binding.keys.iter().any(|key| key.is(event)))
    });
    found.map(|binding| binding.command)
}

/// All commands whose words contain all that was typed, with their key and words.
pub fn all_commands(typed: &str) -> Vec<(Command, String)> {
    let bound = BINDINGS.iter().filter(|binding| !matches!(binding.scope, Scope::Lists)).map(|binding| {
        let keys = binding.keys.first().map(|key| key.name()).unwrap_or_default();
        (binding.command, format!("{:<9} {}", keys, binding.words))
    });
    let unbound = UNBOUND.iter().map(|(command, words)| (*command, format!("{:<9} {words}", "")));
    let typed = typed.to_lowercase();
    let fits = |words: &str| typed.split_whitespace().all(|part| words.to_lowercase().contains(part));
    unbound.chain(bound).filter(|(_, words)| fits(words)).collect()
}

/// The scopes of a screen, the widest first.
pub fn scopes(screen: Screen) -> &'static [Scope] {
    match screen {
        Screen::Stores | Screen::Store | Screen::Plan | Screen::Verify | Screen::Journal => &[Scope::All, Scope::Lists],
        Screen::Delta | Screen::Held => &[Scope::All, Scope::Lists, Scope::Browser, Scope::Items],
        Screen::Item => &[Scope::All, Scope::Lists, Scope::Items, Scope::Item],
        Screen::Replay => &[Scope::All, Scope::Lists, Scope::Replay],
        Screen::Cutover => &[Scope::All, Scope::Lists],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_means_two_things_in_one_scope() {
        for (at, one) in BINDINGS.iter().enumerate() {
            for other in &BINDINGS[at + 1..] {
                let shared = one.keys.iter().any(|key| other.keys.contains(key));
                assert!(!(shared && one.scope == other.scope), "{:?} and {:?}", one.command, other.command);
            }
        }
    }

    #[test]
    fn the_narrower_scope_wins() {
        let space = KeyEvent::new(KeyCode::Char(' '), KeyModifiers::NONE);
        assert_eq!(command_of(Screen::Delta, space), Some(Command::Mark));
        assert_eq!(command_of(Screen::Replay, space), Some(Command::Pause));
        assert_eq!(command_of(Screen::Stores, space), None);
    }

    #[test]
    fn control_is_not_the_plain_letter() {
        let stop = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(command_of(Screen::Delta, stop), Some(Command::Stop));
        let change = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::NONE);
        assert_eq!(command_of(Screen::Delta, change), Some(Command::FilterChange));
        let retreat = KeyEvent::new(KeyCode::Char('R'), KeyModifiers::SHIFT);
        assert_eq!(command_of(Screen::Journal, retreat), Some(Command::Retreat));
    }
}
