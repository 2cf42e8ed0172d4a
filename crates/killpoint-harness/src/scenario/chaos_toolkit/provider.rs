//! Providers: commands and requests.

use super::form::{ActivityForm, Provider};
use super::values::Values;
use super::{Refused, refused};
use killpoint_model::activity::{Activity, Request};
use killpoint_model::endpoint::EndpointError;
use killpoint_model::span::Span;
use serde_json::Value;
use std::collections::BTreeMap;

/// What a provider does.
pub(super) struct Done {
    pub(super) run: Vec<String>,
    pub(super) request: Option<Request>,
    pub(super) timeout: Span,
    pub(super) is_http: bool,
}

pub(super) fn read(form: &ActivityForm, at: &str, values: &Values) -> Result<Done, Refused> {
    let provider =
        form.provider.as_ref().ok_or_else(|| refused(at, "an activity has a provider"))?;
    if !form.controls.is_empty() {
        let problem = "controls are Python, and not carried out: take them out";
        return Err(refused(format!("{at}.controls"), problem));
    }
    if form.dry.is_some() {
        return Err(refused(format!("{at}.dry"), "nothing is carried out dry"));
    }
    let at = format!("{at}.provider");
    let timeout = match provider.timeout.as_ref().or(form.timeout.as_ref()) {
        None => Activity::usual_timeout(),
        Some(value) => timeout(value, &format!("{at}.timeout"), values)?,
    };
    let (run, request) = match provider.kind.as_str() {
        "process" => (command(provider, &at, values)?, None),
        "http" => (Vec::new(), Some(ask(provider, &at, values)?)),
        other => {
            let problem =
                format!("the provider `{other}` cannot be carried out: `process` and `http` can");
            return Err(refused(format!("{at}.type"), problem));
        }
    };
    let is_http = request.is_some();
    Ok(Done { run, request, timeout, is_http })
}

/// One number, or the two of `requests`: until it is connected, and until it is answered.
fn timeout(value: &Value, at: &str, values: &Values) -> Result<Span, Refused> {
    let span = match value {
        Value::Array(parts) => {
            let parts = parts.iter().map(|part| values.seconds(part, at));
            let parts = parts.collect::<Result<Vec<Span>, _>>()?;
            Span::from_ms(parts.iter().map(|part| part.as_ms()).sum())
        }
        value => values.seconds(value, at)?,
    };
    match span == Span::default() {
        true => Err(refused(at, "nothing is done in no time")),
        false => Ok(span),
    }
}

fn command(provider: &Provider, at: &str, values: &Values) -> Result<Vec<String>, Refused> {
    let path = provider.path.as_deref().filter(|path| !path.is_empty());
    let path = path.ok_or_else(|| refused(at, "a process has a `path`"))?;
    if provider.url.is_some() || provider.method.is_some() || !provider.headers.is_empty() {
        return Err(refused(at, "`url`, `method` and `headers` belong to http"));
    }
    let path = match (path.strip_prefix("~/"), std::env::var("HOME")) {
        (Some(rest), Ok(home)) => format!("{home}/{rest}"),
        _ => path.to_owned(),
    };
    let at = format!("{at}.arguments");
    let mut words = vec![path.clone()];
    match provider.arguments.as_ref() {
        None | Some(Value::Null) => {}
        // A text goes through a shell, as it does there.
        Some(Value::String(text)) => {
            let line = format!("{path} {}", values.fill(text, &at)?);
            return Ok(vec!["/bin/sh".to_owned(), "-c".to_owned(), line]);
        }
        Some(Value::Array(list)) => {
            for value in list.iter().filter(|value| !is_nothing(value)) {
                words.push(values.text(value, &at)?);
            }
        }
        Some(Value::Object(pairs)) => {
            for (key, value) in pairs {
                words.push(values.fill(key, &at)?);
                if !is_nothing(value) {
                    words.push(values.text(value, &at)?);
                }
            }
        }
        Some(value) => words.push(values.text(value, &at)?),
    }
    Ok(words)
}

fn is_nothing(value: &Value) -> bool {
    value.is_null() || value.as_str() == Some("")
}

fn ask(provider: &Provider, at: &str, values: &Values) -> Result<Request, Refused> {
    let url = provider.url.as_deref().ok_or_else(|| refused(at, "a request has a `url`"))?;
    if provider.path.is_some() {
        return Err(refused(at, "`path` belongs to process"));
    }
    let mut url = values.fill(url, &format!("{at}.url"))?;
    if !url.starts_with("http://") {
        return Err(refused(format!("{at}.url"), "only http:// is spoken here: use a process"));
    }
    if provider.verify_tls == Some(false) || provider.max_retries > 0 {
        return Err(refused(at, "`verify_tls` and `max_retries` are not supported"));
    }
    let method = provider.method.clone().unwrap_or_else(Request::usual_method).to_uppercase();
    let mut headers = BTreeMap::new();
    for (name, value) in &provider.headers {
        headers.insert(name.clone(), values.text(value, &format!("{at}.headers.{name}"))?);
    }
    let url_at = format!("{at}.url");
    let at = format!("{at}.arguments");
    let arguments = provider.arguments.as_ref().filter(|arguments| !arguments.is_null());
    let is_json = headers.iter().any(|(name, value)| {
        name.eq_ignore_ascii_case("content-type") && value == "application/json"
    });
    let mut body = None;
    match arguments {
        None => {}
        Some(arguments) if method == "GET" => {
            let sign = if url.contains('?') { '&' } else { '?' };
            url = format!("{url}{sign}{}", pairs(arguments, &at, values)?);
        }
        Some(arguments) if is_json => body = Some(filled(arguments, &at, values)?.to_string()),
        Some(Value::String(text)) => body = Some(values.fill(text, &at)?),
        Some(arguments) => {
            body = Some(pairs(arguments, &at, values)?);
            let form = "application/x-www-form-urlencoded".to_owned();
            headers.entry("Content-Type".to_owned()).or_insert(form);
        }
    }
    let url = url.parse().map_err(|error: EndpointError| refused(url_at, error.to_string()))?;
    Ok(Request { url, method, headers, body })
}

/// Every text in a document filled in.
fn filled(value: &Value, at: &str, values: &Values) -> Result<Value, Refused> {
    Ok(match value {
        Value::String(text) => Value::String(values.fill(text, at)?),
        Value::Array(list) => {
            Value::Array(list.iter().map(|it| filled(it, at, values)).collect::<Result<_, _>>()?)
        }
        Value::Object(map) => {
            let filled = map.iter().map(|(key, it)| Ok((key.clone(), filled(it, at, values)?)));
            Value::Object(filled.collect::<Result<_, Refused>>()?)
        }
        value => value.clone(),
    })
}

/// `a=1&b=2`.
fn pairs(value: &Value, at: &str, values: &Values) -> Result<String, Refused> {
    let Value::Object(map) = value else {
        return Err(refused(at, "the arguments of a request are names with values"));
    };
    let mut pairs = Vec::new();
    for (key, value) in map {
        pairs.push(format!("{}={}", encode(key), encode(&values.text(value, at)?)));
    }
    Ok(pairs.join("&"))
}

/// Everything but what RFC 3986 calls unreserved. What stands for a variable of the environment is kept.
fn encode(text: &str) -> String {
    if text.starts_with("{environment:") {
        return text.to_owned();
    }
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            byte => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}
