//! Wrong: keeps a name in two files, each replaced atomically, and between the two reads a name that nobody has.

use guests::{Promise, Store, document, frame};
use std::fs;
use std::process::ExitCode;

const PEOPLE: [(&str, &str); 4] =
    [("Ada", "Lovelace"), ("Grace", "Hopper"), ("Mary", "Shaw"), ("Barbara", "Liskov")];

fn main() -> ExitCode {
    frame::run(
        |call, journal| {
            for (first, last) in PEOPLE {
                journal.intend("name", &format!("{first} {last}"))?;
                document::save_atomically(&call.state, "first", first.as_bytes())?;
                document::save_atomically(&call.state, "last", last.as_bytes())?;
                journal.acknowledge("name", Promise::Kill)?;
            }
            Ok(())
        },
        |state| {
            let mut store = Store::new();
            let first = fs::read_to_string(state.join("first"));
            if let (Ok(first), Ok(last)) = (first, fs::read_to_string(state.join("last"))) {
                store.insert("name".to_owned(), format!("{first} {last}").into());
            }
            Ok(store)
        },
    )
}
