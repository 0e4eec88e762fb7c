//! A disk that is full, and one that is read-only. Real ones: small file systems that only a child of this process sees.
#![expect(clippy::print_stderr, reason = "says what could not be checked")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use inerd_experiment::{State, StoreView as _};
use inerd_run::{Error, Outcome, Store, Unobserved, run_with};

use crate::common::{Counter, context, impatient, pairs};

const ROOM: &str = "INERD_TEST_ROOM";

/// Starts one of this file's tests again as the owner of a file system of one megabyte. Where the machine gives none,
/// it says so.
fn in_a_small_room(test: &str) {
    let dir = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=1m none \"$0\" || exit 99; exec \"$1\" \"$2\" --exact --nocapture";
    let child = Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", script])
        .arg(dir.path())
        .arg(std::env::current_exe().unwrap())
        .arg(test)
        .env(ROOM, dir.path())
        .output();
    match child {
        Ok(output) if output.status.success() => {}
        Ok(output) if output.status.code() == Some(101) => {
            panic!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        }
        _ => eprintln!("this machine lends no file systems: {test} is not checked"),
    }
}

fn room() -> Option<PathBuf> {
    std::env::var_os(ROOM).map(PathBuf::from)
}

#[test]
fn a_full_disk_is_a_clear_error_and_loses_nothing() {
    let Some(room) = room() else { return in_a_small_room("rooms::a_full_disk_is_a_clear_error_and_loses_nothing") };
    let (plan, context, counter) = (pairs(3), context(&room.join("store")), Counter::default());
    let filler = room.join("filler");
    let large = |job: &mut inerd_run::Job<'_>| {
        counter.work(job)?;
        let path = job.dir.join("large");
        let bytes = if job.stage.label == "root 1" { 500_000 } else { 10 };
        fs::write(&path, vec![1; bytes]).map_err(|source| Error::Store { path, source })
    };
    fs::write(&filler, vec![0; 700_000]).unwrap();
    let error = run_with(&plan, &context, &impatient(), &Unobserved, &large).unwrap_err().to_string();
    assert!(error.contains("can't use the store") && error.contains("No space left"), "{error}");
    let state = |n: usize| context.store.state(plan.stages[n].id);
    assert_eq!((state(0), state(1)), (State::Published, State::Published), "what was done is kept");
    assert!(context.store.verify().unwrap().is_empty());
    let staged = fs::read_dir(room.join("store/staging")).unwrap().count();
    assert_eq!(staged, 0, "something half-written is left");

    // Even the log has no room.
    let left = fs::File::create(room.join("rest")).unwrap();
    let mut size = 0;
    while std::io::Write::write_all(&mut &left, &[0; 4096]).is_ok() {
        size += 4096;
    }
    assert!(size < 500_000);
    let error = run_with(&plan, &context, &impatient(), &Unobserved, &large).unwrap_err().to_string();
    assert!(error.contains("No space left"), "{error}");

    fs::remove_file(&filler).unwrap();
    let summary = run_with(&plan, &context, &impatient(), &Unobserved, &large).unwrap();
    assert_eq!((summary.failed(), summary.count(|o| *o == Outcome::Done)), (0, 4));
    assert!(context.store.verify().unwrap().is_empty());
}

fn remount(room: &Path, how: &str) {
    let mounted = Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(room).status().unwrap();
    assert!(mounted.success());
}

#[test]
fn a_read_only_store_is_read_and_not_written() {
    let Some(room) = room() else { return in_a_small_room("rooms::a_read_only_store_is_read_and_not_written") };
    let (plan, context, counter) = (pairs(2), context(&room.join("store")), Counter::default());
    run_with(&plan, &context, &impatient(), &Unobserved, &|job| counter.work(job)).unwrap();
    remount(&room, "ro");
    // Whoever only looks may look.
    let store = Store::at(&room.join("store"));
    assert!(plan.stages.iter().all(|stage| store.state(stage.id) == State::Published));
    assert!(store.verify().unwrap().is_empty());
    let error = run_with(&pairs(3), &context, &impatient(), &Unobserved, &|job| counter.work(job)).unwrap_err();
    assert!(matches!(error, Error::Store { .. }), "{error}");
    assert!(error.to_string().contains("Read-only"), "{error}");
    assert!(Store::open(&room.join("new")).is_err());
    remount(&room, "rw");
    let summary = run_with(&pairs(3), &context, &impatient(), &Unobserved, &|job| counter.work(job)).unwrap();
    assert_eq!(summary.count(|o| *o == Outcome::Done), 2);
}
