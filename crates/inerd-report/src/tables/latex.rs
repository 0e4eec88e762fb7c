use std::fmt::Write as _;

use super::{Entry, Kind, Rank, Table};
use crate::escape::latex as escape;

/// A `tabular` that a paper can `\input`; its only package is `booktabs`. A column of numbers is two columns that meet
/// at the decimal point.
pub(super) fn render(table: &Table) -> String {
    let columns: String = (table.columns.iter())
        .map(|c| match c.kind {
            Kind::Words => "l",
            Kind::Numbers => "r@{}l",
        })
        .collect();
    let mut out = format!(
        "% {}\n% Needs \\usepackage{{booktabs}}.\n\\begin{{tabular}}{{{columns}}}\n\\toprule\n",
        table.title.replace(['\n', '\r'], " ")
    );
    let headings: Vec<String> = (table.columns.iter())
        .map(|c| match c.kind {
            Kind::Words => heading(&c.text),
            Kind::Numbers => format!("\\multicolumn{{2}}{{c}}{{{}}}", heading(&c.text)),
        })
        .collect();
    let _ = writeln!(out, "{} \\\\\n\\midrule", headings.join(" & "));
    for row in &table.rows {
        let entries: Vec<String> = row.iter().zip(&table.columns).map(|(e, c)| entry(e, c.kind)).collect();
        let _ = writeln!(out, "{} \\\\", entries.join(" & "));
    }
    out += "\\bottomrule\n\\end{tabular}\n";
    if !table.notes.is_empty() {
        // Beneath the table, not in it: a note would stretch the last column.
        out += "\n\\smallskip\n\\noindent\\begin{minipage}{\\linewidth}\\footnotesize\n";
        for note in &table.notes {
            let _ = writeln!(out, "{}\\par", escape(note));
        }
        out += "\\end{minipage}\n";
    }
    out
}

/// "merged (size 100)" stands in two lines, so that a column of numbers isn't wider than need be.
fn heading(text: &str) -> String {
    match text.split_once(" (") {
        Some((name, rest)) => format!("\\shortstack{{{}\\\\({}}}", escape(name), escape(rest)),
        None => escape(text),
    }
}

fn entry(entry: &Entry, kind: Kind) -> String {
    let ranked = |text: &str| match entry.rank {
        // `\textbf` does not reach into maths, where the ± stands.
        Rank::Best => format!("\\textbf{{{text}}}"),
        // The phantom gives both halves of a number the same depth, and so one line under them.
        Rank::Second => format!("\\underline{{{text}\\vphantom{{$\\pm$}}}}"),
        Rank::Other => text.to_owned(),
    };
    let mark =
        if entry.mark.is_empty() { String::new() } else { format!("\\textsuperscript{{{}}}", escape(&entry.mark)) };
    match kind {
        Kind::Words => ranked(&escape(&entry.text)) + &mark,
        Kind::Numbers => match split_number(&entry.text) {
            Some((whole, rest)) => {
                let rest = if rest.is_empty() { String::new() } else { ranked(&escape(rest)) };
                format!("{} & {rest}{mark}", ranked(&escape(whole)))
            }
            None => format!("\\multicolumn{{2}}{{c}}{{{}{mark}}}", ranked(&escape(&entry.text))),
        },
    }
}

/// "61.0 ± 1.0" → ("61", ".0 ± 1.0"); `None` where the text does not begin with a number.
fn split_number(text: &str) -> Option<(&str, &str)> {
    let digits = text.strip_prefix(['-', '+', '−']).unwrap_or(text);
    let whole = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    // "2/5 seeds" is a statement, not a number.
    if whole == 0 || digits[whole..].starts_with('/') {
        return None;
    }
    let end = text.find(['.', ' ']).unwrap_or(text.len());
    Some(text.split_at(end))
}
