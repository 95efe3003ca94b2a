//! What a person decides: on held items, one by one or by a rule, and beyond the limits.

use std::collections::{BTreeSet, HashSet};
use std::path::PathBuf;

use serde::Serialize;

use super::business::{BusinessFile, Decider, business_file, forget};
use super::planning::newest_plans;
use super::{Choice, Result, Session, SessionError, SessionState};
use crate::journal::{DecisionRow, Event, Journal, JournalError};
use crate::model::StoreId;
use crate::plan::{Allowances, Kept, Rule};

/// Held items read at once for the business file.
const ITEMS_AT_ONCE: usize = 100;

/// The held items that a person means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Picked {
    /// These, by store and key as JSON text.
    Items(Vec<(StoreId, String)>),
    /// Those that a rule picks.
    Rule(Rule),
}

impl Picked {
    fn picks(&self, kept: &Kept) -> bool {
        match self {
            Picked::Items(_) => true,
            Picked::Rule(rule) => rule.picks(kept),
        }
    }

    /// What was picked, in words.
    pub fn words(&self) -> String {
        match self {
            Picked::Items(items) if items.len() == 1 => "1 item".into(),
            Picked::Items(items) => format!("{} items", items.len()),
            Picked::Rule(rule) => rule.words(),
        }
    }
}

/// What came of deciding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DecideOutcome {
    /// The decision's number.
    pub number: i64,
    /// The choice.
    pub choice: Choice,
    /// How many items were decided.
    pub items: u64,
    /// How many were left out because they are no longer what the plan saw: plan anew to see them as they are.
    pub changed: u64,
    /// The file with both sides' contents, where they are kept for the business.
    pub file: Option<PathBuf>,
    /// Held items that remain undecided.
    pub undecided: u64,
}

/// The held items of one store, as the newest plan of it has them.
struct Holding {
    store: StoreId,
    plan: i64,
    /// The items by name; `None` where a rule picks them.
    named: Option<Vec<Kept>>,
}

impl Session {
    /// Records a person's choice on items that the newest plan of each store holds; the next plan does what was chosen, as
    /// long as both sides of an item are what they were.
    ///
    /// # Errors
    ///
    /// [`SessionError::NotDecided`] when an item is not held or none is picked, and [`SessionError`] when contents for the
    /// business cannot be read or kept: then nothing was decided.
    pub async fn decide(&self, picked: &Picked, choice: Choice, by: &str) -> Result<DecideOutcome> {
        let holdings = self.holdings(picked)?;
        let number = self.journal.next_decision()?;
        let decider = Decider { by, at: self.around.clock.now() };
        let (file, changed) = match choice {
            Choice::Both => {
                let (file, changed) = self.for_the_business(&holdings, picked, &decider, number).await?;
                (Some(file), changed)
            }
            Choice::Dr | Choice::Primary => (None, HashSet::new()),
        };
        if file.is_none() {
            let stale = business_file(self.folder(), number);
            forget(&stale).map_err(|source| SessionError::File { path: stale, source })?;
        }
        self.record(&holdings, picked, choice, (by, file.clone()), &changed)
    }

    fn record(
        &self,
        holdings: &[Holding],
        picked: &Picked,
        choice: Choice,
        (by, file): (&str, Option<PathBuf>),
        changed: &HashSet<(StoreId, String)>,
    ) -> Result<DecideOutcome> {
        let mut total = 0;
        let number = self.journal.decide(
            |writer| {
                for Holding { store, plan, named } in holdings {
                    let row = |kept: &Kept| (!changed.contains(&name_of(kept))).then(|| row_of(kept, *plan, choice));
                    match named {
                        Some(named) => named.iter().filter_map(row).try_for_each(|row| writer.item(&row))?,
                        None => writer.held(*plan, store, |body| {
                            let kept = self.kept_of(body)?;
                            Ok(picked.picks(&kept).then(|| row(&kept)).flatten())
                        })?,
                    }
                }
                Ok(())
            },
            |number, items, seal| {
                total = items;
                Event::Decided {
                    number,
                    by: by.to_owned(),
                    choice: choice.word().into(),
                    scope: self.scope(picked),
                    items,
                    seal,
                    file: file.as_ref().map(|file| file.display().to_string()),
                }
            },
        )?;
        let Some(number) = number else {
            if let Some(path) = file {
                forget(&path).map_err(|source| SessionError::File { path, source })?;
            }
            return Err(nothing_picked(changed.len()));
        };
        let changed = changed.len() as u64;
        Ok(DecideOutcome { number, choice, items: total, changed, file, undecided: self.undecided()? })
    }

    /// Takes back a decision; the next plan is made without it, and until then the plan that rests on it is not carried out.
    ///
    /// # Errors
    ///
    /// [`SessionError::NotTakenBack`] when there is none, it was taken back before, or any of its items was written already.
    pub fn take_back(&self, number: i64, by: &str) -> Result<()> {
        let refuse = |why: String| Err(SessionError::NotTakenBack { number, why });
        let state = self.state()?;
        let Some(decision) = state.decisions.iter().find(|decision| decision.number == number) else {
            return refuse("this session has no such decision".into());
        };
        if let Some((at, by)) = &decision.taken_back {
            return refuse(format!("{by} took it back at {at}"));
        }
        self.journal.each_decided(number, &decision.seal, |_| ())?;
        let written = self.journal.carried_out(number)?;
        if written > 0 {
            let items = decision.items;
            return refuse(format!(
                "{written} of its {items} items were replayed already; failback undo is the way to put them back"
            ));
        }
        Ok(self.journal.append(&[Event::TakenBack { number, by: by.to_owned() }])?)
    }

    /// Held items of the newest plan of each store that no standing decision made on that plan is about.
    ///
    /// # Errors
    ///
    /// [`SessionError`] when the journal cannot be read.
    pub fn undecided(&self) -> Result<u64> {
        undecided(&self.journal, &self.state()?)
    }

    /// Allows the plans that this open session makes from now on to pass limits, and records who did.
    ///
    /// # Errors
    ///
    /// [`SessionError`] when it cannot be recorded: then nothing is allowed.
    pub fn allow(&self, more: Allowances, what: Vec<String>, by: &str) -> Result<()> {
        self.journal.append(&[Event::Allowed { by: by.to_owned(), what }])?;
        let mut allowances = self.allowances.lock().expect("nothing panics while it holds the allowances");
        *allowances = allowances.and(more);
        Ok(())
    }

    /// What plans may pass: by the command line and by what was allowed since.
    pub(super) fn allowances(&self) -> Allowances {
        *self.allowances.lock().expect("nothing panics while it holds the allowances")
    }

    /// The newest plan of each chosen store that may hold what is picked, its held items proved to be what was saved.
    fn holdings(&self, picked: &Picked) -> Result<Vec<Holding>> {
        let chosen: HashSet<&str> = self.chosen().into_iter().map(|store| store.name.as_str()).collect();
        let mut plans = newest_plans(&self.journal)?;
        plans.retain(|(store, _)| chosen.contains(store.0.as_str()));
        if plans.is_empty() {
            return Err(SessionError::NoPlan);
        }
        let numbers: BTreeSet<i64> = plans.iter().map(|(_, plan)| *plan).collect();
        numbers.into_iter().try_for_each(|plan| self.journal.prove_kept(plan))?;
        let holding = |(store, plan)| Holding { store, plan, named: None };
        let mut holdings: Vec<Holding> = plans.into_iter().map(holding).collect();
        let Picked::Items(items) = picked else { return Ok(holdings) };
        let items: BTreeSet<&(StoreId, String)> = items.iter().collect();
        for (store, key_json) in items {
            let not_held = || SessionError::NotDecided {
                why: format!("the newest plan holds no item {key_json} of store {store}"),
            };
            let holding = holdings.iter_mut().find(|holding| holding.store == *store).ok_or_else(not_held)?;
            match self.journal.kept_at(holding.plan, store, key_json)? {
                Some((true, body)) => holding.named.get_or_insert_default().push(self.kept_of(&body.to_string())?),
                _ => return Err(not_held()),
            }
        }
        holdings.retain(|holding| holding.named.is_some());
        Ok(holdings)
    }

    /// Writes the contents of what is picked to the business file; gives it with the items that changed since the plan.
    async fn for_the_business(
        &self,
        holdings: &[Holding],
        picked: &Picked,
        decider: &Decider<'_>,
        number: i64,
    ) -> Result<(PathBuf, HashSet<(StoreId, String)>)> {
        let mut file = BusinessFile::create(self.folder(), number)?;
        let mut changed = HashSet::new();
        for holding in holdings {
            let pair = self.pair(self.store_profile(&holding.store)?).await?;
            // Column types are known once the shape was read.
            self.require_same_shape(&pair).await?;
            let mut after = 0;
            while let Some(items) = self.next_items(holding, picked, &mut after)? {
                changed.extend(self.write_business(&pair, &items, decider, &mut file).await?);
            }
        }
        Ok((file.keep()?, changed))
    }

    /// The next items of a holding that are picked, `None` behind the last; `after` is where to go on.
    fn next_items(&self, holding: &Holding, picked: &Picked, after: &mut i64) -> Result<Option<Vec<Kept>>> {
        if let Some(named) = &holding.named {
            let from = usize::try_from(*after).unwrap_or(usize::MAX).min(named.len());
            let items = &named[from..named.len().min(from + ITEMS_AT_ONCE)];
            *after += items.len() as i64;
            return Ok((!items.is_empty()).then(|| items.to_vec()));
        }
        let rows = self.journal.held_after(holding.plan, &holding.store, *after, ITEMS_AT_ONCE)?;
        let Some((last, _)) = rows.last() else { return Ok(None) };
        *after = *last;
        let items = rows.iter().map(|(_, body)| self.kept_of(body)).collect::<std::result::Result<Vec<_>, _>>()?;
        Ok(Some(items.into_iter().filter(|kept| picked.picks(kept)).collect()))
    }

    fn kept_of(&self, body: &str) -> std::result::Result<Kept, JournalError> {
        serde_json::from_str(body).map_err(|error| JournalError::Damaged {
            folder: self.folder().to_owned(),
            what: format!("a held item: {error}"),
        })
    }

    /// What was picked, in words, with the stores that the command was limited to.
    fn scope(&self, picked: &Picked) -> String {
        match (picked, self.options.stores.as_slice()) {
            (Picked::Rule(Rule { store: None, .. }), [_, ..]) => {
                format!("{} (store {})", picked.words(), self.options.stores.join(", "))
            }
            _ => picked.words(),
        }
    }
}

/// Held items of the newest plan of each store that no standing decision made on that plan is about.
///
/// # Errors
///
/// [`SessionError`] when the journal cannot be read.
pub fn undecided(journal: &Journal, state: &SessionState) -> Result<u64> {
    let taken_back = state.taken_back();
    let plans = newest_plans(journal)?.into_iter();
    plans.map(|(store, plan)| Ok(journal.undecided(plan, &store, &taken_back)?)).sum()
}

fn nothing_picked(changed: usize) -> SessionError {
    let why = match changed {
        0 => "the newest plan holds no such item".to_owned(),
        _ => format!("all {changed} items changed since the plan; plan anew to see them as they are"),
    };
    SessionError::NotDecided { why }
}

fn name_of(kept: &Kept) -> (StoreId, String) {
    (kept.store.clone(), kept.key.to_string())
}

fn row_of(kept: &Kept, plan: i64, choice: Choice) -> DecisionRow {
    DecisionRow {
        plan,
        store: kept.store.clone(),
        key_json: kept.key.to_string(),
        primary: kept.primary,
        dr: kept.dr,
        choice: choice.word().into(),
    }
}
