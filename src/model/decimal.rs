//! Exact decimal numbers in one normal form.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// The longest digit string accepted, far above DynamoDB's 38 digits and PostgreSQL's 147,455.
const DIGITS_MAX: usize = 200_000;

/// An exact decimal in normal form: no leading or trailing zero digits, never a negative zero.
///
/// `1`, `1.0`, `+1`, `1E0` and `10e-1` are the same value here, as they are to DynamoDB; no `f64` is ever involved.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Decimal {
    negative: bool,
    digits: Box<str>,
    exponent: i64,
}

/// Text that is not a finite decimal number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a finite decimal number of at most {DIGITS_MAX} digits")]
pub struct DecimalError;

impl Decimal {
    /// Zero, whose sign is dropped.
    pub fn zero() -> Self {
        Decimal { negative: false, digits: "0".into(), exponent: 0 }
    }

    /// Normalises a sign, a run of ASCII digits and the power of ten of the last digit.
    fn normalise(negative: bool, digits: &str, exponent: i64) -> Self {
        let significant = digits.trim_start_matches('0');
        let kept = significant.trim_end_matches('0');
        if kept.is_empty() {
            return Decimal::zero();
        }
        let dropped = (significant.len() - kept.len()) as i64;
        Decimal { negative, digits: kept.into(), exponent: exponent.saturating_add(dropped) }
    }

    /// Normal forms compare by the power of ten of their first digit, then digit by digit.
    fn cmp_magnitude(&self, other: &Self) -> Ordering {
        let leading = |number: &Decimal| number.exponent.saturating_add(number.digits.len() as i64);
        leading(self).cmp(&leading(other)).then_with(|| self.digits.cmp(&other.digits))
    }

    /// The canonical text `[-]digitsEexponent`, for example `15E-1` for 1.5 and `0E0` for zero.
    pub fn canonical(&self) -> String {
        let sign = if self.negative { "-" } else { "" };
        format!("{sign}{}E{}", self.digits, self.exponent)
    }
}

impl FromStr for Decimal {
    type Err = DecimalError;

    fn from_str(text: &str) -> Result<Self, DecimalError> {
        let (negative, unsigned) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
            Some(at) => (&unsigned[..at], unsigned[at + 1..].parse::<i64>().map_err(|_| DecimalError)?),
            None => (unsigned, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{fraction}");
        if digits.is_empty() || digits.len() > DIGITS_MAX || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(DecimalError);
        }
        Ok(Decimal::normalise(negative, &digits, exponent.saturating_sub(fraction.len() as i64)))
    }
}

impl From<i64> for Decimal {
    fn from(number: i64) -> Self {
        Decimal::normalise(number < 0, &number.unsigned_abs().to_string(), 0)
    }
}

impl Ord for Decimal {
    /// By numeric value.
    fn cmp(&self, other: &Self) -> Ordering {
        let sign = |number: &Decimal| match (&*number.digits == "0", number.negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        };
        match (sign(self), sign(other)) {
            (mine, theirs) if mine != theirs => mine.cmp(&theirs),
            (-1, _) => other.cmp_magnitude(self),
            _ => self.cmp_magnitude(other),
        }
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Decimal {
    /// Plain notation where it stays short, else scientific; both are accepted by DynamoDB and PostgreSQL.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.negative { "-" } else { "" };
        let len = self.digits.len() as i64;
        match self.exponent {
            0 => write!(f, "{sign}{}", self.digits),
            e if (1..=40).contains(&e) => write!(f, "{sign}{}{}", self.digits, "0".repeat(e as usize)),
            e if e < 0 && -e < len => {
                let (whole, fraction) = self.digits.split_at((len + e) as usize);
                write!(f, "{sign}{whole}.{fraction}")
            }
            e if e < 0 && -e <= 40 => write!(f, "{sign}0.{}{}", "0".repeat((-e - len) as usize), self.digits),
            e => write!(f, "{sign}{}E{e}", self.digits),
        }
    }
}

impl fmt::Debug for Decimal {
    /// Contents stay out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Decimal({} digits)", self.digits.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> String {
        text.parse::<Decimal>().expect("a number").canonical()
    }

    #[test]
    fn spellings_of_one_number_share_a_canonical_text() {
        for (texts, expected) in [
            (&["1", "1.0", "+1", "1E0", "10e-1", "0001.000"][..], "1E0"),
            (&["0", "-0", "0.000", "0E99", "-0.0e-5"][..], "0E0"),
            (&["-1.50", "-15e-1"][..], "-15E-1"),
            (&["99999999999999999999999999999999999999"][..], "99999999999999999999999999999999999999E0"),
            (&["1E-130", "0.1e-129"][..], "1E-130"),
            (&["9.99E+125"][..], "999E123"),
        ] {
            for text in texts {
                assert_eq!(canonical(text), expected, "{text}");
            }
        }
    }

    #[test]
    fn display_reads_back_as_the_same_number() {
        for text in ["0", "1", "-1.5", "100", "0.001", "12345.6789", "1E-130", "9.99E+125", "-7e60", "0.5"] {
            let number: Decimal = text.parse().expect("a number");
            assert_eq!(number.to_string().parse::<Decimal>().as_ref(), Ok(&number), "{text} -> {number}");
        }
        assert_eq!("12345.6789".parse::<Decimal>().expect("a number").to_string(), "12345.6789");
        assert_eq!("0.5".parse::<Decimal>().expect("a number").to_string(), "0.5");
    }

    #[test]
    fn numbers_order_by_value_not_by_spelling() {
        let ascending = ["-1E130", "-10", "-9", "-0.5", "0", "1E-130", "0.05", "0.5", "1", "9", "10", "10.5", "9E125"];
        let numbers: Vec<Decimal> = ascending.iter().map(|text| text.parse().expect("a number")).collect();
        assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn what_is_not_a_number_is_refused() {
        for text in ["", "-", ".", "1e", "NaN", "inf", "1,0", " 1", "0x10", "1e5.5", "--1"] {
            assert_eq!(text.parse::<Decimal>(), Err(DecimalError), "{text:?}");
        }
    }
}
