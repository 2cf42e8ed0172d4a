//! Pictures of the screen around the strikes and crashes of a trial; kept where it did not hold.

#[cfg(feature = "screenshots")]
use crate::collector::screenshots::Camera;
use killpoint_model::scenario::Screenshots;
use killpoint_model::screenshot::{Moment, Screenshot};
use std::fs;
use std::path::{Path, PathBuf};

/// What is said of a display that does not answer: once, and then it is not asked again.
pub(super) const SILENT: &str =
    "there are no pictures of the screen: the display did not answer within 2 s";

/// The pictures of one trial.
#[derive(Debug)]
pub(super) struct Pictures {
    folder: PathBuf,
    #[cfg(feature = "screenshots")]
    camera: Option<Camera>,
}

/// What became of them.
#[derive(Debug, Default)]
pub(super) struct Album {
    pub(super) pictures: Vec<Screenshot>,
    /// What is missing, in words.
    pub(super) gaps: Vec<String>,
}

impl Pictures {
    /// Those of the trial in this folder.
    #[cfg_attr(
        not(feature = "screenshots"),
        expect(unused_variables, reason = "refused before the run")
    )]
    pub(super) fn start(wanted: &Screenshots, trial: &Path, is_silent: bool) -> Self {
        let folder = trial.join("screenshots");
        #[cfg(feature = "screenshots")]
        let camera = (wanted.are_wanted() && !is_silent && has_display(wanted))
            .then(|| Camera::start(wanted.display(), &folder));
        Pictures {
            folder,
            #[cfg(feature = "screenshots")]
            camera,
        }
    }

    /// Takes one, and waits for it.
    #[cfg_attr(
        not(feature = "screenshots"),
        expect(
            unused_variables,
            clippy::unused_self,
            clippy::needless_pass_by_value,
            reason = "there is no camera"
        )
    )]
    pub(super) fn take(&mut self, moment: Moment, at_us: u64) {
        #[cfg(feature = "screenshots")]
        if let Some(camera) = &mut self.camera {
            camera.take(moment, at_us);
        }
    }

    /// Takes one while the trial goes on.
    #[cfg_attr(
        not(feature = "screenshots"),
        expect(
            unused_variables,
            clippy::unused_self,
            clippy::needless_pass_by_value,
            reason = "there is no camera"
        )
    )]
    pub(super) fn take_meanwhile(&mut self, moment: Moment, at_us: u64) {
        #[cfg(feature = "screenshots")]
        if let Some(camera) = &mut self.camera {
            camera.take_meanwhile(moment, at_us);
        }
    }

    /// Waits for the last one.
    #[cfg(feature = "screenshots")]
    pub(super) fn end(&mut self) -> Album {
        use crate::collector::screenshots::PICTURES_MAX;
        let Some(camera) = self.camera.take() else { return Album::default() };
        let album = camera.end();
        let mut gaps = Vec::new();
        if album.is_silent {
            gaps.push(SILENT.to_owned());
        }
        if album.omitted > 0 {
            let text = format!(
                "some pictures of the screen are missing: there are {PICTURES_MAX} of a trial at most, \
                 and one that cannot be taken at its moment is left out"
            );
            gaps.push(text);
        }
        let problem = |it| format!("pictures of the screen are missing: {it}");
        gaps.extend(album.problems.into_iter().map(problem));
        Album { pictures: album.pictures, gaps }
    }

    /// Waits for the last one.
    #[cfg(not(feature = "screenshots"))]
    #[expect(clippy::unused_self, reason = "there is no camera")]
    pub(super) fn end(&mut self) -> Album {
        Album::default()
    }

    /// Throws them away: a trial that held needs none.
    pub(super) fn remove(&self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn has_display(wanted: &Screenshots) -> bool {
    wanted.display().is_some() || std::env::var_os("DISPLAY").is_some_and(|it| !it.is_empty())
}

/// What of it cannot be done, in words.
pub(super) fn gap(wanted: &Screenshots) -> Option<String> {
    let is_nowhere = wanted.are_wanted() && !has_display(wanted);
    is_nowhere.then(|| {
        "there are no pictures of the screen: no display is named, and DISPLAY is not set"
            .to_owned()
    })
}
