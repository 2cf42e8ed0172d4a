//! Paths in files and messages: Linux gives a path any bytes but zero, JSON only has text. One that
//! is text is written as text, any other as the list of its bytes. For `#[serde(with = "any_path")]`.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// A path as it is written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Written {
    /// Whoever reads the file can read it.
    Text(String),
    /// It is no text.
    Bytes(Vec<u8>),
}

/// What holds paths and can be written.
pub trait Writable: Sized {
    /// The form in which it is written.
    type Written: Serialize + DeserializeOwned;
    /// To be written.
    fn to_written(&self) -> Self::Written;
    /// As it was read.
    fn from_written(written: Self::Written) -> Self;
}

impl Writable for PathBuf {
    type Written = Written;

    fn to_written(&self) -> Written {
        match self.to_str() {
            Some(text) => Written::Text(text.to_owned()),
            None => Written::Bytes(self.clone().into_os_string().into_vec()),
        }
    }

    fn from_written(written: Written) -> Self {
        match written {
            Written::Text(text) => PathBuf::from(text),
            Written::Bytes(bytes) => PathBuf::from(OsString::from_vec(bytes)),
        }
    }
}

/// A path and what stands before its files in addresses.
impl Writable for (PathBuf, String) {
    type Written = (Written, String);

    fn to_written(&self) -> Self::Written {
        (self.0.to_written(), self.1.clone())
    }

    fn from_written((path, text): Self::Written) -> Self {
        (PathBuf::from_written(path), text)
    }
}

/// Two paths that belong together.
impl Writable for (PathBuf, PathBuf) {
    type Written = (Written, Written);

    fn to_written(&self) -> Self::Written {
        (self.0.to_written(), self.1.to_written())
    }

    fn from_written((one, other): Self::Written) -> Self {
        (PathBuf::from_written(one), PathBuf::from_written(other))
    }
}

impl<T: Writable> Writable for Vec<T> {
    type Written = Vec<T::Written>;

    fn to_written(&self) -> Self::Written {
        self.iter().map(T::to_written).collect()
    }

    fn from_written(written: Self::Written) -> Self {
        written.into_iter().map(T::from_written).collect()
    }
}

impl<T: Writable> Writable for Option<T> {
    type Written = Option<T::Written>;

    fn to_written(&self) -> Self::Written {
        self.as_ref().map(T::to_written)
    }

    fn from_written(written: Self::Written) -> Self {
        written.map(T::from_written)
    }
}

impl<T: Writable + Ord> Writable for BTreeSet<T> {
    type Written = Vec<T::Written>;

    fn to_written(&self) -> Self::Written {
        self.iter().map(T::to_written).collect()
    }

    fn from_written(written: Self::Written) -> Self {
        written.into_iter().map(T::from_written).collect()
    }
}

/// Writes what holds paths.
///
/// # Errors
/// What the format says.
pub fn serialize<T: Writable, S: Serializer>(paths: &T, format: S) -> Result<S::Ok, S::Error> {
    paths.to_written().serialize(format)
}

/// Reads what holds paths.
///
/// # Errors
/// If it is none.
pub fn deserialize<'de, T: Writable, D: Deserializer<'de>>(format: D) -> Result<T, D::Error> {
    T::Written::deserialize(format).map(T::from_written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Both {
        #[serde(with = "super")]
        one: PathBuf,
        #[serde(with = "super")]
        many: Vec<(PathBuf, String)>,
    }

    #[test]
    fn a_path_of_any_bytes_is_read_back_as_it_was_written() {
        let strange = PathBuf::from(OsString::from_vec(b"/data/\xff\xfe".to_vec()));
        let both = Both {
            one: PathBuf::from("/data/notes"),
            many: vec![(strange, "a".to_owned()), (PathBuf::from("/b"), String::new())],
        };
        let text = serde_json::to_string(&both).expect("any path can be written");
        assert!(text.contains(r#""one":"/data/notes""#), "{text}");
        assert_eq!(serde_json::from_str::<Both>(&text).expect("as written"), both);
    }
}
