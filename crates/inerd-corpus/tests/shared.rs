//! The real datasets, where they are at hand: counts as the catalogue has them.

use std::path::PathBuf;

use inerd_corpus::{Card, Corpus, load};

/// The folder of real datasets, or `None` with a line that says so.
#[expect(clippy::disallowed_methods, clippy::print_stderr, reason = "tests find the real data through the environment")]
fn datasets() -> Option<PathBuf> {
    let shared =
        std::env::var("INERD_SHARED").unwrap_or(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared").into());
    let folder = PathBuf::from(shared).join("datasets");
    if !folder.is_dir() {
        eprintln!("skipped: no real datasets at hand");
        return None;
    }
    Some(folder)
}

#[test]
fn wnut17_is_read_as_its_catalogue_has_it() {
    let Some(folder) = datasets() else { return };
    let corpus: Corpus = load(&Card::find("wnut17", None).unwrap(), Some(&folder)).unwrap();
    let found: Vec<_> = (corpus.report.files.iter())
        .map(|f| (f.found.sentences, f.found.tokens, f.found.entities, f.found.label_free, f.found.longest))
        .collect();
    assert_eq!(found, [(3394, 62730, 1975, 2166, 41), (1009, 15733, 836, 381, 82), (1287, 23394, 1079, 598, 105)]);
    assert_eq!(corpus.schema.types(), ["Corporation", "Creative Work", "Group", "Location", "Person", "Product"]);
}
