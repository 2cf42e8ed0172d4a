//! Reads the standard streams of a life to their end: keeps a bounded part, counts the rest, looks
//! for a line. However much a program prints, it is never held up, and neither is the supervisor.

use super::{Occurrence, Sink};
use killpoint_model::lifecycle::Stream;
use killpoint_model::selector::Pattern;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::sync::mpsc::SyncSender;
use std::thread;

/// Longest line that is looked at; the rest of a longer one is not.
const LINE_BYTES_MAX: usize = 8_192;
/// Bytes that are read at a time.
const READ_BYTES: usize = 65_536;

/// What becomes of the output of a life.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) process: usize,
    pub(super) life: u32,
    pub(super) stream: Stream,
    /// Where the kept part goes; none if nothing is kept.
    pub(super) file: Option<File>,
    pub(super) bytes_max: u64,
    /// Where a copy is passed on to, if there is room.
    pub(super) pass_on: Option<SyncSender<Vec<u8>>>,
    /// A line that is looked for.
    pub(super) pattern: Option<Pattern>,
}

/// Reads a pipe until its last writer has closed it.
pub(super) fn read(pipe: OwnedFd, mut reading: Reading, sink: Sink) {
    thread::spawn(move || {
        let mut pipe = File::from(pipe);
        let mut buffer = vec![0; READ_BYTES];
        let mut line = Vec::new();
        let (mut kept, mut dropped) = (0, 0);
        loop {
            let count = match pipe.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => break,
            };
            let bytes = &buffer[..count];
            reading.look_for_line(bytes, &mut line, &sink);
            if let Some(pass_on) = &reading.pass_on {
                let _ = pass_on.try_send(bytes.to_vec());
            }
            let room = usize::try_from(reading.bytes_max - kept).unwrap_or(count).min(count);
            let file = reading.file.as_mut();
            let is_written = file.is_some_and(|file| file.write_all(&bytes[..room]).is_ok());
            let written = if is_written { room } else { 0 };
            kept += written as u64;
            let lost = (count - written) as u64;
            if lost > 0 && dropped == 0 && reading.file.is_some() {
                let (process, life, stream) = (reading.process, reading.life, reading.stream);
                sink.send(Occurrence::OutputCut { process, life, stream, kept });
            }
            dropped += lost;
        }
        let (process, life, stream) = (reading.process, reading.life, reading.stream);
        sink.send(Occurrence::OutputEnded { process, life, stream, kept, dropped });
    });
}

impl Reading {
    fn look_for_line(&mut self, bytes: &[u8], line: &mut Vec<u8>, sink: &Sink) {
        let Some(pattern) = self.pattern.clone() else { return };
        for &byte in bytes {
            if byte != b'\n' {
                if line.len() < LINE_BYTES_MAX {
                    line.push(byte);
                }
                continue;
            }
            if pattern.is_found_in(&String::from_utf8_lossy(line)) {
                sink.send(Occurrence::LineSeen { process: self.process, life: self.life });
            }
            line.clear();
        }
    }
}

/// A thread that passes output on to the standard error; what finds no room is left out.
pub(super) fn passer() -> SyncSender<Vec<u8>> {
    const CHUNKS_WAITING_MAX: usize = 64;
    let (sender, receiver) = std::sync::mpsc::sync_channel::<Vec<u8>>(CHUNKS_WAITING_MAX);
    thread::spawn(move || {
        for bytes in receiver {
            let _ = io::stderr().write_all(&bytes);
        }
    });
    sender
}
