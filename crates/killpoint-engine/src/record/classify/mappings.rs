//! Mappings of files: one is made, or synced.

use super::super::Recorder;
use super::super::mapped::identity_in;
use super::super::pending::Action;
use super::{Attempt, signed};
use crate::guest::Guest;
use killpoint_model::operation::OperationKind;
use rustix::fs::OFlags;
use std::fs::{self, File};
use std::os::fd::AsRawFd;

impl<C: FnMut() -> bool> Recorder<C> {
    pub(super) fn map(&mut self, guest: Guest, a: [u64; 6]) -> Attempt {
        let flags = signed(a[3]);
        if flags & libc::MAP_ANONYMOUS != 0 {
            return Ok(None);
        }
        let Some((file, descriptor)) = self.in_state(guest, signed(a[4]))? else {
            return Ok(None);
        };
        let access = descriptor.flags()? & OFlags::ACCMODE;
        if access != OFlags::RDWR {
            return Ok(None);
        }
        let Some(label) = self.namespace.label(file) else { return Ok(None) };
        if signed(a[2]) & libc::PROT_WRITE == 0 {
            let reader = File::open(format!("/proc/self/fd/{}", descriptor.file().as_raw_fd()))?;
            self.mapped.suspect(file, reader, label.shown.to_string(), guest.thread);
            return Ok(None);
        }
        // Not carried: the mapping is followed from now on, before a store can happen.
        self.follow_mapping(file, descriptor.file(), label.shown.to_string());
        Ok(None)
    }

    /// Which file of the state an address is mapped from, by the thread's table of mappings.
    pub(super) fn msync(&mut self, guest: Guest, a: [u64; 6]) -> Attempt {
        if signed(a[2]) & libc::MS_SYNC == 0 || self.mapped.is_empty() {
            return Ok(None);
        }
        let table = fs::read_to_string(format!("/proc/{}/maps", guest.thread))?;
        for line in table.lines() {
            let Some((start, end, offset, link)) = mapping(line) else { continue };
            let named = identity_in(line);
            if !(start..end).contains(&a[0]) {
                continue;
            }
            // The table's device is not always that of the file; the link is not for everybody.
            let file = match named.and_then(|named| self.identities.get(&named).copied()) {
                Some(file) => Some(file),
                None => match File::open(format!("/proc/{}/map_files/{link}", guest.thread)) {
                    Ok(probe) => self.known(&probe)?,
                    Err(_) => None,
                },
            };
            let Some(file) = file else { return Ok(None) };
            let from = offset + (a[0] - start);
            let range = Some((from, a[1].min(end - a[0])));
            let action = Action::Sync { file, descriptor: None, data_only: true, range };
            return Ok(self.on_file(OperationKind::Msync, file, "msync", action));
        }
        Ok(None)
    }
}

/// Start, end, file offset and name in `map_files` of a line of `/proc/PID/maps`.
fn mapping(line: &str) -> Option<(u64, u64, u64, &str)> {
    let mut fields = line.split_ascii_whitespace();
    let link = fields.next()?;
    let (start, end) = link.split_once('-')?;
    let offset = fields.nth(1)?;
    let hexadecimal = |text| u64::from_str_radix(text, 16).ok();
    Some((hexadecimal(start)?, hexadecimal(end)?, hexadecimal(offset)?, link))
}
