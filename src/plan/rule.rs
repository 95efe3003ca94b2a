//! A rule that picks held items. Pure.

use super::Kept;
use crate::model::{Change, StoreId, Verdict};

/// Which held items a person means; what is not said is not asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rule {
    /// Of this store only.
    pub store: Option<StoreId>,
    /// With this verdict only.
    pub verdict: Option<Verdict>,
    /// With this change only.
    pub change: Option<Change>,
    /// With this text in the key's JSON only.
    pub text: Option<String>,
}

impl Rule {
    /// Whether the rule picks an item.
    pub fn picks(&self, kept: &Kept) -> bool {
        let Rule { store, verdict, change, text } = self;
        store.as_ref().is_none_or(|store| *store == kept.store)
            && verdict.is_none_or(|verdict| verdict == kept.verdict)
            && change.is_none_or(|change| change == kept.change)
            && text.as_ref().is_none_or(|text| kept.key.to_string().contains(text))
    }

    /// The rule in words.
    pub fn words(&self) -> String {
        let Rule { store, verdict, change, text } = self;
        let parts = [
            store.as_ref().map(|store| format!("of store {store}")),
            verdict.map(|verdict| format!("verdict {verdict}")),
            change.map(|change| format!("change {change}")),
            text.as_ref().map(|text| format!("with {text:?} in the key")),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        if parts.is_empty() { "all held items".into() } else { format!("held items {}", parts.join(", ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(store: &str, id: &str, verdict: Verdict, change: Change) -> Kept {
        Kept {
            store: StoreId(store.into()),
            key: serde_json::json!({ "id": { "S": id } }),
            verdict,
            change,
            primary: None,
            dr: None,
            reason: "changed on both sides".into(),
            canonical_key: String::new(),
            decision: None,
        }
    }

    #[test]
    fn a_rule_picks_what_all_of_its_parts_fit() {
        let item = kept("orders", "o-17", Verdict::Conflict, Change::Update);
        let rule = Rule::default();
        assert!(rule.picks(&item));
        assert_eq!(rule.words(), "all held items");
        let full = Rule {
            store: Some(StoreId("orders".into())),
            verdict: Some(Verdict::Conflict),
            change: Some(Change::Update),
            text: Some("o-1".into()),
        };
        assert!(full.picks(&item));
        assert_eq!(
            full.words(),
            "held items of store orders, verdict conflict, change update, with \"o-1\" in the key"
        );
        for other in [
            kept("media", "o-17", Verdict::Conflict, Change::Update),
            kept("orders", "o-17", Verdict::Stranded, Change::Update),
            kept("orders", "o-17", Verdict::Conflict, Change::Delete),
            kept("orders", "o-2", Verdict::Conflict, Change::Update),
        ] {
            assert!(!full.picks(&other), "{other:?}");
        }
    }
}
