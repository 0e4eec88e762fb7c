//! What the mask turned hallucinations into, from the same checkpoint decoded both ways.

use std::fs;

use inerd_report::{Cell, Options, ReportInput, write_report};

use crate::fixture::{self, Misses};

/// A cell of one checkpoint per seed.
fn decoded(arm: &str, rules: &[&str], seed: u64, hits: usize, misses: Misses) -> Cell {
    let mut cell = fixture::cell(arm, "alpha", seed, hits, misses);
    cell.facts.masks = Some(rules.iter().map(|rule| (*rule).to_owned()).collect());
    for stage in cell.stages.iter_mut().filter(|s| s.stage == "fine-tune") {
        stage.fingerprint = format!("checkpoint {seed}");
    }
    cell
}

fn table(cells: Vec<Cell>) -> Option<String> {
    let dir = tempfile::tempdir().unwrap();
    write_report(&ReportInput { cells, ..fixture::experiment() }, dir.path(), Options::default()).unwrap();
    fs::read_to_string(dir.path().join("mask-effect.csv")).ok()
}

#[test]
fn one_checkpoint_decoded_both_ways_is_compared() {
    // Free: five invented contents and three invented types behind 60 hits. Masked: six of the eight are found, the
    // other two get a wrong type.
    let pair = |seed| {
        [
            decoded("free", &["none"], seed, 60, Misses::Invented),
            decoded("exact", &["exact"], seed, 66, Misses::WrongType),
        ]
    };
    let csv = table([1, 2].into_iter().flat_map(pair).collect()).unwrap();
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines[0], "arm,dataset,seed,class,correct,wrong_type,boundary,spurious,dropped,kept");
    for expected in [
        "exact,alpha,1,out-of-text,5,0,0,0,0,0",
        "exact,alpha,2,out-of-schema,1,2,0,0,0,0",
        "exact,alpha,2,any,6,2,0,0,0,0",
    ] {
        assert!(lines.contains(&expected), "{expected}: {csv}");
    }
}

#[test]
fn answers_of_other_checkpoints_are_not_compared() {
    let masked = |seed| decoded("exact", &["exact"], seed, 66, Misses::WrongType);
    assert_eq!(table(vec![decoded("free", &["none"], 1, 60, Misses::Invented), masked(2)]), None);
    let mut other = decoded("free", &["none"], 1, 60, Misses::Invented);
    other.stages[1].fingerprint = "another checkpoint".into();
    assert_eq!(table(vec![other, masked(1)]), None);
}
