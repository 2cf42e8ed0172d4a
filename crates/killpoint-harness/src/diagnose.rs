//! stub
use killpoint_engine::states::Variant;
use killpoint_model::{Class, CrashModel, Operation};
#[derive(Default)]
pub struct History {
    ops: Vec<Operation>,
}
impl History {
    pub fn push(&mut self, op: &Operation) {
        self.ops.push(op.clone());
    }
}
pub struct Failure<'a> {
    pub point: u64,
    pub model: CrashModel,
    pub variant: &'a Variant,
    pub class: Class,
    pub files: &'a [String],
}
#[derive(Clone, Debug)]
pub struct Diagnosis {
    pub cause: String,
    pub file: Option<String>,
    pub sentence: String,
    pub fix: String,
}
pub fn diagnose(h: &History, f: &Failure) -> Diagnosis {
    let at = h.ops.get(f.point as usize - 1).map(|o| o.address.shape()).unwrap_or("end".into());
    Diagnosis { cause: at.clone(), file: None, sentence: format!("at {at}"), fix: "?".into() }
}
