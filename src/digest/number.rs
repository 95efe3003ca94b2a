//! Numbers from their texts straight to canonical text.

use crate::model::{Decimal, DecimalError};

/// Digits of a number that is written without a detour, at most; DynamoDB has no more.
const DIGITS_MAX: usize = 40;

/// Appends the canonical text of the number that `text` spells, as [`Decimal::canonical`] has it.
///
/// # Errors
///
/// [`DecimalError`] when it is not a finite decimal number; what was appended is then of no use.
pub fn put_number_text(out: &mut Vec<u8>, text: &[u8]) -> Result<(), DecimalError> {
    let start = out.len();
    if !put_plain(out, text) {
        out.truncate(start);
        let number: Decimal = std::str::from_utf8(text).map_err(|_| DecimalError)?.parse()?;
        out.extend_from_slice(number.canonical().as_bytes());
    }
    Ok(())
}

/// Appends the canonical text of a whole number, as [`Decimal::canonical`] has it.
pub fn put_integer(out: &mut Vec<u8>, number: i64) {
    if number == 0 {
        out.extend_from_slice(b"0E0");
        return;
    }
    if number < 0 {
        out.push(b'-');
    }
    let (mut digits, mut exponent) = (number.unsigned_abs(), 0);
    while digits.is_multiple_of(10) {
        digits /= 10;
        exponent += 1;
    }
    put_digits(out, digits, 1);
    put_exponent(out, exponent);
}

/// Appends a number in at least so many digits, zeros before it.
pub fn put_digits(out: &mut Vec<u8>, mut number: u64, digits_min: usize) {
    let start = out.len();
    while number > 0 || out.len() - start < digits_min {
        out.push(b'0' + (number % 10) as u8);
        number /= 10;
    }
    out[start..].reverse();
}

/// Appends the canonical text of a number of few digits without an exponent, or appends anything and gives false.
fn put_plain(out: &mut Vec<u8>, text: &[u8]) -> bool {
    let (is_negative, digits) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        _ => (false, text),
    };
    if digits.is_empty() || digits.len() > DIGITS_MAX {
        return false;
    }
    let start = out.len();
    if is_negative {
        out.push(b'-');
    }
    let first = out.len();
    let mut point = None;
    for byte in digits {
        match byte {
            // Zeros before the first other digit say nothing.
            b'0' if out.len() == first => {}
            b'0'..=b'9' => out.push(*byte),
            b'.' if point.is_none() => point = Some(()),
            _ => return false,
        }
    }
    if digits.len() == usize::from(point.is_some()) {
        return false;
    }
    let fraction = digits.iter().rev().position(|byte| *byte == b'.').unwrap_or(0);
    let trailing = out[first..].iter().rev().take_while(|byte| **byte == b'0').count();
    out.truncate(out.len() - trailing);
    if out.len() == first {
        out.truncate(start);
        out.extend_from_slice(b"0E0");
        return true;
    }
    put_exponent(out, trailing as i64 - fraction as i64);
    true
}

/// Appends `E` and a power of ten within [`DIGITS_MAX`].
fn put_exponent(out: &mut Vec<u8>, exponent: i64) {
    out.push(b'E');
    if exponent < 0 {
        out.push(b'-');
    }
    let magnitude = exponent.unsigned_abs();
    if magnitude >= 10 {
        out.push(b'0' + (magnitude / 10) as u8);
    }
    out.push(b'0' + (magnitude % 10) as u8);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plain(text: &str) -> Option<String> {
        let mut out = Vec::new();
        put_plain(&mut out, text.as_bytes()).then(|| String::from_utf8(out).expect("ASCII"))
    }

    #[test]
    fn short_numbers_have_their_canonical_text() {
        for (text, expected) in [
            ("0", "0E0"),
            ("-0.00", "0E0"),
            ("1", "1E0"),
            ("-1.50", "-15E-1"),
            ("0.001", "1E-3"),
            (".5", "5E-1"),
            ("5.", "5E0"),
            ("100", "1E2"),
            ("12345678901234567890123456789012345678", "12345678901234567890123456789012345678E0"),
            ("0.00000000000000000000000000000000000001", "1E-38"),
            ("10000000000000000000000000000000000000", "1E37"),
        ] {
            assert_eq!(plain(text).as_deref(), Some(expected), "{text}");
            assert_eq!(text.parse::<Decimal>().expect("a number").canonical(), expected, "{text}");
        }
        for text in ["", "-", ".", "-.", "+1", "1E5", "1.2.3", "--1", "0x1", " 1", "NaN"] {
            assert_eq!(plain(text), None, "{text}");
        }
    }

    #[test]
    fn digits_are_as_many_as_asked_for_or_more() {
        for (number, digits_min) in [(0, 0), (0, 1), (7, 2), (42, 2), (838, 2), (u64::MAX, 6)] {
            let mut out = Vec::new();
            put_digits(&mut out, number, digits_min);
            let expected = if digits_min == 0 { String::new() } else { format!("{number:0digits_min$}") };
            assert_eq!(String::from_utf8(out), Ok(expected));
        }
    }

    proptest! {
        #[test]
        fn whole_numbers_written_here_are_those_of_decimals(
            number in prop_oneof![any::<i64>(), -1_000_i64..1_000, (-92_i64..92).prop_map(|n| n * 100_000_000_000_000_000)]
        ) {
            let mut out = Vec::new();
            put_integer(&mut out, number);
            prop_assert_eq!(String::from_utf8(out), Ok(Decimal::from(number).canonical().to_string()));
        }

        #[test]
        fn numbers_read_here_are_those_of_decimals(text in "-?[0-9]{0,22}\\.?[0-9]{0,22}|[-+.0-9eE]{0,8}") {
            if let Some(canonical) = plain(&text) {
                prop_assert_eq!(Ok(canonical), text.parse::<Decimal>().map(|number| number.canonical()));
            }
        }
    }
}
