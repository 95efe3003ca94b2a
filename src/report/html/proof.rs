//! What the answer rests on, and what nothing speaks for.

use maud::{Markup, html};

use super::super::ReportContext;
use super::super::standing::{Proof, Standing, undo_proved};
use super::super::verdict::{too_old, unverified_stores};
use super::super::words::{count, duration, number, time_or_unknown, unplain};
use super::parts::{amount, file, instant, root, section, table, verdict_mark};
use crate::model::{Timestamp, Verdict};
use crate::session::{CertificateFound, SessionState};
use crate::store::{Finding, Level};
use crate::verify::{Certificate, FenceKind, Validated};

pub(super) fn certificate(state: &SessionState, context: &ReportContext) -> Markup {
    if state.verified.is_none() && state.fence.is_none() && state.certificate.is_none() {
        return html! {};
    }
    let standing = Standing::of(state);
    section(
        "certificate",
        "Proof and certificate",
        html! {
            @if let Some((at, parity, stores)) = &state.verified {
                p {
                    "Verified at " (instant(*at)) ": " strong { (if *parity { "parity" } else { "differences" }) } ", "
                    (count(stores.len() as u64, "store")) " read anew on both sides."
                }
            }
            @if let Proof::Overtaken(why) = &standing.proof {
                p.warning { strong { "No longer worth anything: " } (unplain(why)) "." }
            }
            @if let Some(age) = too_old(state, context) {
                p.warning { strong { "Too old for a cutover: " } (duration(age)) ". Verify again." }
            }
            @match (&state.certificate, &context.exhibits.certificate) {
                (None, _) => p { "No certificate was issued by the newest verification." },
                (Some(path), Some(CertificateFound::Valid(valid))) => { (valid_certificate(valid, path, context.generated_at)) }
                (Some(path), Some(CertificateFound::Unusable(why))) => {
                    p.warning { strong { "The certificate cannot be relied on: " } (why) ". " (file(path)) }
                }
                (Some(path), None) => p { "Certificate: " (file(path)) },
            }
            (fence(state))
            (undo(state, &standing))
        },
    )
}

fn valid_certificate(valid: &Validated, path: &str, now: Timestamp) -> Markup {
    let Certificate { issued_at, window, stores, tool_version, .. } = valid.certificate();
    let age = u64::try_from(now.as_second() - window.read_until.as_second());
    let age = age.map_or_else(|_| "less than no time: a clock is wrong".into(), duration);
    let rows: Vec<Markup> = stores
        .iter()
        .map(|store| {
            html! {
                th scope="row" { (store.name) }
                (amount(store.primary.items)) (amount(store.dr.items))
                td { (root(&store.primary.root)) } td { (root(&store.dr.root)) } (amount(store.accepted_total))
            }
        })
        .collect();
    let head = html! {
        th { "store" } th.n { "primary items" } th.n { "dr items" } th { "primary root" } th { "dr root" } th.n { "accepted" }
    };
    html! {
        p {
            strong { "The certificate's signature fits and it does not contradict itself." }
            " Issued at " (instant(*issued_at)) " by failback " (tool_version) "; read from " (instant(window.read_from))
            " to " (instant(window.read_until)) ", " (age) " before this report."
        }
        (table("What the certificate says", head, &rows))
        p.note {
            "File: " (file(path)) ". Signed by " code.path { (valid.public_key()) }
            ". Check it anywhere: " code { "failback certificate " (path) } "."
        }
    }
}

fn fence(state: &SessionState) -> Markup {
    html! {
        p {
            strong { "Writers to dr: " }
            @match &state.fence {
                None => @if state.certificate.is_some() { "the certificate names the proof it rests on." }
                    @else { "not known to be stopped." },
                Some(fence) => {
                    @match fence.kind {
                        FenceKind::NegativeWriteTest => "stopped, a write was tried and failed",
                        FenceKind::Quiet => "quiet, dr was read unchanged for a time",
                        FenceKind::None => strong { "NOT known to be stopped" },
                    }
                    ", at " (time_or_unknown(fence.at)) ": " (fence.detail) "."
                }
            }
        }
    }
}

fn undo(state: &SessionState, standing: &Standing) -> Markup {
    if state.undone + state.undo_refused == 0 {
        return html! {};
    }
    let proved = match (standing.undone, undo_proved(state, standing)) {
        (_, true) => "Proved: every root is what it was before the first write of this session.",
        (true, false) => "Not proved yet: failback verify --undone compares every root with what it was.",
        (false, false) => "Replayed again since.",
    };
    html! {
        p {
            strong { "Undo: " } (count(state.undone, "item")) " restored, " (number(state.undo_refused))
            " left as found because they had changed since the replay. " (proved)
        }
    }
}

pub(super) fn preflight(state: &SessionState) -> Markup {
    let Some(findings) = &state.findings else { return html! {} };
    section(
        "preflight",
        "Preflight",
        html! {
            @if findings.is_empty() { p { "Nothing found." } }
            @else { ul { @for finding in findings { li { (told(finding)) } } } }
        },
    )
}

fn told(finding: &Finding) -> Markup {
    let Finding { level, subject, what, hint } = finding;
    html! {
        @match level {
            Level::Blocker => strong.warning { "blocker" },
            Level::Warning => "warning",
            Level::Note => "note",
        }
        ": " (subject) ": " (what) @if let Some(hint) = hint { " (" (hint) ")" }
    }
}

pub(super) fn not_checked(state: &SessionState, context: &ReportContext) -> Markup {
    section(
        "not-checked",
        "Not checked",
        html! {
            ul {
                @for store in unverified_stores(state, context) { li { "store " (store) ": not verified" } }
                @for (store, (_, comparison)) in state.newest_comparisons() {
                    @for what in &comparison.not_checked { li { (store.0) ": " (what) } }
                }
                li { "anything that the profile does not name: other tables, buckets, databases, queues and caches" }
                li { "the fitness of the primary's compute, network and permissions" }
            }
        },
    )
}

pub(super) fn about(context: &ReportContext) -> Markup {
    section(
        "about",
        "About this page",
        html! {
            dl.glossary {
                @for verdict in Verdict::ALL { div { dt { (verdict_mark(verdict)) } dd { (meaning(verdict)) } } }
            }
            p { (context.disclosure.keys_words()) }
            p { (context.disclosure.values_words()) }
            p {
                "Made by failback " (env!("CARGO_PKG_VERSION")) " from the session in " (file(&context.session))
                "; nothing was read from a store for it. All times are UTC. A comparison holds keys and digests; contents are only "
                "what the journal kept of items that this session wrote or was refused."
            }
        },
    )
}

/// What happened to an item, for readers who never saw a verdict.
fn meaning(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Unchanged => "nothing happened to it since the base",
        Verdict::Converged => "it changed, and both sides hold the same again",
        Verdict::DrOnly => "only dr changed it: the business of the outage, to be replayed",
        Verdict::Stranded => "only the primary changed it: a write that never reached dr",
        Verdict::Conflict => "both sides changed it, differently: a person or a policy decides",
        Verdict::Unattributed => "the sides differ and no base tells which of them changed it",
        Verdict::Expired => "one side let it expire by its time to live",
    }
}
