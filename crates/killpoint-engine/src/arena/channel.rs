//! The way between the harness and a worker: messages in JSON, each after its length.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// A message longer than this is not ours.
const MESSAGE_BYTES_MAX: u32 = 256 << 20;

/// One end.
#[derive(Debug)]
pub struct Channel(UnixStream);

/// Why a message could not be sent or received.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The other side is gone.
    #[error("the worker process ended unexpectedly")]
    Closed,
    /// The system refused.
    #[error("cannot talk to the worker process")]
    Io(#[from] io::Error),
    /// It took too long.
    #[error("the worker process did not answer in {0:?}")]
    TimedOut(Duration),
    /// The bytes are no message.
    #[error("the worker process sent what is no message")]
    Garbled(#[from] serde_json::Error),
}

/// What came.
#[derive(Debug)]
pub enum Received<T> {
    /// A message.
    Message(T),
    /// Nothing before the time was over.
    Nothing(Duration),
}

impl<T> Received<T> {
    /// The message.
    ///
    /// # Errors
    /// If none came in time.
    pub fn expect_message(self) -> Result<T, ChannelError> {
        match self {
            Received::Message(message) => Ok(message),
            Received::Nothing(waited) => Err(ChannelError::TimedOut(waited)),
        }
    }
}

/// To wait for several channels at once.
impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Channel {
    pub(super) fn pair() -> io::Result<(Self, Self)> {
        let (ours, theirs) = UnixStream::pair()?;
        Ok((Channel(ours), Channel(theirs)))
    }

    pub(super) fn descriptor(&self) -> i32 {
        self.0.as_raw_fd()
    }

    /// Whether the other side is gone.
    pub fn is_closed(&self) -> bool {
        self.is_closed_within(Duration::ZERO)
    }

    /// Waits for the other side to go, at most this long (less than a second); whether it is gone.
    pub(super) fn is_closed_within(&self, limit: Duration) -> bool {
        let mut polled = [rustix::event::PollFd::new(&self.0, rustix::event::PollFlags::HUP)];
        let limit = rustix::event::Timespec { tv_sec: 0, tv_nsec: i64::from(limit.subsec_nanos()) };
        rustix::event::poll(&mut polled, Some(&limit)).is_ok()
            && polled[0].revents().contains(rustix::event::PollFlags::HUP)
    }

    /// Tells the other side that nothing comes any more.
    pub(super) fn hang_up(&self) {
        let _ = self.0.shutdown(std::net::Shutdown::Both);
    }

    /// Sends a message.
    ///
    /// # Errors
    /// If the other side is gone.
    pub fn send<T: Serialize>(&mut self, message: &T) -> Result<(), ChannelError> {
        let text = serde_json::to_vec(message)?;
        let length =
            u32::try_from(text.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        self.0.write_all(&length.to_le_bytes())?;
        Ok(self.0.write_all(&text)?)
    }

    /// Waits for a message; without a limit if none is given.
    ///
    /// # Errors
    /// If the other side is gone, or sends what is no message.
    pub fn receive<T: DeserializeOwned>(
        &mut self,
        limit: Option<Duration>,
    ) -> Result<Received<T>, ChannelError> {
        if let Some(limit) = limit
            && !self.wait(limit)?
        {
            return Ok(Received::Nothing(limit));
        }
        let mut length = [0; 4];
        match self.0.read_exact(&mut length) {
            Ok(()) => {}
            Err(error)
                if [io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset]
                    .contains(&error.kind()) =>
            {
                return Err(ChannelError::Closed);
            }
            Err(error) => return Err(error.into()),
        }
        let length = u32::from_le_bytes(length);
        if length > MESSAGE_BYTES_MAX {
            return Err(ChannelError::Io(io::ErrorKind::InvalidData.into()));
        }
        let mut text = vec![0; length as usize];
        self.0.read_exact(&mut text).map_err(|_| ChannelError::Closed)?;
        Ok(Received::Message(serde_json::from_slice(&text)?))
    }

    fn wait(&self, limit: Duration) -> Result<bool, ChannelError> {
        let deadline = Instant::now() + limit;
        loop {
            let rest = deadline.saturating_duration_since(Instant::now());
            let timeout = rustix::event::Timespec {
                tv_sec: i64::try_from(rest.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(rest.subsec_nanos()),
            };
            let mut polled = [rustix::event::PollFd::new(&self.0, rustix::event::PollFlags::IN)];
            match rustix::event::poll(&mut polled, Some(&timeout)) {
                Ok(0) if rest.is_zero() => return Ok(false),
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => return Ok(true),
                Err(error) => return Err(io::Error::from(error).into()),
            }
        }
    }
}
