//! Brings an AWS system home after a regional disaster.
//!
//! A Region failed; customers were served from a recovery Region, *dr*, for hours. Now the original, the *primary*, is back,
//! stale as of the disaster and perhaps holding writes that never replicated. The way home:
//!
//! ```text
//! profile ─► stores (primary, dr, base) ─► leaves ─► buckets ─► join + classify ─► delta
//!    delta + policy ─► plan ─► replay (journal, guard, undo) ─► catch-up passes ─► freeze ─► final pass
//!       ─► verify (independent re-read) ─► certificate ─► cutover in stages ─► verify again ─► report
//! ```
//!
//! Two rules above all: no write is ever lost, and nothing unknown counts as fine.
//!
//! The rooms, each of which imports only those above it:
//!
//! | room | what it is for |
//! |---|---|
//! | [`model`] | keys, digests, leaves, values, sides, verdicts |
//! | [`profile`] | TOML to a validated profile, with errors that point |
//! | [`digest`] | canonical encoding, buckets that spill, manifests, roots |
//! | [`store`] | one trait to read, one to write, an adapter a folder, wrappers, the conformance suite |
//! | [`diff`] | the merge join and the verdicts; pure |
//! | [`compare`] | reads both sides and the base, joins, reads every difference twice |
//! | [`plan`] | policy to steps and held items; pure |
//! | [`journal`] | the session's one durable file |
//! | [`replay`] | guarded steps, and their undo |
//! | [`verify`] | the signed certificate, and the proof that cutover asks for |
//! | [`cutover`] | weights in stages, health, retreat |
//! | [`discover`] | what both Regions hold, which resources belong together, and the profile that says so |
//! | [`control`] | the control plane around the data: global clusters, settings, restored resources; in words and commands |
//! | [`session`] | drives the stages; state is folded from events; everything resumes |
//! | [`report`] | what people and programs read of a session; pure |
//! | [`guide`] | what a led session does next, and doing it |
//! | [`drill`] | the whole job on two simulated Regions |
//! | [`tui`] | the guided session on a terminal |
//! | [`cli`] | arguments, commands, exit codes |

pub mod cli;
pub mod compare;
pub mod control;
pub mod cutover;
pub mod diff;
pub mod digest;
pub mod discover;
pub mod drill;
pub mod guide;
pub mod journal;
pub mod model;
pub mod plan;
pub mod profile;
pub mod replay;
pub mod report;
pub mod session;
pub mod store;
pub mod tui;
pub mod verify;
