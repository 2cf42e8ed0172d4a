//! Judging a SQLite database.

use super::Case;
use crate::asserter::oracle::sqlite::{Reading, companion};
use crate::asserter::oracle::state::Present;
use crate::asserter::oracle::subject::What;
use killpoint_model::{Class, Judgement, Reason};
use std::io;

impl Case<'_> {
    pub(super) fn database(&self, present: Present) -> io::Result<Judgement> {
        let (name, path) = (self.name(), &self.subject.path);
        if present.length == 0 && self.floor_is_blank() && !self.has_companions() {
            return Ok(Judgement::held());
        }
        let reading = self.oracle.cache.database(path, self.state)?;
        let unknown = |why: &str| {
            let detail = format!("{name} is a SQLite database that cannot be judged: {why}.");
            Judgement::unknown(Reason::NoOracle, detail)
        };
        if let Some(why) = self.oracle.not_understood.get(path) {
            return Ok(unknown(why));
        }
        let dump = match reading.as_ref() {
            Reading::NotUnderstood(why) => return Ok(unknown(why)),
            Reading::Broken(_, why) if self.subject.placed.contains(&present.digest) => {
                return Ok(unknown(&format!("the program put it in place like this: {why}")));
            }
            Reading::Broken(..) if present.length == 0 => return Ok(self.lost("is empty")),
            Reading::Broken(class, why) => {
                let detail = format!("{name} is not an intact SQLite database: {why}.");
                return Ok(Judgement::violated(*class, detail));
            }
            Reading::Whole(dump) => *dump,
        };
        let is_blank = What::Database(dump).is_blank();
        let same = |what: &What| match what {
            What::Database(it) => it.digest == dump.digest,
            What::Absent => is_blank,
            What::File { .. } => false,
        };
        if let Some(judgement) = self.version(same) {
            return Ok(judgement);
        }
        if is_blank {
            return Ok(self.lost("is empty"));
        }
        let learnt = |what: &What| matches!(what, What::Database(_));
        if !self.subject.entries.iter().any(|entry| learnt(&entry.what)) {
            return Ok(unknown("no committed state of it was recorded"));
        }
        if !self.crash.recorded_beyond {
            return Ok(unknown("it holds what this recording does not"));
        }
        let rows = dump.rows;
        let detail = format!(
            "{name} is intact and holds {rows} rows that are those of no committed state: part of \
             a transaction is there."
        );
        Ok(Judgement::violated(Class::Torn, detail))
    }

    fn has_companions(&self) -> bool {
        ["-wal", "-journal"].iter().any(|suffix| {
            let path = companion(&self.subject.path, suffix);
            self.state.files().get(&path).is_some_and(|present| present.length > 0)
        })
    }
}
