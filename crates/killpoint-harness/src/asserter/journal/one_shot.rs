//! Journal lines for a command that writes none: intents from flags, acknowledged by exit status 0.

use super::{Entry, Fault, Journal, JournalError, LINE_BYTES_MAX, encode, line};

/// An intent on the command line that is not what the journal's format asks for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OneShotError {
    /// There is no value.
    #[error("--intent {text:?}: expected \"key value\" or \"#id key op value\"")]
    NoValue {
        /// The flag's text.
        text: String,
    },
    /// The key, operator or value is wrong.
    #[error("--intent {text:?}: {fault}")]
    Bad {
        /// The flag's text.
        text: String,
        /// What is wrong and what is expected.
        fault: Fault,
    },
    /// Each intent is right and together they are not.
    #[error("--intent: {0}")]
    Together(JournalError),
}

/// The lines for a one-shot command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneShot {
    /// Complete lines `I`, to be appended before the command starts.
    pub intents: String,
    /// Complete lines `A`, to be appended if it exits with status 0.
    pub acknowledgements: String,
}

impl OneShot {
    /// Renders the texts of `--intent` flags: `key value`, or `#id key op value`. The value is all that
    /// follows, in the journal's own encoding, except that white space in it may stand as it is.
    ///
    /// # Errors
    /// The first text that no line can be made of.
    pub fn from_intents<T: AsRef<str>>(texts: &[T]) -> Result<OneShot, OneShotError> {
        let mut one_shot = OneShot { intents: String::new(), acknowledgements: String::new() };
        for text in texts.iter().map(AsRef::as_ref) {
            let rendered =
                render(text).ok_or_else(|| OneShotError::NoValue { text: text.to_owned() })?;
            let bad = |fault| OneShotError::Bad { text: text.to_owned(), fault };
            if rendered.len() >= LINE_BYTES_MAX {
                return Err(bad(Fault::TooLong { bytes: rendered.len() as u64 + 1 }));
            }
            let entry = line::parse(rendered.as_bytes()).map_err(bad)?;
            let Entry::Intend { id, key, .. } = entry else {
                unreachable!("a line rendered with `I` is an intent");
            };
            let name = id.map_or_else(|| name(&key), |id| format!("#{}", encode(&id)));
            let acknowledgement = format!("A {name}\n");
            one_shot.intents.push_str(&rendered);
            one_shot.intents.push('\n');
            if !one_shot.acknowledgements.split_inclusive('\n').any(|line| line == acknowledgement)
            {
                one_shot.acknowledgements.push_str(&acknowledgement);
            }
        }
        let whole = format!("{}{}", one_shot.intents, one_shot.acknowledgements);
        Journal::parse(whole.as_bytes()).map_err(OneShotError::Together)?;
        Ok(one_shot)
    }
}

/// A key as it stands where an id could stand, too.
fn name(key: &str) -> String {
    match key.strip_prefix('#') {
        Some(rest) => format!("%23{}", encode(rest)),
        None => encode(key),
    }
}

fn render(text: &str) -> Option<String> {
    let text = text.trim_start();
    let field_count = if text.starts_with('#') { 3 } else { 1 };
    let mut fields = text.splitn(field_count + 1, char::is_whitespace);
    let mut rendered = String::from("I");
    for _ in 0..field_count {
        rendered.push(' ');
        rendered.push_str(fields.next()?);
    }
    match fields.next() {
        Some(value) => {
            rendered.push(' ');
            rendered.extend(value.chars().map(|character| match character {
                '%' => "%".to_owned(),
                _ => encode(character.encode_utf8(&mut [0; 4])),
            }));
        }
        // Only a deletion needs no value.
        None if rendered.ends_with(" -") && field_count == 3 => {}
        None => return None,
    }
    Some(rendered)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(texts: &[&str], expect: Result<(&str, &str), &str>) {
        match (OneShot::from_intents(texts), expect) {
            (Ok(one_shot), Ok((intents, acknowledgements))) => {
                assert_eq!(one_shot.intents, intents, "{texts:?}");
                assert_eq!(one_shot.acknowledgements, acknowledgements, "{texts:?}");
            }
            (Err(error), Err(part)) => {
                assert!(error.to_string().contains(part), "{error} should say {part}");
            }
            (result, expect) => panic!("{texts:?}: {result:?} is not {expect:?}"),
        }
    }

    #[test]
    fn intents_become_lines_and_exit_status_0_acknowledges_them() {
        check(&["title hello"], Ok(("I title hello\n", "A title\n")));
        check(&["task buy oat milk"], Ok(("I task buy%20oat%20milk\n", "A task\n")));
        check(&["old -", "dash %2D"], Ok(("I old -\nI dash %2D\n", "A old\nA dash\n")));
        check(&["k 1", "k 2"], Ok(("I k 1\nI k 2\n", "A k\n")));
        check(&["%23k 1"], Ok(("I %23k 1\n", "A %23k\n")));
        check(&["empty "], Ok(("I empty \n", "A empty\n")));
        check(&["#1 sum + 5", "#1 b -"], Ok(("I #1 sum + 5\nI #1 b -\n", "A #1\n")));
        check(&["#1 log >> two words"], Ok(("I #1 log >> two%20words\n", "A #1\n")));
    }

    #[test]
    fn what_no_line_can_be_made_of_is_refused_with_its_text() {
        check(&["title"], Err("--intent \"title\": expected \"key value\""));
        check(&[""], Err("expected \"key value\""));
        check(&["#1 sum"], Err("expected \"key value\""));
        check(&["#1 sum + five"], Err("decimal number"));
        check(&["k 100%"], Err("%25"));
        check(&["#1 k + 1", "k text"], Err("line 2"));
        check(&[&format!("k {}", "x".repeat(4_096))], Err("at most 4,096"));
    }
}
