//! Keys as an xterm sends them.

/// A key, with what is held down beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    Enter,
    Esc,
    Tab,
    BackTab,
    Backspace,
    Delete,
    Up,
    Down,
    Left,
    Right,
    Home,
    End,
    PageUp,
    PageDown,
    /// F1 to F12.
    Function(u8),
    Char(char),
    /// Control with a letter.
    Ctrl(char),
    /// Alt with a character.
    Alt(char),
}

impl Key {
    /// The bytes of a press; `application` is the mode of the cursor keys that the program asked for.
    pub(super) fn bytes(self, application: bool) -> Vec<u8> {
        let cursor = |letter: char| format!("\x1b{}{letter}", if application { 'O' } else { '[' }).into_bytes();
        let numbered = |number: u8| format!("\x1b[{number}~").into_bytes();
        match self {
            Key::Enter => b"\r".to_vec(),
            Key::Esc => b"\x1b".to_vec(),
            Key::Tab => b"\t".to_vec(),
            Key::BackTab => b"\x1b[Z".to_vec(),
            Key::Backspace => b"\x7f".to_vec(),
            Key::Delete => numbered(3),
            Key::Up => cursor('A'),
            Key::Down => cursor('B'),
            Key::Right => cursor('C'),
            Key::Left => cursor('D'),
            Key::Home => cursor('H'),
            Key::End => cursor('F'),
            Key::PageUp => numbered(5),
            Key::PageDown => numbered(6),
            Key::Function(number @ 1..=4) => vec![0x1b, b'O', b'O' + number],
            Key::Function(5) => numbered(15),
            Key::Function(number @ 6..=10) => numbered(number + 11),
            Key::Function(number @ 11..=12) => numbered(number + 12),
            Key::Function(number) => panic!("there is no F{number}"),
            Key::Char(char) => char.to_string().into_bytes(),
            Key::Ctrl(letter) => {
                assert!(letter.is_ascii_alphabetic(), "control goes with a letter, not {letter}");
                vec![letter.to_ascii_uppercase() as u8 - b'@']
            }
            Key::Alt(char) => format!("\x1b{char}").into_bytes(),
        }
    }
}

#[test]
fn keys_are_sent_as_an_xterm_sends_them() {
    for (key, bytes) in [
        (Key::Enter, "\r"),
        (Key::Esc, "\x1b"),
        (Key::Tab, "\t"),
        (Key::BackTab, "\x1b[Z"),
        (Key::Backspace, "\x7f"),
        (Key::Delete, "\x1b[3~"),
        (Key::Up, "\x1b[A"),
        (Key::Down, "\x1b[B"),
        (Key::Left, "\x1b[D"),
        (Key::Right, "\x1b[C"),
        (Key::Home, "\x1b[H"),
        (Key::End, "\x1b[F"),
        (Key::PageUp, "\x1b[5~"),
        (Key::PageDown, "\x1b[6~"),
        (Key::Function(1), "\x1bOP"),
        (Key::Function(4), "\x1bOS"),
        (Key::Function(5), "\x1b[15~"),
        (Key::Function(6), "\x1b[17~"),
        (Key::Function(10), "\x1b[21~"),
        (Key::Function(12), "\x1b[24~"),
        (Key::Char('ü'), "ü"),
        (Key::Ctrl('c'), "\x03"),
        (Key::Alt('b'), "\x1bb"),
    ] {
        assert_eq!(key.bytes(false), bytes.as_bytes(), "{key:?}");
    }
    assert_eq!(Key::Down.bytes(true), b"\x1bOB");
}
