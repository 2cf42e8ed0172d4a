//! What an operation of the ack journal does to a key: values, amounts, changes.

use sha2::{Digest, Sha256};
use std::fmt;

/// A value as the journal states it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Value {
    /// The value itself.
    Text(String),
    /// The SHA-256 of the value, written `sha256:HEX`.
    Digest([u8; 32]),
}

impl Value {
    /// The size of the value in bytes; a value known by its digest alone counts as none.
    pub fn byte_count(&self) -> u64 {
        match self {
            Value::Text(text) => text.len() as u64,
            Value::Digest(_) => 0,
        }
    }

    /// Reads `sha256:HEX`.
    pub fn digest_from(text: &str) -> Option<Value> {
        let digits = text.strip_prefix("sha256:")?.as_bytes();
        if digits.len() != 64 {
            return None;
        }
        let mut digest = [0; 32];
        for (byte, pair) in digest.iter_mut().zip(digits.chunks_exact(2)) {
            let high = char::from(pair[0]).to_digit(16)?;
            let low = char::from(pair[1]).to_digit(16)?;
            *byte = u8::try_from(high * 16 + low).expect("two hexadecimal digits fit a byte");
        }
        Some(Value::Digest(digest))
    }

    /// The digest of a text.
    pub fn digest_of(text: &str) -> Value {
        Value::Digest(Sha256::digest(text.as_bytes()).into())
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Text(text) => f.write_str(text),
            Value::Digest(digest) => {
                f.write_str("sha256:")?;
                digest.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    }
}

/// A decimal number in billionths, so that sums are exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Amount(pub i128);

impl Amount {
    /// Billionths in one.
    const UNIT: i128 = 1_000_000_000;
    /// Digits before the point.
    const WHOLE_DIGITS_MAX: usize = 20;
    /// Digits after the point.
    const FRACTION_DIGITS_MAX: usize = 9;

    /// Reads a decimal number: an optional sign, at most 20 digits, and after a point at most 9.
    pub fn parse(text: &str) -> Option<Amount> {
        let (sign, digits) = match text.as_bytes().first()? {
            b'-' => (-1, &text[1..]),
            b'+' => (1, &text[1..]),
            _ => (1, text),
        };
        let (whole, fraction) = match digits.split_once('.') {
            Some((_, "")) => return None,
            Some(parts) => parts,
            None => (digits, ""),
        };
        let is_number = !whole.is_empty()
            && whole.len() <= Self::WHOLE_DIGITS_MAX
            && fraction.len() <= Self::FRACTION_DIGITS_MAX
            && whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit());
        if !is_number {
            return None;
        }
        let whole: i128 = whole.parse().ok()?;
        let fraction: i128 = format!("{fraction:0<9}").parse().ok()?;
        Some(Amount(sign * (whole * Self::UNIT + fraction)))
    }

    /// The sum; at the ends of the range, which no journal reaches, it stays there.
    pub fn plus(self, other: Amount) -> Amount {
        Amount(self.0.saturating_add(other.0))
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let (whole, fraction) =
            (self.0.unsigned_abs() / 1_000_000_000, self.0.unsigned_abs() % 1_000_000_000);
        if fraction == 0 {
            return write!(f, "{sign}{whole}");
        }
        let fraction = format!("{fraction:09}");
        write!(f, "{sign}{whole}.{}", fraction.trim_end_matches('0'))
    }
}

/// What one intent does to its key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// `=` or the short form: the key has this value.
    Set(Value),
    /// `-`: the key is gone.
    Delete,
    /// `+`: the amount is added to the key's number, which starts from 0.
    Add(Amount),
    /// `>>`: the element is appended to the key's list, which starts empty.
    Append(Value),
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn amounts_are_decimal_numbers_and_nothing_else() {
        for (text, expect) in [
            ("5", Some("5")),
            ("-0.10", Some("-0.1")),
            ("+12.000000001", Some("12.000000001")),
            ("", None),
            ("-", None),
            (".5", None),
            ("5.", None),
            ("1e3", None),
            ("0x10", None),
            ("NaN", None),
            ("1.0000000001", None),
            ("123456789012345678901", None),
        ] {
            let amount = Amount::parse(text).map(|amount| amount.to_string());
            assert_eq!(amount.as_deref(), expect, "{text:?}");
        }
    }

    #[test]
    fn a_digest_is_read_in_either_case_and_written_in_one() {
        let value = Value::digest_of("hello");
        let text = value.to_string();
        assert!(text.starts_with("sha256:2cf24dba5fb0"), "{text}");
        let shouted = format!("sha256:{}", text["sha256:".len()..].to_uppercase());
        assert_eq!(Value::digest_from(&shouted), Some(value));
        assert_eq!(Value::digest_from("sha256:abc"), None);
        assert_eq!(Value::digest_from("hello"), None);
    }

    proptest! {
        #[test]
        fn an_amount_reads_back_as_written(billionths in -(1i128 << 90)..(1i128 << 90)) {
            let amount = Amount(billionths);
            if let Some(read) = Amount::parse(&amount.to_string()) {
                prop_assert_eq!(read, amount);
            } else {
                prop_assert!(amount.to_string().len() > Amount::WHOLE_DIGITS_MAX);
            }
        }
    }
}
