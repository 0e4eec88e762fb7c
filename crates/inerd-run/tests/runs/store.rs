//! The store keeps what was published, whole and unchanged, whatever happens beside it.

use std::collections::BTreeMap;
use std::fs;

use inerd_experiment::{Fingerprint, State, StoreView};
use inerd_run::{Artefact, Error, Provenance, Store};

fn publish(store: &Store, id: Fingerprint, content: &str) -> Artefact {
    let staging = store.begin(id).unwrap();
    fs::create_dir(staging.dir().join("deep")).unwrap();
    fs::write(staging.dir().join("deep/file.txt"), content).unwrap();
    let stage = serde_json::json!({ "kind": "test" });
    store.publish(staging, stage, Vec::new(), Provenance::default(), BTreeMap::new()).unwrap()
}

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    (dir, store)
}

#[test]
fn an_artefact_is_there_only_after_it_was_published() {
    let (_dir, store) = store();
    let id = Fingerprint::of("a");
    let staging = store.begin(id).unwrap();
    assert!(!store.contains(id) && store.state(id) == State::Absent);
    let path = staging.dir().to_owned();
    drop(staging);
    assert!(!path.exists(), "an abandoned staging folder stays");

    let artefact = publish(&store, id, "content");
    assert!(store.contains(id) && store.state(id) == State::Published);
    assert_eq!(fs::read_to_string(artefact.path("deep/file.txt")).unwrap(), "content");
    assert_eq!(artefact.manifest.files["deep/file.txt"].bytes, 7);
    artefact.verify().unwrap();
    assert_eq!(store.artefacts().unwrap(), [id]);
    assert_eq!(fs::read_dir(store.root().join("staging")).unwrap().count(), 0);
}

#[test]
fn of_several_attempts_at_one_stage_the_first_stays() {
    let (_dir, store) = store();
    let id = Fingerprint::of("raced");
    let artefacts: Vec<Artefact> = std::thread::scope(|scope| {
        let attempts: Vec<_> = (0..8)
            .map(|i| {
                let store = &store;
                scope.spawn(move || {
                    let other = Store::open(store.root()).unwrap();
                    // Attempts of one process must not share a staging folder either.
                    publish(&other, id, &format!("attempt {i}"))
                })
            })
            .collect();
        attempts.into_iter().map(|a| a.join().unwrap()).collect()
    });
    for artefact in &artefacts {
        assert_eq!(artefact.manifest, artefacts[0].manifest, "two attempts were published");
        artefact.verify().unwrap();
    }
    assert_eq!(fs::read_dir(store.root().join("staging")).unwrap().count(), 0);
}

#[test]
fn damage_is_found_and_named() {
    let (_dir, store) = store();
    let id = Fingerprint::of("b");
    let artefact = publish(&store, id, "content");
    // Same size: only the hash tells.
    fs::write(artefact.path("deep/file.txt"), "CONTENT").unwrap();
    let error = store.get(id).unwrap().verify().unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }) && error.to_string().contains("deep/file.txt"), "{error}");
    // Another size: opening tells.
    fs::write(artefact.path("deep/file.txt"), "cut").unwrap();
    assert!(store.get(id).is_err());
    assert_eq!(store.state(id), State::Corrupt);
    fs::write(artefact.path("MANIFEST.json"), "{").unwrap();
    assert_eq!(store.state(id), State::Corrupt);
}

#[test]
fn a_corrupt_artefact_is_replaced_by_the_next_attempt() {
    let (_dir, store) = store();
    let id = Fingerprint::of("d");
    let artefact = publish(&store, id, "content");
    fs::remove_file(artefact.path("deep/file.txt")).unwrap();
    assert_eq!(store.state(id), State::Corrupt);
    publish(&store, id, "content").verify().unwrap();
    assert_eq!(store.state(id), State::Published);
}

#[test]
fn a_manifest_of_another_format_is_refused() {
    let (_dir, store) = store();
    let id = Fingerprint::of("c");
    let artefact = publish(&store, id, "content");
    let path = artefact.path("MANIFEST.json");
    let text = fs::read_to_string(&path).unwrap().replacen("\"format\": 1", "\"format\": 99", 1);
    fs::write(&path, text).unwrap();
    let error = store.get(id).unwrap_err().to_string();
    assert!(error.contains("99"), "{error}");
}
