//! Wrong, but out of sight: changes its store by stores into a shared mapping, without any call to stop at.
#![expect(unsafe_code, reason = "a mapping of a file is shared with whoever else has the file")]

use guests::{Promise, Store, frame};
use rustix::mm::{MapFlags, MsyncFlags, ProtFlags, mmap, msync, munmap};
use std::fs::{self, OpenOptions};
use std::io;
use std::process::ExitCode;
use std::ptr;

const FILE: &str = "mapped.store";
const SLOTS: usize = 4;
const SLOT_BYTES: usize = 2_048;

fn main() -> ExitCode {
    frame::run(
        |call, journal| {
            let path = call.state.join(FILE);
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(path)?;
            file.set_len((SLOTS * SLOT_BYTES) as u64)?;
            let protection = ProtFlags::READ | ProtFlags::WRITE;
            let length = SLOTS * SLOT_BYTES;
            // SAFETY: the address is the kernel's choice, and the mapping is used only below, within its length.
            let base = unsafe {
                mmap(ptr::null_mut(), length, protection, MapFlags::SHARED, &file, 0)?.cast::<u8>()
            };
            for round in 1..=2 {
                for slot in 0..SLOTS {
                    let key = format!("slot-{slot}");
                    let value = format!("{round}").repeat(1_000);
                    journal.intend(&key, &value)?;
                    for (index, byte) in value.bytes().enumerate() {
                        // SAFETY: the slot lies within the mapping, and the value within the slot.
                        unsafe { base.add(slot * SLOT_BYTES + index).write_volatile(byte) };
                    }
                    // SAFETY: the range is the mapping.
                    unsafe { msync(base.cast(), length, MsyncFlags::SYNC)? };
                    journal.acknowledge(&key, Promise::Kill)?;
                }
            }
            // SAFETY: nothing refers to the mapping any more.
            unsafe { munmap(base.cast(), length) }.map_err(io::Error::from)
        },
        |state| {
            let mut store = Store::new();
            let bytes = fs::read(state.join(FILE)).unwrap_or_default();
            for (slot, bytes) in bytes.chunks(SLOT_BYTES).enumerate() {
                let value: Vec<u8> = bytes.iter().copied().take_while(|byte| *byte != 0).collect();
                if !value.is_empty() {
                    let value = String::from_utf8(value).map_err(io::Error::other)?;
                    store.insert(format!("slot-{slot}"), value.into());
                }
            }
            Ok(store)
        },
    )
}
