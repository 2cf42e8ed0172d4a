//! Saves properly, but its checker misbehaves, where the store is half way (the document is begun and has no author
//! yet) or, with `always`, everywhere: `checker-misbehaves crashes|hangs|rubbish [always]`.

use guests::{Promise, document, frame};
use std::process::ExitCode;
use std::thread;

fn main() -> ExitCode {
    let has = |word: &str| std::env::args().any(|argument| argument == word);
    let (crashes, hangs, always) = (has("crashes"), has("hangs"), has("always"));
    frame::run(
        |call, journal| {
            document::save_repeatedly(&call.state, journal, Promise::PowerLoss, |bytes| {
                document::save_atomically(&call.state, document::DOCUMENT, bytes)
            })
        },
        |state| {
            let store = document::check(state)?;
            let is_half_way = !store.is_empty() && !store.contains_key("author");
            if !always && !is_half_way {
                return Ok(store);
            }
            if crashes {
                std::process::abort();
            }
            if hangs {
                loop {
                    thread::park();
                }
            }
            println!("Everything is fine, I suppose {{\"title\": ");
            std::process::exit(0);
        },
    )
}
