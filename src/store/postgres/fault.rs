//! PostgreSQL errors, sorted by what can be done about them; no row value passes through here.

use tokio_postgres::Error;
use tokio_postgres::error::{DbError, SqlState};

use crate::store::{ErrorKind, StoreError};

/// SQLSTATE classes and codes whose messages name objects and roles only, never row values.
const TOLD: [&str; 10] = ["08", "28", "3D", "3F", "42501", "42P01", "53", "55", "57", "25"];

/// Turns a driver error into a store error; `what` says what failed, lowercase.
pub(super) fn store_error(what: impl Into<String>, error: &Error) -> StoreError {
    StoreError::caused(kind_of(error), what, words(error))
}

/// An error with its causes on one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        words = format!("{words}: {source}");
        cause = source.source();
    }
    words
}

/// What can be done about a driver error.
pub(super) fn kind_of(error: &Error) -> ErrorKind {
    if let Some(fault) = error.as_db_error() {
        return kind_of_code(fault.code());
    }
    // Some causes, such as a missing password, are told by the driver only behind its own words.
    let text = words(error);
    if text.starts_with("authentication error") || text.contains("password missing") {
        return ErrorKind::Denied;
    }
    if text.starts_with("invalid") || text.contains("TLS") {
        return ErrorKind::Unfit;
    }
    let broken = ["error connecting", "error communicating", "connection closed", "timeout waiting"];
    if broken.iter().any(|start| text.starts_with(start)) { ErrorKind::Unreachable } else { ErrorKind::Other }
}

fn kind_of_code(code: &SqlState) -> ErrorKind {
    match code.code() {
        "42501" => ErrorKind::Denied,
        "42P01" | "42P02" => ErrorKind::Missing,
        "25006" => ErrorKind::Unfit,
        "55P03" | "57014" | "40001" | "40P01" => ErrorKind::Throttled,
        other => match &other[..2] {
            "28" => ErrorKind::Denied,
            "3D" | "3F" => ErrorKind::Missing,
            "08" | "57" | "58" => ErrorKind::Unreachable,
            "53" => ErrorKind::Throttled,
            _ => ErrorKind::Other,
        },
    }
}

/// The error in words that hold no row value.
pub(super) fn words(error: &Error) -> String {
    if let Some(fault) = error.as_db_error() {
        return fault_words(fault);
    }
    chain(error)
}

/// A server's error by its code and the objects it names.
pub(super) fn fault_words(fault: &DbError) -> String {
    let code = fault.code().code();
    let mut words = format!("SQLSTATE {code}");
    if TOLD.iter().any(|told| code.starts_with(told)) {
        words = format!("{words}: {}", fault.message());
    }
    for (kind, name) in [("constraint", fault.constraint()), ("table", fault.table()), ("column", fault.column())] {
        if let Some(name) = name {
            words = format!("{words}, {kind} {name}");
        }
    }
    words
}
