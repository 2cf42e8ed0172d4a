//! Writes one file by many calls of one size: `many-writes COUNT SIZE`. It promises nothing.

use guests::{Store, frame};
use std::fs::File;
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    frame::run(
        |call, _| {
            let (count, size) = (call.number(0, 1_000), call.number(1, 64));
            let chunk = vec![b'.'; usize::try_from(size).expect("a size fits memory")];
            let mut file = File::create(call.state.join("many"))?;
            (0..count).try_for_each(|_| file.write_all(&chunk))
        },
        |state| {
            let mut store = Store::new();
            if let Ok(metadata) = state.join("many").metadata() {
                store.insert("bytes".to_owned(), metadata.len().into());
            }
            Ok(store)
        },
    )
}
