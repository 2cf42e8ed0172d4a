//! Documents that the program writes in turn: while one is being written, another holds the newest.

use super::Case;
use crate::asserter::oracle::documents::{DOCUMENT_BYTES_MAX, numbers};
use crate::asserter::oracle::shown;
use crate::asserter::oracle::subject::{Kind, What};
use crate::asserter::oracle::turns::Turn;
use killpoint_model::{Judgement, Reason, Verdict};
use std::path::Path;

impl Case<'_> {
    /// The next start may take a newer document that stands whole in place of a damaged one.
    pub(super) fn spared_by_turn(&self, judgement: Judgement) -> Judgement {
        if !matches!(judgement.verdict, Verdict::Violated(_)) {
            return judgement;
        }
        let Some(newer) = self.newer_in_turn() else { return judgement };
        let detail = match newer {
            Some(newer) => format!("and {} holds a newer one", shown(newer)),
            None => "and nothing stood in this one yet".to_owned(),
        };
        let detail = format!(
            "{} The program writes several such documents in turn, {detail}: whether the next start copes \
             only a checker can say.",
            judgement.detail
        );
        Judgement::unknown(Reason::NoOracle, detail)
    }

    /// A whole document that is newer than what had to stay in this one; none within if that was nothing.
    fn newer_in_turn(&self) -> Option<Option<&Path>> {
        let path = &self.subject.path;
        let turns = self.oracle.turns.iter().filter(|turn| turn.paths.contains(path));
        let What::File { digest, length: 1.., .. } = &self.subject.entries[self.floor].what else {
            return turns.take(1).map(|_| None).next();
        };
        turns.filter_map(|turn| Some((turn, turn.number(digest)?))).find_map(|(turn, number)| {
            let others = turn.paths.iter().filter(|other| *other != path);
            let mut newer = others
                .filter(|other| self.number_at(other, turn).is_some_and(|other| other > number));
            newer.next().map(|newer| Some(newer.as_path()))
        })
    }
    /// The number of the whole document at a path. What another run has left there may be in no version.
    fn number_at(&self, path: &Path, turn: &Turn) -> Option<f64> {
        let present = self.state.files().get(path)?;
        turn.number(&present.digest).or_else(|| {
            let Kind::Document(format) = self.oracle.subject(path)?.kind else { return None };
            if present.length > DOCUMENT_BYTES_MAX {
                return None;
            }
            let contents = self.state.read(path).ok()?;
            let is_whole = format.read(&contents).is_ok();
            is_whole.then(|| numbers(format, &contents).by_place.get(&turn.key).copied()).flatten()
        })
    }
}
