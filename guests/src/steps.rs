//! A workload of steps: what the guest `steps` does by itself, and what tests shrink.

/// Twenty steps, of which two are needed to show what is wrong: the deletion and the second compaction.
pub const STEPS: [&str; 20] = [
    "set colour blue",
    "set size large",
    "compact",
    "set shape round",
    "set colour green",
    "set weight light",
    "delete size",
    "set colour red",
    "set taste sweet",
    "set shape square",
    "set name one",
    "set name two",
    "compact",
    "set name three",
    "set colour black",
    "compact",
    "set taste sour",
    "set weight heavy",
    "set size small",
    "compact",
];
