//! Foreign keys, proved by looking for children without a parent: the server does not look again at what it let pass once.

use mysql_async::Conn;

use super::catalog::Catalog;
use super::{ask, statement};
use crate::store::{Finding, Level, Result};

/// Looks for rows that break a foreign key of a covered table.
pub(super) async fn check(conn: &mut Conn, catalog: &Catalog, subject: &str) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for key in &catalog.foreign_keys {
        let sql = format!(
            "SELECT COUNT(*) FROM {} AS c LEFT JOIN {} AS p ON {} WHERE {}",
            key.child_quoted,
            key.parent_quoted,
            key.pairs("p", "c"),
            statement::orphaned(key, "c")
        );
        let count = ask::number(conn, &format!("cannot check {} {}", key.child, key.name), &sql, ()).await?;
        if count > 0 {
            let what = format!("{count} rows of {} have no parent by {}", key.child, key.name);
            findings.push(Finding::new(Level::Blocker, subject, what));
        }
    }
    Ok(findings)
}
