//! INI and its kin: sections, `key = value` or `key: value`, comments, continued lines.

use super::Unreadable;
use crate::asserter::oracle::spelling::Spelling;
use crate::asserter::oracle::state::Digest;

/// Reads the dialect that most programs share. A file in a stranger one does not read, and is then
/// no document; bytes above ASCII may be in any encoding.
pub(super) fn read(contents: &[u8]) -> Result<Digest, Unreadable> {
    let mut spelling = Spelling::default();
    let mut continues = false;
    for (index, line) in contents.split(|byte| *byte == b'\n').enumerate() {
        let ordinal = index + 1;
        if line.contains(&0) {
            return Err(Unreadable(format!("a zero byte on line {ordinal}")));
        }
        let trimmed = line.trim_ascii();
        match trimmed.first() {
            None => continues = false,
            Some(b'#' | b';') => {}
            Some(_) if continues && line[0].is_ascii_whitespace() => spelling.part(b'+', trimmed),
            Some(b'[') => {
                let section = trimmed.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]"));
                let section = section
                    .ok_or_else(|| Unreadable(format!("an open section on line {ordinal}")))?;
                spelling.part(b'[', section);
                continues = false;
            }
            Some(_) => {
                let middle = trimmed
                    .iter()
                    .position(|byte| matches!(byte, b'=' | b':'))
                    .filter(|middle| *middle > 0)
                    .ok_or_else(|| Unreadable(format!("no key and value on line {ordinal}")))?;
                spelling.part(b'k', trimmed[..middle].trim_ascii());
                spelling.part(b'v', trimmed[middle + 1..].trim_ascii());
                continues = true;
            }
        }
    }
    Ok(spelling.digest())
}
