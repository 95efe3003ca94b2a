//! One column: how it is read, asked for in a key, compared in a guard, and written.

use super::names;
use super::text::Charset;

/// How a column's values are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reading {
    /// Whole numbers and years.
    Integer,
    /// A field of bits, as the number it spells.
    Bits,
    /// Exact decimals, whose text has as many digits as the type says.
    Decimal,
    Float,
    Double,
    Text(Charset),
    /// Bytes, geometries included.
    Bytes,
    /// One label of a list, by its place; 0 is the value that stands for a label that was refused.
    Enum(Vec<String>),
    /// Labels of a list, by bits.
    Set(Vec<String>),
    /// Dates and times, with so many digits after the second.
    Temporal(usize),
    /// What the server tells as text and takes as text: JSON of MySQL, uuid, inet4, inet6.
    Plain,
}

impl Reading {
    /// The reading of a type; `None` where this program does not know it.
    pub(super) fn of(data_type: &str, column_type: &str, charset: Option<&str>, digits: usize) -> Option<Reading> {
        Some(match data_type {
            "tinyint" | "smallint" | "mediumint" | "int" | "integer" | "bigint" | "year" => Reading::Integer,
            "bit" => Reading::Bits,
            "decimal" | "numeric" => Reading::Decimal,
            "float" => Reading::Float,
            "double" | "real" => Reading::Double,
            "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" => {
                Reading::Text(charset.map_or(Charset::Other, Charset::named))
            }
            "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" | "geometry" | "point"
            | "linestring" | "polygon" | "multipoint" | "multilinestring" | "multipolygon" | "geometrycollection"
            | "geomcollection" => Reading::Bytes,
            "enum" => Reading::Enum(names::labels(column_type)?),
            "set" => Reading::Set(names::labels(column_type)?),
            "date" | "datetime" | "timestamp" | "time" => Reading::Temporal(digits),
            "json" | "uuid" | "inet6" | "inet4" => Reading::Plain,
            _ => return None,
        })
    }
}

/// One column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    /// The type in full, without what does not matter: the width that old servers show of integers.
    pub(super) type_name: String,
    pub(super) reading: Reading,
    pub(super) not_null: bool,
    /// The expression by which the server computes it.
    pub(super) generated: Option<String>,
    pub(super) charset: Option<String>,
    pub(super) collation: Option<String>,
    pub(super) default: Option<String>,
    /// Whether the server sets it by itself whenever the row is updated.
    pub(super) is_touched: bool,
    pub(super) is_counted: bool,
}

impl Column {
    pub(super) fn is_generated(&self) -> bool {
        self.generated.is_some()
    }

    pub(super) fn quoted(&self) -> String {
        names::quoted(&self.name)
    }

    /// The expression that is selected, of a table that is called `r`.
    pub(super) fn output(&self) -> String {
        self.output_of(&format!("r.{}", self.quoted()))
    }

    fn output_of(&self, reference: &str) -> String {
        match self.reading {
            Reading::Bits | Reading::Enum(_) | Reading::Set(_) => format!("CAST({reference} AS UNSIGNED)"),
            _ => reference.to_owned(),
        }
    }

    /// An expression that is the same for two values only where every bit of them is.
    pub(super) fn exact(&self) -> String {
        let reference = format!("r.{}", self.quoted());
        match self.reading {
            // Long values are sorted by their beginnings only, and -0 equals 0.
            Reading::Text(_) | Reading::Bytes => format!("SHA2(CAST({reference} AS BINARY), 256)"),
            Reading::Float | Reading::Double | Reading::Temporal(_) | Reading::Plain => {
                format!("SHA2(CAST({reference} AS CHAR), 256)")
            }
            _ => self.output_of(&reference),
        }
    }

    /// What a value to be written stands as.
    pub(super) fn placeholder(&self) -> String {
        match self.reading {
            Reading::Text(_) | Reading::Bytes => "CAST(? AS BINARY)".into(),
            _ => "?".into(),
        }
    }

    /// A condition that an index serves and that every row with the value meets, and some others may.
    pub(super) fn near(&self) -> String {
        format!("r.{} = {}", self.quoted(), self.near_value())
    }

    /// What a value of this column stands as where it is compared as the server compares.
    pub(super) fn near_value(&self) -> String {
        match (&self.reading, &self.charset, &self.collation) {
            (Reading::Text(_), Some(charset), Some(collation)) => {
                format!("CONVERT(CAST(? AS BINARY) USING {charset}) COLLATE {collation}")
            }
            (Reading::Decimal, ..) => self.as_decimal(),
            _ => self.placeholder(),
        }
    }

    /// A condition that only a row with this very value meets, NULL included.
    pub(super) fn guard(&self) -> String {
        let reference = format!("r.{}", self.quoted());
        match self.reading {
            Reading::Bits | Reading::Enum(_) | Reading::Set(_) => format!("{} <=> ?", self.output_of(&reference)),
            Reading::Text(_) | Reading::Bytes => format!("CAST({reference} AS BINARY) <=> CAST(? AS BINARY)"),
            Reading::Temporal(_) | Reading::Plain => format!("CAST({reference} AS CHAR) <=> ?"),
            Reading::Decimal => format!("{reference} <=> {}", self.as_decimal()),
            Reading::Integer | Reading::Float | Reading::Double => format!("{reference} <=> ?"),
        }
    }

    /// Text compared with a decimal is compared as a float, which rounds.
    fn as_decimal(&self) -> String {
        let digits =
            self.type_name.split_once('(').and_then(|(_, rest)| rest.split_once(')')).map(|(digits, _)| digits);
        format!("CAST(? AS DECIMAL({}))", digits.unwrap_or("65,30"))
    }
}

/// A type without the width of integers, which MySQL 8 no longer shows; that of a zero-filled one is part of what is shown.
pub(super) fn type_name(data_type: &str, column_type: &str) -> String {
    let is_integer = ["tinyint", "smallint", "mediumint", "int", "bigint", "year"].contains(&data_type);
    match (column_type.find('('), column_type.find(')')) {
        (Some(from), Some(to)) if is_integer && !column_type.contains("zerofill") => {
            format!("{}{}", &column_type[..from], &column_type[to + 1..])
        }
        _ => column_type.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_of_integers_do_not_matter() {
        for (data_type, column_type, expected) in [
            ("int", "int(10) unsigned", "int unsigned"),
            ("int", "int unsigned", "int unsigned"),
            ("int", "int(5) unsigned zerofill", "int(5) unsigned zerofill"),
            ("year", "year(4)", "year"),
            ("decimal", "decimal(10,2)", "decimal(10,2)"),
            ("enum", "enum('int(1)')", "enum('int(1)')"),
        ] {
            assert_eq!(type_name(data_type, column_type), expected);
        }
    }
}
