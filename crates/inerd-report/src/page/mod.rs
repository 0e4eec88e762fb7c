//! The page of one experiment: a single file without a request to anywhere, from question to provenance.

mod sentences;

use crate::Error;
use crate::answer::Answer;
use crate::draw::svg;
use crate::escape::{json_in_html, xml};
use crate::figures::{Column, Figure};
use crate::tables::Table;
use crate::view::View;

pub(crate) const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Nothing may be loaded and nothing sent, whatever the data say; styles and the script are part of the file.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; \
                      base-uri 'none'; form-action 'none'";

/// A whole document around `body`.
pub(crate) fn document(title: &str, body: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n\
         <body>\n{body}</body>\n</html>\n",
        xml(title)
    )
}

pub(crate) fn render(
    view: &View<'_>,
    answer: &Answer,
    tables: &[Table],
    figures: &[Figure<'_>],
    with_text: bool,
) -> Result<String, Error> {
    let experiment = &view.input.experiment;
    let heading = if experiment.title.is_empty() { &experiment.name } else { &experiment.title };
    let browser = sentences::browser(view, with_text);
    let mut body =
        format!("<a class=\"skip\" href=\"#results\">To the results</a>\n<header>\n<h1>{}</h1>\n", xml(heading));
    if !experiment.question.is_empty() {
        body += &format!("<p class=\"question\">{}</p>\n", xml(&experiment.question));
    }
    body += &format!(
        "<p class=\"answer {}\"><strong>{}.</strong> {}</p>\n",
        answer.verdict.class(),
        answer.verdict,
        xml(&answer.reason)
    );
    body += "<nav aria-label=\"Sections\"><a href=\"#results\">Results</a> <a href=\"#figures\">Figures</a> ";
    if browser.is_some() {
        body += "<a href=\"#sentences\">Sentences</a> ";
    }
    body +=
        "<a href=\"#provenance\">Provenance</a></nav>\n</header>\n<main>\n<section id=\"results\">\n<h2>Results</h2>\n";
    for table in tables {
        body += &table.html();
    }
    body += "</section>\n<section id=\"figures\">\n<h2>Figures</h2>\n<div class=\"figures\">\n";
    for figure in figures {
        let drawing = svg::render(&(figure.draw)(Column::One)?);
        body += &format!(
            "<figure id=\"figure-{stem}\">\n{drawing}<figcaption><strong>{}.</strong> {} \
             <span class=\"files\"><a href=\"{stem}.pdf\">PDF</a> <a href=\"{stem}.svg\">SVG</a> \
             <a href=\"{stem}.csv\">data</a></span></figcaption>\n<p class=\"picked\" aria-live=\"polite\"></p>\n</figure>\n",
            xml(&figure.title),
            xml(&figure.caption),
            stem = xml(&figure.stem),
        );
    }
    body += "</div>\n</section>\n";
    if let Some(browser) = &browser {
        body += BROWSER;
        let json =
            serde_json::to_string(browser).map_err(|source| Error::Record { path: "index.html".into(), source })?;
        body += &format!("<script type=\"application/json\" id=\"data\">{}</script>\n", json_in_html(&json));
    }
    body += &provenance(view);
    body += &format!("</main>\n<script>\n{SCRIPT}</script>\n");
    Ok(document(heading, &body))
}

const BROWSER: &str = r#"<section id="sentences">
<h2>Sentences</h2>
<noscript><p>The sentence browser needs JavaScript; all results above do not.</p></noscript>
<form class="filters" id="filters" aria-label="Filters">
<label>Dataset <select id="dataset"></select></label>
<label>Arm <select id="arm-a"></select></label>
<label>against <select id="arm-b"></select></label>
<label>Show <select id="show">
<option value="all">all sentences</option>
<option value="errors">with errors</option>
<option value="correct">without errors</option>
<option value="lost">flips: right in the second arm only</option>
<option value="gained">flips: right in the first arm only</option>
</select></label>
<label>Error <select id="error"></select></label>
<label>Type <select id="type"></select></label>
<label>Search <input type="search" id="search" autocomplete="off" placeholder="text or id"></label>
</form>
<p class="legend">Lines under the text mark entities, nested ones on lines of their own. Keys: <kbd>/</kbd> search,
<kbd>j</kbd> <kbd>k</kbd> next and previous sentence, <kbd>n</kbd> <kbd>p</kbd> next and previous page.</p>
<p class="pager"><button type="button" id="previous">Previous</button> <output id="count" aria-live="polite"></output>
<button type="button" id="next">Next</button></p>
<ol id="list"></ol>
</section>
"#;

fn provenance(view: &View<'_>) -> String {
    let p = &view.input.provenance;
    let dirty = if p.dirty { " with uncommitted changes" } else { "" };
    let facts = [
        ("Experiment", view.input.experiment.name.clone()),
        ("Command", p.command.clone()),
        ("Commit", if p.commit.is_empty() { String::new() } else { format!("{}{dirty}", p.commit) }),
        ("Version", p.version.clone()),
        ("Device", p.device.clone()),
        ("Host", p.host.clone()),
        ("Signature", view.signature()),
    ];
    let mut out = "<section id=\"provenance\">\n<h2>Provenance</h2>\n<dl>\n".to_owned();
    for (name, value) in facts.iter().filter(|(_, value)| !value.is_empty()) {
        out += &format!("<dt>{name}</dt><dd><code>{}</code></dd>\n", xml(value));
    }
    for (name, hash) in &p.hashes {
        out += &format!("<dt>{}</dt><dd><code>{}</code></dd>\n", xml(name), xml(hash));
    }
    out += "</dl>\n<details><summary>Runs</summary>\n<div class=\"scroll\"><table class=\"sortable\">\n<thead><tr>";
    for heading in ["Arm", "Dataset", "Seed", "Status", "Runs", "Commit", "Data"] {
        out += &format!("<th scope=\"col\" aria-sort=\"none\"><button type=\"button\">{heading}</button></th>");
    }
    out += "</tr></thead>\n<tbody>\n";
    for (row, dataset, cells) in view.groups() {
        for cell in cells {
            let status = match &cell.status {
                crate::input::Status::Done => "done",
                crate::input::Status::Missing { reason } => reason,
            };
            let runs: Vec<String> = cell.stages.iter().map(|s| format!("<code>{}</code>", xml(&s.run))).collect();
            out += &format!(
                "<tr><th scope=\"row\">{}</th><td>{}</td><td class=\"number\" data-value=\"{seed}\">{seed}</td><td>{}</td>\
                 <td>{}</td><td><code>{}</code></td><td><code>{}</code></td></tr>\n",
                xml(&view.rows[row].name),
                xml(&view.datasets[dataset]),
                xml(status),
                runs.join(" "),
                xml(&cell.commit),
                xml(&cell.data_hash),
                seed = cell.seed,
            );
        }
    }
    out += "</tbody></table></div>\n</details>\n</section>\n";
    out
}
