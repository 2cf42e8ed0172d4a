//! Files: whether they are there, unchanged, whole documents, and what stands at a place in them.

use crate::asserter::oracle::documents::{DOCUMENT_BYTES_MAX, Format};
use killpoint_engine::regular_file;
use killpoint_model::invariant::{self, DocumentFormat};
use killpoint_model::verdict::{Class, Judgement, Reason};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::fs;
use std::io;
use std::path::Path;

/// What a file showed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct File {
    /// Its length; none if it is not there.
    pub length: Option<u64>,
    /// BLAKE3 of its contents, if that is asked for, hexadecimal.
    pub digest: Option<String>,
    /// Whether it is a whole document, and why not, if that is asked for.
    pub parses: Option<Result<(), String>>,
    /// What stands at the place in it; null and nothing are told apart.
    pub value: Option<Place>,
}

/// What stands at a place in a document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// This.
    Holds(Json),
    /// There is no such place.
    Missing,
    /// The document cannot be read.
    Unreadable(String),
    /// Places in documents of this format are not understood.
    NotUnderstood,
}

impl File {
    /// Reads what is asked of a file.
    ///
    /// # Errors
    /// What the system says, but for "there is no such file".
    pub(super) fn read(path: &Path, asked: &invariant::File) -> io::Result<Self> {
        let length = match fs::metadata(path) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(File::default()),
            Err(error) => return Err(error),
        };
        let mut file = File { length: Some(length), ..File::default() };
        if asked.unchanged {
            let mut hasher = blake3::Hasher::new();
            hasher.update_reader(regular_file::open(path)?)?;
            file.digest = Some(hasher.finalize().to_hex().to_string());
        }
        if asked.parses.is_none() && asked.pointer.is_none() {
            return Ok(file);
        }
        if length > DOCUMENT_BYTES_MAX {
            let problem = format!("it is larger than {DOCUMENT_BYTES_MAX} bytes");
            return Err(io::Error::other(problem));
        }
        let contents = regular_file::read(path)?;
        file.length = Some(contents.len() as u64);
        file.parses = asked.parses.map(|format| {
            format_of(format, path, &contents)
                .read(&contents)
                .map(drop)
                .map_err(|error| error.to_string())
        });
        file.value = asked.pointer.as_ref().map(|pointer| {
            match document(asked.parses.unwrap_or(DocumentFormat::Json), &contents) {
                None => Place::NotUnderstood,
                Some(Err(problem)) => Place::Unreadable(problem),
                Some(Ok(document)) => match document.pointer(pointer) {
                    Some(value) => Place::Holds(value.clone()),
                    None => Place::Missing,
                },
            }
        });
        Ok(file)
    }

    /// Whether it is as it has to be.
    pub(super) fn judge(&self, asked: &invariant::File, before: Option<&File>) -> Judgement {
        let name = &asked.path;
        let violated = |class, detail| Judgement::violated(class, detail);
        let Some(length) = self.length else {
            return match asked.exists {
                true => violated(Class::Lost, format!("{name} is not there.")),
                false => Judgement::held(),
            };
        };
        if !asked.exists {
            return violated(Class::Extra, format!("{name} is there ({length} bytes)."));
        }
        if asked.unchanged {
            match before {
                None | Some(File { digest: None, .. }) => {
                    let detail = format!("{name} was not read before the workload.");
                    return Judgement::unknown(Reason::JudgeFailed, detail);
                }
                Some(before) if before.digest != self.digest => {
                    let was = before.length.unwrap_or_default();
                    let detail = format!("{name} has changed: {was} bytes before, {length} now.");
                    return violated(Class::Wrong, detail);
                }
                Some(_) => {}
            }
        }
        if let Some(Err(problem)) = &self.parses {
            return match length {
                0 => violated(Class::Lost, format!("{name} is empty.")),
                _ => {
                    violated(Class::Unopenable, format!("{name} is no whole document: {problem}."))
                }
            };
        }
        self.judge_place(asked)
    }

    fn judge_place(&self, asked: &invariant::File) -> Judgement {
        let (Some(pointer), Some(place)) = (&asked.pointer, &self.value) else {
            return Judgement::held();
        };
        let name = &asked.path;
        let violated = |class, detail| Judgement::violated(class, detail);
        match (place, &asked.equals) {
            (Place::Holds(value), Some(expected)) if value != expected => {
                let value = super::command::shown(&value.to_string());
                let detail = format!("{pointer} of {name} is {value}, not {expected}.");
                violated(Class::Wrong, detail)
            }
            (Place::Holds(_), _) => Judgement::held(),
            (Place::Missing, _) => {
                violated(Class::Lost, format!("{name} has nothing at {pointer}."))
            }
            (Place::Unreadable(problem), _) => {
                violated(Class::Unopenable, format!("{name} is no whole document: {problem}."))
            }
            (Place::NotUnderstood, _) => {
                let detail = format!("A place in {name} is found in JSON and TOML only.");
                Judgement::unknown(Reason::JudgeFailed, detail)
            }
        }
    }
}

fn format_of(format: DocumentFormat, path: &Path, contents: &[u8]) -> Format {
    match format {
        DocumentFormat::Json => Format::Json,
        DocumentFormat::Toml => Format::Toml,
        DocumentFormat::Yaml => Format::Yaml,
        DocumentFormat::Xml => Format::Xml,
        DocumentFormat::Ini => Format::Ini,
        DocumentFormat::Plist => match Format::recognise(path, contents) {
            Some(Format::BinaryPlist) => Format::BinaryPlist,
            _ => Format::Xml,
        },
    }
}

/// The document as JSON; none for formats whose places are not understood.
fn document(format: DocumentFormat, contents: &[u8]) -> Option<Result<Json, String>> {
    match format {
        DocumentFormat::Json => {
            Some(serde_json::from_slice(contents).map_err(|error| error.to_string()))
        }
        DocumentFormat::Toml => Some(
            std::str::from_utf8(contents)
                .map_err(|error| error.to_string())
                .and_then(|text| toml::from_str(text).map_err(|error| error.to_string())),
        ),
        _ => None,
    }
}
