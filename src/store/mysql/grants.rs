//! What a user was granted, as the server tells it.

use mysql_async::Conn;

use super::{ask, names};
use crate::store::Result;

/// The rights of the user of a connection.
pub(super) struct Grants {
    /// The user as a grant names it.
    pub(super) user: String,
    granted: Vec<Granted>,
}

/// One line of `SHOW GRANTS`.
#[derive(Debug, PartialEq, Eq)]
struct Granted {
    rights: Vec<String>,
    /// A pattern of databases, `*` for all.
    database: String,
    /// A table, `*` for all.
    table: String,
}

/// Asks for the rights of the user of this connection and of the roles that are in force.
pub(super) async fn load(conn: &mut Conn) -> Result<Grants> {
    let what = "cannot ask for rights";
    let user = ask::rows(conn, what, "SELECT CURRENT_USER()", ()).await?;
    let user = user.into_iter().next().map(|mut row| row.text(0)).transpose()?.unwrap_or_default();
    let (name, host) = user.rsplit_once('@').unwrap_or((&user, "%"));
    let user = format!("{}@{}", names::literal(name), names::literal(host));
    let mut granted = Vec::new();
    for mut row in ask::rows(conn, what, "SHOW GRANTS", ()).await? {
        granted.extend(granted_by(&row.text(0)?));
    }
    Ok(Grants { user, granted })
}

impl Grants {
    /// Whether a right holds on a table, or on the whole of a database.
    pub(super) fn has(&self, database: &str, table: Option<&str>, right: &str) -> bool {
        self.granted.iter().any(|granted| {
            let is_right = |own: &String| own == right || own == "ALL PRIVILEGES";
            let is_table = granted.table == "*" || table == Some(granted.table.as_str());
            let is_database = granted.database == "*" || is_like(&granted.database, database);
            is_table && is_database && granted.rights.iter().any(is_right)
        })
    }
}

/// Whether a database is one of a pattern in which `%` and `_` stand for others unless a backslash is before them.
fn is_like(pattern: &str, name: &str) -> bool {
    fn matches(pattern: &[char], name: &[char]) -> bool {
        match pattern {
            [] => name.is_empty(),
            ['\\', plain, rest @ ..] => name.first() == Some(plain) && matches(rest, &name[1..]),
            ['%', rest @ ..] => (0..=name.len()).any(|from| matches(rest, &name[from..])),
            ['_', rest @ ..] => !name.is_empty() && matches(rest, &name[1..]),
            [plain, rest @ ..] => name.first() == Some(plain) && matches(rest, &name[1..]),
        }
    }
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    matches(&pattern, &name)
}

/// Reads `GRANT SELECT, INSERT (`a`) ON `db`.`t` TO ..`; `None` where a line grants something else, such as a role.
fn granted_by(line: &str) -> Option<Granted> {
    let (rights, rest) = line.strip_prefix("GRANT ")?.split_once(" ON ")?;
    let (object, _) = rest.split_once(" TO ")?;
    let (database, table) = parts(object)?;
    Some(Granted { rights: whole_rights(rights), database, table })
}

/// The rights in a list, without those on some columns only, which are none on the table.
fn whole_rights(list: &str) -> Vec<String> {
    let (mut rights, mut depth) = (vec![String::new()], 0usize);
    for character in list.chars() {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => rights.push(String::new()),
            _ => {}
        }
        if let Some(right) = rights.last_mut().filter(|_| character != ',' || depth > 0) {
            right.push(character);
        }
    }
    rights.into_iter().map(|right| right.trim().to_owned()).filter(|right| !right.contains('(')).collect()
}

/// The database and the table of `` `db`.`t` ``, either of which may be `*`.
fn parts(object: &str) -> Option<(String, String)> {
    let mut parts = vec![String::new()];
    let (mut is_quoted, mut rest) = (false, object.chars().peekable());
    while let Some(character) = rest.next() {
        match character {
            '`' if is_quoted && rest.peek() == Some(&'`') => parts.last_mut()?.extend(rest.next()),
            '`' => is_quoted = !is_quoted,
            '.' if !is_quoted => parts.push(String::new()),
            plain => parts.last_mut()?.push(plain),
        }
    }
    <[String; 2]>::try_from(parts).ok().map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(lines: &[&str]) -> Grants {
        Grants { user: String::new(), granted: lines.iter().filter_map(|line| granted_by(line)).collect() }
    }

    #[test]
    fn rights_are_read_from_what_the_server_tells() {
        let grants = grants(&[
            "GRANT USAGE ON *.* TO `clerk`@`%` IDENTIFIED BY PASSWORD '*94BDCEBE19083CE2A1F959FD02F964C7AF4CFC29'",
            "GRANT SELECT, LOCK TABLES ON `le\\_dger`.* TO `clerk`@`%`",
            "GRANT INSERT, UPDATE (`a`, `b`) ON `le_dger`.`t` TO `clerk`@`%`",
            "GRANT DELETE ON `le_dger`.`a``b.c` TO `clerk`@`%`",
            "GRANT `reader` TO `clerk`@`%`",
        ]);
        assert!(grants.has("le_dger", Some("t"), "SELECT"));
        assert!(!grants.has("lexdger", Some("t"), "SELECT"));
        assert!(!grants.has("le_dger", Some("t"), "UPDATE"));
        assert!(grants.has("le_dger", Some("a`b.c"), "DELETE"));
        assert!(!grants.has("le_dger", None, "DELETE"));
        assert!(!grants.has("le_dger", None, "PROCESS"));
    }

    #[test]
    fn all_privileges_are_all() {
        let all = grants(&["GRANT ALL PRIVILEGES ON *.* TO `root`@`localhost` WITH GRANT OPTION"]);
        assert!(all.has("any", None, "PROCESS") && all.has("any", Some("t"), "TRIGGER"));
        let part = grants(&["GRANT ALL PRIVILEGES ON `app%`.* TO `u`@`%`"]);
        assert!(part.has("apples", Some("t"), "ALTER") && !part.has("pears", None, "ALTER"));
    }
}
