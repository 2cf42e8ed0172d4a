//! Reads the version of a state from a file; a command that prints it is run by the dispatcher.

use killpoint_engine::regular_file;
use killpoint_model::supervision::VersionSource;
use std::io::{self, Read};
use std::path::Path;

/// Largest file that a version is read from.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// There is no state yet.
    NoState,
    /// Its version.
    Version(u64),
    /// Why it could not be read.
    Unreadable(String),
    /// A command has to be run.
    AskCommand,
}

/// Looks where the version stands.
pub(super) fn look(source: &VersionSource, directory: &Path) -> Found {
    let (file, pointer) = match source {
        VersionSource::File(file) => (file, None),
        VersionSource::Json { file, pointer } => (file, Some(pointer)),
        VersionSource::Command(_) => return Found::AskCommand,
    };
    let text = match read(&directory.join(file)) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Found::NoState,
        Err(error) => return Found::Unreadable(format!("cannot read {file}: {error}")),
    };
    match pointer {
        None => number(&text, file),
        Some(pointer) => match serde_json::from_str::<serde_json::Value>(&text) {
            Err(error) => Found::Unreadable(format!("{file} is no JSON: {error}")),
            Ok(document) => match document.pointer(pointer).and_then(serde_json::Value::as_u64) {
                Some(version) => Found::Version(version),
                None => Found::Unreadable(format!("{file} has no number at {pointer}")),
            },
        },
    }
}

/// A text that should be a number and nothing else.
pub(super) fn number(text: &str, source: &str) -> Found {
    match text.trim().parse() {
        Ok(version) => Found::Version(version),
        Err(_) => {
            let start: String = text.trim().chars().take(40).collect();
            Found::Unreadable(format!("{source} says `{start}`, which is no version"))
        }
    }
}

pub(super) fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    regular_file::open(path)?.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_version_is_read_from_a_file_or_a_json_pointer_and_a_missing_state_has_none() {
        let directory = tempfile::tempdir().expect("made");
        let path = directory.path();
        fs::write(path.join("plain"), "7\n").expect("written");
        fs::write(path.join("state.json"), r#"{"schema": {"version": 3}}"#).expect("written");
        fs::write(path.join("torn.json"), r#"{"schema": "#).expect("written");
        let json = |file: &str, pointer: &str| VersionSource::Json {
            file: file.to_owned(),
            pointer: pointer.to_owned(),
        };
        assert_eq!(look(&VersionSource::File("plain".into()), path), Found::Version(7));
        assert_eq!(look(&json("state.json", "/schema/version"), path), Found::Version(3));
        assert_eq!(look(&json("none.json", "/v"), path), Found::NoState);
        for (file, pointer) in
            [("state.json", "/v"), ("torn.json", "/schema"), ("state.json", "/schema")]
        {
            assert!(
                matches!(look(&json(file, pointer), path), Found::Unreadable(_)),
                "{file} {pointer}"
            );
        }
    }
}
