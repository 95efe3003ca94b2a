//! Charts as inline SVG; each has a title, a description and its numbers as text beside it.

pub(super) mod hours;
pub(super) mod verdicts;
pub(super) mod weights;

use maud::{Markup, html};

/// The width of every chart in its own units; the page scales it.
const WIDTH: u32 = 400;

/// A chart with its title and description.
fn drawn(id: &str, height: u32, title: &str, description: &str, drawing: &Markup) -> Markup {
    html! {
        svg.chart viewBox={ "0 0 " (WIDTH) " " (height) } role="img" aria-labelledby={ (id) "-t " (id) "-d" } {
            title id={ (id) "-t" } { (title) }
            desc id={ (id) "-d" } { (description) }
            (drawing)
        }
    }
}

/// `part` of `whole` scaled to `length`; what is not nothing is seen.
fn scaled(part: u64, whole: u64, length: u32) -> f64 {
    match (part, whole) {
        (0, _) | (_, 0) => 0.0,
        _ => ((part as f64 / whole as f64) * f64::from(length)).max(1.5),
    }
}
