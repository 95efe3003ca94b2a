//! Fields that name exports of a table, or where they go.

use super::table::Table;
use super::{ChangesProfile, ReadScope, RescueProfile};

/// What an export's URL looks like.
const EXPORT_HINT: &str = "write s3://bucket/prefix/AWSDynamoDB/<export id>, as the export's manifest has it";

/// The URLs of exports: one, or several.
pub(super) fn places(table: &Table<'_>, name: &'static str) -> Vec<String> {
    let urls = table.text_or_texts(name).unwrap_or_default();
    for (index, (url, span)) in urls.iter().enumerate() {
        let what = if !is_export(url) {
            format!("`{url}` names no export")
        } else if urls[..index].iter().any(|(earlier, _)| earlier == url) {
            format!("`{url}` is listed twice")
        } else {
            continue;
        };
        table.reading.complain(span, &table.path_of(name), what, Some(EXPORT_HINT.to_owned()));
    }
    urls.into_iter().map(|(url, _)| url).collect()
}

fn is_export(url: &str) -> bool {
    let path = url.strip_prefix("s3://").and_then(|rest| rest.split_once('/'));
    path.is_some_and(|(bucket, path)| {
        let parts: Vec<&str> = path.trim_end_matches('/').split('/').collect();
        !bucket.is_empty()
            && parts.len() >= 2
            && parts[parts.len() - 2] == "AWSDynamoDB"
            && !parts[parts.len() - 1].is_empty()
    })
}

/// `changes`.
pub(super) fn changes(table: Table<'_>) -> ChangesProfile {
    let (primary, dr) = (places(&table, "primary"), places(&table, "dr"));
    let words = [("all", ReadScope::All), ("changed", ReadScope::Changed)];
    let read = table.word("read", &words).unwrap_or_default();
    if read == ReadScope::Changed && (primary.is_empty() || dr.is_empty()) {
        let hint = "name exports of both: a key that only one side changed is known from that side alone";
        table.complain("read", "`changed` needs exports of `primary` and of `dr`", Some(hint));
    }
    table.finish();
    ChangesProfile { primary, dr, read }
}

/// `[rescue]`.
pub(super) fn rescue(table: Table<'_>) -> RescueProfile {
    let (primary, dr) = (folder(&table, "primary"), folder(&table, "dr"));
    let kms_key = table.text("kms_key");
    table.finish();
    RescueProfile { primary, dr, kms_key }
}

fn folder(table: &Table<'_>, name: &'static str) -> Option<String> {
    let url = table.text(name)?;
    let bucket = url.strip_prefix("s3://").map(|rest| rest.split('/').next().unwrap_or_default());
    if bucket.is_none_or(str::is_empty) {
        table.complain(name, format!("`{url}` names no bucket"), Some("write s3://bucket or s3://bucket/prefix"));
    }
    Some(url)
}
