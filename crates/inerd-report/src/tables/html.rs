use super::{Entry, Kind, Rank, Table};
use crate::escape::xml;

/// A table whose headings are buttons that sort it (the page's script), with its notes.
pub(super) fn render(table: &Table) -> String {
    let class = |kind: Kind| if kind == Kind::Numbers { " class=\"number\"" } else { "" };
    let mut out = format!(
        "<figure class=\"table\" id=\"table-{}\">\n<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{}\">\
         <table class=\"sortable\">\n<caption>{}</caption>\n<thead><tr>",
        xml(table.stem),
        xml(&table.title),
        xml(&table.title)
    );
    for column in &table.columns {
        out += &format!(
            "<th scope=\"col\"{} aria-sort=\"none\"><button type=\"button\">{}</button></th>",
            class(column.kind),
            xml(&column.text)
        );
    }
    out += "</tr></thead>\n<tbody>\n";
    for row in &table.rows {
        out += "<tr>";
        for (number, (entry, column)) in row.iter().zip(&table.columns).enumerate() {
            let sort = entry.value.map(|v| format!(" data-value=\"{v}\"")).unwrap_or_default();
            let reason = entry.reason.as_ref().map(|r| format!(" title=\"{}\"", xml(r))).unwrap_or_default();
            let text = content(entry);
            out += &if number == 0 {
                format!("<th scope=\"row\"{sort}{reason}>{text}</th>")
            } else {
                format!("<td{}{sort}{reason}>{text}</td>", class(column.kind))
            };
        }
        out += "</tr>\n";
    }
    out += "</tbody></table></div>\n<figcaption>";
    for note in &table.notes {
        out += &format!("<p>{}</p>", xml(note));
    }
    out += "</figcaption>\n</figure>\n";
    out
}

fn content(entry: &Entry) -> String {
    let text = xml(&entry.text);
    let text = match entry.rank {
        Rank::Best => format!("<strong>{text}</strong>"),
        Rank::Second => format!("<u>{text}</u>"),
        Rank::Other => text,
    };
    if entry.mark.is_empty() { text } else { format!("{text}<sup>{}</sup>", xml(&entry.mark)) }
}
