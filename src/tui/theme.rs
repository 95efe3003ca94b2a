//! Colours and signs. Sixteen colours suffice, none is needed: every meaning has a sign or a word of its own.

use ratatui::style::{Color, Modifier, Style};

use super::state::Tone;

/// How it looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Theme {
    /// Whether colours are used; not with `NO_COLOR`.
    pub colour: bool,
    /// Whether signs beyond ASCII are used; only where the locale is UTF-8.
    pub unicode: bool,
}

impl Theme {
    fn coloured(self, colour: Color) -> Style {
        if self.colour { Style::new().fg(colour) } else { Style::new() }
    }

    /// As wanted.
    pub fn good(self) -> Style {
        self.coloured(Color::Green)
    }

    /// Needs a person.
    pub fn warning(self) -> Style {
        self.coloured(Color::Yellow).add_modifier(Modifier::BOLD)
    }

    /// Failed, or dangerous.
    pub fn bad(self) -> Style {
        self.coloured(Color::Red).add_modifier(Modifier::BOLD)
    }

    /// Stands out.
    pub fn accent(self) -> Style {
        self.coloured(Color::Cyan)
    }

    /// A heading.
    pub fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// Steps back.
    pub fn dim(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    /// The selected line.
    pub fn selected(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// The style of a tone.
    pub fn tone(self, tone: Tone) -> Style {
        match tone {
            Tone::Good => self.good(),
            Tone::Plain => Style::new(),
            Tone::Warning => self.warning(),
            Tone::Bad => self.bad(),
        }
    }

    /// A sign, or its ASCII stand-in.
    pub fn sign(self, unicode: &'static str, ascii: &'static str) -> &'static str {
        if self.unicode { unicode } else { ascii }
    }

    /// Between stages.
    pub fn then(self) -> &'static str {
        self.sign("─", "-")
    }

    /// A stage or item that is behind.
    pub fn done(self) -> &'static str {
        self.sign("✓", "+")
    }

    /// A stage that is next or under way.
    pub fn here(self) -> &'static str {
        self.sign("▶", ">")
    }

    /// A stage that is open.
    pub fn open(self) -> &'static str {
        self.sign("○", "o")
    }

    /// A stage that is closed.
    pub fn closed(self) -> &'static str {
        self.sign("·", ".")
    }

    /// Needs a person.
    pub fn person(self) -> &'static str {
        self.sign("!", "!")
    }

    /// Failed.
    pub fn failed(self) -> &'static str {
        self.sign("✗", "x")
    }

    /// From one side to the other.
    pub fn towards(self) -> &'static str {
        self.sign("→", "->")
    }

    /// A bar of `width` cells that is `ratio` full.
    pub fn bar(self, ratio: f64, width: usize) -> String {
        let full = ((ratio.clamp(0.0, 1.0)) * width as f64).round() as usize;
        let (on, off) = (self.sign("█", "#"), self.sign("░", "-"));
        format!("{}{}", on.repeat(full), off.repeat(width.saturating_sub(full)))
    }

    /// A curve of `values`, the newest last, one cell each.
    pub fn curve(self, values: &[u64]) -> String {
        const UNICODE: [&str; 8] = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];
        const ASCII: [&str; 8] = ["_", "_", ".", "-", "=", "+", "*", "#"];
        let highest = values.iter().copied().max().unwrap_or(0).max(1);
        let steps = if self.unicode { UNICODE } else { ASCII };
        values.iter().map(|value| steps[usize::try_from(value * 7 / highest).unwrap_or(7)]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_told_by_colour_alone() {
        let plain = Theme { colour: false, unicode: false };
        for style in [plain.good(), plain.warning(), plain.bad(), plain.accent()] {
            assert_eq!(style.fg, None);
        }
        let signs = [plain.done(), plain.here(), plain.open(), plain.closed(), plain.person(), plain.failed()];
        for (at, sign) in signs.iter().enumerate() {
            assert!(sign.is_ascii() && !signs[at + 1..].contains(sign), "{sign}");
        }
    }

    #[test]
    fn bars_and_curves_have_their_width() {
        for unicode in [true, false] {
            let theme = Theme { colour: true, unicode };
            for ratio in [-1.0, 0.0, 0.33, 1.0, 7.0] {
                assert_eq!(theme.bar(ratio, 10).chars().count(), 10);
            }
            assert_eq!(theme.curve(&[0, 3, u64::MAX / 8, 1]).chars().count(), 4);
            assert_eq!(theme.curve(&[]), "");
        }
    }
}
