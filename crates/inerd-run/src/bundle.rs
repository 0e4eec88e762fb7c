//! One archive for reviewers: configuration, plan, scores, generations, gold, provenance, report; everything but the
//! weights and the sentences that were trained on. Whoever has it scores the generations again and gets the same tables.
//!
//! ```text
//! bundle.json           format, experiment, plan
//! experiment/…          the experiment's file and what it extends
//! plan.json             the frozen plan
//! store/…               a store without them: manifests, generations, gold, scores, curves
//! report/…              what was written
//! ```

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use inerd_experiment::{Fingerprint, Plan, StageKind};
use serde::{Deserialize, Serialize};

use crate::stages::corpus::{TRAIN, VALID};
use crate::stages::weights::MODEL;
use crate::{Error, Store};

const FORMAT: u32 = 1;
const HEAD: &str = "bundle.json";
const PLAN: &str = "plan.json";

#[derive(Debug, Serialize, Deserialize)]
struct Head {
    format: u32,
    experiment: String,
    plan: Fingerprint,
}

/// What goes into a bundle beside the plan and its artefacts.
#[derive(Debug, Clone, Default)]
pub struct Contents {
    /// Name in the archive and content of the experiment's file and of what it extends.
    pub experiment: Vec<(String, String)>,
    /// The folder of the report.
    pub report: Option<PathBuf>,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Bundled {
    pub artefacts: usize,
    /// Planned scores that aren't there.
    pub missing: usize,
    pub bytes: u64,
}

/// Writes a bundle. The same content gives the same bytes.
pub fn bundle(store: &Store, plan: &Plan, contents: &Contents, path: &Path) -> Result<Bundled, Error> {
    let partial = path.with_extension("partial");
    let failed = |e| Error::store(path)(e);
    let file = File::create(&partial).map_err(Error::store(&partial))?;
    let mut archive = tar::Builder::new(GzEncoder::new(file, Compression::default()));
    let head = Head { format: FORMAT, experiment: plan.experiment.clone(), plan: plan.fingerprint() };
    let text = serde_json::to_vec_pretty(&head).map_err(|e| failed(e.into()))?;
    add(&mut archive, HEAD, &text).map_err(failed)?;
    add(&mut archive, PLAN, plan.to_json().as_bytes()).map_err(failed)?;
    for (name, text) in &contents.experiment {
        add(&mut archive, &format!("experiment/{name}"), text.as_bytes()).map_err(failed)?;
    }
    let mut differences = BTreeSet::new();
    let (mut artefacts, mut missing) = (0, 0);
    for stage in &plan.stages {
        if !store.contains(stage.id) {
            missing += usize::from(Plan::is_score(stage));
            continue;
        }
        store.check(stage.id)?;
        let artefact = store.get(stage.id)?;
        let mut manifest = artefact.manifest.clone();
        let (left_out, files) =
            std::mem::take(&mut manifest.files).into_iter().partition(|(name, _)| is_left_out(name));
        (manifest.left_out, manifest.files) = (left_out, files);
        let hex = stage.id.to_string();
        let place = format!("store/objects/{}/{hex}", &hex[..2]);
        let text = serde_json::to_vec_pretty(&manifest).map_err(|e| failed(e.into()))?;
        add(&mut archive, &format!("{place}/{}", crate::store::MANIFEST), &text).map_err(failed)?;
        for name in manifest.files.keys() {
            let file = artefact.path(name);
            let content = fs::read(&file).map_err(Error::store(&file))?;
            add(&mut archive, &format!("{place}/{name}"), &content).map_err(failed)?;
        }
        if !manifest.provenance.dirty.is_empty() {
            differences.insert(manifest.provenance.dirty.clone());
        }
        artefacts += 1;
    }
    for hash in differences {
        let name = format!("differences/{hash}.patch");
        if let Ok(content) = fs::read(store.root().join(&name)) {
            add(&mut archive, &format!("store/{name}"), &content).map_err(failed)?;
        }
    }
    if let Some(report) = &contents.report {
        add_folder(&mut archive, report, "report").map_err(Error::store(report))?;
    }
    let file = archive.into_inner().and_then(GzEncoder::finish).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    let bytes = file.metadata().map_err(failed)?.len();
    fs::rename(&partial, path).map_err(failed)?;
    Ok(Bundled { artefacts, missing, bytes })
}

/// Weights, and the sentences that were trained on: what was decoded and scored needs neither.
fn is_left_out(name: &str) -> bool {
    name.starts_with(MODEL) || name == TRAIN || name == VALID
}

/// A file without owner and time: these would only make equal bundles differ.
fn add(archive: &mut tar::Builder<impl Write>, name: &str, content: &[u8]) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    header.set_cksum();
    archive.append_data(&mut header, name, content)
}

fn add_folder(archive: &mut tar::Builder<impl Write>, dir: &Path, name: &str) -> io::Result<()> {
    let mut entries: Vec<PathBuf> = fs::read_dir(dir)?.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>()?;
    entries.sort();
    for path in entries {
        let name = format!("{name}/{}", path.file_name().unwrap_or_default().to_string_lossy());
        if path.is_dir() { add_folder(archive, &path, &name)? } else { add(archive, &name, &fs::read(&path)?)? }
    }
    Ok(())
}

/// A bundle, unpacked.
#[derive(Debug)]
pub struct Unbundled {
    pub plan: Plan,
    pub store: Store,
    /// The folder with the experiment's file and what it extends.
    pub experiment: PathBuf,
}

/// Unpacks a bundle into an empty folder and checks every hash.
pub fn unbundle(path: &Path, into: &Path) -> Result<Unbundled, Error> {
    let failed = |e| Error::store(path)(e);
    let invalid = |reason: String| Error::Unsupported(format!("`{}` is no bundle: {reason}", path.display()));
    let file = File::open(path).map_err(failed)?;
    // `unpack` refuses entries that lead out of the folder.
    tar::Archive::new(GzDecoder::new(file)).unpack(into).map_err(|e| invalid(e.to_string()))?;
    let text = |name: &str| -> Result<String, Error> {
        let mut text = String::new();
        let read = File::open(into.join(name)).and_then(|mut file| file.read_to_string(&mut text));
        read.map_err(|e| invalid(format!("{name}: {e}")))?;
        Ok(text)
    };
    let head: Head = serde_json::from_str(&text(HEAD)?).map_err(|e| invalid(format!("{HEAD}: {e}")))?;
    if head.format != FORMAT {
        return Err(invalid(format!("it has format {}, this version reads {FORMAT}", head.format)));
    }
    let plan = Plan::from_json(&text(PLAN)?).map_err(|e| invalid(e.to_string()))?;
    let store = Store::open(&into.join("store"))?;
    if let Some(damage) = store.verify()?.into_iter().next() {
        return Err(damage);
    }
    Ok(Unbundled { plan, store, experiment: into.join("experiment") })
}

/// A score that scoring again gives otherwise, or that can't be had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Deviation {
    pub stage: Fingerprint,
    pub label: String,
    pub reason: String,
}

/// Scores every generation of a plan again; gives how many scores there are, and those that differ from the stored
/// ones by a single byte.
pub fn rescore(store: &Store, plan: &Plan) -> Result<(usize, Vec<Deviation>), Error> {
    let (mut scored, mut deviations) = (0, Vec::new());
    for stage in &plan.stages {
        let StageKind::Score(score) = &stage.kind else { continue };
        if !store.contains(stage.id) {
            continue;
        }
        scored += 1;
        let fresh = crate::stages::score::score(store, score)?;
        let path = store.get(stage.id)?.path(crate::SCORES);
        let stored = fs::read_to_string(&path).map_err(Error::store(&path))?;
        if fresh != stored {
            let reason = "scoring again gives other figures".to_owned();
            deviations.push(Deviation { stage: stage.id, label: stage.label.clone(), reason });
        }
    }
    Ok((scored, deviations))
}
