//! What a person does, step by step.

use serde::{Deserialize, Serialize};

/// Steps for a person; the program takes none of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guide {
    /// The store.
    pub store: String,
    /// Where the steps lead.
    pub title: String,
    /// The steps, in their order.
    pub steps: Vec<GuideStep>,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuideStep {
    /// Whether it can be taken.
    pub state: StepState,
    /// What it is and why, one sentence or two.
    pub what: String,
    /// What to type; nothing is left to be filled in but what stands in capitals.
    pub commands: Vec<String>,
}

/// How a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// It is done already, or there is nothing to do.
    Done,
    /// It can be taken now.
    Now,
    /// Another step comes first.
    Later,
    /// What it rests on is not known: find that out first.
    Unknown,
}

impl StepState {
    /// Its word for people.
    pub fn word(self) -> &'static str {
        match self {
            StepState::Done => "done",
            StepState::Now => "now",
            StepState::Later => "later",
            StepState::Unknown => "unknown",
        }
    }
}

impl GuideStep {
    pub(super) fn new(state: StepState, what: impl Into<String>) -> GuideStep {
        GuideStep { state, what: what.into(), commands: Vec::new() }
    }

    pub(super) fn typing(mut self, command: impl Into<String>) -> GuideStep {
        self.commands.push(command.into());
        self
    }
}

/// A word of a command line, in quotes where a shell would take it apart.
pub(super) fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@=,+".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}
