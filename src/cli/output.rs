//! What commands print.

use std::io::Write;

use serde_json::{Value as Json, json};

use crate::compare::Comparison;
use crate::model::{Leaf, StoreId};
use crate::plan::Forecast;
use crate::report::how_read;
use crate::store::{Finding, Level, Spent};

/// A line on stderr. Nobody may be there to read it, or its disk may be full: that is no reason to stop.
pub fn tell(line: &str) {
    tell_part(&format!("{line}\n"));
}

/// A part of a line on stderr.
pub fn tell_part(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// A number with a comma every three digits.
pub fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A table with a header, columns aligned, numbers to the right.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let widths: Vec<usize> = (0..header.len())
        .map(|column| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            cells.chain([header[column].chars().count()]).max().unwrap_or(0)
        })
        .collect();
    let is_number = |cell: &str| cell.chars().all(|c| c.is_ascii_digit() || c == ',') && !cell.is_empty();
    let line = |cells: Vec<&str>, like: Option<&Vec<String>>| {
        let padded = cells.iter().enumerate().map(|(column, cell)| {
            let width = widths[column];
            let right = is_number(like.map_or(cell, |row| row[column].as_str()));
            if right { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    let mut text = line(header.to_vec(), rows.first());
    for row in rows {
        text += &line(row.iter().map(String::as_str).collect(), Some(row));
    }
    text
}

/// The comparisons as the command-line contract says.
pub fn stores_json(stores: &[Comparison]) -> Json {
    let side = |side: &crate::compare::SideSummary| json!({"items": side.items, "root": side.root, "resource": side.identity.resource});
    let store = |comparison: &Comparison| {
        let verdicts: serde_json::Map<String, Json> =
            comparison.verdicts.words().into_iter().map(|(word, count)| (word.to_owned(), json!(count))).collect();
        let mut json = json!({
            "name": comparison.store,
            "kind": comparison.kind,
            "complete": comparison.narrowed.is_none(),
            "primary": side(&comparison.primary),
            "dr": side(&comparison.dr),
            "base": comparison.base.as_ref().map(|base| json!({"kind": base.kind, "items": base.items, "as_of": base.as_of})),
            "verdicts": verdicts,
            "replication": comparison.replication,
            "forecast": comparison.forecast,
            "delta": comparison.delta,
            "not_checked": comparison.not_checked,
            "lost_writes": comparison.lost_writes,
            "reads": comparison.reads,
        });
        if comparison.spelled > 0 {
            json["differ_in_spelling"] = json!(comparison.spelled);
        }
        if let Some(leaves) = &comparison.leaves {
            json["compared"] = json!(leaves);
        }
        if let Some(narrowed) = &comparison.narrowed {
            json["narrowed"] = json!(narrowed);
        }
        json
    };
    Json::Array(stores.iter().map(store).collect())
}

/// The comparisons as a table.
pub fn stores_table(stores: &[Comparison]) -> String {
    let header = ["store", "primary", "dr", "base", "dr-only", "stranded", "conflict", "unattributed", "expired"];
    let rows: Vec<Vec<String>> = stores
        .iter()
        .map(|comparison| {
            let counts = comparison.verdicts.words();
            let base = comparison.base.as_ref().map_or("none".to_owned(), |base| number(base.items));
            let mut row =
                vec![comparison.store.to_string(), number(comparison.primary.items), number(comparison.dr.items), base];
            row.extend(counts.into_iter().skip(2).map(|(_, count)| number(count)));
            row
        })
        .collect();
    let only = |comparison: &&Comparison| comparison.leaves.is_some() && comparison.forecast.is_none();
    let only = stores.iter().filter(only).filter_map(|comparison| {
        let (store, leaves) = (&comparison.store, comparison.leaves.as_deref()?);
        Some(match leaves {
            Leaf::BY_SERVER => {
                format!("{store}: rows were compared by hashes that their databases made of them; what differed was read whole\n")
            }
            _ => {
                let words = "as listings tell them: what goes with an object that both sides list alike was not looked at";
                format!("{store}: only {leaves} were compared, {words}\n")
            }
        })
    });
    table(&header, &rows) + &only.collect::<String>()
}

/// How the sides were read, where a change log was followed or could not be; empty where everything was read as usual.
pub fn readings(stores: &[Comparison]) -> String {
    let mut text = String::new();
    for comparison in stores {
        for words in how_read(comparison) {
            text += &format!("{}: {words}\n", comparison.store);
        }
        if let Some(lost) = comparison.lost_writes.as_ref().filter(|lost| lost.total > 0) {
            let (store, total) = (&comparison.store, number(lost.total));
            text += &format!(
                "{store}: the global table lost {total} writes to newer ones of the other Region; --json names them\n"
            );
        }
        if let Some(reads) = &comparison.reads {
            let forecast = reads.forecast.map_or(String::new(), |units| format!("; forecast {}", number(units)));
            text += &format!("{}: reading took {} read units{forecast}\n", comparison.store, number(reads.units));
        }
        if let Some(why) = &comparison.unattributed_because {
            let store = &comparison.store;
            text += &format!("{store}: the primary's change log does not attribute differences: {why}\n");
        }
    }
    text
}

/// What a replay took, against the forecast; empty where the store does not tell.
pub fn spent(store: &StoreId, spent: &Spent, forecast: &Forecast) -> String {
    if spent.is_nothing() {
        return String::new();
    }
    let Spent { read_units, write_units, index_write_units, throttled, held_back_by_indexes, parked } = *spent;
    let mut text = format!(
        "{store}: took {} write units ({} of them for indexes) and {} read units; forecast for the plan: {} and {}\n",
        number(write_units),
        number(index_write_units),
        number(read_units),
        number(forecast.write_units),
        number(forecast.read_units),
    );
    if throttled > 0 {
        text += &format!(
            "{store}: {} writes were throttled and sent again ({} held back by an index, {} by a busy partition)\n",
            number(throttled),
            number(held_back_by_indexes),
            number(parked),
        );
    }
    text
}

/// Findings, one line each, with their hints.
pub fn findings(findings: &[Finding]) -> String {
    let mut text = String::new();
    for Finding { level, subject, what, hint } in findings {
        let word = match level {
            Level::Blocker => "BLOCKER",
            Level::Warning => "warning",
            Level::Note => "note",
        };
        text += &format!("{word:<8} {subject}: {what}\n");
        text += &hint.as_ref().map_or(String::new(), |hint| format!("         -> {hint}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_tables_read_well() {
        assert_eq!([number(0), number(999), number(1_000), number(1_204_567)], ["0", "999", "1,000", "1,204,567"]);
        let rows = vec![vec!["orders".to_owned(), "1,200".to_owned()], vec!["media".to_owned(), "7".to_owned()]];
        assert_eq!(table(&["store", "items"], &rows), "store   items\norders  1,200\nmedia       7\n");
    }
}
