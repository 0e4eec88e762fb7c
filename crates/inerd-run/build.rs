//! Tells the program what it was built with, for the provenance of what it makes.

use std::path::Path;
use std::process::Command;

fn main() {
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(compiler).arg("--version").output();
    let version = version.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    println!("cargo::rustc-env=INERD_RUSTC={version}");

    let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.lock");
    let text = std::fs::read_to_string(&lock).unwrap_or_default();
    let burn = text.split("\n\n").find(|package| package.contains("name = \"burn\"\n"));
    let burn = burn.and_then(|package| package.lines().find_map(|line| line.strip_prefix("version = "))).unwrap_or("");
    println!("cargo::rustc-env=INERD_BURN={}", burn.trim_matches('"'));
    println!("cargo::rerun-if-changed={}", lock.display());
    println!("cargo::rerun-if-changed=build.rs");
}
