//! Which windows to export, so that they follow one another without a gap and each is of a length that the service takes. Pure.

use jiff::SignedDuration;

use crate::model::Timestamp;
use crate::store::Window;
use crate::store::dynamodb::export::WINDOW_HOURS_MAX;

/// The shortest window of an incremental export.
pub const SHORTEST: SignedDuration = SignedDuration::from_mins(15);
/// The longest one.
const LONGEST: SignedDuration = SignedDuration::from_hours(WINDOW_HOURS_MAX);

/// Windows that cover `from` to `to`; none where that is shorter than the shortest window.
pub fn windows(from: Timestamp, to: Timestamp) -> Vec<Window> {
    let mut windows = Vec::new();
    let mut begin = from;
    while to.duration_since(begin) >= SHORTEST {
        let rest = to.duration_since(begin);
        let length = match rest {
            rest if rest <= LONGEST => rest,
            // What is left after a longest window must be enough for another one.
            rest if rest < LONGEST + SHORTEST => rest - SHORTEST,
            _ => LONGEST,
        };
        let Ok(end) = begin.checked_add(length) else { break };
        windows.push(Window { from: begin, to: end });
        begin = end;
    }
    windows
}

/// What windows leave out from `from` to the end of the last of them, in any order.
pub fn gaps(from: Timestamp, mut windows: Vec<Window>) -> Vec<Window> {
    windows.sort_by_key(|window| window.from);
    let (mut gaps, mut covered) = (Vec::new(), from);
    for window in windows {
        if window.from > covered {
            gaps.push(Window { from: covered, to: window.from });
        }
        covered = covered.max(window.to);
    }
    gaps
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn windows_cover_the_span_without_gaps_and_fit_the_service(seconds in 0i64..40 * 86_400) {
            let from: Timestamp = "2026-11-22T03:08:30Z".parse().expect("an instant");
            let to = from.checked_add(SignedDuration::from_secs(seconds)).expect("in range");
            let windows = windows(from, to);
            prop_assert_eq!(windows.is_empty(), seconds < SHORTEST.as_secs());
            for window in &windows {
                let length = window.to.duration_since(window.from);
                prop_assert!(length >= SHORTEST && length <= LONGEST, "{}", length);
            }
            for pair in windows.windows(2) {
                prop_assert_eq!(pair[0].to, pair[1].from);
            }
            if let (Some(first), Some(last)) = (windows.first(), windows.last()) {
                prop_assert_eq!((first.from, last.to), (from, to));
            }
            prop_assert_eq!(gaps(from, windows.clone()), vec![]);
            // Whichever window is taken away is the gap.
            for missing in windows.iter().rev().skip(1) {
                let others = windows.iter().copied().filter(|window| window != missing).collect();
                prop_assert_eq!(gaps(from, others), vec![*missing]);
            }
        }
    }
}
