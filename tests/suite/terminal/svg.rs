//! A screen as a picture for the documentation: one self-contained SVG, the same bytes for the same screen.

use std::fmt::Write;

use vt100::{Cell, Color, Screen};

/// A cell, in units of the picture: what characters of that size take in usual fonts, so that lines of boxes meet.
const CELL_WIDTH: u16 = 9;
const CELL_HEIGHT: u16 = 18;
const FONT_SIZE: u16 = 15;
/// From the top of a cell to the line its characters stand on.
const BASELINE: u16 = 14;
const MARGIN: u16 = 14;
const TITLE_HEIGHT: u16 = 30;

const PAPER: &str = "#16181d";
const INK: &str = "#d7dae0";
const FRAME: &str = "#2a2e37";

/// The first sixteen colours, chosen to be told apart on dark paper.
const PALETTE: [&str; 16] = [
    "#3b4048", "#e0626c", "#8cc265", "#d9a657", "#5a9fe6", "#c678dd", "#42b3c2", "#c8ccd4", "#6b7280", "#ff7b85",
    "#a5e075", "#f0c674", "#7cb7ff", "#de8cf2", "#66d9e8", "#ffffff",
];

/// How the characters of a run are shown.
#[derive(PartialEq)]
struct Style {
    ink: String,
    paper: Option<String>,
    bold: bool,
    dim: bool,
    italic: bool,
    underline: bool,
}

/// Cells side by side that are shown alike.
struct Run {
    column: u16,
    columns: u16,
    text: String,
    style: Style,
}

/// The screen as an SVG in a window with this title.
pub fn screen_svg(screen: &Screen, title: &str) -> String {
    let (rows, columns) = screen.size();
    let (rows, columns) = (rows.get(), columns.get());
    let width = columns * CELL_WIDTH + 2 * MARGIN;
    let height = rows * CELL_HEIGHT + TITLE_HEIGHT + MARGIN;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" role=\"img\">\n<title>{title}</title>\n\
         <rect width=\"{width}\" height=\"{height}\" rx=\"8\" fill=\"{PAPER}\"/>\n\
         <path d=\"M0 {top}h{width}\" stroke=\"{FRAME}\"/>\n\
         <g font-family=\"ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace\" font-size=\"{FONT_SIZE}\" \
         fill=\"{INK}\" style=\"white-space:pre\">\n\
         <text x=\"{middle}\" y=\"16\" text-anchor=\"middle\" font-size=\"12\" opacity=\".7\">{title}</text>\n\
         <g transform=\"translate({MARGIN} {TITLE_HEIGHT})\">\n",
        title = escaped(title),
        top = TITLE_HEIGHT - 6,
        middle = width / 2,
    );
    for row in 0..rows {
        for run in runs(screen, row, columns) {
            draw(&mut svg, row, &run);
        }
    }
    let (row, column) = screen.cursor_position();
    if !screen.hide_cursor() {
        let (x, y) = (column * CELL_WIDTH, row * CELL_HEIGHT);
        let _ = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{CELL_WIDTH}\" height=\"{CELL_HEIGHT}\" fill=\"none\" stroke=\"{INK}\"/>"
        );
    }
    svg + "</g>\n</g>\n</svg>\n"
}

fn runs(screen: &Screen, row: u16, columns: u16) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for column in 0..columns {
        let cell = screen.cell(row, column).expect("a cell of the screen");
        if cell.is_wide_continuation() {
            continue;
        }
        let style = style(cell);
        let text = if cell.has_contents() { cell.contents() } else { " " };
        let width = if cell.is_wide() { 2 } else { 1 };
        match runs.last_mut() {
            // A wide character gets a run of its own: its advance is the font's, and must not move the others.
            Some(run) if run.style == style && width == 1 && usize::from(run.columns) == run.text.chars().count() => {
                run.text.push_str(text);
                run.columns += 1;
            }
            _ => runs.push(Run { column, columns: width, text: text.to_owned(), style }),
        }
    }
    runs
}

/// A picture with one text in place of another; what stands in its line keeps its width by cells.
pub fn renamed(svg: &str, from: &str, to: &str) -> String {
    let mut renamed = String::with_capacity(svg.len());
    for line in svg.lines() {
        let times = line.matches(from).count();
        let shorter = (from.chars().count() as i64 - to.chars().count() as i64) * times as i64 * i64::from(CELL_WIDTH);
        let length =
            line.split_once("textLength=\"").and_then(|(_, rest)| rest.split_once('"')).map(|(length, _)| length);
        let line = match (times, length, length.and_then(|length| length.parse::<i64>().ok())) {
            (1.., Some(was), Some(cells)) => {
                let [was, will] =
                    [was.to_owned(), (cells - shorter).to_string()].map(|n| format!("textLength=\"{n}\""));
                line.replace(from, to).replace(&was, &will)
            }
            _ => line.replace(from, to),
        };
        renamed += &line;
        renamed.push('\n');
    }
    renamed
}

fn draw(svg: &mut String, row: u16, run: &Run) {
    let Run { column, columns, text, style } = run;
    if let Some(paper) = &style.paper {
        let (x, y, width) = (column * CELL_WIDTH, row * CELL_HEIGHT, columns * CELL_WIDTH);
        let _ =
            writeln!(svg, "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{CELL_HEIGHT}\" fill=\"{paper}\"/>");
    }
    // Blanks show nothing but their paper and a line under them.
    let inked = if style.underline { text.as_str() } else { text.trim_end() };
    let shown = if style.underline { inked } else { inked.trim_start() };
    if shown.is_empty() {
        return;
    }
    let skipped = inked.chars().count() - shown.chars().count();
    let first = column + u16::try_from(skipped).expect("fewer than the columns");
    let cells = columns - u16::try_from(text.chars().count() - shown.chars().count()).expect("fewer than the columns");
    let (x, y, length) = (first * CELL_WIDTH, row * CELL_HEIGHT + BASELINE, cells * CELL_WIDTH);
    // The length holds the grid whatever font there is.
    let _ = write!(svg, "<text x=\"{x}\" y=\"{y}\" textLength=\"{length}\" lengthAdjust=\"spacingAndGlyphs\"");
    let attributes = [
        (style.ink != INK, format!(" fill=\"{}\"", style.ink)),
        (style.bold, " font-weight=\"bold\"".into()),
        (style.italic, " font-style=\"italic\"".into()),
        (style.underline, " text-decoration=\"underline\"".into()),
        (style.dim, " opacity=\".6\"".into()),
    ];
    svg.extend(attributes.into_iter().filter_map(|(has, attribute)| has.then_some(attribute)));
    // Not every viewer keeps blanks that follow one another; these it does.
    let _ = writeln!(svg, ">{}</text>", escaped(shown).replace(' ', "\u{a0}"));
}

fn style(cell: &Cell) -> Style {
    let (ink, paper) = (colour(cell.fgcolor()), colour(cell.bgcolor()));
    let (ink, paper) = match cell.inverse() {
        true => (paper.unwrap_or_else(|| PAPER.into()), Some(ink.unwrap_or_else(|| INK.into()))),
        false => (ink.unwrap_or_else(|| INK.into()), paper),
    };
    let (bold, dim, italic, underline) = (cell.bold(), cell.dim(), cell.italic(), cell.underline());
    Style { ink, paper, bold, dim, italic, underline }
}

/// A colour's code; nothing for the default.
fn colour(colour: Color) -> Option<String> {
    match colour {
        Color::Default => None,
        Color::Idx(index @ 0..=15) => Some(PALETTE[usize::from(index)].to_owned()),
        // The cube of 6 x 6 x 6 colours and the ramp of greys, as xterm has them.
        Color::Idx(index @ 16..=231) => {
            let level = |step: u8| if step == 0 { 0 } else { 55 + 40 * step };
            let index = index - 16;
            Some(code(level(index / 36), level(index / 6 % 6), level(index % 6)))
        }
        Color::Idx(index @ 232..=255) => {
            let grey = 8 + 10 * (index - 232);
            Some(code(grey, grey, grey))
        }
        Color::Rgb(red, green, blue) => Some(code(red, green, blue)),
    }
}

fn code(red: u8, green: u8, blue: u8) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

fn escaped(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, char| {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            char if char.is_control() => out.push('\u{fffd}'),
            char => out.push(char),
        }
        out
    })
}

#[cfg(test)]
fn shown(text: &str) -> String {
    let cells = |count| std::num::NonZeroU16::new(count).expect("cells");
    let mut parser = vt100::Parser::new(cells(4), cells(24), 0);
    parser.process(text.as_bytes());
    screen_svg(parser.screen(), "failback <drill>")
}

#[test]
fn a_screen_is_drawn_cell_by_cell() {
    let drawn = shown(concat!(
        "plain \x1b[1;31mbold red\x1b[0m \x1b[2mdim\x1b[0m\r\n",
        "\x1b[7m reversed \x1b[0m \x1b[4;92munder line\x1b[0m\r\n",
        "│日本│ \x1b[38;5;208mcube\x1b[48;2;1;2;3m rgb \x1b[0m\r\n",
        "\x1b[3ma<b>&\"c\"\x1b[0m\x1b[44m  \x1b[0m",
    ));
    snapbox::assert_data_eq!(drawn, snapbox::file!["screen.svg"].raw());
}

#[test]
fn a_hidden_cursor_is_not_drawn_and_an_empty_screen_is_only_its_frame() {
    assert!(shown("").contains("stroke=\"#d7dae0\""));
    let empty = shown("\x1b[?25l");
    assert!(!empty.contains("stroke=\"#d7dae0\""), "{empty}");
    assert_eq!(empty.matches("<text").count(), 1, "only the title: {empty}");
}
