//! MySQL errors, sorted by what can be done about them; no row value passes through here.

use mysql_async::{DriverError, Error, IoError, ServerError};

use crate::store::{ErrorKind, StoreError};

/// Codes whose messages name objects, users and settings only, never row values.
const TOLD: &[u16] = &[
    1040, 1044, 1045, 1046, 1048, 1049, 1054, 1101, 1109, 1130, 1142, 1143, 1146, 1205, 1213, 1227, 1264, 1265, 1290,
    1364, 1406, 1412, 1451, 1452, 1665, 1698, 1792, 1836, 3024, 3098, 3105, 3819, 4025, 1906, 1970,
];

/// Another row has that value: which, is between quotes in the message.
const DUPLICATE: &[u16] = &[1062, 1557, 1586, 1761, 1762];

/// A row that refers to this one, or that this one refers to, stands in the way.
const REFERENCE: &[u16] = &[1216, 1217, 1451, 1452];

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
    match error {
        Error::Server(fault) => kind_of_code(fault.code),
        // A certificate that is not trusted comes as an error of the connection.
        Error::Io(IoError::Io(error)) if error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) => {
            ErrorKind::Unfit
        }
        Error::Io(IoError::Io(_)) => ErrorKind::Unreachable,
        Error::Io(IoError::Tls(_)) => ErrorKind::Unfit,
        Error::Driver(DriverError::ConnectionClosed | DriverError::PoolDisconnected) => ErrorKind::Unreachable,
        Error::Driver(DriverError::NoClientSslFlagFromServer) | Error::Url(_) => ErrorKind::Unfit,
        Error::Driver(_) | Error::Other(_) => ErrorKind::Other,
    }
}

fn kind_of_code(code: u16) -> ErrorKind {
    match code {
        1044 | 1045 | 1130 | 1142 | 1143 | 1227 | 1370 | 1698 | 1820 | 1862 | 3118 => ErrorKind::Denied,
        1049 | 1146 => ErrorKind::Missing,
        1153 | 1290 | 1412 | 1665 | 1792 | 1836 => ErrorKind::Unfit,
        1040 | 1203 | 1205 | 1206 | 1213 | 1226 | 1317 | 1637 | 1969 | 3024 | 3572 => ErrorKind::Throttled,
        1053 | 1077 | 1152 | 1158 | 1159 | 1160 | 1161 | 1184 | 1927 | 3159 => ErrorKind::Unreachable,
        _ => ErrorKind::Other,
    }
}

/// Whether another row stands in the way.
pub(super) fn is_blocked(error: &Error) -> bool {
    matches!(error, Error::Server(fault) if DUPLICATE.contains(&fault.code) || REFERENCE.contains(&fault.code))
}

/// Whether what was to be sent is more than the server takes in one request.
pub(super) fn is_too_large(error: &Error) -> bool {
    matches!(error, Error::Driver(DriverError::PacketTooLarge))
}

/// The error in words that hold no row value.
pub(super) fn words(error: &Error) -> String {
    match error {
        Error::Server(fault) => fault_words(fault),
        // What the driver could not read may hold what was read.
        Error::Driver(
            DriverError::FromValue { .. } | DriverError::FromRow { .. } | DriverError::UnexpectedPacket { .. },
        ) => "the server's reply is not understood".to_owned(),
        other => chain(other),
    }
}

fn fault_words(fault: &ServerError) -> String {
    let code = fault.code;
    if DUPLICATE.contains(&code) {
        return match key_named(&fault.message) {
            Some(key) => format!("error {code}: another row has the same value of key {key}"),
            None => format!("error {code}: another row has the same value of a unique key"),
        };
    }
    match TOLD.contains(&code) {
        true => format!("error {code}: {}", fault.message),
        false => format!("error {code}"),
    }
}

/// The key in `Duplicate entry '..' for key '..'`; it comes last, whatever the entry holds.
fn key_named(message: &str) -> Option<&str> {
    let (_, key) = message.rsplit_once(" for key ")?;
    Some(key.trim().trim_matches('\''))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(code: u16, message: &str) -> Error {
        Error::Server(ServerError { code, message: message.into(), state: "HY000".into() })
    }

    #[test]
    fn no_value_of_a_row_is_told() {
        let duplicate = server(1062, "Duplicate entry 'secret for key 'x'' for key 't.a'");
        assert_eq!(words(&duplicate), "error 1062: another row has the same value of key t.a");
        assert!(is_blocked(&duplicate));
        assert_eq!(words(&server(1366, "Incorrect string value: 'secret' for column `a`")), "error 1366");
        assert_eq!(words(&server(1644, "secret")), "error 1644");
        let told = server(1406, "Data too long for column 'a' at row 1");
        assert_eq!(words(&told), "error 1406: Data too long for column 'a' at row 1");
    }

    #[test]
    fn what_may_pass_is_tried_again() {
        for (code, kind) in [
            (1213, ErrorKind::Throttled),
            (1205, ErrorKind::Throttled),
            (1142, ErrorKind::Denied),
            (1146, ErrorKind::Missing),
            (1290, ErrorKind::Unfit),
            (1064, ErrorKind::Other),
        ] {
            assert_eq!(kind_of(&server(code, "")), kind, "{code}");
        }
    }
}
