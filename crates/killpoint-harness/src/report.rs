//! Draws a report: console, HTML, JSON, JUnit.

pub mod console;
pub mod html;
pub mod json;
pub mod junit;
