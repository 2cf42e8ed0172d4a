//! Two accounts, each in a file of its own, and the transactions between them.

use crate::frame::Store;
use crate::journal::{Journal, Promise};
use std::fs;
use std::io;
use std::path::Path;

const ACCOUNTS: [&str; 2] = ["alice", "bob"];

/// The balances; an account without a file is not opened yet.
///
/// # Errors
/// When an account is not a number.
pub fn read(state: &Path) -> io::Result<Store> {
    let mut store = Store::new();
    for account in ACCOUNTS {
        if let Ok(text) = fs::read_to_string(state.join(account)) {
            let balance: i64 = text.parse().map_err(io::Error::other)?;
            store.insert(account.to_owned(), balance.into());
        }
    }
    Ok(store)
}

/// Opens both accounts in one transaction, then moves money three times; `save` gets both new balances.
///
/// # Errors
/// What reading, saving or the journal give.
pub fn transfer(
    journal: &Journal,
    state: &Path,
    promise: Promise,
    mut save: impl FnMut(&Store) -> io::Result<()>,
) -> io::Result<()> {
    let mut balances = read(state)?;
    if balances.is_empty() {
        for account in ACCOUNTS {
            journal.intend_id("open", account, "=", "100")?;
            balances.insert(account.to_owned(), 100.into());
        }
        save(&balances)?;
        journal.acknowledge_id("open", promise)?;
    }
    for (id, amount) in [30, -45, 10].into_iter().enumerate() {
        let id = format!("transfer-{}", id + 1);
        for (account, change) in ACCOUNTS.into_iter().zip([-amount, amount]) {
            journal.intend_id(&id, account, "+", &change.to_string())?;
            let before = balances.get(account).and_then(|value| value.as_i64()).unwrap_or(0);
            balances.insert(account.to_owned(), (before + change).into());
        }
        save(&balances)?;
        journal.acknowledge_id(&id, promise)?;
    }
    Ok(())
}
