use std::collections::BTreeMap;
use std::path::Path;

use inerd_report::{Options, ReportInput, write_report};

use crate::fixture;

/// File name → bytes.
pub(crate) fn report(input: &ReportInput) -> BTreeMap<String, Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let paths = write_report(input, folder.path(), Options::default()).unwrap();
    let name = |path: &Path| path.strip_prefix(folder.path()).unwrap().display().to_string();
    paths.iter().map(|p| (name(p), std::fs::read(p).unwrap())).collect()
}

fn text(files: &BTreeMap<String, Vec<u8>>, name: &str) -> String {
    String::from_utf8(files[name].clone()).unwrap()
}

#[test]
fn the_main_table_shows_mean_deviation_and_what_is_missing() {
    let files = report(&fixture::experiment());
    insta::assert_snapshot!(text(&files, "main.md"));
    insta::assert_snapshot!(text(&files, "main.tex"));
    insta::assert_snapshot!(text(&files, "main.csv"));
    insta::assert_snapshot!(text(&files, "hallucination.md"));
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let input = fixture::experiment();
    let (first, second) = (report(&input), report(&input));
    assert!(first.len() > 20, "{:?}", first.keys());
    for (name, bytes) in &first {
        assert!(*bytes == second[name], "{name} differs between two runs");
    }
}

#[test]
fn nothing_run_yet_is_a_report_too() {
    let mut input = fixture::experiment();
    for cell in &mut input.cells {
        *cell = fixture::missing(&cell.arm, &cell.dataset, cell.seed, "not run yet");
    }
    let files = report(&input);
    assert!(text(&files, "main.md").contains("0/3 seeds"));
    assert!(report(&ReportInput { cells: vec![], ..input }).contains_key("report.md"));
}
