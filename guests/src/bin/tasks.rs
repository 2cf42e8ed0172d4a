//! Right: asynchronous tasks on several threads (tokio), each with a file of its own that it replaces atomically.

use guests::{Journal, Promise, frame, shared_log};
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use tokio::fs::{self, File};
use tokio::io::AsyncWriteExt;

const TASKS: u32 = 6;

fn main() -> ExitCode {
    frame::run(
        |call, _| {
            // The tasks need a journal that they can own.
            let journal = Arc::new(Journal::open()?);
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(3).build()?;
            runtime.block_on(save_all(&call.state, &journal))
        },
        shared_log::check,
    )
}

async fn save_all(state: &Path, journal: &Arc<Journal>) -> io::Result<()> {
    let tasks: Vec<_> = (1..=TASKS)
        .map(|task| tokio::spawn(save(state.to_owned(), Arc::clone(journal), task)))
        .collect();
    for task in tasks {
        task.await??;
    }
    Ok(())
}

async fn save(state: PathBuf, journal: Arc<Journal>, task: u32) -> io::Result<()> {
    let key = format!("own-{task}");
    let temporary = state.join(format!("{key}.tmp"));
    for round in 1..=3 {
        let value = format!("round {round} of task {task}");
        journal.intend(&key, &value)?;
        let mut file = File::create(&temporary).await?;
        file.write_all(value.as_bytes()).await?;
        file.sync_all().await?;
        fs::rename(&temporary, state.join(&key)).await?;
        File::open(&state).await?.sync_all().await?;
        journal.acknowledge(&key, Promise::PowerLoss)?;
    }
    Ok(())
}
