//! Commands that are plain words: a shell would only find the program and execute it, which costs more
//! than many a checker does. Whatever is not certain to mean the same without one goes to the shell.

use killpoint_engine::spawn::{Launch, find_program};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Variables to which a shell gives a value of its own when it starts.
const SET_BY_THE_SHELL: [&str; 6] = ["PWD", "OLDPWD", "PPID", "OPTIND", "SHLVL", "IFS"];

/// The program that the command names, as `shell`, the launch of the same command by a shell, would
/// start it. None if the command needs the shell: if it is anything but words of letters, digits,
/// `_ - + . , : / @ % =` and `$NAME`, or `${NAME}`, with such values; if the first word has no `/`, so
/// that it may be a builtin, or a `=`; or if there is no such program.
pub(super) fn launch(command: &str, shell: &Launch) -> Option<Launch> {
    let value = |name: &str| {
        let mut variables = shell.environment.iter().rev();
        variables.find(|(other, _)| other.as_os_str() == OsStr::new(name)).map(|(_, value)| value)
    };
    let words = command.split([' ', '\t']).filter(|word| !word.is_empty());
    let arguments: Vec<OsString> =
        words.map(|word| expand(word, value).map(OsString::from)).collect::<Option<_>>()?;
    let name = arguments.first()?;
    if !name.as_bytes().contains(&b'/') || name.as_bytes().contains(&b'=') {
        return None;
    }
    let program = find_program(name, None, &shell.directory).ok()?;
    let mut environment = shell.environment.clone();
    // A shell keeps the working directory's name if it is one of it, and else finds its own.
    if !value("PWD").is_some_and(|shown| is_same_file(shown, &shell.directory)) {
        environment.retain(|(name, _)| name != "PWD");
        environment.push(("PWD".into(), shell.directory.clone().into()));
    }
    Some(Launch { program, arguments, environment, directory: shell.directory.clone() })
}

fn is_same_file(shown: &OsStr, directory: &Path) -> bool {
    let identity = |path: &Path| fs::metadata(path).map(|data| (data.dev(), data.ino()));
    let (shown, directory) = (identity(Path::new(shown)), identity(directory));
    shown.is_ok_and(|shown| directory.is_ok_and(|directory| shown == directory))
}

/// A word with its variables replaced, none of whose characters means anything to a shell.
fn expand<'a>(word: &str, value: impl Fn(&str) -> Option<&'a OsString>) -> Option<String> {
    let is_name = |it: char| it.is_ascii_alphanumeric() || it == '_';
    let mut parts = word.split('$');
    let mut expanded = parts.next()?.to_owned();
    for part in parts {
        let (name, rest) = match part.strip_prefix('{') {
            Some(part) => part.split_once('}')?,
            None => part.split_at(part.find(|it| !is_name(it)).unwrap_or(part.len())),
        };
        if !name.starts_with(|it: char| it.is_ascii_alphabetic() || it == '_')
            || !name.chars().all(is_name)
            || SET_BY_THE_SHELL.contains(&name)
        {
            return None;
        }
        // An empty word would be none.
        let value = value(name)?.to_str().filter(|value| !value.is_empty())?;
        expanded.push_str(value);
        expanded.push_str(rest);
    }
    let is_plain = |it: char| it.is_ascii_alphanumeric() || "_-+.,:/@%=".contains(it);
    expanded.chars().all(is_plain).then_some(expanded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn shell() -> Launch {
        let environment =
            [("BIN", "/bin"), ("SPACED", "a b"), ("EMPTY", ""), ("PWD", "/elsewhere")];
        Launch {
            program: PathBuf::from("/bin/sh"),
            arguments: Vec::new(),
            environment: environment.map(|(name, value)| (name.into(), value.into())).to_vec(),
            directory: PathBuf::from("/"),
        }
    }

    #[test]
    fn plain_words_need_no_shell() {
        let table: &[(&str, &[&str])] = &[
            ("/bin/cat a --b=c", &["/bin/cat", "a", "--b=c"]),
            ("  bin/cat \t-n  ./a ", &["bin/cat", "-n", "./a"]),
            ("$BIN/cat ${BIN}/x-$BIN", &["/bin/cat", "/bin/x-/bin"]),
        ];
        for (command, expected) in table {
            let launch = launch(command, &shell()).expect(command);
            assert_eq!(launch.arguments, *expected, "{command}");
            assert!(launch.program.ends_with("bin/cat"), "{command}");
            let directory: Vec<_> =
                launch.environment.iter().filter(|(name, _)| name == "PWD").collect();
            assert_eq!(directory, [&("PWD".into(), "/".into())], "{command}");
        }
    }

    #[test]
    fn another_name_of_the_working_directory_is_kept() {
        let mut shell = shell();
        shell.environment.push(("PWD".into(), "/proc/self/root".into()));
        let launch = launch("/bin/cat", &shell).expect("plain");
        assert!(launch.environment.contains(&("PWD".into(), "/proc/self/root".into())));
    }

    #[test]
    fn whatever_may_mean_more_goes_to_the_shell() {
        for command in [
            "",
            "cat a",
            "/bin/cat 'a'",
            "/bin/cat a*",
            "/bin/cat ~/a",
            "/bin/cat {a,b}",
            "/bin/cat a|/bin/cat",
            "/bin/cat a #b",
            "/bin/cat a\n/bin/cat b",
            "A=/b /bin/cat",
            "/bin/a=b",
            "/bin/cat $SPACED",
            "/bin/cat $EMPTY",
            "/bin/cat $MISSING",
            "/bin/cat ${BIN:-x}",
            "/bin/cat $(ls)",
            "/bin/cat $1",
            "/bin/cat $",
            "$PWD/bin/cat",
            "/bin/no-such-program a",
            "/etc/passwd",
        ] {
            assert!(launch(command, &shell()).is_none(), "{command}");
        }
    }
}
