//! Right: keeps three documents, and saves each of them several times by atomic replacement.

use guests::{Promise, Store, document, frame};
use std::process::ExitCode;

const NAMES: [&str; 3] = ["settings", "window", "recent"];

fn main() -> ExitCode {
    frame::run(
        |call, journal| {
            for round in 1..=4 {
                for name in NAMES {
                    let file = format!("{name}.json");
                    let mut store = document::read(&call.state.join(&file))?;
                    let value = format!("{name} of round {round}: {}", "x".repeat(round * 700));
                    journal.intend(name, &value)?;
                    store.insert(name.to_owned(), value.into());
                    document::save_atomically(&call.state, &file, &document::to_bytes(&store))?;
                    journal.acknowledge(name, Promise::PowerLoss)?;
                }
            }
            Ok(())
        },
        |state| {
            let mut all = Store::new();
            for name in NAMES {
                all.append(&mut document::read(&state.join(format!("{name}.json")))?);
            }
            Ok(all)
        },
    )
}
