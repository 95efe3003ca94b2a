//! The one integration binary.

mod canonical;
mod cli;
mod conformance;
mod cutover;
mod drill;
mod dynamodb;
mod journey;
mod kill;
mod layering;
mod ledger;
mod peers;
mod postgres;
mod postgres_writes;
mod profile;
mod resume;
mod rig;
mod run;
mod s3;
mod s3_identity;
mod scenarios;
mod truth;
mod twisted;
