//! Requests of HTTP: how they are answered, as a command's end is told.

use super::command::{Ended, How, OUTPUT_BYTES_MAX};
use killpoint_model::activity::Request;
use std::time::Duration;
use ureq::http;

/// Makes a request. Every status is an answer; redirections are followed, ten at most.
pub fn ask(request: &Request, limit: Duration) -> Ended {
    let (how, output) = match answer(request, limit) {
        Ok((status, body)) => (How::Answered(status), body),
        Err(Trouble::Unanswered(why)) => (How::Unanswered(why), String::new()),
        Err(Trouble::Unmade(why)) => (How::NotStarted(why), String::new()),
    };
    Ended { how, output, error: String::new() }
}

enum Trouble {
    /// Nobody answers, or not in time: that says something about the target.
    Unanswered(String),
    /// The request makes no sense.
    Unmade(String),
}

fn answer(request: &Request, limit: Duration) -> Result<(i32, String), Trouble> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(limit))
        .proxy(None)
        .http_status_as_error(false)
        .allow_non_standard_methods(true)
        .build()
        .into();
    let mut builder = http::Request::builder().method(request.method.as_str()).uri(&*request.url);
    for (name, value) in &request.headers {
        builder = builder.header(name, value);
    }
    let unmade = |error: http::Error| Trouble::Unmade(error.to_string());
    let made = match &request.body {
        Some(body) => agent.run(builder.body(body.clone()).map_err(unmade)?),
        None => agent.run(builder.body(()).map_err(unmade)?),
    };
    let mut answer = made.map_err(trouble)?;
    let status = i32::from(answer.status().as_u16());
    let body = answer.body_mut().with_config().limit(OUTPUT_BYTES_MAX).read_to_vec();
    let body = body.map_err(trouble)?;
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

fn trouble(error: ureq::Error) -> Trouble {
    match error {
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => Trouble::Unmade(error.to_string()),
        _ => Trouble::Unanswered(error.to_string()),
    }
}
