//! The whole binary: guests, real programs, bad input, and what is left when it is killed.

mod answering;
mod architecture;
mod attach;
mod bad_input;
mod built_in;
mod cases;
mod chaos_toolkit;
mod collecting;
mod containment;
mod continuous_integration;
mod drafts;
#[cfg(feature = "dumps")]
mod dumps;
mod guests;
mod hard_targets;
mod log;
mod no_vain_pass;
mod own_paths;
mod phases;
mod pipes;
mod points;
mod recordings;
mod recoveries;
mod report;
mod roles;
mod scenario_kills;
mod scenario_repeats;
mod scenarios;
mod screenshots;
mod self_checks;
mod servers;
mod several;
mod shrink;
mod soak;
mod sockets;
mod strangers;
mod supervise;
mod support;
mod surroundings;
mod taskwarrior;
#[cfg(feature = "upload")]
mod uploads;
