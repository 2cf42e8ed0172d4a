//! Files that somebody names. What is no regular file (a pipe, a device, a directory) may have no end, or
//! wait for ever for somebody at its other end: it is refused, and opening it does not wait.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

/// How long is waited for a pipe to say something more.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// How often it is looked whether that is still wanted.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Opens a regular file to read it.
///
/// # Errors
/// What the system says, and if it is no regular file.
pub fn open(path: &Path) -> io::Result<File> {
    only_regular(open_any(OpenOptions::new().read(true), path)?)
}

/// Reads a regular file whole.
///
/// # Errors
/// As [`open`].
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads a regular file that holds text.
///
/// # Errors
/// As [`open`], and if it is no text.
pub fn read_to_string(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    open(path)?.read_to_string(&mut text)?;
    Ok(text)
}

/// Opens a regular file to add to it; it is made if it is not there.
///
/// # Errors
/// As [`open`].
pub fn open_to_append(path: &Path) -> io::Result<File> {
    only_regular(open_any(OpenOptions::new().create(true).append(true), path)?)
}

/// Writes a regular file whole; it is made if it is not there.
///
/// # Errors
/// As [`open`].
pub fn write(path: &Path, contents: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = only_regular(open_any(options.create(true).write(true).truncate(false), path)?)?;
    file.set_len(0)?;
    file.write_all(contents)
}

/// Reads at most one byte more than `bytes_max` of what somebody hands over: a regular file, or a pipe (the
/// standard input, `<(command)`), which is waited for as long as it goes on saying something and nobody
/// interrupts that.
///
/// # Errors
/// What the system says, if it is neither, if the pipe says nothing for 10 s, and if it is interrupted.
pub fn read_handed_over(
    path: &Path,
    bytes_max: u64,
    is_interrupted: &dyn Fn() -> bool,
) -> io::Result<Vec<u8>> {
    let file = open_any(OpenOptions::new().read(true), path)?;
    let mut bytes = Vec::new();
    match file.metadata()?.file_type().is_fifo() {
        true => read_pipe(&file, bytes_max, SILENCE_MAX, is_interrupted, &mut bytes)?,
        false => drop(only_regular(file)?.take(bytes_max + 1).read_to_end(&mut bytes)?),
    }
    Ok(bytes)
}

/// The same for text, which may not be longer.
///
/// # Errors
/// As [`read_handed_over`], and if it is longer or no text.
pub fn read_text_handed_over(
    path: &Path,
    bytes_max: u64,
    is_interrupted: &dyn Fn() -> bool,
) -> io::Result<String> {
    let bytes = read_handed_over(path, bytes_max, is_interrupted)?;
    if bytes.len() as u64 > bytes_max {
        return Err(io::Error::other(format!("it is longer than {bytes_max} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| io::Error::other("it is not UTF-8"))
}

fn read_pipe(
    pipe: &File,
    bytes_max: u64,
    silence_max: Duration,
    is_interrupted: &dyn Fn() -> bool,
    bytes: &mut Vec<u8>,
) -> io::Result<()> {
    let mut silent_since = Instant::now();
    while (bytes.len() as u64) <= bytes_max {
        if is_interrupted() {
            return Err(io::Error::other("it was interrupted"));
        }
        if silent_since.elapsed() > silence_max {
            let seconds = silence_max.as_secs();
            return Err(io::Error::other(format!(
                "it is a pipe, and nobody wrote to it for {seconds} s"
            )));
        }
        let interval = Timespec::try_from(LOOK_INTERVAL).map_err(io::Error::other)?;
        // Before somebody has opened its other end there is nothing, and no end either.
        match poll(&mut [PollFd::new(pipe, PollFlags::IN)], Some(&interval)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => continue,
            polled => polled?,
        };
        let left = bytes_max + 1 - bytes.len() as u64;
        match pipe.take(left).read_to_end(bytes) {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                silent_since = Instant::now();
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Opens without waiting for whoever has the other end.
fn open_any(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).map_err(io::Error::other)?;
    match options.custom_flags(flags).open(path) {
        // A pipe that nobody reads, a socket, a device that is not there.
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error()) => {
            Err(not_regular())
        }
        opened => opened,
    }
}

fn only_regular(file: File) -> io::Result<File> {
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(not_regular()),
    }
}

fn not_regular() -> io::Error {
    io::Error::other("it is no file, but a directory, a pipe or a device")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    use std::fs;
    use std::path::PathBuf;

    fn with_pipe() -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pipe");
        mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        (directory, path)
    }

    fn handed_over(path: &Path, bytes_max: u64) -> io::Result<String> {
        let bytes = read_handed_over(path, bytes_max, &|| false)?;
        Ok(String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn what_is_no_regular_file_is_refused_at_once() {
        let (_directory, pipe) = with_pipe();
        for path in [&pipe, Path::new("/dev/zero"), Path::new("/dev/tty"), Path::new("/")] {
            assert!(open(path).is_err(), "{}", path.display());
            assert!(read(path).is_err() && read_to_string(path).is_err(), "{}", path.display());
            assert!(open_to_append(path).is_err(), "{}", path.display());
            assert!(write(path, b"text").is_err(), "{}", path.display());
        }
        for path in ["/dev/zero", "/"] {
            assert!(handed_over(Path::new(path), 9).is_err(), "{path}");
        }
        for error in [open(&pipe).unwrap_err(), write(&pipe, b"text").unwrap_err()] {
            assert!(error.to_string().contains("a pipe"), "{error}");
        }
    }

    #[test]
    fn a_regular_file_is_made_replaced_and_added_to() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        for text in ["the longer text", "text"] {
            write(&path, text.as_bytes()).unwrap();
            assert_eq!(read_to_string(&path).unwrap(), text);
        }
        open_to_append(&path).unwrap().write_all(b" and more").unwrap();
        assert_eq!(read(&path).unwrap(), b"text and more");
        assert_eq!(handed_over(&path, 100).unwrap(), "text and more");
        assert_eq!(handed_over(&path, 3).unwrap(), "text", "one more than is allowed");
        let text = |bytes_max| read_text_handed_over(&path, bytes_max, &|| false);
        assert_eq!(text(13).unwrap(), "text and more");
        assert!(text(12).unwrap_err().to_string().contains("longer than 12 bytes"));
        assert_eq!(
            open(&directory.path().join("none")).unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
    }

    #[test]
    fn a_pipe_is_read_to_its_end_also_when_its_writer_comes_late_and_is_slow() {
        let (_directory, pipe) = with_pipe();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(150));
                let mut file = fs::OpenOptions::new().write(true).open(&pipe).unwrap();
                for word in ["one ", "two ", "three"] {
                    std::thread::sleep(Duration::from_millis(150));
                    file.write_all(word.as_bytes()).unwrap();
                }
            });
            assert_eq!(handed_over(&pipe, 100).unwrap(), "one two three");
        });
    }

    #[test]
    fn a_pipe_without_end_is_read_no_further_than_is_allowed() {
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(&[b'x'; 5_000]).unwrap();
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&reader));
        assert_eq!(handed_over(Path::new(&path), 99).unwrap().len(), 100);
    }

    #[test]
    fn a_pipe_that_nobody_writes_to_is_given_up_and_waiting_for_it_can_be_interrupted() {
        let (_directory, path) = with_pipe();
        let pipe = open_any(OpenOptions::new().read(true), &path).unwrap();
        let wait = |limit, is_interrupted: &dyn Fn() -> bool| {
            read_pipe(&pipe, 9, limit, is_interrupted, &mut Vec::new()).unwrap_err().to_string()
        };
        assert!(wait(Duration::from_millis(50), &|| false).contains("nobody wrote to it"));
        let begun = Instant::now();
        let is_interrupted = || begun.elapsed() > Duration::from_millis(50);
        assert!(wait(Duration::from_secs(3_600), &is_interrupted).contains("interrupted"));
    }
}
