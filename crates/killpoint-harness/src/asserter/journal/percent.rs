//! Percent-encoding of the ack journal's fields.

use std::fmt::Write;

/// Why a field cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A `%` is not followed by two hexadecimal digits.
    #[error("`%` is not followed by two hexadecimal digits; a literal `%` is written %25")]
    Digits,
    /// The decoded bytes are not text.
    #[error("the decoded bytes are not UTF-8; give such a value as sha256:HEX")]
    NotText,
}

/// Encodes what would break a line: white space, control characters and `%`.
pub fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_whitespace() || character.is_control() || character == '%' {
            let mut buffer = [0; 4];
            for byte in character.encode_utf8(&mut buffer).bytes() {
                write!(encoded, "%{byte:02X}").expect("writing to a string succeeds");
            }
        } else {
            encoded.push(character);
        }
    }
    encoded
}

/// Decodes a field.
///
/// # Errors
/// An incomplete escape, or bytes that are not UTF-8.
pub fn decode(text: &str) -> Result<String, DecodeError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|byte| char::from(byte).to_digit(16));
        let high = digit().ok_or(DecodeError::Digits)?;
        let low = digit().ok_or(DecodeError::Digits)?;
        bytes.push(u8::try_from(high * 16 + low).expect("two hexadecimal digits fit a byte"));
    }
    String::from_utf8(bytes).map_err(|_| DecodeError::NotText)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn white_space_controls_and_the_percent_sign_are_encoded() {
        assert_eq!(encode("a b\t%\n\0é"), "a%20b%09%25%0A%00é");
    }

    #[test]
    fn a_broken_escape_is_refused() {
        for text in ["%", "%4", "%zz", "a%2"] {
            assert_eq!(decode(text), Err(DecodeError::Digits), "{text}");
        }
        assert_eq!(decode("%FF"), Err(DecodeError::NotText));
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_what_is_decoded(text in any::<String>()) {
            let encoded = encode(&text);
            prop_assert!(!encoded.contains([' ', '\n', '\t', '\0']));
            prop_assert_eq!(decode(&encoded), Ok(text));
        }
    }
}
