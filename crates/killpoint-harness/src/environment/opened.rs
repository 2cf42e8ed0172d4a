//! Which of some files somebody read: told by the kernel (inotify), so that nothing of them changes.

use rustix::fs::inotify;
use std::collections::{BTreeSet, HashMap};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

/// Watches files and directories from when it is made.
#[derive(Debug)]
pub struct Opened {
    watch: OwnedFd,
    paths: HashMap<i32, String>,
}

impl Opened {
    /// Watches these paths; one that is not there is opened by nobody.
    ///
    /// # Errors
    /// If the system gives no watch.
    pub fn watch(paths: &[String]) -> io::Result<Self> {
        let flags = inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC;
        let watch = inotify::init(flags)?;
        let mut watched = HashMap::new();
        for path in paths {
            // Who maps a file closes it without having read or written.
            let flags = inotify::WatchFlags::ACCESS | inotify::WatchFlags::CLOSE_NOWRITE;
            if let Ok(number) = inotify::add_watch(&watch, path, flags) {
                watched.insert(number, path.clone());
            }
        }
        Ok(Opened { watch, paths: watched })
    }

    /// Those that were read since, or something in them, and hold something.
    ///
    /// # Errors
    /// If the watch cannot be read.
    pub fn seen(self) -> io::Result<Vec<String>> {
        let mut buffer = [MaybeUninit::uninit(); 4_096];
        let mut reader = inotify::Reader::new(&self.watch, &mut buffer);
        let mut seen = BTreeSet::new();
        loop {
            match reader.next() {
                Ok(event) => seen.extend(self.paths.get(&event.wd()).cloned()),
                Err(rustix::io::Errno::AGAIN) => {
                    // A lock is opened, and nothing stands in it.
                    seen.retain(|path| std::fs::metadata(path).is_ok_and(|it| it.len() > 0));
                    return Ok(seen.into_iter().collect());
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
