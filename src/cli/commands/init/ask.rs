//! Questions at a terminal.

use std::io;

use crate::cli::output::{tell, tell_part};
use crate::discover::Asker;

/// Asks on stderr and reads answers from stdin.
pub struct Terminal;

/// How often an answer that is none of the choices is asked for again.
const TRIES_MAX: u32 = 5;

impl Asker for Terminal {
    fn choose(&mut self, question: &str, choices: &[String]) -> io::Result<Option<usize>> {
        tell(&format!("\n{question}"));
        for (at, choice) in choices.iter().enumerate() {
            tell(&format!("  {}  {choice}", at + 1));
        }
        for _ in 0..TRIES_MAX {
            tell_part(&format!("1 to {}, or Enter to leave it open: ", choices.len()));
            let mut answer = String::new();
            if io::stdin().read_line(&mut answer)? == 0 || answer.trim().is_empty() {
                return Ok(None);
            }
            match answer.trim().parse::<usize>() {
                Ok(number) if (1..=choices.len()).contains(&number) => return Ok(Some(number - 1)),
                _ => tell(&format!("{:?} is none of them", answer.trim())),
            }
        }
        Ok(None)
    }
}
