//! Errors that point into the profile.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::PathBuf;

/// A field with one of these in its name, spelled right or nearly so, never shows its value in the line an error points at.
const SECRET_NAMES: [&str; 6] = ["pass", "pasw", "pwd", "secret", "token", "credential"];

/// The longest piece of a line that is shown, in characters.
const SHOWN_MAX: usize = 160;

/// A profile that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// The file cannot be read.
    #[error("cannot read profile {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The text is not a valid profile; every complaint points at its line and column.
    #[error("{}", rendered(file, complaints))]
    Invalid {
        /// The file's name, as it is shown.
        file: String,
        /// What is wrong, in the order of the file; at least one.
        complaints: Vec<Complaint>,
    },
}

/// One thing that is wrong with a profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The field with the tables it is in, such as `store.orders.primary.table`; empty where the text is not TOML.
    pub field: String,
    /// What is wrong.
    pub what: String,
    /// What to do about it, where that is not plain.
    pub hint: Option<String>,
    snippet: Snippet,
}

/// The line an error points at, with secrets masked.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Snippet {
    text: String,
    width: usize,
}

impl Complaint {
    /// A complaint about the bytes `span` of `text`.
    pub(super) fn at(text: &str, span: &Range<usize>, field: &str, what: String, hint: Option<String>) -> Complaint {
        let start = floor(text, span.start);
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
        let end = floor(text, span.end).clamp(start, line_end);
        let shown = masked(text[line_start..line_end].trim_end_matches('\r'));
        Complaint {
            line: text[..start].matches('\n').count() + 1,
            column: text[line_start..start].chars().count() + 1,
            field: field.to_owned(),
            what,
            hint,
            snippet: Snippet { text: shown, width: text[start..end].chars().count().max(1) },
        }
    }

    /// The same complaint with the line shown only up to the end of what it points at.
    pub(super) fn without_rest_of_line(mut self) -> Complaint {
        let kept = self.column - 1 + self.snippet.width;
        self.snippet.text = self.snippet.text.chars().take(kept).collect();
        self
    }

    /// The same complaint without the line it points at, for text in which secrets cannot be told.
    pub(super) fn without_snippet(mut self) -> Complaint {
        self.snippet = Snippet { text: String::new(), width: 0 };
        self
    }

    fn render(&self, file: &str, out: &mut String) {
        let field = if self.field.is_empty() { String::new() } else { format!("{}: ", self.field) };
        out.push_str(&format!("{file}:{}:{}: {field}{}\n", self.line, self.column, self.what));
        let gutter = " ".repeat(self.line.to_string().len());
        let Snippet { text, width } = &self.snippet;
        if *width > 0 && self.column <= SHOWN_MAX {
            let shown: String = text.chars().take(SHOWN_MAX).map(|c| if c == '\t' { ' ' } else { c }).collect();
            let width = (*width).min(shown.chars().count().saturating_sub(self.column - 1)).max(1);
            let caret = format!("{}{}", " ".repeat(self.column - 1), "^".repeat(width));
            out.push_str(&format!("{gutter} |\n{} | {shown}\n{gutter} | {caret}\n", self.line));
        }
        if let Some(hint) = &self.hint {
            out.push_str(&format!("{gutter} = {hint}\n"));
        }
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.what)
    }
}

fn rendered(file: &str, complaints: &[Complaint]) -> String {
    let mut out = String::new();
    for (index, complaint) in complaints.iter().enumerate() {
        if index > 0 {
            out.push('\n');
        }
        complaint.render(file, &mut out);
    }
    out.truncate(out.trim_end().len());
    out
}

/// The nearest character boundary at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// A line with every character of a secret's value, and of a password in a URL, shown as `*`: columns stay where they are.
fn masked(line: &str) -> String {
    let chars: Vec<char> = line.chars().collect();
    let mut shown = chars.clone();
    for equals in (0..chars.len()).filter(|at| chars[*at] == '=') {
        if SECRET_NAMES.iter().any(|name| field_before(&chars, equals).contains(name)) {
            mask_value(&chars, equals, &mut shown);
        }
    }
    mask_userinfo(&chars, &mut shown);
    shown.into_iter().collect()
}

/// The field name in front of an equals sign, in lower case.
fn field_before(chars: &[char], equals: usize) -> String {
    let is_name = |c: &char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '"' | '\'' | ' ');
    let name: Vec<char> = chars[..equals].iter().rev().take_while(|c| is_name(c)).copied().collect();
    name.into_iter().rev().collect::<String>().to_lowercase()
}

/// Masks the value behind an equals sign, unless it only names a variable.
fn mask_value(chars: &[char], equals: usize, shown: &mut [char]) {
    let Some(start) = (equals + 1..chars.len()).find(|i| !chars[*i].is_whitespace()) else { return };
    let quote = chars[start];
    let (from, until) = match quote {
        '"' | '\'' => {
            let end = (start + 1..chars.len()).find(|i| chars[*i] == quote && chars[*i - 1] != '\\');
            // An empty pair of quotes may open a multi-line string: then the rest of the line belongs to it.
            let end = end.filter(|end| chars.get(end + 1) != Some(&quote));
            (start + 1, end.unwrap_or(chars.len()))
        }
        _ => (start, chars.len()),
    };
    let value: String = chars[from..until].iter().collect();
    if !(value.starts_with("${") && value.ends_with('}') && value.matches('$').count() == 1) {
        shown[from..until].fill('*');
    }
}

/// Masks from the colon behind a URL's user up to its last `@` before the next quote or space.
fn mask_userinfo(chars: &[char], shown: &mut [char]) {
    let mut at = 0;
    while let Some(found) = (at..chars.len()).find(|i| chars[*i..].starts_with(&[':', '/', '/'])) {
        let start = found + 3;
        let end = (start..chars.len()).find(|i| matches!(chars[*i], '"' | '\'' | ' ')).unwrap_or(chars.len());
        let host = (start..end).rev().find(|i| chars[*i] == '@');
        if let Some(host) = host
            && let Some(colon) = (start..host).find(|i| chars[*i] == ':')
        {
            shown[colon + 1..host].fill('*');
        }
        at = start;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_never_show_in_the_line_pointed_at() {
        for (line, expected) in [
            (r#"password = "hunter2""#, r#"password = "*******""#),
            (r#"x = { password = 'a"b', y = 1 }"#, r#"x = { password = '***', y = 1 }"#),
            (r#"password = "${DB}""#, r#"password = "${DB}""#),
            (r#"password = "a\"b" # x"#, r#"password = "****" # x"#),
            (r#"session_token = """abc"#, r#"session_token = "*****"#),
            (r#"Pasword = "abc""#, r#"Pasword = "***""#),
            (r#"secret_access_key = abc"#, r#"secret_access_key = ***"#),
            (r#"url = "postgres://me:pw@h/d""#, r#"url = "postgres://me:**@h/d""#),
            (r#"url = "postgres://me@h:5432/d""#, r#"url = "postgres://me@h:5432/d""#),
        ] {
            assert_eq!(masked(line), expected);
        }
    }
}
