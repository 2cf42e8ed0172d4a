//! Takes out of a text what looks like a secret, before it leaves the machine.

use regex_lite::Regex;
use std::sync::LazyLock;

/// What stands in its place.
const REDACTED: &str = "[redacted]";

/// What looks like a secret, and what of it stays. Rather too much is taken out than too little.
static RULES: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    let rules = [
        // The whole of a private key, or what is left of it where a line was cut.
        (r"(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|$)", ""),
        // An address with a user in it.
        (r"(?i)([a-z][a-z0-9+.-]*://)[^/\s@]+@", "${1}KEEP@"),
        // A header, and its whole value.
        (r"(?i)\b((?:proxy-)?authorization|cookie|set-cookie)(\s*[:=]\s*)[^\r\n]+", "${1}${2}KEEP"),
        (r"(?i)\b(bearer|basic)(\s+)[a-z0-9._~+/=-]{8,}", "${1}${2}KEEP"),
        // A name that says what it is, with its value, quoted or not.
        (
            r#"(?i)([a-z0-9_.-]*(?:passw(?:or)?d|passphrase|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credential|mnemonic|xprv)[a-z0-9_.-]*["']?\s*[:=]\s*)("[^"]*"|'[^']*'|[^\s,;&}]+)"#,
            "${1}KEEP",
        ),
        // An argument of a command line.
        (
            r"(?i)(--?[a-z0-9-]*(?:password|passphrase|secret|token|api-key|credential)[a-z0-9-]*\s+)[^\s-]\S*",
            "${1}KEEP",
        ),
        // Keys that are known by how they begin.
        (r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b", ""),
        (r"\b(?:gh[pousr]_|github_pat_|glpat-|xox[abprs]-|sk_live_|sk-)[A-Za-z0-9_-]{16,}", ""),
        (r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*", ""),
    ];
    let compile = |(pattern, left): (&str, &'static str)| {
        (Regex::new(pattern).expect("a pattern of ours"), left)
    };
    rules.into_iter().map(compile).collect()
});

/// A text without what looks like a secret.
pub fn redact(text: &str) -> String {
    let mut text = text.to_owned();
    for (pattern, left) in RULES.iter() {
        let left =
            if left.is_empty() { REDACTED.to_owned() } else { left.replace("KEEP", REDACTED) };
        text = pattern.replace_all(&text, left.as_str()).into_owned();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &str) {
        assert_eq!(redact(text), expect);
    }

    #[test]
    fn what_looks_like_a_secret_is_taken_out_and_the_rest_stays() {
        check("saved note 7 in 3 ms", "saved note 7 in 3 ms");
        check("DB_PASSWORD=hunter2 next", "DB_PASSWORD=[redacted] next");
        check(r#"{"apiKey": "a b", "n": 1}"#, r#"{"apiKey": [redacted], "n": 1}"#);
        check("rpcpassword: 'x y'", "rpcpassword: [redacted]");
        check("run --auth-token abc123 --port 1", "run --auth-token [redacted] --port 1");
        check("postgres://me:pw@db/app", "postgres://[redacted]@db/app");
        check("Authorization: Bearer abc.def\nnext", "Authorization: [redacted]\nnext");
        check("got bearer abcdefgh12", "got bearer [redacted]");
        check("key AKIAABCDEFGHIJKLMNOP.", "key [redacted].");
        check("ghp_0123456789abcdefghij", "[redacted]");
        check(
            "a -----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY----- b",
            "a [redacted] b",
        );
        check("-----BEGIN PRIVATE KEY-----\nMII", "[redacted]");
    }
}
