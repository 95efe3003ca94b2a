//! Names that are equal but for their Region, their role or a date.

/// Words that say which copy a resource is.
const PRIMARY_WORDS: [&str; 3] = ["primary", "main", "origin"];
const DR_WORDS: [&str; 11] = [
    "dr",
    "secondary",
    "standby",
    "recovery",
    "recovered",
    "restored",
    "restore",
    "replica",
    "replicated",
    "failover",
    "backup",
];

/// Both Regions' names, to tell a name's own words from where it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Regions<'a> {
    pub(super) primary: &'a str,
    pub(super) dr: &'a str,
}

/// Which side a text names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Names {
    Primary,
    Dr,
    Neither,
    Both,
}

impl Regions<'_> {
    /// A name without what tells copies apart: its own words, joined by hyphens.
    pub(super) fn core(&self, name: &str) -> String {
        let words = words(name);
        let mut kept = Vec::new();
        let mut at = 0;
        while at < words.len() {
            match self.apart(&words[at..]) {
                0 => {
                    kept.push(words[at].as_str());
                    at += 1;
                }
                length => at += length,
            }
        }
        if kept.is_empty() { words.join("-") } else { kept.join("-") }
    }

    /// How many words at the beginning tell a copy apart.
    fn apart(&self, words: &[String]) -> usize {
        let place = region_at(words, self.primary).max(region_at(words, self.dr));
        let is_role = |word: &str| {
            // A store of backups is no copy of what it is a backup of.
            (PRIMARY_WORDS.contains(&word) || DR_WORDS.contains(&word)) && word != "backup" && word != "main"
        };
        place.max(usize::from(is_role(&words[0]))).max(date_at(words))
    }

    /// Which side a text names, by Region or by role.
    pub(super) fn side_of(&self, text: &str) -> Names {
        let words = words(text);
        let at = |region: &str| (0..words.len()).any(|at| region_at(&words[at..], region) > 0);
        let any = |known: &[&str]| words.iter().any(|word| known.contains(&word.as_str()));
        match (at(self.primary) || any(&PRIMARY_WORDS), at(self.dr) || any(&DR_WORDS)) {
            (true, true) => Names::Both,
            (true, false) => Names::Primary,
            (false, true) => Names::Dr,
            (false, false) => Names::Neither,
        }
    }
}

/// The words of a name, in lower case.
fn words(name: &str) -> Vec<String> {
    let lower = name.to_lowercase();
    lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// How many words at the beginning name a Region: `us-east-1`, `useast1`, `use1`, `us-east`, `east1` or `east`.
fn region_at(words: &[String], region: &str) -> usize {
    let parts: Vec<&str> = region.split('-').collect();
    let begins =
        |parts: &[&str]| words.len() >= parts.len() && parts.iter().zip(words).all(|(part, word)| part == word);
    let [.., direction, number] = parts.as_slice() else { return 0 };
    let all_but_number = &parts[..parts.len() - 1];
    let code = format!("{}{}{number}", all_but_number[..all_but_number.len() - 1].concat(), code_of(direction));
    let single =
        [parts.concat(), all_but_number.concat(), code, format!("{direction}{number}"), (*direction).to_owned()];
    let forms = [parts.as_slice(), all_but_number, &[direction, number]];
    let longest = forms.into_iter().filter(|form| begins(form)).map(<[&str]>::len).max().unwrap_or(0);
    longest.max(usize::from(words.first().is_some_and(|word| single.contains(word))))
}

/// A direction as short codes spell it: `e` for `east`, `se` for `southeast`.
fn code_of(direction: &str) -> String {
    let known = ["north", "south", "east", "west", "central"];
    let (mut rest, mut code) = (direction, String::new());
    while let Some(word) = known.iter().find(|word| rest.starts_with(**word)) {
        code.push_str(&word[..1]);
        rest = &rest[word.len()..];
    }
    code
}

/// How many words at the beginning are a date or an instant: `20261122`, `2026-11-22`, `20261122t0310`, `202611220310`.
fn date_at(words: &[String]) -> usize {
    let digits = |word: &str, length: usize| word.len() == length && word.bytes().all(|b| b.is_ascii_digit());
    let is_year = |word: &str| word.starts_with("19") || word.starts_with("20");
    let first = words[0].as_str();
    let day = match words {
        [year, month, day, ..] if digits(year, 4) && is_year(year) && digits(month, 2) && digits(day, 2) => 3,
        _ => {
            let plain: String = first.chars().filter(|c| !matches!(c, 't' | 'z')).collect();
            usize::from(is_year(first) && [8, 12, 14].iter().any(|length| digits(&plain, *length)))
        }
    };
    // A time of day belongs to the date before it.
    let time = words.get(day).is_some_and(|word| digits(word, 4) || digits(word, 6));
    if day > 0 && time { day + 1 } else { day }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REGIONS: Regions<'_> = Regions { primary: "us-east-1", dr: "us-west-2" };

    #[test]
    fn a_name_is_told_from_where_it_is_and_when_it_was_made() {
        for (name, core) in [
            ("orders", "orders"),
            ("orders-restored", "orders"),
            ("Orders_DR", "orders"),
            ("dr.orders", "orders"),
            ("shop-media-us-east-1", "shop-media"),
            ("shop-media-usw2", "shop-media"),
            ("useast1-media", "media"),
            ("maps-east", "maps"),
            ("maps-west2", "maps"),
            ("orders-restored-20261122", "orders"),
            ("orders-2026-11-22", "orders"),
            ("orders-2026-11-22-0310", "orders"),
            ("orders-20261122T031000Z", "orders"),
            ("orders-backup", "orders-backup"),
            ("orders-2", "orders-2"),
            ("orders-eu-west-1", "orders-eu-1"),
            ("order-2026", "order-2026"),
            ("replica", "replica"),
            ("us-east-1", "us-east-1"),
        ] {
            assert_eq!(REGIONS.core(name), core, "{name}");
        }
        let regions = Regions { primary: "ap-southeast-2", dr: "us-gov-west-1" };
        for name in ["logs-apse2", "logs-ap-southeast-2", "logs-usgovw1", "logs-us-gov-west-1"] {
            assert_eq!(regions.core(name), "logs", "{name}");
        }
    }

    #[test]
    fn a_text_names_a_side_by_region_or_by_role() {
        for (text, names) in [
            ("primary", Names::Primary),
            ("app-use1", Names::Primary),
            ("lb-1.us-east-1.elb.amazonaws.com.", Names::Primary),
            ("secondary", Names::Dr),
            ("app DR", Names::Dr),
            ("us-west-2", Names::Dr),
            ("blue", Names::Neither),
            ("primary-us-west-2", Names::Both),
            ("192.0.2.1", Names::Neither),
        ] {
            assert_eq!(REGIONS.side_of(text), names, "{text}");
        }
    }
}
