//! Uploads the crashes of a run as Sentry envelopes: an event that says what is known of the crash, and
//! its minidump.
//!
//! Only when somebody asks for it, one crash after another, bounded in number, size and time. What looks
//! like a secret is taken out of every text (`redact`); a dump holds the memory of the process as it was.

mod envelope;
mod redact;

pub use redact::redact;

use crate::store::RunFolder;
use killpoint_engine::regular_file;
use killpoint_model::crash::{Crash, DumpedBy};
use killpoint_model::report::Report;
use sentry_types::Dsn;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

/// Most crashes that are uploaded at once.
pub const CRASHES_MAX: usize = 100;
/// A dump that is larger stays here; a receiver would refuse it.
pub const DUMP_BYTES_MAX: u64 = 20 << 20;
/// How long one upload may take, its answer included.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How much of an answer is read.
const ANSWER_BYTES_MAX: u64 = 4_096;

/// What is to be uploaded.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The folder of the run.
    pub folder: &'a RunFolder,
    /// Its report.
    pub report: &'a Report,
    /// Whom to: the DSN of a project.
    pub dsn: &'a str,
    /// Only the crashes of these ids; all, if none is given.
    pub only: &'a [String],
    /// Whether dumps go with them.
    pub with_dumps: bool,
}

/// A crash that was uploaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uploaded {
    /// Its id.
    pub crash: String,
    /// The id of the event, which is the same whenever the crash is uploaded.
    pub event: String,
    /// The length of the dump that went with it.
    pub dump_bytes: Option<u64>,
    /// Why none did, where there is one.
    pub remark: Option<String>,
}

/// Why a crash was not uploaded.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// The DSN is none. It is not repeated: it holds a key.
    #[error("the DSN is none ({0}): write http(s)://KEY@HOST/PROJECT, as the receiver shows it")]
    Dsn(String),
    /// There is no such crash.
    #[error("run {run} has no crash `{crash}`: it has {known}")]
    NoCrash {
        /// The run.
        run: String,
        /// As it was asked for.
        crash: String,
        /// Those that there are.
        known: String,
    },
    /// There are too many.
    #[error("{0} crashes are more than the {CRASHES_MAX} of one upload: choose some with --crash")]
    TooMany(usize),
    /// A dump cannot be read.
    #[error("cannot read the dump {path}; --without-dumps uploads the rest")]
    Dump {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Nobody answers.
    #[error(
        "the receiver at {host} does not answer: crash {crash} and those after it were not uploaded"
    )]
    Unreachable {
        /// The receiver.
        host: String,
        /// The crash.
        crash: String,
        /// Why.
        source: Box<ureq::Error>,
    },
    /// The receiver does not want it.
    #[error(
        "the receiver at {host} refused crash {crash} (HTTP {status}: {answer}); it and those after it \
         were not uploaded"
    )]
    Refused {
        /// The receiver.
        host: String,
        /// The crash.
        crash: String,
        /// The status of its answer.
        status: u16,
        /// The answer, bounded.
        answer: String,
    },
}

/// The crashes that a request means.
///
/// # Errors
/// If one that is asked for is none, or there are too many.
pub fn chosen<'a>(request: &Request<'a>) -> Result<Vec<&'a Crash>, UploadError> {
    let crashes: &[Crash] = request.report.campaign.as_ref().map_or(&[], |it| &it.crashes);
    for wanted in request.only {
        if crashes.iter().all(|crash| crash.id != *wanted) {
            let known: Vec<&str> = crashes.iter().map(|crash| crash.id.as_str()).collect();
            return Err(UploadError::NoCrash {
                run: request.report.run.clone(),
                crash: wanted.clone(),
                known: if known.is_empty() { "none".to_owned() } else { known.join(", ") },
            });
        }
    }
    let is_wanted = |crash: &&Crash| request.only.is_empty() || request.only.contains(&crash.id);
    let chosen: Vec<&Crash> = crashes.iter().filter(is_wanted).collect();
    match chosen.len() {
        0..=CRASHES_MAX => Ok(chosen),
        count => Err(UploadError::TooMany(count)),
    }
}

/// Uploads what a request means, and tells of each when it is done.
///
/// # Errors
/// With the first that could not be; those before it are there.
pub fn upload(request: &Request<'_>, mut tell: impl FnMut(&Uploaded)) -> Result<(), UploadError> {
    let dsn: Dsn = request
        .dsn
        .parse()
        .map_err(|error: sentry_types::ParseDsnError| UploadError::Dsn(error.to_string()))?;
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(UPLOAD_TIMEOUT))
        .max_redirects(0)
        .http_status_as_error(false)
        .build()
        .into();
    for crash in chosen(request)? {
        let (dump, remark) = match request.with_dumps {
            true => dump(request.folder, crash)?,
            false => (None, None),
        };
        let event = envelope::event_id(crash);
        let uploaded = Uploaded {
            crash: crash.id.clone(),
            event: event.simple().to_string(),
            dump_bytes: dump.as_ref().map(|bytes| bytes.len() as u64),
            remark,
        };
        send(&agent, &dsn, crash, &envelope::bytes(crash, request.report, dump))?;
        tell(&uploaded);
    }
    Ok(())
}

/// The dump that goes with a crash; why none does, where there is one.
fn dump(
    folder: &RunFolder,
    crash: &Crash,
) -> Result<(Option<Vec<u8>>, Option<String>), UploadError> {
    // A core is no minidump.
    let Some(file) = crash.dumps.iter().find(|dump| dump.by != DumpedBy::Kernel) else {
        return Ok((None, None));
    };
    // The event log may come from somewhere else: nothing outside of the run is read.
    let is_inside =
        Path::new(&file.path).components().all(|part| matches!(part, Component::Normal(_)));
    if !is_inside {
        let remark = format!("{} is not in the run's folder and stays here", file.path);
        return Ok((None, Some(remark)));
    }
    let path = folder.join(&file.path);
    let fail = |source| UploadError::Dump { path: path.clone(), source };
    let bytes = fs::symlink_metadata(&path).map_err(fail)?;
    if !bytes.is_file() || bytes.len() > DUMP_BYTES_MAX {
        let remark = format!(
            "{} is larger than {DUMP_BYTES_MAX} bytes, or no file, and stays here",
            file.path
        );
        return Ok((None, Some(remark)));
    }
    Ok((Some(regular_file::read(&path).map_err(fail)?), None))
}

fn send(agent: &ureq::Agent, dsn: &Dsn, crash: &Crash, body: &[u8]) -> Result<(), UploadError> {
    let (host, crash) = (dsn.host().to_owned(), crash.id.clone());
    let client = concat!("killpoint/", env!("CARGO_PKG_VERSION"));
    let answer = agent
        .post(dsn.envelope_api_url().as_str())
        .header("X-Sentry-Auth", dsn.to_auth(Some(client)).to_string())
        .content_type("application/x-sentry-envelope")
        .send(body);
    let mut answer = match answer {
        Ok(answer) => answer,
        Err(source) => {
            return Err(UploadError::Unreachable { host, crash, source: Box::new(source) });
        }
    };
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let text = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string();
    let answer = redact(text.unwrap_or_default().trim());
    Err(UploadError::Refused { host, crash, status: status.as_u16(), answer })
}
