//! Lists the dataset cards and grammars under `data/`, so that the binary carries them.
//!
//! Only these files are embedded; models and whatever else stands under `data/` are not.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let data = Path::new(&env::var_os("CARGO_MANIFEST_DIR").ok_or(io::ErrorKind::NotFound)?).join("../../data");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?).join("embedded.rs");
    let mut source = String::new();
    for (name, folder) in [("CARDS", data.clone()), ("GRAMMARS", data.join("grammars"))] {
        println!("cargo::rerun-if-changed={}", folder.display());
        let mut files: Vec<PathBuf> = fs::read_dir(&folder)?.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>()?;
        files.retain(|f| f.extension().is_some_and(|e| e == "toml"));
        files.sort();
        writeln!(source, "pub(crate) const {name}: &[(&str, &str)] = &[").map_err(io::Error::other)?;
        for file in files {
            let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let path = fs::canonicalize(&file)?;
            let path = path.to_string_lossy();
            writeln!(source, "    ({stem:?}, include_str!({path:?})),").map_err(io::Error::other)?;
        }
        source += "];\n";
    }
    let unify = fs::canonicalize(data.join("types/unify.toml"))?;
    println!("cargo::rerun-if-changed={}", unify.display());
    let unify = unify.to_string_lossy();
    writeln!(source, "pub(crate) const UNIFY: &str = include_str!({unify:?});").map_err(io::Error::other)?;
    fs::write(out, source)
}
