//! Where something is asked: sockets and addresses of HTTP, as files and command lines write them.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

/// What stands before the name of a variable of the environment that is filled in when it is needed.
pub const VARIABLE: &str = "{environment:";

/// A socket: `HOST:PORT`, or the path of a Unix socket, which has a slash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct Socket(String);

/// An address of HTTP: `http://HOST`, `http://HOST:PORT/PATH`. Variables of the environment may stand in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct Url(String);

/// Why a text is no place where something can be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Neither of the forms of a socket.
    #[error(
        "`{0}` is no socket: write HOST:PORT with a port from 1 to 65535, or the path of a Unix \
         socket with a slash, as in ./socket"
    )]
    Socket(String),
    /// Not of the form of an address.
    #[error(
        "`{0}` is no address that can be asked: write http://HOST:PORT/PATH with a port from 1 to \
         65535 (https is not asked)"
    )]
    Url(String),
}

/// Whether a text is a host and a port that can be connected to.
fn is_host_and_port(text: &str) -> bool {
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
    text.rsplit_once(':').is_some_and(|(host, port)| is_host(host) && is_port(port))
}

fn is_host(text: &str) -> bool {
    // Colons stand in the brackets of an IPv6 address only.
    let is_bracketed = text.starts_with('[') && text.ends_with(']');
    !text.is_empty() && !text.contains(char::is_whitespace) && (is_bracketed || !text.contains(':'))
}

impl FromStr for Socket {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        match text.contains('/') || is_host_and_port(text) {
            true => Ok(Socket(text.to_owned())),
            false => Err(EndpointError::Socket(text.to_owned())),
        }
    }
}

impl FromStr for Url {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        // What stands for a variable is known only when the address is asked.
        let is_known_later = text.contains(VARIABLE);
        let is_address = text.strip_prefix("http://").is_some_and(|rest| {
            let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            let host = &rest[..end];
            let is_plain = !text.contains(char::is_whitespace);
            is_plain && (is_host(host) || is_host_and_port(host))
        });
        match is_address || is_known_later {
            true => Ok(Url(text.to_owned())),
            false => Err(EndpointError::Url(text.to_owned())),
        }
    }
}

macro_rules! as_texts {
    ($($kind:ident)*) => {$(
        impl $kind {
            /// It with its text changed, where places in it are filled in.
            #[must_use]
            pub fn map(&self, change: impl FnOnce(&str) -> String) -> Self {
                $kind(change(&self.0))
            }
        }

        impl TryFrom<String> for $kind {
            type Error = EndpointError;

            fn try_from(text: String) -> Result<Self, EndpointError> {
                text.parse()
            }
        }

        impl From<$kind> for String {
            fn from(endpoint: $kind) -> String {
                endpoint.0
            }
        }

        impl Deref for $kind {
            type Target = str;

            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

as_texts! { Socket Url }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_has_a_host_and_a_port_or_a_path() {
        for text in ["127.0.0.1:80", "localhost:65535", "[::1]:80", "./socket", "{state}/socket"] {
            assert_eq!(text.parse::<Socket>().expect(text).to_string(), text);
        }
        for text in ["", "socket", ":80", "localhost:", "localhost:0", "localhost:65536", "::1:80"]
        {
            assert!(text.parse::<Socket>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_address_is_one_of_http() {
        for text in [
            "http://localhost",
            "http://127.0.0.1:8080/health?a=b",
            "http://[::1]:80/",
            "{environment:BASE}/health",
            "http://{environment:HOST}:1/",
        ] {
            assert_eq!(text.parse::<Url>().expect(text).to_string(), text);
        }
        for text in [
            "",
            "nope",
            "http://",
            "http:///health",
            "https://localhost",
            "ftp://localhost",
            "http://localhost:0/",
            "http://localhost:99999",
            "http://local host/",
        ] {
            assert!(text.parse::<Url>().is_err(), "{text}");
        }
    }
}
