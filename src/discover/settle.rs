//! Questions to a person, and what their answers settle.

use std::io;

use super::pair::{Pairing, RecordPair};

/// Somebody who can be asked.
pub trait Asker {
    /// Which of `choices` it is, by its place; `None` leaves the question open.
    ///
    /// # Errors
    ///
    /// When the answer cannot be read.
    fn choose(&mut self, question: &str, choices: &[String]) -> io::Result<Option<usize>>;
}

const NONE: &str = "none of these: leave it out";

/// Asks whatever is open, once each.
///
/// # Errors
///
/// As [`Asker::choose`].
pub fn settle(pairing: &mut Pairing, asker: &mut dyn Asker) -> io::Result<()> {
    let asked: Vec<(String, _)> =
        pairing.questions.iter().map(|question| (question.primary.name.clone(), question.primary.kind())).collect();
    for (name, kind) in asked {
        // An earlier answer may have settled this one too.
        let found = pairing.questions.iter().find(|one| one.primary.name == name && one.primary.kind() == kind);
        let Some(question) = found else { continue };
        let count = question.candidates.len();
        let choice = |dr: &str, why: String| format!("{dr} ({why})");
        let mut choices: Vec<String> =
            question.candidates.iter().map(|one| choice(&one.dr.name, one.evidence.words())).collect();
        choices.push(NONE.to_owned());
        let words = format!("Which {} of dr is the counterpart of {name}?", kind.word());
        match asker.choose(&words, &choices)? {
            Some(at) if at < count => pairing.choose(&name, kind, at),
            Some(_) => pairing.choose_none(&name, kind),
            None => {}
        }
    }
    sides_of_records(pairing, asker)?;
    one_record(pairing, asker)
}

/// Asks which of a group of records is whose.
fn sides_of_records(pairing: &mut Pairing, asker: &mut dyn Asker) -> io::Result<()> {
    for question in std::mem::take(&mut pairing.record_questions) {
        let records = &question.records;
        let Some(first) = records.first().filter(|_| records.len() > 1) else {
            pairing.record_questions.push(question);
            continue;
        };
        let of = format!("weighted {} record of {}", first.record_type, first.name);
        let choice = |at: usize| format!("{} (to {})", records[at].identifier, records[at].targets.join(", "));
        let all: Vec<usize> = (0..records.len()).collect();
        let mut choices: Vec<String> = all.iter().map(|at| choice(*at)).collect();
        choices.push(NONE.to_owned());
        let primary = match asker.choose(&format!("Which {of} is the primary's?"), &choices)? {
            Some(at) if at < records.len() => at,
            // Left out by hand: it is open no longer.
            Some(_) => continue,
            None => {
                pairing.record_questions.push(question);
                continue;
            }
        };
        let others: Vec<usize> = all.into_iter().filter(|at| *at != primary).collect();
        let dr = match others.as_slice() {
            [only] => Some(*only),
            others => {
                let choices: Vec<String> = others.iter().map(|at| choice(*at)).collect();
                asker.choose(&format!("Which {of} is dr's?"), &choices)?.and_then(|at| others.get(at).copied())
            }
        };
        match dr {
            Some(dr) => pairing.records.push(RecordPair {
                primary: records[primary].clone(),
                dr: records[dr].clone(),
                why: "chosen by hand".to_owned(),
            }),
            None => pairing.record_questions.push(question),
        }
    }
    Ok(())
}

/// A profile shifts one pair of records.
fn one_record(pairing: &mut Pairing, asker: &mut dyn Asker) -> io::Result<()> {
    if pairing.records.len() < 2 {
        return Ok(());
    }
    let name = |pair: &RecordPair| format!("{} {} ({})", pair.primary.record_type, pair.primary.name, pair.why);
    let choices: Vec<String> = pairing.records.iter().map(name).collect();
    if let Some(at) = asker.choose("Which weighted records shift customers?", &choices)? {
        pairing.records = vec![pairing.records.swap_remove(at)];
    }
    Ok(())
}
