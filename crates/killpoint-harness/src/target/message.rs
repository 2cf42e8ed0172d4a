//! What a process says of itself: the protocol of sd_notify over a datagram socket, and the same
//! assignments as lines of a named pipe, for those who have no datagram sockets.
//!
//! The kernel vouches for the sender of a datagram. A line of the pipe names its sender itself; only
//! who may open the pipe (the same user) can lie.

use super::{Occurrence, Sink};
use rustix::fs::{Mode, OFlags};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg, sockopt::set_socket_passcred,
};
use std::fs::File;
use std::io::{self, BufRead, BufReader, IoSliceMut, Read, Write};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::thread;
use std::time::Duration;

/// Longest message.
const MESSAGE_BYTES_MAX: usize = 4_096;
/// After an error of the socket.
const ERROR_PAUSE: Duration = Duration::from_millis(100);

/// Who sent a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sender {
    pub(super) pid: i32,
    pub(super) uid: u32,
}

/// One assignment that has a meaning here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    Ready,
    Heartbeat,
    /// It asks to be treated as if it had missed its heartbeat.
    Trouble,
    Stopping,
    Status(String),
    MainPid(i32),
    Extend(Duration),
    Checkpoint(u64),
    Oplog(u64),
}

/// Reads the assignments of a message, in their order. Unknown ones and garbled values are left out,
/// as systemd does.
pub(super) fn parse(text: &str) -> Vec<Said> {
    let one = |line: &str| {
        let (name, value) = line.split_once('=')?;
        match (name, value) {
            ("READY", "1") => Some(Said::Ready),
            ("WATCHDOG", "1") => Some(Said::Heartbeat),
            ("WATCHDOG", "trigger") => Some(Said::Trouble),
            ("STOPPING", "1") => Some(Said::Stopping),
            ("STATUS", text) => Some(Said::Status(text.to_owned())),
            ("MAINPID", pid) => pid.parse().ok().filter(|pid| *pid > 0).map(Said::MainPid),
            ("EXTEND_TIMEOUT_USEC", us) => {
                us.parse().ok().map(|us| Said::Extend(Duration::from_micros(us)))
            }
            ("X_KILLPOINT_CHECKPOINT", number) => number.parse().ok().map(Said::Checkpoint),
            ("X_KILLPOINT_OPLOG", number) => number.parse().ok().map(Said::Oplog),
            _ => None,
        }
    };
    text.lines().filter_map(one).collect()
}

/// What the supervisor itself puts behind what was said when a process ended.
const MARK: &str = "X_KILLPOINT_END=";

/// What stands in a mark of our own.
fn marked(pid: i32, text: &str) -> Option<u32> {
    let is_own = pid == std::process::id().cast_signed();
    text.strip_prefix(MARK).filter(|_| is_own)?.trim_end().parse().ok()
}

/// Puts a mark into a socket; false if there is no room.
pub(super) fn mark_socket(path: &Path, mark: u32) -> bool {
    let send = || -> io::Result<usize> {
        let own = UnixDatagram::unbound()?;
        own.set_nonblocking(true)?;
        own.send_to(format!("{MARK}{mark}").as_bytes(), path)
    };
    send().is_ok()
}

/// Puts a mark into a named pipe; false if there is no room.
pub(super) fn mark_lines(path: &Path, mark: u32) -> bool {
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let send = || -> io::Result<()> {
        let mut pipe = File::from(rustix::fs::open(path, flags, Mode::empty())?);
        pipe.write_all(format!("{} {MARK}{mark}\n", std::process::id()).as_bytes())
    };
    send().is_ok()
}

/// Listens for datagrams to a process.
pub(super) fn listen(path: &Path, process: usize, sink: Sink) -> io::Result<()> {
    let socket = UnixDatagram::bind(path)?;
    set_socket_passcred(&socket, true)?;
    thread::spawn(move || {
        loop {
            match receive(&socket) {
                Ok(Some((sender, text))) => {
                    if let Some(mark) = marked(sender.pid, &text) {
                        sink.send(Occurrence::Heard { process, mark });
                    } else if !sink.send(Occurrence::Message {
                        process,
                        sender: Some(sender),
                        text,
                    }) {
                        return;
                    }
                }
                Ok(None) => {}
                Err(_) => thread::sleep(ERROR_PAUSE),
            }
        }
    });
    Ok(())
}

fn receive(socket: &UnixDatagram) -> io::Result<Option<(Sender, String)>> {
    let mut bytes = [0; MESSAGE_BYTES_MAX];
    // Room for passed descriptors, too (BARRIER=1): they are closed as soon as they are here.
    let mut space = [std::mem::MaybeUninit::uninit(); 512];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC;
    let received = recvmsg(socket, &mut [IoSliceMut::new(&mut bytes)], &mut ancillary, flags)?;
    let sender = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmCredentials(who) => {
            Some(Sender { pid: who.pid.as_raw_nonzero().get(), uid: who.uid.as_raw() })
        }
        _ => None,
    });
    let text = String::from_utf8_lossy(&bytes[..received.bytes]).into_owned();
    Ok(sender.map(|sender| (sender, text)))
}

/// Listens for lines `PID NAME=VALUE` of the named pipe of a process.
pub(super) fn listen_to_lines(path: &Path, process: usize, sink: Sink) -> io::Result<()> {
    rustix::fs::mkfifoat(rustix::fs::CWD, path, Mode::RUSR | Mode::WUSR)?;
    // Held open for writing, too: so there is never an end of file.
    let pipe = rustix::fs::open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    thread::spawn(move || {
        let mut reader = BufReader::new(File::from(pipe));
        loop {
            let mut line = Vec::new();
            // A line of a pipe is at most a page, or was not written by one call.
            let limit = MESSAGE_BYTES_MAX as u64;
            match reader.by_ref().take(limit).read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => thread::sleep(ERROR_PAUSE),
                Ok(_) => {
                    let line = String::from_utf8_lossy(&line);
                    let Some((pid, text)) = line.trim_end().split_once(' ') else { continue };
                    let Ok(pid) = pid.parse() else { continue };
                    let text = text.to_owned();
                    if let Some(mark) = marked(pid, &text) {
                        sink.send(Occurrence::Heard { process, mark });
                    } else if !sink.send(Occurrence::Line { process, pid, text }) {
                        return;
                    }
                }
            }
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments_are_read_in_their_order_and_garbled_ones_left_out() {
        let text = "STATUS=half way\nREADY=1\nWATCHDOG=1\nMAINPID=7\nMAINPID=x\nMAINPID=-1\nREADY=0\n\
                    EXTEND_TIMEOUT_USEC=1500000\nX_KILLPOINT_CHECKPOINT=3\nX_KILLPOINT_OPLOG=4\n\
                    STOPPING=1\nnothing\nUNKNOWN=1\n";
        let expected = [
            Said::Status("half way".to_owned()),
            Said::Ready,
            Said::Heartbeat,
            Said::MainPid(7),
            Said::Extend(Duration::from_millis(1_500)),
            Said::Checkpoint(3),
            Said::Oplog(4),
            Said::Stopping,
        ];
        assert_eq!(parse(text), expected);
    }
}
