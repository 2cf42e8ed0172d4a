//! The listener of a filter: where threads wait at the entry of a call until they are answered.

use super::super::Call;
use crate::filter;
use nix::errno::Errno;
use nix::unistd::Pid;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

/// `SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP`, Linux 6.6: the one who waits runs on the waker's processor.
const SYNC_WAKE_UP: u64 = 1;

/// A thread that waits at the entry of a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Notification {
    /// Names this wait; another number for the same call if it is restarted.
    pub(super) id: u64,
    /// Who waits.
    pub(super) thread: Pid,
    /// For what.
    pub(super) call: Call,
}

/// The supervisor's end.
#[derive(Debug)]
pub(super) struct Listener(OwnedFd);

/// The two ends of the way on which a child hands over its filter's listener.
pub(super) fn way() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?)
}

/// Installs the program in this process and sends its listener. sendmsg is no call of the list.
///
/// # Errors
/// As [`filter::install_listener`], and what the system says to sendmsg.
pub(super) fn install_and_send(
    program: &[libc::sock_filter],
    keep_privileges: bool,
    way: &OwnedFd,
) -> io::Result<()> {
    let listener = filter::install_listener(program, keep_privileges)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [listener.as_fd()];
    control.push(SendAncillaryMessage::ScmRights(&descriptors));
    sendmsg(way, &[IoSlice::new(b"l")], &mut control, SendFlags::empty())?;
    Ok(())
}

impl Listener {
    /// Receives what [`install_and_send`] sent; none if the child ended instead.
    pub(super) fn receive_from(way: &OwnedFd) -> io::Result<Option<Self>> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut byte = [0];
        let flags = RecvFlags::CMSG_CLOEXEC;
        rustix::io::retry_on_intr(|| {
            recvmsg(way, &mut [IoSliceMut::new(&mut byte)], &mut control, flags)
        })?;
        let mut listener = None;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                listener = descriptors.last();
            }
        }
        let Some(listener) = listener.map(Listener) else { return Ok(None) };
        // Only a matter of speed; kernels before 6.6 refuse it.
        let _ = listener.control(libc::SECCOMP_IOCTL_NOTIF_SET_FLAGS, SYNC_WAKE_UP as *mut u8);
        Ok(Some(listener))
    }

    #[expect(unsafe_code, reason = "the listener's requests have no safe wrapper")]
    fn control<T>(&self, request: libc::Ioctl, argument: *mut T) -> Result<(), Errno> {
        // SAFETY: `argument` is what the request takes: a number, or a pointer to a whole structure
        // that outlives the call, as every caller in this file passes.
        let status = unsafe { libc::ioctl(self.0.as_raw_fd(), request, argument) };
        Errno::result(status).map(drop)
    }

    /// The next thread that waits. EINTR when a signal came, ENOENT when the thread was killed
    /// meanwhile or nobody is left to wait.
    #[expect(unsafe_code, reason = "the kernel wants the structure zeroed")]
    pub(super) fn receive(&self) -> Result<Notification, Errno> {
        // SAFETY: all fields are integers, for which zero is a value.
        let mut raw: libc::seccomp_notif = unsafe { std::mem::zeroed() };
        self.control(libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut raw)?;
        Ok(Notification {
            id: raw.id,
            thread: Pid::from_raw(raw.pid.cast_signed()),
            call: Call { number: i64::from(raw.data.nr), arguments: raw.data.args },
        })
    }

    /// Whether a thread waits, or comes to wait within this time.
    pub(super) fn is_ready(&self, limit: Duration) -> bool {
        self.poll(limit).contains(PollFlags::IN)
    }

    /// Whether nobody is left who could ever wait.
    pub(super) fn is_deserted(&self) -> bool {
        self.poll(Duration::ZERO).contains(PollFlags::HUP)
    }

    fn poll(&self, limit: Duration) -> PollFlags {
        let mut polled = [PollFd::new(&self.0, PollFlags::IN)];
        let limit = Timespec { tv_sec: 0, tv_nsec: i64::from(limit.subsec_nanos()) };
        match poll(&mut polled, Some(&limit)) {
            Ok(_) => polled[0].revents(),
            Err(_) => PollFlags::empty(),
        }
    }

    /// Whether the thread still waits: what was read of it before is then its own, and not that of
    /// another thread with its number.
    pub(super) fn is_waiting(&self, notification: &Notification) -> bool {
        let mut id = notification.id;
        self.control(libc::SECCOMP_IOCTL_NOTIF_ID_VALID, &raw mut id).is_ok()
    }

    /// Lets the kernel carry out the call in the thread. False if the thread is gone.
    pub(super) fn pass(&self, notification: &Notification) -> bool {
        let flags = libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32;
        self.send(libc::seccomp_notif_resp { id: notification.id, val: 0, error: 0, flags })
    }

    /// Ends the call with this result, as if the kernel had carried it out.
    pub(super) fn answer(&self, notification: &Notification, result: i64) -> bool {
        let error = if result < 0 { i32::try_from(result).unwrap_or(-libc::EIO) } else { 0 };
        let val = result.max(0);
        self.send(libc::seccomp_notif_resp { id: notification.id, val, error, flags: 0 })
    }

    fn send(&self, mut response: libc::seccomp_notif_resp) -> bool {
        self.control(libc::SECCOMP_IOCTL_NOTIF_SEND, &raw mut response).is_ok()
    }
}
