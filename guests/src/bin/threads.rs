//! Right: eight threads, each with a file of its own and all with one log that they append lines to.

use guests::{Promise, frame, shared_log};
use std::io;
use std::process::ExitCode;
use std::thread;

const THREADS: u32 = 8;

fn main() -> ExitCode {
    frame::run(
        |call, journal| {
            let log = shared_log::open(&call.state)?;
            thread::scope(|scope| {
                let writers: Vec<_> = (1..=THREADS)
                    .map(|writer| {
                        let (log, state) = (&log, &call.state);
                        scope.spawn(move || {
                            shared_log::save_own(state, journal, writer, Promise::PowerLoss)?;
                            shared_log::append_lines(log, journal, writer, Promise::PowerLoss)
                        })
                    })
                    .collect();
                writers.into_iter().try_for_each(|writer| match writer.join() {
                    Ok(result) => result,
                    Err(_) => Err(io::Error::other("a thread panicked")),
                })
            })
        },
        shared_log::check,
    )
}
