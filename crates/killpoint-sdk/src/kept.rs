//! Something open that is kept from call to call, as long as its number means what it meant.
//!
//! A program that becomes a daemon closes all of its numbers and opens others under them: what is said
//! then must not be written into a file of its own, nor must that be closed.

use std::fs::File;
use std::mem;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex};

/// The number is not open.
const EBADF: i32 = 9;

/// What is kept; nothing before the first call.
pub(crate) struct Kept<T>(Mutex<Option<Arc<Open<T>>>>);

struct Open<T> {
    it: T,
    file: (u64, u64),
}

impl<T: AsFd> Kept<T> {
    pub(crate) const fn new() -> Self {
        Kept(Mutex::new(None))
    }

    /// Uses what is kept, or what `open` opens. Waits for nobody: while another thread opens it, this one
    /// takes one of its own.
    pub(crate) fn with<R>(
        &self,
        open: impl FnOnce() -> Option<T>,
        using: impl FnOnce(&T) -> R,
    ) -> Option<R> {
        let mut slot = self.0.try_lock().ok();
        let kept = slot.as_mut().and_then(|slot| slot.take());
        let open = match kept {
            Some(kept) if kept.is_ours() => kept,
            other => {
                // Its number is somebody else's by now, whom it would close.
                mem::forget(other);
                let it = open()?;
                Arc::new(Open { file: identity(&it).ok()?, it })
            }
        };
        if let Some(slot) = &mut slot {
            **slot = Some(open.clone());
        }
        drop(slot);
        Some(using(&open.it))
    }
}

impl<T: AsFd> Open<T> {
    fn is_ours(&self) -> bool {
        match identity(&self.it) {
            Ok(file) => file == self.file,
            // It cannot be looked at for want of numbers.
            Err(error) => error.raw_os_error() != Some(EBADF),
        }
    }
}

/// The device and number of what is open.
fn identity(it: &impl AsFd) -> std::io::Result<(u64, u64)> {
    let twin: OwnedFd = it.as_fd().try_clone_to_owned()?;
    let metadata = File::from(twin).metadata()?;
    Ok((metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::os::fd::BorrowedFd;

    /// What a number means, which changes as if others had closed it and opened another file.
    struct Number {
        files: [File; 2],
        now: Cell<usize>,
        opened: usize,
    }

    impl AsFd for Number {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.files[self.now.get()].as_fd()
        }
    }

    #[test]
    fn what_a_number_means_by_now_is_not_used() {
        let open = |opened| {
            let files = ["/proc/self/exe", "/dev/null"].map(|it| File::open(it).expect("there"));
            Some(Number { files, now: Cell::new(0), opened })
        };
        let kept = Kept::new();
        assert_eq!(kept.with(|| open(1), |it| it.opened), Some(1));
        assert_eq!(kept.with(|| open(2), |it| it.opened), Some(1));
        assert!(kept.with(|| open(3), |it| it.now.set(1)).is_some());
        assert_eq!(kept.with(|| open(4), |it| it.opened), Some(4));
        assert_eq!(kept.with(|| open(5), |it| it.opened), Some(4));
    }

    #[test]
    fn who_comes_while_another_opens_it_takes_one_of_its_own() {
        let kept = Kept::new();
        let open = || File::open("/dev/null").ok();
        let inner = || {
            assert!(kept.with(open, |_| ()).is_some());
            open()
        };
        assert!(kept.with(inner, |_| ()).is_some());
    }
}
