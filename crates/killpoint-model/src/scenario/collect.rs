//! What a run keeps of its target beside verdicts: dumps, cores, samples of what it uses, snapshots, pictures of its screen.

use crate::nonsense::{Nonsense, refuse};
use crate::selector::Glob;
use crate::span::Span;
use serde::{Deserialize, Serialize};

/// What is collected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Collect {
    /// Of which deaths there are dumps.
    #[serde(skip_serializing_if = "Dumps::is_none")]
    pub dump: Dumps,
    /// Whether the kernel is asked for cores.
    pub cores: bool,
    /// How often it is looked what each process uses; `0s` for never.
    pub samples: Span,
    /// Whether the state is copied around each strike.
    pub snapshots: bool,
    /// Whether there are pictures of the screen around strikes and crashes.
    #[serde(skip_serializing_if = "Screenshots::are_usual")]
    pub screenshots: Screenshots,
}

impl Default for Collect {
    fn default() -> Self {
        let samples = Span::from_ms(100);
        Collect {
            dump: Dumps::default(),
            cores: false,
            samples,
            snapshots: true,
            screenshots: Screenshots::default(),
        }
    }
}

/// One kind of dump or several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(
    untagged,
    expecting = "a dump is before-kill, crashes, or { files: PATTERN } with a pattern as \"{state}/dumps/*.dmp\"; or it is a list of these"
)]
pub enum Dumps {
    /// One.
    One(Dump),
    /// Several.
    Several(Vec<Dump>),
}

impl Default for Dumps {
    fn default() -> Self {
        Dumps::Several(Vec::new())
    }
}

impl Dumps {
    /// All of them.
    pub fn all(&self) -> &[Dump] {
        match self {
            Dumps::One(dump) => std::slice::from_ref(dump),
            Dumps::Several(dumps) => dumps,
        }
    }

    /// Whether there is none.
    pub fn is_none(&self) -> bool {
        self.all().is_empty()
    }

    /// The patterns of the files that the application writes itself.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.all().iter().filter_map(|dump| match dump {
            Dump::Files(pattern) => Some(pattern.as_str()),
            _ => None,
        })
    }
}

/// Whether there are pictures of the screen, and of which.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(untagged, expecting = "it is true, false, or `{ display: \":99\" }`")]
pub enum Screenshots {
    /// Whether; of the display that `DISPLAY` names.
    Wanted(bool),
    /// Of this display.
    Of(Screen),
}

/// A screen of which there are pictures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Screen {
    /// The X display, as `:99`.
    pub display: String,
}

impl Default for Screenshots {
    fn default() -> Self {
        Screenshots::Wanted(false)
    }
}

impl Screenshots {
    /// Whether there are to be any.
    pub fn are_wanted(&self) -> bool {
        *self != Screenshots::Wanted(false)
    }

    /// The display, if one is named.
    pub fn display(&self) -> Option<&str> {
        match self {
            Screenshots::Wanted(_) => None,
            Screenshots::Of(screen) => Some(&screen.display),
        }
    }

    fn are_usual(&self) -> bool {
        !self.are_wanted()
    }
}

/// Where a dump comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Dump {
    /// A process that a strike kills is dumped while it stands still before its death.
    BeforeKill,
    /// A process that is about to die by SIGSEGV, SIGABRT and their kin is dumped.
    Crashes,
    /// The application writes them itself, to files of this pattern.
    Files(#[schemars(with = "String")] Glob),
}

impl Collect {
    /// Whether it can be collected.
    ///
    /// # Errors
    /// The first thing that makes no sense.
    pub fn check(&self) -> Result<(), Nonsense> {
        let is_wrong = self.screenshots.display().is_some_and(|it| !is_display(it));
        let why =
            "it is no X display: write it as `:99`, or `screenshots: true` for that of DISPLAY";
        refuse(&[(is_wrong, "screenshots.display", why)])
    }
}

/// Whether a text names an X display: `:99`, `:99.0`, `host:10.0`.
fn is_display(text: &str) -> bool {
    let Some((_, numbers)) = text.rsplit_once(':') else { return false };
    numbers.splitn(2, '.').all(|number| number.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Collect {
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    #[test]
    fn one_dump_or_several_are_read_as_a_file_writes_them() {
        assert_eq!(read("{}"), Collect::default());
        assert_eq!(read(r#"{"dump":"before-kill"}"#).dump.all(), [Dump::BeforeKill]);
        let several = read(r#"{"dump":["crashes",{"files":"{state}/*.dmp"}],"samples":"1s"}"#);
        assert_eq!(several.dump.files().collect::<Vec<_>>(), ["{state}/*.dmp"]);
        let text = serde_json::to_string(&several).expect("plain data");
        assert_eq!(read(&text), several);
        assert!(serde_json::from_str::<Collect>(r#"{"dump":"after"}"#).is_err());
    }

    #[test]
    fn pictures_are_of_the_usual_display_or_of_a_named_one() {
        let named = read(r#"{"screenshots":{"display":":99"}}"#);
        assert_eq!(named.screenshots.display(), Some(":99"));
        assert_eq!(read(&serde_json::to_string(&named).expect("plain data")), named);
        let usual = read(r#"{"screenshots":true}"#).screenshots;
        assert!(usual.are_wanted() && usual.display().is_none());
        assert_eq!(read(r#"{"screenshots":false}"#), Collect::default());
        let text = serde_json::to_string(&Collect::default()).expect("plain data");
        assert!(!text.contains("screenshots"), "plans made before it have the same digest: {text}");
    }

    #[test]
    fn a_pattern_that_is_none_and_a_display_that_is_none_are_refused() {
        for text in [r#"{"dump":{"files":""}}"#, r#"{"dump":["crashes",{"files":"[.dmp"}]}"#] {
            assert!(serde_json::from_str::<Collect>(text).is_err(), "{text}");
        }
        for (display, is_one) in [
            (":99", true),
            (":0.1", true),
            ("localhost:10.0", true),
            ("", false),
            ("99", false),
            (":", false),
            (":0.1.2", false),
            (":x", false),
        ] {
            let text = format!(r#"{{"screenshots":{{"display":"{display}"}}}}"#);
            assert_eq!(read(&text).check().is_ok(), is_one, "{display}");
        }
    }
}
