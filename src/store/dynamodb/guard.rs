//! Conditions that hold only while the target still is what was observed.

use std::collections::{BTreeMap, HashMap};

use super::value::{Attributes, ValueError, size_of, to_attribute};
use crate::model::Value;

/// Length of an expression, in bytes.
const EXPRESSION_BYTES_MAX: usize = 4 * 1024;
/// Operators and functions in one expression, `AND` counted among them.
const OPERATORS_MAX: usize = 300;
/// Sum of all names and values an expression refers to, in bytes.
const SUBSTITUTION_BYTES_MAX: u64 = 2 * 1024 * 1024;

/// One condition expression with what it refers to.
#[derive(Debug, Clone)]
pub(super) struct Guard {
    pub(super) expression: String,
    pub(super) names: HashMap<String, String>,
    /// `None` where the expression has no values: the service refuses an empty map.
    pub(super) values: Option<Attributes>,
}

impl Guard {
    /// Holds while there is no such item.
    pub(super) fn absent(partition_key: &str) -> Guard {
        let names = HashMap::from([("#0".to_owned(), partition_key.to_owned())]);
        Guard { expression: expression(0, 1), names, values: None }
    }

    /// Holds while every attribute of `expected` is as observed and the attributes that only `wanted` has are still missing.
    ///
    /// Where that is too wide for one expression, the version attribute alone is compared; `None` when `expected` has none.
    pub(super) fn unchanged(
        expected: &BTreeMap<String, Value>,
        wanted: Option<&BTreeMap<String, Value>>,
        version_attribute: Option<&str>,
    ) -> Result<Option<Guard>, ValueError> {
        let new: Vec<&String> =
            wanted.into_iter().flat_map(BTreeMap::keys).filter(|name| !expected.contains_key(*name)).collect();
        let bytes = size_of(expected) + new.iter().map(|name| name.len() as u64).sum::<u64>();
        if Guard::fits(expected.len(), new.len()) && bytes <= SUBSTITUTION_BYTES_MAX {
            return Guard::of(&expected.iter().collect::<Vec<_>>(), &new).map(Some);
        }
        match version_attribute.and_then(|version| expected.get_key_value(version)) {
            Some(version) => Guard::of(&[version], &[]).map(Some),
            None => Ok(None),
        }
    }

    /// Whether a condition on `equal` attributes to be equal and `missing` ones to be missing is within the service's limits.
    pub(super) fn fits(equal: usize, missing: usize) -> bool {
        let terms = equal + missing;
        terms * 2 <= OPERATORS_MAX + 1 && expression(equal, missing).len() <= EXPRESSION_BYTES_MAX
    }

    fn of(equal: &[(&String, &Value)], missing: &[&String]) -> Result<Guard, ValueError> {
        let names = equal.iter().map(|(name, _)| *name).chain(missing.iter().copied());
        let names = names.enumerate().map(|(index, name)| (format!("#{index}"), name.clone())).collect();
        let values =
            equal.iter().enumerate().map(|(index, (_, value))| Ok((format!(":{index}"), to_attribute(value)?)));
        let values: Attributes = values.collect::<Result<_, ValueError>>()?;
        let values = (!values.is_empty()).then_some(values);
        Ok(Guard { expression: expression(equal.len(), missing.len()), names, values })
    }
}

fn expression(equal: usize, missing: usize) -> String {
    let equal_terms = (0..equal).map(|index| format!("#{index}=:{index}"));
    let missing_terms = (equal..equal + missing).map(|index| format!("attribute_not_exists(#{index})"));
    equal_terms.chain(missing_terms).collect::<Vec<_>>().join(" AND ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(count: usize) -> BTreeMap<String, Value> {
        (0..count).map(|n| (format!("a{n:03}"), Value::Bool(true))).collect()
    }

    #[test]
    fn every_attribute_is_compared_and_new_ones_must_be_missing() {
        let wanted = BTreeMap::from([("a000".to_owned(), Value::Null), ("b".to_owned(), Value::Null)]);
        let guard = Guard::unchanged(&entries(2), Some(&wanted), None).expect("writable").expect("narrow");
        assert_eq!(guard.expression, "#0=:0 AND #1=:1 AND attribute_not_exists(#2)");
        assert_eq!(guard.names["#2"], "b");
        assert_eq!(guard.values.map(|values| values.len()), Some(2));
    }

    #[test]
    fn limits_are_kept_to_the_operator() {
        assert!(Guard::fits(150, 0));
        assert!(!Guard::fits(151, 0));
        assert!(!Guard::fits(0, 151));
        let widest = Guard::unchanged(&entries(150), None, None).expect("writable").expect("fits");
        assert!(widest.expression.len() <= EXPRESSION_BYTES_MAX);
        assert!(Guard::unchanged(&entries(151), None, None).expect("writable").is_none());
        assert!(
            Guard::unchanged(&entries(150), Some(&BTreeMap::from([("b".into(), Value::Null)])), None)
                .is_ok_and(|guard| guard.is_none())
        );
    }

    #[test]
    fn a_wide_item_is_guarded_by_its_version() {
        let guard = Guard::unchanged(&entries(400), None, Some("a007")).expect("writable").expect("versioned");
        assert_eq!(guard.expression, "#0=:0");
        assert_eq!(guard.names["#0"], "a007");
        assert!(Guard::unchanged(&entries(400), None, Some("version")).expect("writable").is_none());
    }

    #[test]
    fn absence_needs_no_values() {
        let guard = Guard::absent("id");
        assert_eq!(guard.expression, "attribute_not_exists(#0)");
        assert!(guard.values.is_none());
    }
}
