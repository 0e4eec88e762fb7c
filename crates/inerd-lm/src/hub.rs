//! Models from the Hugging Face hub: one revision, its checksums kept, never fetched twice.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use hf_hub::api::sync::{ApiBuilder, ApiError, ApiRepo};
use hf_hub::{Cache, Repo, RepoType};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::Error;

/// What a model's folder came from.
pub const ORIGIN: &str = "origin.json";
/// What is fetched beside the weights, where the repository has it.
const FILES: [&str; 8] = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.json",
    "merges.txt",
    "README.md",
];

/// Where a model is fetched from.
#[derive(Debug, Clone)]
pub struct Hub {
    /// `https://huggingface.co`, or a mirror.
    pub endpoint: String,
    /// For models that ask for one; the hub client's own where it is absent.
    pub token: Option<String>,
    /// Whether progress bars are drawn on stderr.
    pub bars: bool,
}

/// The revision and the files of a fetched model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetched {
    pub name: String,
    /// The commit that a branch or tag stood for when it was fetched.
    pub revision: String,
    pub files: BTreeMap<String, Checksum>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checksum {
    pub bytes: u64,
    pub sha256: String,
}

impl Fetched {
    /// What a folder says about where it came from; `None` where it wasn't fetched.
    pub fn read(dir: &Path) -> Result<Option<Self>, Error> {
        let path = dir.join(ORIGIN);
        match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|source| Error::Json { path, source }),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::read(&path)(e)),
        }
    }

    /// The first file that isn't as it was fetched, if there is one. Reads every byte.
    pub fn verify(&self, dir: &Path) -> Result<Option<String>, Error> {
        for (name, checksum) in &self.files {
            let path = dir.join(name);
            if !path.is_file() || checksum_of(&path)? != *checksum {
                return Ok(Some(name.clone()));
            }
        }
        Ok(None)
    }

    fn is_whole(&self, dir: &Path) -> bool {
        self.files.iter().all(|(name, sum)| fs::metadata(dir.join(name)).is_ok_and(|m| m.len() == sum.bytes))
    }
}

impl Hub {
    /// Brings a model (`owner/name`) into `dir` and says what came. `revision` is a branch, a tag or a commit.
    ///
    /// A folder that holds the revision already is left as it is, without asking the hub; without a revision, whatever
    /// it holds is enough.
    pub fn fetch(&self, name: &str, revision: Option<&str>, dir: &Path) -> Result<Fetched, Error> {
        let failed = |reason: String| Error::Fetch { name: name.to_owned(), reason };
        if name.split('/').any(|part| part.is_empty() || part.starts_with('.')) || name.split('/').count() > 2 {
            return Err(failed("a model's name is `owner/name`".to_owned()));
        }
        if let Some(here) = Fetched::read(dir)? {
            let wanted = here.name == name && revision.is_none_or(|revision| here.revision == revision);
            if wanted && here.is_whole(dir) {
                return Ok(here);
            }
        }
        // The client keeps half a download in its cache, so that the next attempt goes on.
        let cache = dir.join(".partial");
        fs::create_dir_all(&cache).map_err(Error::write(&cache))?;
        let token = self.token.clone().or_else(|| Cache::from_env().token());
        let api = ApiBuilder::from_cache(Cache::new(cache.clone()))
            .with_endpoint(self.endpoint.trim_end_matches('/').to_owned())
            .with_token(token)
            .with_progress(self.bars)
            .with_retries(2)
            .build()
            .map_err(|e| failed(reason(&e)))?;
        let at = |revision: &str| api.repo(Repo::with_revision(name.to_owned(), RepoType::Model, revision.to_owned()));
        let info = at(revision.unwrap_or("main")).info().map_err(|e| failed(reason(&e)))?;
        let offered: Vec<&str> = info.siblings.iter().map(|sibling| sibling.rfilename.as_str()).collect();
        // From here on the commit alone counts: a branch that moves meanwhile mixes nothing.
        let repo = at(&info.sha);
        let mut fetched = Fetched { name: name.to_owned(), revision: info.sha.clone(), files: BTreeMap::new() };
        let mut bring = |file: &str| -> Result<PathBuf, Error> {
            let (path, checksum) = download(&repo, file, dir).map_err(|e| failed(format!("`{file}`: {e}")))?;
            fetched.files.insert(file.to_owned(), checksum);
            Ok(path)
        };
        if !offered.contains(&"config.json") {
            return Err(failed("the repository has no `config.json`".to_owned()));
        }
        for file in FILES.iter().filter(|file| offered.contains(file)) {
            bring(file)?;
        }
        if offered.contains(&"model.safetensors") {
            bring("model.safetensors")?;
        } else if offered.contains(&"model.safetensors.index.json") {
            let listing = bring("model.safetensors.index.json")?;
            for shard in crate::weights::shards(&listing)? {
                bring(&shard.file_name().unwrap_or_default().to_string_lossy())?;
            }
        } else {
            return Err(failed("the repository has no weights in the `safetensors` format".to_owned()));
        }
        // Written last: a folder with an origin is whole.
        let path = dir.join(ORIGIN);
        let json = serde_json::to_vec_pretty(&fetched).map_err(|source| Error::Json { path: path.clone(), source })?;
        fs::write(&path, json).map_err(Error::write(&path))?;
        fs::remove_dir_all(&cache).map_err(Error::write(&cache))?;
        Ok(fetched)
    }
}

/// Brings one file into `dir` and compares it with what the hub says of it.
fn download(repo: &ApiRepo, file: &str, dir: &Path) -> Result<(PathBuf, Checksum), String> {
    let cached = repo.get(file).map_err(|e| reason(&e))?;
    // The client's cache links to a blob that is named after the hub's hash of it.
    let blob = fs::canonicalize(&cached).map_err(|e| e.to_string())?;
    let checksum = checksum_of(&blob).map_err(|e| e.to_string())?;
    let promised = blob.file_name().unwrap_or_default().to_string_lossy().into_owned();
    // Large files go by their SHA-256; small ones by git's hash, which covers a header and isn't compared.
    if promised.len() == 64 && promised != checksum.sha256 {
        let _ = (fs::remove_file(&blob), fs::remove_file(&cached));
        return Err(format!("the hub promises SHA-256 {promised}, but {} came; run again", checksum.sha256));
    }
    let target = dir.join(file);
    fs::rename(&blob, &target).map_err(|e| e.to_string())?;
    let _ = fs::remove_file(&cached);
    Ok((target, checksum))
}

fn checksum_of(path: &Path) -> Result<Checksum, Error> {
    let mut file = File::open(path).map_err(Error::read(path))?;
    let (mut hasher, mut bytes, mut buffer) = (Sha256::new(), 0, vec![0; 1 << 16]);
    loop {
        let read = file.read(&mut buffer).map_err(Error::read(path))?;
        if read == 0 {
            break;
        }
        bytes += read as u64;
        hasher.update(&buffer[..read]);
    }
    let sha256 = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Checksum { bytes, sha256 })
}

/// An error and its causes on one line.
fn reason(error: &ApiError) -> String {
    let mut reason = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let text = error.to_string();
        if !reason.contains(&text) {
            reason = format!("{reason}: {text}");
        }
        cause = error.source();
    }
    reason
}
