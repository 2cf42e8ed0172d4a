//! `killpoint upload`: the crashes of a run, to a receiver that speaks the protocol of Sentry.

use crate::arguments::Upload;
use crate::failure::Failure;
use killpoint_model::Outcome;

#[cfg(feature = "upload")]
mod carry_out {
    use super::{Failure, Outcome, Upload};
    use crate::output::print_line;
    use crate::runs;
    use anyhow::anyhow;
    use killpoint_harness::upload::{Request, UploadError, Uploaded, chosen, upload};
    use killpoint_model::crash::Crash;

    impl From<UploadError> for Failure {
        fn from(error: UploadError) -> Self {
            Failure { error: error.into(), outcome: Outcome::Usage }
        }
    }

    /// Uploads them.
    ///
    /// # Errors
    /// If the run is none, nobody takes them, or no receiver is named.
    pub(super) fn run(flags: &Upload) -> Result<Outcome, Failure> {
        let folder = runs::find(&flags.run, &flags.out)?;
        let report = runs::report(&folder)?;
        let dsn = match (&flags.dsn, std::env::var("SENTRY_DSN")) {
            (Some(dsn), _) => dsn.clone(),
            (None, Ok(dsn)) if !dsn.is_empty() => dsn,
            _ if flags.dry_run => String::new(),
            _ => {
                return Err(
                    anyhow!("no receiver is named: give --dsn URL, or set SENTRY_DSN").into()
                );
            }
        };
        let request = Request {
            folder: &folder,
            report: &report,
            dsn: &dsn,
            only: &flags.crash,
            with_dumps: !flags.without_dumps,
        };
        let crashes = chosen(&request)?;
        if crashes.is_empty() {
            print_line!("  run {} has no crash: nothing to upload", folder.id());
            return Ok(Outcome::Vacuous);
        }
        if flags.dry_run {
            crashes.into_iter().for_each(show_plan);
        } else {
            upload(&request, show)?;
        }
        Ok(Outcome::Pass)
    }

    fn show_plan(crash: &Crash) {
        let dumps = crash.dumps.len();
        print_line!(
            "  would upload  {}: {} ended ({}), {dumps} dumps",
            crash.id,
            crash.process,
            crash.end
        );
    }

    fn show(uploaded: &Uploaded) {
        let with = match (uploaded.dump_bytes, &uploaded.remark) {
            (Some(bytes), _) => format!("with its dump, {bytes} bytes"),
            (None, Some(remark)) => format!("without its dump: {remark}"),
            (None, None) => "without a dump".to_owned(),
        };
        print_line!("  uploaded  {} as event {}, {with}", uploaded.crash, uploaded.event);
    }
}

/// `killpoint upload`.
///
/// # Errors
/// If it cannot be done, or this build cannot do it.
#[cfg(feature = "upload")]
pub fn run(flags: &Upload) -> Result<Outcome, Failure> {
    carry_out::run(flags)
}

/// Says that this build cannot.
///
/// # Errors
/// Always.
#[cfg(not(feature = "upload"))]
pub fn run(_flags: &Upload) -> Result<Outcome, Failure> {
    let text = "this build has no uploads: build killpoint with `--features upload`";
    Err(anyhow::anyhow!(text).into())
}
