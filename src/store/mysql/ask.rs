//! Questions to the server about itself, and their answers by place.

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Params, Row, Value};

use super::fault;
use crate::store::{ErrorKind, Result, StoreError};

/// One row of an answer.
pub(super) struct Cells(Vec<Option<Value>>);

/// Asks, and gives every row of the answer; `what` says what failed, lowercase.
pub(super) async fn rows(
    conn: &mut Conn,
    what: &str,
    sql: &str,
    params: impl Into<Params> + Send,
) -> Result<Vec<Cells>> {
    let rows: Vec<Row> = conn.exec(sql, params.into()).await.map_err(|error| fault::store_error(what, &error))?;
    Ok(rows.into_iter().map(|row| Cells(row.unwrap_raw())).collect())
}

/// Asks for one number.
pub(super) async fn number(conn: &mut Conn, what: &str, sql: &str, params: impl Into<Params> + Send) -> Result<u64> {
    match rows(conn, what, sql, params).await?.first_mut() {
        Some(row) => row.number(0),
        None => Err(StoreError::new(ErrorKind::Unreadable, format!("{what}: no answer"))),
    }
}

impl Cells {
    fn take(&mut self, at: usize) -> Value {
        self.0.get_mut(at).and_then(Option::take).unwrap_or(Value::NULL)
    }

    /// The text at a place, where there is one.
    pub(super) fn maybe_text(&mut self, at: usize) -> Result<Option<String>> {
        let unreadable = || StoreError::new(ErrorKind::Unreadable, "the server tells of itself what is no text");
        match self.take(at) {
            Value::NULL => Ok(None),
            Value::Bytes(bytes) => String::from_utf8(bytes).map(Some).map_err(|_| unreadable()),
            Value::Int(number) => Ok(Some(number.to_string())),
            Value::UInt(number) => Ok(Some(number.to_string())),
            _ => Err(unreadable()),
        }
    }

    /// The text at a place; empty where there is none.
    pub(super) fn text(&mut self, at: usize) -> Result<String> {
        Ok(self.maybe_text(at)?.unwrap_or_default())
    }

    /// The number at a place, where there is one.
    pub(super) fn maybe_number(&mut self, at: usize) -> Result<Option<u64>> {
        let unreadable = || StoreError::new(ErrorKind::Unreadable, "the server tells of itself what is no number");
        match self.take(at) {
            Value::NULL => Ok(None),
            Value::Int(number) => u64::try_from(number).map(Some).map_err(|_| unreadable()),
            Value::UInt(number) => Ok(Some(number)),
            Value::Bytes(bytes) => {
                String::from_utf8(bytes).ok().and_then(|text| text.parse().ok()).map(Some).ok_or_else(unreadable)
            }
            _ => Err(unreadable()),
        }
    }

    /// The number at a place; 0 where there is none.
    pub(super) fn number(&mut self, at: usize) -> Result<u64> {
        Ok(self.maybe_number(at)?.unwrap_or(0))
    }
}
