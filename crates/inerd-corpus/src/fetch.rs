//! Downloads: resumed, checked, never overwriting.
//!
//! A file is written to `<path>.part`, checked, and only then given its name, by a link that fails where the name is
//! taken. What is left of a broken download is kept and continued the next time. Where no checksum would tell whether
//! the two halves belong together, the server must: by the tag that it gave the first half (`<path>.part.tag`, sent as
//! `If-Range`, RFC 9110, section 13.1.5); without one the download begins anew.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use ureq::Agent;

use crate::card::{Card, DataFile};
use crate::{Error, Result, source};

/// How often a download that breaks off is continued before it fails.
const ATTEMPTS: usize = 4;

/// What a fetch tells while it runs.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a> {
    pub path: &'a str,
    /// Bytes on disk so far.
    pub done: u64,
    /// Bytes of the whole file, where the server says so.
    pub total: Option<u64>,
}

/// A file that is there now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetched {
    pub path: PathBuf,
    pub sha256: String,
    /// Whether the card knows the checksum (and it is right: a wrong one is an error).
    pub verified: bool,
    /// It was there before.
    pub present: bool,
}

/// Fetches the files of a card that are not there yet, and verifies those that are.
pub fn fetch(card: &Card, data_dir: &Path, progress: &mut dyn FnMut(Progress<'_>)) -> Result<Vec<Fetched>> {
    if card.is_synthetic() {
        return Err(Error::Invalid(format!("fetch `{}`: it is generated, there is nothing to fetch", card.name)));
    }
    let folder = data_dir.join(card.folder());
    // Files that were put there by hand are verified like others.
    if !card.manual.is_empty() && !card.is_at_hand(Some(data_dir)) {
        let help = format!("it can't be downloaded automatically (into {}): {}", folder.display(), card.manual.trim());
        return Err(Error::MissingData { name: card.name.clone(), help });
    }
    let agent: Agent = Agent::config_builder()
        .user_agent(concat!("inerd/", env!("CARGO_PKG_VERSION")))
        .http_status_as_error(false)
        .timeout_connect(Some(Duration::from_secs(30)))
        .timeout_recv_response(Some(Duration::from_mins(1)))
        .timeout_per_read(Some(Duration::from_mins(1)))
        .build()
        .into();
    card.files.iter().map(|file| one(&agent, card, file, &folder, progress)).collect()
}

fn one(
    agent: &Agent,
    card: &Card,
    file: &DataFile,
    folder: &Path,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Fetched> {
    let path = folder.join(&file.path);
    let fail = |reason: String| Error::Fetch { path: file.path.clone(), reason };
    let verified = !file.sha256.is_empty();
    if let Some(found) = source::locate(&path) {
        let sha256 = hex(&Sha256::digest(source::read_bytes(&found)?));
        if verified && !sha256.eq_ignore_ascii_case(&file.sha256) {
            return Err(fail(format!(
                "{} is there and has the checksum {sha256}, not {}; it was not touched: move it away to fetch it again",
                found.display(),
                file.sha256
            )));
        }
        return Ok(Fetched { path: found, sha256, verified, present: true });
    }
    let url = card.url(file);
    if url.is_empty() {
        return Err(fail(format!("the card knows no address for it; see {}", card.homepage)));
    }
    let part = partial(&path);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(|source| Error::Write { path: parent.to_owned(), source })?;
    }
    let write_error = |source| Error::Write { path: part.clone(), source };
    if !verified && !tag_path(&part).is_file() && part.exists() {
        fs::remove_file(&part).map_err(write_error)?;
    }
    // What was left by another run may belong to another version of the file: then it is fetched once more, whole.
    let resumed = fs::metadata(&part).is_ok_and(|m| m.len() > 0);
    for fresh in [false, true] {
        if fresh {
            fs::remove_file(&part).map_err(write_error)?;
            fs::remove_file(tag_path(&part)).ok();
        }
        download(agent, &url, &part, &file.path, progress).map_err(|reason| fail(format!("{url}: {reason}")))?;
        let sha256 = hash_file(&part).map_err(write_error)?;
        if !verified || sha256.eq_ignore_ascii_case(&file.sha256) {
            publish(&part, &path).map_err(|source| Error::Write { path: path.clone(), source })?;
            fs::remove_file(tag_path(&part)).ok();
            return Ok(Fetched { path, sha256, verified, present: false });
        }
        if fresh || !resumed {
            fs::remove_file(&part).map_err(write_error)?;
            fs::remove_file(tag_path(&part)).ok();
            return Err(fail(format!(
                "{url} gave a file with the checksum {sha256}, not {}; it was thrown away",
                file.sha256
            )));
        }
    }
    Err(fail(format!("{url}: gave up")))
}

/// Continues the download until the file is whole.
fn download(
    agent: &Agent,
    url: &str,
    part: &Path,
    name: &str,
    progress: &mut dyn FnMut(Progress<'_>),
) -> std::result::Result<(), String> {
    let mut last = String::new();
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            std::thread::sleep(Duration::from_millis(100 << attempt));
        }
        match request(agent, url, part, name, progress) {
            Ok(()) => return Ok(()),
            Err(Broken::Final(reason)) => return Err(reason),
            Err(Broken::Again(reason)) => last = reason,
        }
    }
    Err(format!("broke off {ATTEMPTS} times, at last: {last}; what came is kept and continued by the next fetch"))
}

/// Why a request did not bring the whole file.
enum Broken {
    /// Another try may help.
    Again(String),
    Final(String),
}

fn request(
    agent: &Agent,
    url: &str,
    part: &Path,
    name: &str,
    progress: &mut dyn FnMut(Progress<'_>),
) -> std::result::Result<(), Broken> {
    let disk = |e: io::Error| Broken::Final(format!("{}: {e}", part.display()));
    let mut have = fs::metadata(part).map_or(0, |m| m.len());
    let mut request = agent.get(url).header("accept-encoding", "identity");
    if have > 0 {
        request = request.header("range", format!("bytes={have}-"));
        if let Ok(tag) = fs::read_to_string(tag_path(part)) {
            request = request.header("if-range", tag);
        }
    }
    let mut response = request.call().map_err(|e| Broken::Again(e.to_string()))?;
    let header = |name: &str| response.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
    let range = header("content-range");
    let length: Option<u64> = header("content-length").and_then(|l| l.parse().ok());
    let total = match response.status().as_u16() {
        // The range begins where we stand, or the server's answer is of no use.
        206 => match range.as_deref().and_then(parse_range) {
            Some((start, total)) if start == have => total,
            _ => {
                File::create(part).map_err(disk)?;
                return Err(Broken::Again("the server continued at another place; starting again".to_owned()));
            }
        },
        // Nothing is left to send: the file is whole, or ours is longer than theirs.
        416 if have > 0 => {
            let theirs = range.as_deref().and_then(|r| r.rsplit('/').next()?.parse::<u64>().ok());
            if theirs == Some(have) {
                return Ok(());
            }
            File::create(part).map_err(disk)?;
            return Err(Broken::Again("what was there is not a beginning of the file; starting again".to_owned()));
        }
        200 => {
            have = 0;
            // A weak tag says less than that the bytes are the same.
            match header("etag").filter(|tag| !tag.starts_with("W/")) {
                Some(tag) => fs::write(tag_path(part), tag).map_err(disk)?,
                None => drop(fs::remove_file(tag_path(part))),
            }
            length
        }
        status @ (408 | 425 | 429 | 500..=599) => return Err(Broken::Again(format!("the server answered {status}"))),
        status => return Err(Broken::Final(format!("the server answered {status}"))),
    };
    let mut file = OpenOptions::new().create(true).append(true).open(part).map_err(disk)?;
    file.set_len(have).map_err(disk)?;
    let mut body = response.body_mut().as_reader();
    let mut buffer = vec![0; 1 << 16];
    progress(Progress { path: name, done: have, total });
    loop {
        let count = match body.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(e) => {
                file.sync_all().map_err(disk)?;
                return Err(Broken::Again(e.to_string()));
            }
        };
        file.write_all(buffer.get(..count).unwrap_or_default()).map_err(disk)?;
        have += count as u64;
        progress(Progress { path: name, done: have, total });
    }
    file.sync_all().map_err(disk)?;
    match total {
        Some(total) if have < total => Err(Broken::Again(format!("the connection ended at {have} of {total} bytes"))),
        _ => Ok(()),
    }
}

/// Start and whole length of `bytes 5-9/10`.
fn parse_range(header: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = header.strip_prefix("bytes ")?.split_once('/')?;
    Some((range.split_once('-')?.0.parse().ok()?, total.parse().ok()))
}

/// Gives the file its name; fails where the name is taken. A link cannot overwrite, a rename could.
fn publish(part: &Path, path: &Path) -> io::Result<()> {
    match fs::hard_link(part, path) {
        Ok(()) => fs::remove_file(part),
        Err(taken) if taken.kind() == io::ErrorKind::AlreadyExists => Err(taken),
        // A file system without links: whoever creates the name has it, and may replace it.
        Err(_) => {
            File::create_new(path)?;
            fs::rename(part, path)
        }
    }
}

/// Where the tag of a half-fetched file stands.
fn tag_path(part: &Path) -> PathBuf {
    part.with_added_extension("tag")
}

fn partial(path: &Path) -> PathBuf {
    path.with_added_extension("part")
}

fn hash_file(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok(hex(&hasher.finalize()));
        }
        hasher.update(buffer.get(..count).unwrap_or_default());
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
