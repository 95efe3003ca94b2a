//! Values as they lie in rows of the binary log, and what a reading of the table makes of them.
//!
//! A log does not say whether a number has a sign, nor what the labels of a list are: that is the catalog's to tell.

use mysql_async::Value as Sql;

use crate::model::Timestamp;

use super::super::column::{Column, Reading};

/// A short text, and what goes by the same kind as one: its details tell them apart.
const STRING: u8 = 254;
const ENUM: u8 = 247;
const SET: u8 = 248;

/// How the values of one column lie in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cell {
    kind: u8,
    details: (u8, u8),
}

/// Takes so many bytes from the front.
pub(super) fn taken<'a>(data: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (front, rest) = data.split_at_checked(length)?;
    *data = rest;
    Some(front)
}

fn little(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn big(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

impl Cell {
    /// The cell of a type, whose details are taken from the front; `None` where the type is not known.
    pub(super) fn read(kind: u8, details: &mut &[u8]) -> Option<Cell> {
        let length = match kind {
            1 | 2 | 3 | 6 | 7 | 8 | 9 | 10 | 11 | 12 | 13 | 14 => 0,
            4 | 5 | 17 | 18 | 19 | 140 | 242 | 245 | 249..=252 | 255 => 1,
            15 | 16 | 141 | 246 | 247 | 248 | 253 | 254 => 2,
            _ => return None,
        };
        let own = taken(details, length)?;
        Some(Cell { kind, details: (own.first().copied().unwrap_or(0), own.get(1).copied().unwrap_or(0)) })
    }

    /// Whether its length follows from its digits after the second, which a log does not tell.
    pub(super) fn is_old_time(self) -> bool {
        matches!(self.kind, 7 | 11 | 12)
    }

    /// What a short text, an enum or a set is, and the most bytes that it takes.
    fn string(self) -> (u8, usize) {
        let (kind, length) = (self.details.0, usize::from(self.details.1));
        match kind & 0x30 {
            _ if kind == 0 => (STRING, length),
            0x30 => (kind, length),
            high => (kind | 0x30, length | usize::from(high ^ 0x30) << 4),
        }
    }

    /// Takes one value from the front of a row.
    pub(super) fn take<'a>(self, data: &mut &'a [u8]) -> Option<&'a [u8]> {
        let (one, two) = (usize::from(self.details.0), usize::from(self.details.1));
        let prefix = |most: usize| if most < 256 { 1 } else { 2 };
        let (prefix, length) = match self.kind {
            6 => (0, 0),
            1 | 13 => (0, 1),
            2 => (0, 2),
            9 | 10 | 11 | 14 => (0, 3),
            3 | 4 | 7 => (0, 4),
            5 | 8 | 12 => (0, 8),
            16 => (0, two + usize::from(one > 0)),
            17 => (0, 4 + one.div_ceil(2)),
            18 => (0, 5 + one.div_ceil(2)),
            19 => (0, 3 + one.div_ceil(2)),
            15 | 141 | 253 => (prefix(one | two << 8), 0),
            246 => (0, decimal_length(one, two)?),
            ENUM | SET => (0, two),
            STRING => match self.string() {
                (ENUM | SET, length) => (0, length),
                (_, most) => (prefix(most), 0),
            },
            140 | 242 | 245 | 249..=252 | 255 if (1..=4).contains(&one) => (one, 0),
            _ => return None,
        };
        let length = if prefix == 0 { length } else { usize::try_from(little(taken(data, prefix)?)).ok()? };
        taken(data, length)
    }

    /// The value of a column as a reading of the table has it; `None` where the column is of another type.
    pub(super) fn value(self, column: &Column, bytes: &[u8]) -> Option<Sql> {
        match (&column.reading, self.kind) {
            (Reading::Integer, 13) if column.type_name == "year" => Some(Sql::Int(match *bytes.first()? {
                0 => 0,
                year => 1900 + i64::from(year),
            })),
            (Reading::Integer, 1 | 2 | 3 | 8 | 9) => integer(&column.type_name, bytes),
            (Reading::Bits, 16) => Some(Sql::UInt(big(bytes))),
            (Reading::Decimal, 246) => decimal(self.details, bytes).map(|text| Sql::Bytes(text.into_bytes())),
            (Reading::Float, 4) => Some(Sql::Float(f32::from_le_bytes(bytes.try_into().ok()?))),
            (Reading::Double, 5) => Some(Sql::Double(f64::from_le_bytes(bytes.try_into().ok()?))),
            (Reading::Text(_) | Reading::Bytes, 15 | 253 | 249..=252) => Some(Sql::Bytes(bytes.to_vec())),
            (Reading::Text(_), STRING) if self.string().0 == STRING => Some(Sql::Bytes(bytes.to_vec())),
            // Zeroes at the end are not written.
            (Reading::Bytes, STRING) if self.string().0 == STRING => {
                let mut whole = bytes.to_vec();
                whole.resize(self.string().1.max(bytes.len()), 0);
                Some(Sql::Bytes(whole))
            }
            (Reading::Enum(_), STRING) if self.string().0 == ENUM => Some(Sql::UInt(little(bytes))),
            (Reading::Set(_), STRING) if self.string().0 == SET => Some(Sql::UInt(little(bytes))),
            (Reading::Temporal(_), 10 | 14) if column.type_name == "date" => Some(date(little(bytes))),
            (Reading::Temporal(digits), 17..=19) if *digits == usize::from(self.details.0) => {
                self.moment(&column.type_name, bytes)
            }
            _ => None,
        }
    }

    fn moment(self, type_name: &str, bytes: &[u8]) -> Option<Sql> {
        match self.kind {
            17 if type_name.starts_with("timestamp") => {
                let (seconds, fraction) = bytes.split_at_checked(4)?;
                instant(big(seconds), micros(fraction))
            }
            18 if type_name.starts_with("datetime") => {
                let (whole, fraction) = bytes.split_at_checked(5)?;
                let packed = big(whole).checked_sub(1 << 39)?;
                let (days, clock) = (packed >> 17, packed & 0x1_ffff);
                let months = days >> 5;
                let (year, month, day) = (u16::try_from(months / 13).ok()?, (months % 13) as u8, (days & 31) as u8);
                let (hour, minute, second) = ((clock >> 12) as u8, (clock >> 6 & 63) as u8, (clock & 63) as u8);
                Some(Sql::Date(year, month, day, hour, minute, second, micros(fraction)))
            }
            19 if type_name == "time" || type_name.starts_with("time(") => Some(time(bytes)),
            _ => None,
        }
    }
}

fn integer(type_name: &str, bytes: &[u8]) -> Option<Sql> {
    let width = match type_name.split(['(', ' ']).next()? {
        "tinyint" => 1,
        "smallint" => 2,
        "mediumint" => 3,
        "int" => 4,
        "bigint" => 8,
        _ => return None,
    };
    let (number, unused) = (little(bytes), 64 - 8 * width);
    (bytes.len() == width).then(|| match type_name.contains("unsigned") {
        true => Sql::UInt(number),
        false => Sql::Int(((number << unused) as i64) >> unused),
    })
}

fn date(packed: u64) -> Sql {
    Sql::Date((packed >> 9) as u16, (packed >> 5 & 15) as u8, (packed & 31) as u8, 0, 0, 0, 0)
}

/// What comes after the second: as many bytes as pairs of digits.
fn micros(fraction: &[u8]) -> u32 {
    let unit = [0, 10_000, 100, 1].get(fraction.len()).copied().unwrap_or(0);
    big(fraction) as u32 * unit
}

/// Second 0 is the date of zeroes.
fn instant(seconds: u64, micros: u32) -> Option<Sql> {
    if seconds == 0 {
        return Some(Sql::Date(0, 0, 0, 0, 0, 0, micros));
    }
    let at = Timestamp::from_second(i64::try_from(seconds).ok()?).ok()?;
    let at = jiff::tz::Offset::UTC.to_datetime(at);
    let part = |number: i8| number.unsigned_abs();
    let (year, month, day) = (at.year().unsigned_abs(), part(at.month()), part(at.day()));
    Some(Sql::Date(year, month, day, part(at.hour()), part(at.minute()), part(at.second()), micros))
}

/// A time of day or a span of either sign, counted from the middle of what its bytes can hold.
fn time(bytes: &[u8]) -> Sql {
    let middle = 1_i64 << (8 * bytes.len() - 1);
    let packed = big(bytes) as i64 - middle;
    let fraction_bits = 8 * (bytes.len() - 3);
    let (whole, fraction) =
        (packed.unsigned_abs() >> fraction_bits, packed.unsigned_abs() & ((1 << fraction_bits) - 1));
    let unit = [1, 10_000, 100, 1][(bytes.len() - 3).min(3)];
    let (hours, minute, second) = (whole >> 12 & 0x3ff, (whole >> 6 & 63) as u8, (whole & 63) as u8);
    Sql::Time(packed < 0, (hours / 24) as u32, (hours % 24) as u8, minute, second, fraction as u32 * unit)
}

/// Bytes of so many decimal digits, up to nine.
const DIGIT_BYTES: [usize; 10] = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4];

/// Digits that share four bytes.
const GROUP: usize = 9;

/// Every group of digits of a decimal in its order; only the outermost are shorter than nine.
fn groups(precision: usize, scale: usize) -> Option<(Vec<usize>, Vec<usize>)> {
    let whole = precision.checked_sub(scale)?;
    let mut before = vec![whole % GROUP];
    before.resize(1 + whole / GROUP, GROUP);
    let mut after = vec![GROUP; scale / GROUP];
    after.push(scale % GROUP);
    Some((before, after))
}

fn decimal_length(precision: usize, scale: usize) -> Option<usize> {
    let (before, after) = groups(precision, scale)?;
    Some(before.into_iter().chain(after).map(|digits| DIGIT_BYTES[digits]).sum())
}

/// The text of a decimal, as the server writes it: no zeroes before it, all digits after the point.
fn decimal((precision, scale): (u8, u8), bytes: &[u8]) -> Option<String> {
    let (before, after) = groups(usize::from(precision), usize::from(scale))?;
    let mut bytes = bytes.to_vec();
    *bytes.first_mut()? ^= 0x80;
    let is_negative = bytes.first()? & 0x80 != 0;
    if is_negative {
        bytes.iter_mut().for_each(|byte| *byte = !*byte);
    }
    let mut rest = bytes.as_slice();
    let mut digits = |group: Vec<usize>| {
        let part = |digits: usize| {
            let number = big(taken(&mut rest, DIGIT_BYTES[digits])?);
            Some(if digits == 0 { String::new() } else { format!("{number:0digits$}") })
        };
        group.into_iter().map(part).collect::<Option<String>>()
    };
    let (whole, fraction) = (digits(before)?, digits(after)?);
    let whole = whole.trim_start_matches('0');
    let (sign, whole) = (if is_negative { "-" } else { "" }, if whole.is_empty() { "0" } else { whole });
    let point = if fraction.is_empty() { "" } else { "." };
    Some(format!("{sign}{whole}{point}{fraction}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_written_as_the_server_does() {
        // The example in the comment of decimal2bin() of MySQL's source: 1234567890.1234 as DECIMAL(14,4).
        let bytes = [0x81, 0x0d, 0xfb, 0x38, 0xd2, 0x04, 0xd2];
        assert_eq!(decimal((14, 4), &bytes).as_deref(), Some("1234567890.1234"));
        let negative = bytes.map(|byte: u8| !byte);
        assert_eq!(decimal((14, 4), &negative).as_deref(), Some("-1234567890.1234"));
        assert_eq!(decimal_length(14, 4), Some(7));
        assert_eq!(decimal((2, 2), &[0x80 | 5]).as_deref(), Some("0.05"));
        assert_eq!(decimal((3, 0), &[0x80, 0]).as_deref(), Some("0"));
        assert_eq!(decimal((14, 4), &bytes[..6]), None);
    }

    #[test]
    fn integers_keep_their_signs_by_the_catalog() {
        assert_eq!(integer("mediumint", &[0xff, 0xff, 0xff]), Some(Sql::Int(-1)));
        assert_eq!(integer("mediumint unsigned", &[0xff, 0xff, 0xff]), Some(Sql::UInt(0xff_ffff)));
        assert_eq!(integer("int(5) unsigned zerofill", &[1, 0, 0, 0x80]), Some(Sql::UInt(0x8000_0001)));
        assert_eq!(integer("bigint", &[0; 4]), None, "it was another type then");
    }

    #[test]
    fn spans_before_zero_count_backwards() {
        // -838:59:59.000001 as TIME(6), and -00:00:00.10 as TIME(2).
        let packed = -((838_i64 << 12 | 59 << 6 | 59) << 24 | 1) + (1 << 47);
        let bytes = packed.to_be_bytes();
        assert_eq!(time(&bytes[2..]), Sql::Time(true, 34, 22, 59, 59, 1));
        assert_eq!(time(&[0x7f, 0xff, 0xff, 0xf6]), Sql::Time(true, 0, 0, 0, 0, 100_000));
        assert_eq!(time(&[0x80, 0x00, 0x01]), Sql::Time(false, 0, 0, 0, 1, 0));
    }

    #[test]
    fn long_texts_are_told_by_bits_of_the_type() {
        // CHAR(255) of utf8mb4: 1,020 bytes.
        let mut details: &[u8] = &[254 & !0x30, 0xfc];
        let cell = Cell::read(STRING, &mut details).expect("a cell");
        assert_eq!(cell.string(), (STRING, 1020));
        let mut row: &[u8] = &[2, 0, b'a', b'b', 9];
        assert_eq!((cell.take(&mut row), row), (Some(&b"ab"[..]), &[9][..]));
    }
}
