use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use inerd_metrics::ScoreReport;
use inerd_report::{Options, ReportInput, write_overview, write_report};

use crate::fixture;

/// File name → bytes.
pub(crate) fn report(input: &ReportInput, options: Options) -> BTreeMap<String, Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let paths = write_report(input, folder.path(), options).unwrap();
    let name = |path: &Path| path.strip_prefix(folder.path()).unwrap().display().to_string();
    paths.iter().map(|p| (name(p), std::fs::read(p).unwrap())).collect()
}

pub(crate) fn text(files: &BTreeMap<String, Vec<u8>>, name: &str) -> String {
    String::from_utf8(files[name].clone()).unwrap()
}

const TABLES: [&str; 10] = [
    "main",
    "contrasts",
    "per-type",
    "hallucination",
    "hallucination-rules",
    "errors",
    "slices",
    "conventions",
    "mask-audit",
    "cost",
];

#[test]
fn every_table() {
    let files = report(&fixture::experiment(), Options::default());
    for table in TABLES {
        insta::assert_snapshot!(format!("{table}.md"), text(&files, &format!("{table}.md")));
        let data: Vec<String> = text(&files, &format!("{table}.csv")).lines().take(8).map(str::to_owned).collect();
        insta::assert_snapshot!(format!("{table}.csv"), data.join("\n"));
        assert_eq!(&files[&format!("{table}.parquet")][..4], b"PAR1");
    }
    for table in TABLES {
        insta::assert_snapshot!(format!("{table}.tex"), text(&files, &format!("{table}.tex")));
    }
    let markdown: Vec<&String> = files.keys().filter(|n| n.ends_with(".tex")).collect();
    assert_eq!(markdown.len(), TABLES.len(), "a table without a snapshot: {markdown:?}");
}

const FIGURES: [&str; 11] = [
    "calibration",
    "comparison",
    "confusion-free",
    "confusion-one-out-left-out-alpha",
    "forest",
    "leave-one-out",
    "loss",
    "masks",
    "scaling-hallucination",
    "scaling",
    "types",
];

#[test]
fn every_figure() {
    let files = report(&fixture::gallery(), Options::default());
    let drawn: Vec<&str> =
        files.keys().filter_map(|n| n.strip_suffix(".svg")).filter(|n| !n.ends_with("-wide")).collect();
    assert_eq!(drawn, FIGURES);
    for figure in FIGURES {
        // The outlines of text are the font's; what the text says stays.
        insta::with_settings!({ filters => vec![(r#"(aria-label="[^"]*") d="[^"]*""#, "$1")] }, {
            insta::assert_snapshot!(format!("{figure}.svg"), text(&files, &format!("{figure}.svg")));
        });
        for width in ["", "-wide"] {
            assert_eq!(&files[&format!("{figure}{width}.png")][1..4], b"PNG");
            assert_eq!(&files[&format!("{figure}{width}.pdf")][..5], b"%PDF-");
            assert!(!text(&files, &format!("{figure}{width}.svg")).contains("<text"), "text is outlines");
        }
        assert_eq!(&files[&format!("{figure}.parquet")][..4], b"PAR1");
        assert!(text(&files, &format!("{figure}.csv")).lines().count() > 1);
    }
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let input = fixture::experiment();
    let (first, second) = (report(&input, Options::default()), report(&input, Options::default()));
    assert!(first.len() > 60, "{:?}", first.keys());
    for (name, bytes) in &first {
        assert!(*bytes == second[name], "{name} differs between two runs");
    }
}

/// A page that is handed on must not ask anybody for anything, whatever stands in the data.
#[test]
fn pages_hold_no_address() {
    let mut input = fixture::experiment();
    input.gold[0].sentences[0].text += " <img src=\"https://example.org/x.png\"> url(https://example.org)";
    for (name, bytes) in report(&input, Options::default()).into_iter().filter(|(n, _)| n.ends_with(".html")) {
        let page = String::from_utf8(bytes).unwrap();
        assert!(page.contains("Content-Security-Policy\" content=\"default-src 'none';"), "{name}");
        for mark in ["src=\"", "href=\"http", "href=\"//", "@import", "url(h", "fetch(", "XMLHttpRequest", "sendBeacon"]
        {
            // What the data say stands inside the JSON, where its marks are escaped.
            let found = page.matches(mark).count();
            let in_data = page.split("id=\"data\">").nth(1).and_then(|rest| rest.split("</script>").next());
            let data = in_data.map_or(0, |json| json.matches(mark).count());
            assert_eq!(found, data, "{name} holds {mark}");
        }
    }
}

/// What a model invents as a type can be a piece of the text.
#[test]
fn invented_types_are_not_named_in_what_is_handed_on() {
    let mut input = fixture::experiment();
    for cell in input.cells.iter_mut().filter(|c| c.dataset == "beta") {
        for prediction in cell.generations.iter_mut().flat_map(|g| &mut g.predictions).take(3) {
            prediction.kind = "secret words".into();
        }
        let gold = fixture::gold("beta");
        if cell.scores.is_some() {
            cell.scores = Some(ScoreReport::new(&gold, &cell.generations, &fixture::schema()).unwrap());
        }
    }
    let holds = |files: &BTreeMap<String, Vec<u8>>| {
        files.iter().filter(|(_, b)| b.windows(12).any(|w| w == b"secret words")).map(|(n, _)| n.clone()).collect()
    };
    let shown: Vec<String> = holds(&report(&input, Options::default()));
    assert_eq!(shown, ["index.html"], "where the text is shown, the types are");
    let hidden: Vec<String> = holds(&report(&input, Options { with_text: false }));
    assert!(hidden.is_empty(), "{hidden:?}");
}

#[test]
fn nothing_run_yet_is_a_report_too() {
    let mut input = fixture::experiment();
    for cell in &mut input.cells {
        *cell = fixture::missing(&cell.arm, &cell.dataset, cell.seed, "not run yet");
    }
    let files = report(&input, Options::default());
    assert!(text(&files, "main.md").contains("0/3 seeds"));
    assert!(text(&files, "report.md").contains("**Open.**"));
    assert!(report(&ReportInput { cells: vec![], ..input }, Options::default()).contains_key("index.html"));
}

#[test]
fn text_stays_out_of_what_is_handed_on() {
    let mut input = fixture::experiment();
    // The two datasets must be told apart by their text.
    for sentence in &mut input.gold[1].sentences {
        sentence.text = sentence.text.replace("Rome", "Oslo");
    }
    let with = report(&input, Options { with_text: true });
    assert!(text(&with, "index.html").contains("Oslo") && text(&with, "index.html").contains("Rome"));
    let without = report(&input, Options { with_text: false });
    for (name, bytes) in &without {
        let holds = |words: &[u8]| bytes.windows(words.len()).any(|w| w == words);
        assert!(!holds(b"Oslo"), "{name} holds text that may not be published");
    }
    assert!(text(&without, "index.html").contains("Rome"), "our own corpora may be shown");
    assert!(text(&without, "index.html").contains("beta/test/0"), "ids stay");
}

#[test]
fn data_never_become_markup() {
    let mut input = fixture::experiment();
    let evil = "</script><script>alert('x')</script><img src=x onerror=alert(1)>";
    input.experiment.question = evil.into();
    input.experiment.name = format!("a {evil}");
    for cell in &mut input.cells {
        if cell.arm == "merged" {
            cell.arm = evil.into();
        }
    }
    for (name, bytes) in report(&input, Options::default()) {
        if name.ends_with(".html") || name.ends_with(".svg") {
            let page = String::from_utf8(bytes).unwrap();
            assert!(!page.contains("<script>alert") && !page.contains("<img"), "{name}");
            assert_eq!(page.matches("<script").count(), if name.ends_with(".html") { 2 } else { 0 }, "{name}");
        }
    }
}

#[test]
fn the_overview_lists_every_report() {
    let folder = tempfile::tempdir().unwrap();
    for (name, input) in [("merging", fixture::experiment()), ("a & b", fixture::experiment())] {
        write_report(&input, &folder.path().join(name), Options::default()).unwrap();
    }
    std::fs::create_dir(folder.path().join("empty")).unwrap();
    let page = std::fs::read_to_string(write_overview(folder.path()).unwrap()).unwrap();
    assert!(page.contains("href=\"merging/index.html\"") && page.contains("href=\"a%20%26%20b/index.html\""), "{page}");
    assert!(page.contains("<td class=\"number\">14/18</td>"), "{page}");
    std::fs::write(folder.path().join("merging/report.json"), "{").unwrap();
    let page = std::fs::read_to_string(write_overview(folder.path()).unwrap()).unwrap();
    assert!(
        page.contains("it is not the record of a report or figure") && page.contains("href=\"merging/index.html\""),
        "{page}"
    );
    assert!(page.contains("href=\"a%20%26%20b/index.html\""), "one old record hides no other report: {page}");
}

/// The promise is 5 s for the optimised program; an unoptimised one on a busy machine gets time.
#[test]
fn a_report_of_500_stages_is_quick() {
    let input = fixture::large(1);
    assert_eq!(input.cells.iter().map(|c| c.stages.len()).sum::<usize>(), 500);
    let start = Instant::now();
    report(&input, Options::default());
    let limit = Duration::from_secs(if cfg!(debug_assertions) { 60 } else { 5 });
    assert!(start.elapsed() < limit, "{:?}", start.elapsed());
}
