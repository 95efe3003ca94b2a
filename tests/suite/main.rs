//! The one integration binary.

mod browser;
mod canonical;
mod cli;
mod conformance;
mod cutover;
mod drill;
mod dynamodb;
mod html;
mod journey;
mod kill;
mod layering;
mod peers;
mod postgres;
mod postgres_writes;
mod profile;
mod report;
mod resume;
mod rig;
mod s3;
mod scenarios;
mod truth;
mod twisted;
