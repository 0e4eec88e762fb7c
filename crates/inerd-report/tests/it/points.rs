use std::collections::BTreeSet;

use inerd_report::{Options, explain, write_report};

use crate::fixture;

#[test]
fn every_point_of_every_figure_leads_to_its_runs() {
    let folder = tempfile::tempdir().unwrap();
    let files = write_report(&fixture::gallery(), folder.path(), Options::default()).unwrap();
    let mut followed = 0;
    for figure in files.iter().filter(|p| p.extension().is_some_and(|e| e == "svg")) {
        let svg = std::fs::read_to_string(figure).unwrap();
        let ids: Vec<&str> = svg.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        let distinct: BTreeSet<&str> = ids.iter().copied().collect();
        assert_eq!(ids.len(), distinct.len(), "{} names a point twice", figure.display());
        assert!(!ids.is_empty(), "{} names no point", figure.display());
        for id in ids {
            let told = explain(&format!("{}#{id}", figure.display())).unwrap().to_string();
            assert!(told.contains("fingerprint") && told.contains("0123abc") && told.contains("data-"), "{told}");
            followed += 1;
        }
    }
    assert!(followed > 100);
}

#[test]
fn the_chain_from_a_point_to_its_data() {
    let folder = tempfile::tempdir().unwrap();
    write_report(&fixture::experiment(), folder.path(), Options::default()).unwrap();
    let figure = folder.path().join("comparison-wide.svg");
    let told = explain(&format!("{}#comparison--merged--alpha--s2", figure.display())).unwrap();
    insta::assert_snapshot!("explain", told.to_string());
}

#[test]
fn a_wrong_reference_says_what_is_right() {
    let folder = tempfile::tempdir().unwrap();
    write_report(&fixture::experiment(), folder.path(), Options::default()).unwrap();
    let figure = folder.path().join("comparison.svg").display().to_string();
    let error = |reference: &str| explain(reference).unwrap_err().to_string();
    assert!(error(&figure).contains("#comparison--arm--dataset"), "{}", error(&figure));
    let near = error(&format!("{figure}#comparison--merged--alpha--s9"));
    assert!(near.contains("the nearest is `comparison--merged--alpha--s1`"), "{near}");
    assert!(error("nowhere.svg#x").contains("read nowhere.json"));
    std::fs::write(folder.path().join("comparison.json"), "{\"format\": 99}").unwrap();
    assert!(error(&format!("{figure}#x")).contains("format is 99"));
}
