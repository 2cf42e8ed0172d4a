//! Right, but out of sight: hands its saves to a daemon that was started elsewhere, through a Unix socket.
//! `outside-daemon` is the client; `outside-daemon serve` is the daemon. The socket's path is in `GUEST_SOCKET`.

use guests::{Promise, document, frame};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::ExitCode;

fn main() -> ExitCode {
    frame::run(
        |call, journal| {
            let socket = std::env::var_os("GUEST_SOCKET")
                .ok_or_else(|| frame::failure("set GUEST_SOCKET to the path of the socket"))?;
            if call.arguments.first().is_some_and(|argument| argument == "serve") {
                return serve(&call.state, UnixListener::bind(socket)?);
            }
            let mut stream = UnixStream::connect(socket)?;
            let mut answers = BufReader::new(stream.try_clone()?).lines();
            for (key, value) in document::saves() {
                journal.intend(key, &value)?;
                writeln!(stream, "{key} {value}")?;
                match answers.next().transpose()? {
                    Some(answer) if answer == "saved" => {}
                    other => return Err(frame::failure(format!("the daemon said {other:?}"))),
                }
                journal.acknowledge(key, Promise::PowerLoss)?;
            }
            Ok(())
        },
        document::check,
    )
}

fn serve(state: &std::path::Path, listener: UnixListener) -> io::Result<()> {
    for stream in listener.incoming() {
        let mut stream = stream?;
        let mut store = document::check(state)?;
        for request in BufReader::new(stream.try_clone()?).lines() {
            let request = request?;
            let (key, value) = request.split_once(' ').expect("key and value");
            store.insert(key.to_owned(), value.into());
            let bytes = document::to_bytes(&store);
            document::save_atomically(state, document::DOCUMENT, &bytes)?;
            writeln!(stream, "saved")?;
        }
    }
    Ok(())
}
