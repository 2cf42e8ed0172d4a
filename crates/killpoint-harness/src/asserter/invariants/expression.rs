//! Expressions in CEL over the values that were collected; with the feature `cel`.

use killpoint_model::verdict::Judgement;
use serde_json::Value as Json;

/// Longest expression: the library counts no steps, so what it may be asked is bounded here.
#[cfg(feature = "cel")]
const EXPRESSION_BYTES_MAX: usize = 2_000;

/// The values that an expression may name.
#[cfg(feature = "cel")]
const VALUES: [&str; 3] = ["acknowledged", "restarts", "checkpoint"];

/// Whether an expression can be judged at all: to be asked while a scenario is read.
///
/// # Errors
/// What is wrong with it, in words.
#[cfg(feature = "cel")]
pub fn check(expression: &str) -> Result<(), String> {
    let program = compile(expression)?;
    let references = program.references();
    let unknown = references.variables().into_iter().find(|name| !VALUES.contains(name));
    match unknown {
        Some(name) => Err(format!("there is no value `{name}`: there are {}", VALUES.join(", "))),
        None => Ok(()),
    }
}

#[cfg(feature = "cel")]
fn compile(expression: &str) -> Result<cel::Program, String> {
    if expression.len() > EXPRESSION_BYTES_MAX {
        return Err(format!("the expression is longer than {EXPRESSION_BYTES_MAX} bytes"));
    }
    cel::Program::compile(expression).map_err(|error| error.to_string())
}

/// Values in which every whole number that fits is a signed one, as those in an expression are: the
/// library does not add the two kinds.
#[cfg(feature = "cel")]
struct Signed<'a>(&'a Json);

#[cfg(feature = "cel")]
impl serde::Serialize for Signed<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Json::Number(number) => match number.as_i64() {
                Some(number) => serializer.serialize_i64(number),
                None => number.serialize(serializer),
            },
            Json::Array(items) => serializer.collect_seq(items.iter().map(Signed)),
            Json::Object(fields) => {
                serializer.collect_map(fields.iter().map(|(name, value)| (name, Signed(value))))
            }
            plain => plain.serialize(serializer),
        }
    }
}

/// Whether an expression is true of these values.
#[cfg(feature = "cel")]
pub(super) fn judge(expression: &str, values: &Json) -> Judgement {
    use killpoint_model::verdict::{Class, Reason};
    let unknown =
        |problem: String| Judgement::unknown(Reason::JudgeFailed, super::sentence(&problem));
    let program = match compile(expression) {
        Ok(program) => program,
        Err(problem) => return unknown(format!("`{expression}` is no expression: {problem}")),
    };
    let mut context = cel::Context::default();
    for (name, value) in values.as_object().into_iter().flatten() {
        if let Err(error) = context.add_variable(name.as_str(), Signed(value)) {
            return unknown(format!("the value {name} cannot be used: {error}"));
        }
    }
    match program.execute(&context) {
        Ok(cel::Value::Bool(true)) => Judgement::held(),
        Ok(cel::Value::Bool(false)) => {
            let names: Vec<String> = program
                .references()
                .variables()
                .into_iter()
                .filter_map(|name| Some(format!("{name} = {}", values.get(name)?)))
                .collect();
            let with = super::command::shown(&names.join(", "));
            Judgement::violated(Class::Wrong, format!("`{expression}` is false with {with}."))
        }
        Ok(other) => unknown(format!("`{expression}` gives {other:?}, neither true nor false")),
        Err(error) => unknown(format!("`{expression}` cannot be computed: {error}")),
    }
}

/// Without the feature no expression can be judged.
///
/// # Errors
/// Always.
#[cfg(not(feature = "cel"))]
pub fn check(_expression: &str) -> Result<(), String> {
    Err(MISSING.to_owned())
}

#[cfg(not(feature = "cel"))]
const MISSING: &str = "this killpoint was built without expressions: build it with --features cel";

#[cfg(not(feature = "cel"))]
pub(super) fn judge(_expression: &str, _values: &Json) -> Judgement {
    Judgement::unknown(killpoint_model::verdict::Reason::JudgeFailed, super::sentence(MISSING))
}
