//! That lines are only ever added to the ack journal: what it held once, at a strike and between strikes,
//! is what it begins with for ever. A target that loses its store and empties its journal at each start
//! would otherwise promise nothing, and one whose journal has grown back would look as if it had not.

use killpoint_engine::regular_file;
use std::fs::Metadata;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What the journal was so far. Of its contents only a digest is kept.
#[derive(Clone, Debug, Default)]
pub(super) struct Growth {
    /// The device and the number of the file.
    file: Option<(u64, u64)>,
    /// How much of it was read, which is all that it was at the time.
    bytes: u64,
    digest: blake3::Hasher,
    /// Why it has not only grown.
    fault: Option<String>,
}

impl Growth {
    /// Sees what was added. What cannot be read now is seen later.
    pub(super) fn follow(&mut self, path: &Path, metadata: &Metadata) {
        let file = (metadata.dev(), metadata.ino());
        let (is_other, length) = (*self.file.get_or_insert(file) != file, metadata.len());
        if is_other || length < self.bytes {
            let fault = if is_other { replaced() } else { shrunk(self.bytes, length) };
            self.fault.get_or_insert(fault);
        } else if length > self.bytes {
            let _ = self.read_on(path, length);
        }
    }

    fn read_on(&mut self, path: &Path, length: u64) -> io::Result<()> {
        let mut file = regular_file::open(path)?;
        file.seek(SeekFrom::Start(self.bytes))?;
        self.bytes += io::copy(&mut file.take(length - self.bytes), &mut self.digest)?;
        Ok(())
    }

    /// Why the journal, which holds this now, has not only grown; nothing if it has.
    pub(super) fn check(&self, journal: &[u8]) -> Result<(), String> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        let known = usize::try_from(self.bytes).ok().and_then(|bytes| journal.get(..bytes));
        match known {
            None => Err(shrunk(self.bytes, journal.len() as u64)),
            Some(known) if blake3::hash(known) != self.digest.finalize() => Err(replaced()),
            Some(_) => Ok(()),
        }
    }
}

fn shrunk(were: u64, are: u64) -> String {
    format!("the ack journal was {were} bytes long and is {are}: lines are only ever added to it")
}

fn replaced() -> String {
    "the ack journal does not begin with what it held before: lines are only ever added to it"
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// What is said of a journal that holds these, one after the other, written in place.
    fn said(contents: &[&str]) -> Result<(), String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("journal");
        let mut growth = Growth::default();
        for content in contents {
            fs::write(&path, content).expect("written");
            growth.follow(&path, &fs::metadata(&path).expect("there"));
        }
        growth.check(&fs::read(&path).expect("read"))
    }

    #[test]
    fn a_journal_only_grows() {
        assert_eq!(said(&["", "I a 1\n", "I a 1\nA", "I a 1\nA a\n", "I a 1\nA a\n"]), Ok(()));
        let other = said(&["I a 1\n", "I b 2\nA b\n"]).expect_err("another one");
        assert!(other.contains("begin with what it held"), "{other}");
        // Also where the very same is promised again: it was gone in between.
        let shrunk = said(&["I a 1\n", "", "I a 1\nA a\n"]).expect_err("it was empty");
        assert!(shrunk.contains("was 6 bytes long and is 0"), "{shrunk}");
    }

    #[test]
    fn a_journal_is_one_file_and_its_last_shrinking_is_seen_too() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("journal");
        let mut growth = Growth::default();
        fs::write(&path, "I a 1\n").expect("written");
        growth.follow(&path, &fs::metadata(&path).expect("there"));
        assert_eq!(growth.check(b"I a 1\nA a\n"), Ok(()));
        assert!(growth.check(b"I a").is_err());
        fs::write(folder.path().join("new"), "I a 1\n").expect("written");
        fs::rename(folder.path().join("new"), &path).expect("renamed");
        growth.follow(&path, &fs::metadata(&path).expect("there"));
        assert!(growth.check(b"I a 1\n").is_err());
    }
}
