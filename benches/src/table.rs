//! The table: rows are printed as they are measured.

use crate::{Effort, machine};
use std::fmt::Display;

/// Prints rows.
#[derive(Debug)]
pub struct Table;

/// Whether a goal was reached.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// The figure must not be smaller.
    AtLeast(f64),
    /// The figure must not be greater.
    AtMost(f64),
    /// There is none: the figure informs.
    None,
}

/// One measurement.
#[derive(Debug)]
pub struct Row<'a> {
    /// Which benchmark.
    pub benchmark: &'a str,
    /// What was measured.
    pub what: String,
    /// Killpoint's own figure.
    pub ours: String,
    /// What it is held against.
    pub against: String,
    /// The figure that has a goal.
    pub figure: f64,
    /// Its unit, or none for a ratio.
    pub unit: &'a str,
    /// The goal.
    pub goal: Goal,
}

impl Goal {
    fn is_met(self, figure: f64) -> Option<bool> {
        match self {
            Goal::AtLeast(bound) => Some(figure >= bound),
            Goal::AtMost(bound) => Some(figure <= bound),
            Goal::None => None,
        }
    }
}

impl Table {
    /// Prints the head.
    pub fn start(effort: Effort) -> Self {
        println!(
            "{} cores, kernel {}, load at the start {}; {} run\n",
            machine::cores(),
            machine::kernel(),
            machine::load(),
            effort.choose("quick", "full"),
        );
        println!("| | what | Killpoint | held against | figure | goal | met |");
        println!("|---|---|---|---|---|---|---|");
        Table
    }

    /// Prints a row.
    pub fn add(&mut self, row: &Row<'_>) {
        let goal = match row.goal {
            Goal::AtLeast(bound) => format!("at least {}", short(bound)),
            Goal::AtMost(bound) => format!("at most {}", short(bound)),
            Goal::None => "-".to_owned(),
        };
        let met = match row.goal.is_met(row.figure) {
            Some(true) => "yes",
            Some(false) => "**no**",
            None => "-",
        };
        let Row { benchmark, what, ours, against, figure, unit, .. } = row;
        let figure = short(*figure);
        println!("| {benchmark} | {what} | {ours} | {against} | {figure}{unit} | {goal} | {met} |");
    }

    /// Prints a row for what could not be measured.
    pub fn skipped(&mut self, benchmark: &str, what: &str, why: &dyn Display) {
        println!("| {benchmark} | {what} | - | - | - | - | not measured: {why} |");
    }

    /// Prints a row for a benchmark that failed.
    pub fn failed(&mut self, benchmark: &str, error: &anyhow::Error) {
        let text = format!("{error:#}").replace(['\n', '|'], " ");
        println!("| {benchmark} | failed | - | - | - | - | {text} |");
    }

    /// Prints the foot.
    pub fn end(&self) {
        println!("\nload at the end {}", machine::load());
    }
}

/// A number with as many digits as mean something.
pub fn short(number: f64) -> String {
    match number.abs() {
        size if size >= 100.0 => format!("{number:.0}"),
        size if size >= 10.0 => format!("{number:.1}"),
        _ => format!("{number:.2}"),
    }
}

/// Seconds.
pub fn seconds(number: f64) -> String {
    format!("{} s", short(number))
}
