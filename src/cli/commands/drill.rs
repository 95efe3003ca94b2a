//! `failback drill`.
use super::Ended;
use crate::cli::args::{Command, DrillArguments, Global};
use crate::cli::exit::Exit;
pub fn supervise(_c: &Command) -> Option<Exit> {
    None
}
pub async fn run(_a: DrillArguments, _g: &Global) -> Ended {
    Ok(Exit::Done)
}
