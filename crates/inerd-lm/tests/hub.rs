//! Fetching from a hub on this machine.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use burn::tensor::Device;
use inerd_lm::LanguageModel;
use inerd_lm::hub::{Fetched, Hub};
use sha2::{Digest, Sha256};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What a repository holds: content by file, and the SHA-256 that is promised for it where it isn't the right one.
#[derive(Default)]
struct Repository {
    files: BTreeMap<String, Vec<u8>>,
    promised: BTreeMap<String, String>,
    /// Every path asked for.
    log: Vec<String>,
}

/// A hub with one repository, `someone/tiny`. It serves until the test's process ends.
fn serve(repository: Arc<Mutex<Repository>>) -> Hub {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = answer(stream, &repository);
        }
    });
    Hub { endpoint, token: None, bars: false }
}

fn answer(stream: TcpStream, repository: &Mutex<Repository>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut range = None;
    for line in lines {
        let line = line?.to_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(asked) = line.strip_prefix("range: bytes=") {
            let (start, end) = asked.split_once('-').unwrap_or_default();
            range = Some((start.parse::<usize>().unwrap_or(0), end.parse::<usize>().ok()));
        }
    }
    let mut repository = repository.lock().unwrap();
    repository.log.push(path.clone());
    let mut stream = stream;
    let file = path.strip_prefix(&format!("/someone/tiny/resolve/{COMMIT}/"));
    if path.starts_with("/api/models/someone/tiny/revision/") {
        let siblings: Vec<_> = repository.files.keys().map(|name| serde_json::json!({ "rfilename": name })).collect();
        let body = serde_json::json!({ "sha": COMMIT, "siblings": siblings }).to_string();
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
    } else if let Some((name, content)) = file.and_then(|name| Some((name, repository.files.get(name)?))) {
        let hash: String = Sha256::digest(content).iter().map(|b| format!("{b:02x}")).collect();
        let etag = repository.promised.get(name).unwrap_or(&hash);
        let (start, end) = range.unwrap_or((0, None));
        let end = end.map_or(content.len(), |end| end + 1).min(content.len());
        write!(
            stream,
            "HTTP/1.1 206 Partial Content\r\nETag: \"{etag}\"\r\nX-Repo-Commit: {COMMIT}\r\nContent-Length: {}\r\n\
             Content-Range: bytes {start}-{}/{}\r\nConnection: close\r\n\r\n",
            end - start,
            end.max(1) - 1,
            content.len()
        )?;
        stream.write_all(&content[start..end])
    } else {
        write!(stream, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    }
}

/// A repository with the files of a golden model, and some that nobody needs.
fn repository(weights: &str) -> Arc<Mutex<Repository>> {
    let mut repository = Repository::default();
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(weights)).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        repository.files.insert(name, fs::read(path).unwrap());
    }
    repository.files.insert("pytorch_model.bin".to_owned(), vec![0; 9]);
    repository.files.insert("README.md".to_owned(), b"# tiny".to_vec());
    Arc::new(Mutex::new(repository))
}

#[test]
fn a_model_is_fetched_once_with_its_revision_and_checksums() {
    for weights in ["gpt2", "llama-bf16-shards"] {
        let repository = repository(weights);
        let hub = serve(Arc::clone(&repository));
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("someone/tiny");
        let fetched = hub.fetch("someone/tiny", None, &dir).unwrap();
        assert_eq!(fetched.revision, COMMIT);
        assert_eq!(fetched, Fetched::read(&dir).unwrap().unwrap());
        assert!(!fetched.files.contains_key("pytorch_model.bin") && !dir.join("pytorch_model.bin").exists());
        assert!(!dir.join(".partial").exists(), "the client's cache is left");
        assert_eq!(fetched.verify(&dir).unwrap(), None);
        LanguageModel::load(&dir, &Device::flex()).unwrap();
        // Nothing is asked a second time, neither without a revision nor with the one that is there.
        let asked = repository.lock().unwrap().log.len();
        hub.fetch("someone/tiny", None, &dir).unwrap();
        hub.fetch("someone/tiny", Some(COMMIT), &dir).unwrap();
        assert_eq!(repository.lock().unwrap().log.len(), asked);
        // A file that was changed since is told, one that is gone is fetched again.
        fs::write(dir.join("config.json"), "{}").unwrap();
        assert_eq!(fetched.verify(&dir).unwrap().as_deref(), Some("config.json"));
        fs::remove_file(dir.join("config.json")).unwrap();
        hub.fetch("someone/tiny", None, &dir).unwrap();
        assert_eq!(fetched.verify(&dir).unwrap(), None);
    }
}

#[test]
fn what_goes_wrong_is_told_and_leaves_no_model_behind() {
    let repository = repository("gpt2");
    let hub = serve(Arc::clone(&repository));
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("model");
    let refused = |name: &str| hub.fetch(name, None, &dir).unwrap_err().to_string();
    for name in ["../up", "a/b/c", "", "a//b"] {
        assert!(refused(name).contains("owner/name"), "{name}");
    }
    assert!(refused("someone/else").contains("404"), "{}", refused("someone/else"));
    repository.lock().unwrap().promised.insert("model.safetensors".to_owned(), "0".repeat(64));
    let wrong = refused("someone/tiny");
    assert!(wrong.contains("model.safetensors") && wrong.contains("SHA-256"), "{wrong}");
    assert!(Fetched::read(&dir).unwrap().is_none());
    // With the right promise the same command goes through.
    repository.lock().unwrap().promised.clear();
    hub.fetch("someone/tiny", None, &dir).unwrap();

    let bare = root.path().join("bare");
    repository.lock().unwrap().files.remove("model.safetensors");
    let message = hub.fetch("someone/tiny", None, &bare).unwrap_err().to_string();
    assert!(message.contains("safetensors"), "{message}");
    let nobody = Hub { endpoint: "http://127.0.0.1:9".to_owned(), token: None, bars: false };
    let message = nobody.fetch("someone/tiny", None, &bare).unwrap_err().to_string();
    assert!(message.contains("someone/tiny"), "{message}");
}
