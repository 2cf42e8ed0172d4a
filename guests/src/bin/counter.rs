//! Right: a counter whose additions are saved by atomic replacement, with nothing to replay.

use guests::{Promise, Store, document, frame};
use std::process::ExitCode;

fn main() -> ExitCode {
    frame::run(
        |call, journal| {
            let mut store = document::check(&call.state)?;
            for (id, addition) in [5, 7, 11, 13].into_iter().enumerate() {
                let id = (id + 1).to_string();
                journal.intend_id(&id, "counter", "+", &addition.to_string())?;
                add(&mut store, addition);
                let bytes = document::to_bytes(&store);
                document::save_atomically(&call.state, document::DOCUMENT, &bytes)?;
                journal.acknowledge_id(&id, Promise::PowerLoss)?;
            }
            Ok(())
        },
        document::check,
    )
}

fn add(store: &mut Store, addition: u64) {
    let before = store.get("counter").and_then(|value| value.as_u64()).unwrap_or(0);
    store.insert("counter".to_owned(), (before + addition).into());
}
