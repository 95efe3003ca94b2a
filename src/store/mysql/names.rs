//! Quoted names, and lists of quoted labels.

/// An identifier in backticks.
pub(super) fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A text as a literal, under any `sql_mode` that this program sets.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// The labels in `enum('a','it''s')` or `set(..)`; `None` where that is not what it is.
pub(super) fn labels(column_type: &str) -> Option<Vec<String>> {
    let (_, rest) = column_type.split_once('(')?;
    let mut rest = rest.strip_suffix(')')?.chars().peekable();
    let mut labels = Vec::new();
    loop {
        (rest.next()? == '\'').then_some(())?;
        let mut label = String::new();
        loop {
            match rest.next()? {
                '\'' if rest.peek() == Some(&'\'') => label.extend(rest.next()),
                '\'' => break,
                '\\' => label.push(match rest.next()? {
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    '0' => '\0',
                    'Z' => '\u{1a}',
                    other => other,
                }),
                plain => label.push(plain),
            }
        }
        labels.push(label);
        match rest.next() {
            None => return Some(labels),
            Some(',') => {}
            Some(_) => return None,
        }
    }
}

/// The name of a database as the server spells it in names of files; `None` where it is not plain ASCII.
pub(super) fn in_files(name: &str) -> Option<String> {
    let spelled = |character: char| match character {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '_' => Some(character.to_string()),
        other if other.is_ascii() => Some(format!("@{:04x}", u32::from(other))),
        _ => None,
    };
    name.chars().map(spelled).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_read_as_they_were_declared() {
        let all = labels(r"enum('a','it''s','b\\c','x,y','é','')").expect("labels");
        assert_eq!(all, ["a", "it's", "b\\c", "x,y", "é", ""]);
        assert_eq!(labels("set('p')").expect("labels"), ["p"]);
        for text in ["int", "enum(", "enum('a'", "enum('a';'b')", "enum()"] {
            assert_eq!(labels(text), None, "{text}");
        }
    }

    #[test]
    fn names_are_spelled_as_the_server_does() {
        assert_eq!(in_files("a_1-b").as_deref(), Some("a_1@002db"));
        assert_eq!(in_files("é"), None);
        assert_eq!(quoted("a`b"), "`a``b`");
        assert_eq!(literal("a'\\"), r"'a''\\'");
    }
}
