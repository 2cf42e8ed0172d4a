//! Wrong: moves money between two accounts by saving first the one and then the other.

use guests::{Promise, bank, document, frame};
use std::process::ExitCode;

fn main() -> ExitCode {
    frame::run(
        |call, journal| {
            bank::transfer(journal, &call.state, Promise::Kill, |balances| {
                for (account, balance) in balances {
                    let text = balance.to_string();
                    document::save_atomically(&call.state, account, text.as_bytes())?;
                }
                Ok(())
            })
        },
        bank::read,
    )
}
