//! Right: a list whose elements are appended by atomic replacement, each once.

use guests::{Promise, document, frame};
use serde_json::{Value, json};
use std::process::ExitCode;

fn main() -> ExitCode {
    frame::run(
        |call, journal| {
            let mut store = document::check(&call.state)?;
            for (id, element) in ["bread", "milk", "two eggs", "tea"].into_iter().enumerate() {
                let id = format!("order-{}", id + 1);
                journal.intend_id(&id, "queue", ">>", element)?;
                match store.entry("queue").or_insert_with(|| json!([])) {
                    Value::Array(queue) => queue.push(element.into()),
                    other => panic!("the queue is {other}"),
                }
                let bytes = document::to_bytes(&store);
                document::save_atomically(&call.state, document::DOCUMENT, &bytes)?;
                journal.acknowledge_id(&id, Promise::PowerLoss)?;
            }
            Ok(())
        },
        document::check,
    )
}
