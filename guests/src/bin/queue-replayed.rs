//! Wrong: two files, an inbox and a queue; after a crash between appending and emptying the inbox, the element is
//! appended once more.

use guests::{Promise, Store, document, frame};
use serde_json::{Value, json};
use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;

const INBOX: &str = "inbox";

fn main() -> ExitCode {
    frame::run(
        |call, journal| {
            recover(&call.state)?;
            for (id, element) in ["bread", "milk", "two eggs", "tea"].into_iter().enumerate() {
                let id = format!("order-{}", id + 1);
                journal.intend_id(&id, "queue", ">>", element)?;
                document::save_atomically(&call.state, INBOX, element.as_bytes())?;
                recover(&call.state)?;
                journal.acknowledge_id(&id, Promise::Kill)?;
            }
            Ok(())
        },
        recover,
    )
}

/// Moves the element of the inbox to the queue, if there is one. It should have looked whether it is there.
fn recover(state: &Path) -> io::Result<Store> {
    let mut store = document::check(state)?;
    let Ok(element) = fs::read_to_string(state.join(INBOX)) else { return Ok(store) };
    match store.entry("queue").or_insert_with(|| json!([])) {
        Value::Array(queue) => queue.push(element.into()),
        other => panic!("the queue is {other}"),
    }
    document::save_atomically(state, document::DOCUMENT, &document::to_bytes(&store))?;
    fs::remove_file(state.join(INBOX))?;
    Ok(store)
}
