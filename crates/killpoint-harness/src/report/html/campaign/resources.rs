//! What a target used, as small graphs: a row for each process or role, a column for each resource.

use super::super::visible;
use super::timeline::milliseconds;
use crate::report::words::thousands;
use killpoint_model::resources::{ResourceSample, ResourceSeries};
use maud::{Markup, html};

/// Rows that are drawn.
const ROWS_MAX: usize = 12;
/// The size of a graph, in units of its drawing.
const SIZE: (u64, u64) = (200, 30);

type Column = (&'static str, fn(&ResourceSample) -> u64, fn(u64) -> String);

const COLUMNS: [Column; 6] = [
    ("CPU", |it| it.cpu_percent, |value| format!("{} %", thousands(value))),
    ("memory", |it| it.memory_kib, kib),
    ("read", |it| it.read_kib, kib),
    ("written", |it| it.written_kib, kib),
    ("threads", |it| it.threads, thousands),
    ("descriptors", |it| it.descriptors, thousands),
];

/// The graphs, if anything was sampled.
pub(super) fn graphs(series: &[ResourceSeries]) -> Markup {
    let end = series.iter().flat_map(|it| &it.samples).map(|it| it.at_ms).max().unwrap_or(0);
    let is_drawn = |it: &&ResourceSeries| it.samples.len() > 1;
    let drawn: Vec<&ResourceSeries> = series.iter().filter(is_drawn).take(ROWS_MAX).collect();
    if drawn.is_empty() {
        return html! {};
    }
    html! {
        details.rows.resources {
            summary { "resources, to " (milliseconds(end * 1_000)) }
            div.scroll role="region" aria-label="Resources" tabindex="0" {
                table {
                    thead { tr {
                        th scope="col" { "Process" }
                        @for (name, _, _) in COLUMNS { th scope="col" { (name) } }
                    } }
                    tbody { @for it in &drawn { tr {
                        th scope="row" { code { (visible(&it.who)) } }
                        @for column in COLUMNS { td { (graph(it, column, end)) } }
                    } } }
                }
            }
            p.quiet {
                "Each graph has the height of its greatest value, which stands below it. CPU is of one \
                 processor; read and written is what calls asked for since the sample before."
            }
        }
    }
}

fn graph(series: &ResourceSeries, (name, value, show): Column, end: u64) -> Markup {
    let greatest = series.samples.iter().map(value).max().unwrap_or(0);
    let (width, height) = SIZE;
    let x = |at_ms: u64| at_ms * width / end.max(1);
    let y = |it: u64| height - it * (height - 2) / greatest.max(1);
    let mut path = String::new();
    for sample in &series.samples {
        let (x, y) = (x(sample.at_ms), y(value(sample)));
        path += &format!("{}{x} {y}", if path.is_empty() { "M" } else { "L" });
    }
    let first = series.samples.first().map_or(0, |it| x(it.at_ms));
    let last = series.samples.last().map_or(0, |it| x(it.at_ms));
    let area = format!("{path}L{last} {height}L{first} {height}z");
    let label = format!("{name}: at most {}", show(greatest));
    html! {
        svg.graph role="img" aria-label=(label) viewBox={ "0 0 " (width) " " (height) }
            preserveAspectRatio="none" { path.area d=(area) {} path.line d=(path) {} }
        small { (show(greatest)) }
    }
}

fn kib(value: u64) -> String {
    match value {
        0..10_240 => format!("{} KiB", thousands(value)),
        _ => format!("{} MiB", thousands(value / 1_024)),
    }
}
