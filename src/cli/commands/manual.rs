//! `failback completions` and `failback man`.

use clap::CommandFactory;

use super::{Ended, emit};
use crate::cli::args::Arguments;
use crate::cli::exit::{Exit, Failure};

pub fn completions(shell: clap_complete::Shell) -> Ended {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "failback", &mut text);
    write(&text)
}

pub fn man() -> Ended {
    let mut text = Vec::new();
    let mut command = Arguments::command().disable_help_subcommand(true);
    let failed = |error| Failure::plain(Exit::Incomplete, error);
    clap_mangen::Man::new(command.clone()).render(&mut text).map_err(failed)?;
    command.build();
    for subcommand in command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set()) {
        clap_mangen::Man::new(subcommand.clone()).render(&mut text).map_err(failed)?;
    }
    write(&text)
}

fn write(text: &[u8]) -> Ended {
    emit(text)?;
    Ok(Exit::Done)
}
