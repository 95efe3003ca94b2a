//! Reads fields out of a TOML table whose every key and value knows where it stands.
//!
//! A field that is missing or wrong leaves a complaint and a placeholder behind, so that one reading finds everything that
//! is wrong; no placeholder outlives a reading with complaints.

use std::cell::RefCell;
use std::ops::{Range, RangeInclusive};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Secret;
use super::error::Complaint;
use super::schema::{Asked, Rule, Shape};
use crate::model::{Percent, Timestamp};

/// Where `${NAME}` stands for an environment variable.
type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// One reading of a profile.
pub(super) struct Reading<'a> {
    pub(super) text: &'a str,
    pub(super) env: Env<'a>,
    pub(super) complaints: RefCell<Vec<(usize, Complaint)>>,
    /// Everything that was asked for, which the schema is made of.
    pub(super) asked: RefCell<Asked>,
}

impl Reading<'_> {
    /// Notes what is wrong at `span`; only the first complaint about one field at one place is kept.
    pub(super) fn complain(&self, span: &Range<usize>, field: &str, what: impl Into<String>, hint: Option<String>) {
        let mut complaints = self.complaints.borrow_mut();
        if !complaints.iter().any(|(at, earlier)| *at == span.start && earlier.field == field) {
            complaints.push((span.start, Complaint::at(self.text, span, field, what.into(), hint)));
        }
    }

    /// Whether nothing is wrong so far.
    pub(super) fn is_clean(&self) -> bool {
        self.complaints.borrow().is_empty()
    }
}

/// A string by a name that the profile gives, and where the name stands.
pub(super) struct Named {
    pub(super) name: String,
    pub(super) text: String,
    pub(super) span: Range<usize>,
}

/// One table, being read.
pub(super) struct Table<'a> {
    pub(super) reading: &'a Reading<'a>,
    /// The tables it is in and its own name; empty for the document.
    pub(super) path: String,
    /// The same without places in arrays and names of stores: which table of the schema it is.
    shape: String,
    pub(super) span: Range<usize>,
    entries: &'a DeTable<'a>,
    asked: RefCell<Vec<&'static str>>,
}

impl<'a> Table<'a> {
    /// The document itself.
    pub(super) fn root(reading: &'a Reading<'a>, entries: &'a DeTable<'a>) -> Self {
        Table::new(reading, String::new(), String::new(), 0..0, entries)
    }

    fn new(
        reading: &'a Reading<'a>,
        path: String,
        shape: String,
        span: Range<usize>,
        entries: &'a DeTable<'a>,
    ) -> Self {
        reading.asked.borrow_mut().table(&shape);
        Table { reading, path, shape, span, entries, asked: RefCell::new(Vec::new()) }
    }

    /// Notes for the schema what a field may be.
    fn note(&self, name: &'static str, shape: Shape) {
        self.reading.asked.borrow_mut().table(&self.shape).field(name, shape);
    }

    /// Notes for the schema what holds between fields.
    pub(super) fn rule(&self, rule: Rule) {
        self.reading.asked.borrow_mut().table(&self.shape).rule(rule);
    }

    fn shape_of(&self, name: &str) -> String {
        if self.shape.is_empty() { name.to_owned() } else { format!("{}.{name}", self.shape) }
    }

    /// The field's name with the tables it is in.
    pub(super) fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// The value's place, or the table's where there is no such field.
    pub(super) fn span_of(&self, name: &str) -> Range<usize> {
        self.entries.get(name).map_or_else(|| self.span.clone(), Spanned::span)
    }

    /// Notes what is wrong with a field.
    pub(super) fn complain(&self, name: &str, what: impl Into<String>, hint: Option<&str>) {
        self.reading.complain(&self.span_of(name), &self.path_of(name), what, hint.map(str::to_owned));
    }

    /// Whether the field is there.
    pub(super) fn has(&self, name: &'static str) -> bool {
        self.value(name).is_some()
    }

    fn value(&self, name: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.asked.borrow_mut().push(name);
        self.entries.get(name)
    }

    /// Complains when a field is not there.
    pub(super) fn require(&self, name: &'static str, hint: Option<&str>) {
        self.rule(Rule::Required(name));
        if !self.has(name) {
            self.missing(name, hint);
        }
    }

    /// Complains unless exactly one of these is there; how many are.
    pub(super) fn require_one(&self, names: &'static [&'static str]) -> usize {
        self.rule(Rule::One(names));
        let given = names.iter().filter(|name| self.has(name)).count();
        if given != 1 {
            self.not_one(names, given);
        }
        given
    }

    /// Complains that not exactly one of these is there.
    pub(super) fn not_one(&self, names: &[&str], given: usize) {
        let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        let (last, first) = names.split_last().expect("one of several names");
        let what = format!("exactly one of {} and {last} is needed, {given} are given", first.join(", "));
        self.reading.complain(&self.span, &self.path, what, None);
    }

    /// Notes that a field is missing.
    pub(super) fn missing(&self, name: &str, hint: Option<&str>) {
        let place = if self.path.is_empty() { "the profile".to_owned() } else { format!("`{}`", self.path) };
        self.complain(name, format!("missing field `{name}` in {place}"), hint);
    }

    fn wrong_type(&self, name: &str, wanted: &str, found: &DeValue<'_>) {
        let found = match found {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a float",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a table",
        };
        self.complain(name, format!("wrong type: expected {wanted}, found {found}"), None);
    }

    /// A string of any content.
    pub(super) fn raw_text(&self, name: &'static str) -> Option<&'a str> {
        let value = self.value(name)?;
        match value.get_ref() {
            DeValue::String(text) => Some(text),
            other => {
                self.wrong_type(name, "a string", other);
                None
            }
        }
    }

    /// A string without `${..}`; it may be empty.
    pub(super) fn text_or_empty(&self, name: &'static str) -> Option<String> {
        self.note(name, Shape::Text);
        self.clean_text(name)
    }

    fn clean_text(&self, name: &'static str) -> Option<String> {
        let text = self.raw_text(name)?;
        if text.contains("${") {
            let hint = "only `password`, `access_key_id`, `secret_access_key` and `session_token` may be `${NAME}`";
            self.complain(name, "environment variables are not substituted here", Some(hint));
        }
        if text.chars().any(char::is_control) {
            self.complain(name, "must not hold control characters", None);
        }
        Some(text.to_owned())
    }

    /// A string with something in it.
    pub(super) fn text(&self, name: &'static str) -> Option<String> {
        self.note(name, Shape::FilledText);
        let text = self.clean_text(name)?;
        if text.trim().is_empty() {
            self.complain(name, "must not be empty", None);
        }
        Some(text)
    }

    /// A string that must be there.
    pub(super) fn need_text(&self, name: &'static str) -> String {
        self.require(name, None);
        self.text(name).unwrap_or_default()
    }

    /// A string, or the environment variable that `${NAME}` names.
    pub(super) fn secret(&self, name: &'static str) -> Option<Secret> {
        self.note(name, Shape::FilledText);
        let text = self.raw_text(name)?;
        let value = if text.contains("${") { self.variable(name, text) } else { text.to_owned() };
        if text.is_empty() {
            self.complain(name, "must not be empty", None);
        }
        Some(Secret(value))
    }

    fn variable(&self, field: &'static str, text: &str) -> String {
        let named = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
        let fits = |name: &&str| {
            !name.is_empty()
                && !name.starts_with(|c: char| c.is_ascii_digit())
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        };
        let Some(name) = named.filter(fits) else {
            self.complain(field, "must be one `${NAME}` and nothing else", Some("write it as \"${NAME}\""));
            return String::new();
        };
        match (self.reading.env)(name) {
            Some(value) if !value.is_empty() => value,
            Some(_) => {
                self.complain(field, format!("environment variable `{name}` is empty"), Some("set it and run again"));
                String::new()
            }
            None => {
                self.complain(field, format!("environment variable `{name}` is not set"), Some("set it and run again"));
                String::new()
            }
        }
    }

    /// One of the given words.
    pub(super) fn word<T: Copy>(&self, name: &'static str, words: &[(&'static str, T)]) -> Option<T> {
        self.word_of(name, words, |_| true)
    }

    /// One of the given words, of which only some are `usable` here; the caller complains about the others.
    pub(super) fn word_of<T: Copy>(
        &self,
        name: &'static str,
        words: &[(&'static str, T)],
        usable: impl Fn(T) -> bool,
    ) -> Option<T> {
        let fit = words.iter().filter(|(_, meaning)| usable(*meaning)).map(|(word, _)| *word);
        self.note(name, Shape::Word(fit.collect()));
        let text = self.raw_text(name)?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning);
        if found.is_none() {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.unknown_word(name, text, &known);
        }
        found
    }

    /// Notes that a word is not one of those known.
    pub(super) fn unknown_word(&self, name: &str, word: &str, known: &[&str]) {
        let hint = format!("one of: {}", known.join(", "));
        self.complain(name, format!("unknown {name} `{word}`{}", did_you_mean(word, known)), Some(&hint));
    }

    /// A whole number within bounds.
    pub(super) fn number(&self, name: &'static str, bounds: RangeInclusive<u64>) -> Option<u64> {
        self.note(name, Shape::Number(*bounds.start(), *bounds.end()));
        let number = match self.value(name)?.get_ref() {
            DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix()).ok(),
            other => {
                self.wrong_type(name, "a whole number", other);
                return None;
            }
        };
        match number.and_then(|number| u64::try_from(number).ok()).filter(|number| bounds.contains(number)) {
            Some(number) => Some(number),
            None => {
                let what = format!("must be a whole number from {} to {}", bounds.start(), bounds.end());
                self.complain(name, what, None);
                None
            }
        }
    }

    /// `true` or `false`.
    pub(super) fn truth(&self, name: &'static str) -> Option<bool> {
        self.note(name, Shape::Truth);
        match self.value(name)?.get_ref() {
            DeValue::Boolean(is_so) => Some(*is_so),
            other => {
                self.wrong_type(name, "true or false", other);
                None
            }
        }
    }

    /// A whole percentage.
    pub(super) fn percent(&self, name: &'static str) -> Option<Percent> {
        self.number(name, 0..=100).map(percent)
    }

    /// Percentages with their places.
    pub(super) fn percents(&self, name: &'static str) -> Option<Vec<(Percent, Range<usize>)>> {
        self.note(name, Shape::Percents);
        let DeValue::Array(items) = self.value(name)?.get_ref() else {
            self.complain(name, "wrong type: expected an array of percentages", None);
            return None;
        };
        let mut percents = Vec::new();
        for item in items.iter() {
            let number = match item.get_ref() {
                DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix()).ok(),
                _ => None,
            };
            match number.filter(|number| *number <= 100) {
                Some(number) => percents.push((percent(number), item.span())),
                None => {
                    let what = "must be a whole number from 0 to 100";
                    self.reading.complain(&item.span(), &self.path_of(name), what, None);
                }
            }
        }
        Some(percents)
    }

    /// An instant, as a TOML date-time with an offset or as text.
    pub(super) fn instant(&self, name: &'static str) -> Option<Timestamp> {
        self.note(name, Shape::Instant);
        let text = match self.value(name)?.get_ref() {
            DeValue::Datetime(instant) => instant.to_string(),
            DeValue::String(text) => text.to_string(),
            other => {
                self.wrong_type(name, "a date-time", other);
                return None;
            }
        };
        let instant = text.parse();
        if instant.is_err() {
            let hint = "write it in UTC, such as 2026-11-22T03:10:00Z";
            self.complain(name, "not an instant: a date, a time and an offset are needed", Some(hint));
        }
        instant.ok()
    }

    /// Strings with their places; elements that are not strings or are empty leave a complaint.
    pub(super) fn texts(&self, name: &'static str) -> Option<Vec<(String, Range<usize>)>> {
        self.note(name, Shape::Texts);
        let DeValue::Array(items) = self.value(name)?.get_ref() else {
            self.complain(name, "wrong type: expected an array of strings", None);
            return None;
        };
        let mut texts = Vec::new();
        for item in items.iter() {
            match item.get_ref() {
                DeValue::String(text) if !text.is_empty() => texts.push((text.to_string(), item.span())),
                _ => {
                    let what = "must be a string that is not empty";
                    self.reading.complain(&item.span(), &self.path_of(name), what, None);
                }
            }
        }
        if items.iter().next().is_none() {
            self.complain(name, "must not be empty", None);
        }
        Some(texts)
    }

    /// Strings with something in them, by names that are not known beforehand.
    pub(super) fn texts_by_name(&self, name: &'static str) -> Vec<Named> {
        self.note(name, Shape::TextsByName);
        let Some(value) = self.value(name) else { return Vec::new() };
        let DeValue::Table(entries) = value.get_ref() else {
            self.wrong_type(name, "a table of strings", value.get_ref());
            return Vec::new();
        };
        let mut texts = Vec::new();
        for (key, value) in entries {
            match value.get_ref() {
                DeValue::String(text) if !text.trim().is_empty() && !text.chars().any(char::is_control) => {
                    texts.push(Named { name: key.get_ref().to_string(), text: text.to_string(), span: key.span() });
                }
                _ => {
                    let path = format!("{}.{}", self.path_of(name), key.get_ref());
                    let what = "must be a string that is not empty and holds no control characters";
                    self.reading.complain(&value.span(), &path, what, None);
                }
            }
        }
        if entries.is_empty() {
            self.complain(name, "must not be empty", None);
        }
        texts
    }

    /// One string with something in it, or an array of them.
    pub(super) fn text_or_texts(&self, name: &'static str) -> Option<Vec<(String, Range<usize>)>> {
        self.note(name, Shape::FilledText);
        self.note(name, Shape::Texts);
        match self.value(name)?.get_ref() {
            DeValue::Array(_) => self.texts(name),
            _ => self.text(name).map(|text| vec![(text, self.span_of(name))]),
        }
    }

    /// A program and its arguments.
    pub(super) fn command(&self, name: &'static str) -> Option<Vec<String>> {
        self.texts(name).map(|texts| texts.into_iter().map(|(text, _)| text).collect())
    }

    /// Whether the field is a table.
    pub(super) fn is_table(&self, name: &str) -> bool {
        self.entries.get(name).is_some_and(|value| matches!(value.get_ref(), DeValue::Table(_)))
    }

    /// A table within this one.
    pub(super) fn table(&self, name: &'static str) -> Option<Table<'a>> {
        self.note(name, Shape::Table);
        let value = self.value(name)?;
        match value.get_ref() {
            DeValue::Table(entries) => {
                Some(Table::new(self.reading, self.path_of(name), self.shape_of(name), value.span(), entries))
            }
            other => {
                self.wrong_type(name, "a table", other);
                None
            }
        }
    }

    /// A table that must be there.
    pub(super) fn need_table(&self, name: &'static str) -> Option<Table<'a>> {
        self.require(name, None);
        self.table(name)
    }

    /// The tables of an array, such as `[[store]]`.
    pub(super) fn tables(&self, name: &'static str) -> Option<Vec<Table<'a>>> {
        self.note(name, Shape::Tables);
        let value = self.value(name)?;
        let DeValue::Array(items) = value.get_ref() else {
            self.wrong_type(name, &format!("an array of tables, [[{name}]]"), value.get_ref());
            return None;
        };
        let mut tables = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let path = format!("{}[{}]", self.path_of(name), index + 1);
            match item.get_ref() {
                DeValue::Table(entries) => {
                    tables.push(Table::new(self.reading, path, self.shape_of(name), item.span(), entries));
                }
                _ => self.reading.complain(&item.span(), &path, "wrong type: expected a table", None),
            }
        }
        Some(tables)
    }

    /// The string fields of a table whose names are among those known.
    pub(super) fn known_texts(&self, known: &[&'static str]) -> Vec<(&'static str, String)> {
        known.iter().filter_map(|name| self.text(name).map(|text| (*name, text))).collect()
    }

    /// Complains about every field that was not asked for.
    pub(super) fn finish(self) {
        let mut known = self.asked.into_inner();
        known.sort_unstable();
        known.dedup();
        for key in self.entries.keys().filter(|key| !known.contains(&key.get_ref().as_ref())) {
            let name = key.get_ref().as_ref();
            let path = if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) };
            let what = format!("unknown field `{name}`{}", did_you_mean(name, &known));
            let hint = Some(format!("fields here: {}", known.join(", ")));
            // A misspelt field may hold a secret.
            let complaint = Complaint::at(self.reading.text, &key.span(), &path, what, hint).without_rest_of_line();
            self.reading.complaints.borrow_mut().push((key.span().start, complaint));
        }
    }
}

fn percent(number: u64) -> Percent {
    u8::try_from(number).ok().and_then(|number| Percent::new(number).ok()).expect("checked to be at most 100")
}

/// `, did you mean ..?` with the nearest of the known words, where one is near.
fn did_you_mean(word: &str, known: &[&str]) -> String {
    let lower = word.to_lowercase();
    let nearest = known
        .iter()
        .map(|known| (strsim::damerau_levenshtein(&lower, known), known))
        .filter(|(distance, known)| *distance <= 1 + known.len() / 3 && *distance < known.len())
        .min_by_key(|(distance, _)| *distance);
    nearest.map_or_else(String::new, |(_, known)| format!(", did you mean `{known}`?"))
}
