//! Wrong for about 50 microseconds of each save: empties its document, works a little, and fills it again.
//! `window-50us [SAVES] [PAUSE_MS]`: by default 20 saves with 10 milliseconds between them.

use guests::{Promise, Store, document, frame};
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

const WINDOW: Duration = Duration::from_micros(50);

fn main() -> ExitCode {
    frame::run(
        |call, journal| {
            let path = call.state.join(document::DOCUMENT);
            if !path.exists() {
                let bytes = document::to_bytes(&Store::new());
                document::save_atomically(&call.state, document::DOCUMENT, &bytes)?;
            }
            let file = OpenOptions::new().write(true).open(path)?;
            let pause = Duration::from_millis(call.number(1, 10));
            for number in 1..=call.number(0, 20) {
                let value = format!("save {number}");
                journal.intend("note", &value)?;
                let mut store = Store::new();
                store.insert("note".to_owned(), value.into());
                let bytes = document::to_bytes(&store);
                let started = Instant::now();
                file.set_len(0)?;
                while started.elapsed() < WINDOW {
                    std::hint::spin_loop();
                }
                file.write_all_at(&bytes, 0)?;
                journal.acknowledge("note", Promise::Kill)?;
                thread::sleep(pause);
            }
            Ok(())
        },
        document::check,
    )
}
