//! The file of an experiment, every key that the Chaos Toolkit knows.

use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Experiment {
    #[serde(default, rename = "version")]
    _version: Option<Value>,
    #[serde(default)]
    pub(super) title: String,
    #[serde(default, rename = "description")]
    _description: Option<String>,
    #[serde(default)]
    pub(super) tags: Option<Vec<String>>,
    #[serde(default)]
    pub(super) contributions: Option<Value>,
    #[serde(default)]
    pub(super) extensions: Option<Value>,
    #[serde(default)]
    pub(super) configuration: BTreeMap<String, Value>,
    #[serde(default)]
    pub(super) secrets: BTreeMap<String, Value>,
    #[serde(default)]
    pub(super) controls: Vec<Value>,
    #[serde(default)]
    pub(super) dry: Option<Value>,
    #[serde(default)]
    pub(super) runtime: Option<Runtime>,
    #[serde(default, rename = "steady-state-hypothesis")]
    pub(super) hypothesis: Option<Hypothesis>,
    pub(super) method: Vec<ActivityForm>,
    #[serde(default)]
    pub(super) rollbacks: Vec<ActivityForm>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Runtime {
    #[serde(default)]
    pub(super) hypothesis: Option<Strategy>,
    #[serde(default)]
    pub(super) rollbacks: Option<Strategy>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Strategy {
    #[serde(default)]
    pub(super) strategy: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Hypothesis {
    #[serde(default, rename = "title")]
    _title: String,
    #[serde(default)]
    pub(super) controls: Vec<Value>,
    #[serde(default)]
    pub(super) probes: Vec<ActivityForm>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ActivityForm {
    #[serde(default, rename = "ref")]
    pub(super) reference: Option<String>,
    #[serde(default, rename = "type")]
    pub(super) kind: Option<String>,
    #[serde(default)]
    pub(super) name: Option<String>,
    #[serde(default)]
    pub(super) provider: Option<Provider>,
    #[serde(default)]
    pub(super) tolerance: Option<Value>,
    #[serde(default)]
    pub(super) timeout: Option<Value>,
    #[serde(default)]
    pub(super) pauses: Option<Pauses>,
    #[serde(default)]
    pub(super) background: bool,
    #[serde(default)]
    pub(super) controls: Vec<Value>,
    #[serde(default)]
    pub(super) dry: Option<Value>,
    #[serde(default, rename = "secrets")]
    _secrets: Option<Value>,
    #[serde(default, rename = "configuration")]
    _configuration: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pauses {
    #[serde(default)]
    pub(super) before: Option<Value>,
    #[serde(default)]
    pub(super) after: Option<Value>,
}

/// Of any type; those of Python are there to be refused by their name.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Provider {
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) path: Option<String>,
    #[serde(default)]
    pub(super) arguments: Option<Value>,
    #[serde(default)]
    pub(super) timeout: Option<Value>,
    #[serde(default)]
    pub(super) url: Option<String>,
    #[serde(default)]
    pub(super) method: Option<String>,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, Value>,
    #[serde(default)]
    pub(super) verify_tls: Option<bool>,
    #[serde(default)]
    pub(super) max_retries: u32,
    #[serde(default, rename = "module")]
    _module: Option<String>,
    #[serde(default, rename = "func")]
    _func: Option<String>,
    #[serde(default, rename = "secrets")]
    _secrets: Option<Value>,
}
