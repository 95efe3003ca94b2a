//! The one integration binary.

mod canonical;
mod cli;
mod conformance;
mod cutover;
mod damage;
mod drill;
mod dynamodb;
mod everywhere;
mod full;
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
mod scenarios;
mod shim;
mod small;
mod truth;
mod twisted;
