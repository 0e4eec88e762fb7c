use super::{Entry, Kind, Rank, Table};
use crate::escape::markdown as escape;

/// A GitHub-flavoured table with its notes beneath. Columns are padded, so that it reads as text too.
pub(super) fn render(table: &Table) -> String {
    let mut lines: Vec<Vec<String>> = vec![table.columns.iter().map(|c| escape(&c.text)).collect()];
    lines.extend(table.rows.iter().map(|row| row.iter().map(entry).collect()));
    let widths: Vec<usize> = (0..table.columns.len())
        .map(|i| lines.iter().filter_map(|l| l.get(i)).map(|t| t.chars().count()).max().unwrap_or(0).max(3))
        .collect();

    let mut out = format!("## {}\n\n", escape(&table.title));
    for (number, line) in lines.iter().enumerate() {
        for ((text, width), column) in line.iter().zip(&widths).zip(&table.columns) {
            let pad = " ".repeat(width.saturating_sub(text.chars().count()));
            out += &match column.kind {
                Kind::Words => format!("| {text}{pad} "),
                Kind::Numbers => format!("| {pad}{text} "),
            };
        }
        out += "|\n";
        if number == 0 {
            for (width, column) in widths.iter().zip(&table.columns) {
                out += &match column.kind {
                    Kind::Words => format!("|{}", "-".repeat(width + 2)),
                    Kind::Numbers => format!("|{}:", "-".repeat(width + 1)),
                };
            }
            out += "|\n";
        }
    }
    for note in &table.notes {
        out += &format!("\n{}\n", escape(note));
    }
    out
}

fn entry(entry: &Entry) -> String {
    let text = escape(&entry.text);
    let text = match entry.rank {
        Rank::Best => format!("**{text}**"),
        Rank::Second => format!("<u>{text}</u>"),
        Rank::Other => text,
    };
    if entry.mark.is_empty() { text } else { format!("{text}<sup>{}</sup>", escape(&entry.mark)) }
}
