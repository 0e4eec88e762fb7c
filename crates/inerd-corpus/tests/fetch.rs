//! Downloads from a server on this machine that misbehaves in every way we know.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use inerd_corpus::{Card, Fetched, fetch};

const BODY: &[u8] = b"Ada\tB-P\nran\tO\n\nBonn\tB-L\nis\tO\nfar\tO\n";

/// What the server does with one request.
#[derive(Debug, Clone, Copy)]
enum Answer {
    /// The whole file, or the range that was asked for.
    Whole,
    /// Ends the connection after this many bytes of what it promised.
    CutOff(usize),
    /// Promises more than the file has.
    LongLie,
    /// Promises less than it sends.
    ShortLie,
    /// Another file of the same length.
    Wrong,
    /// Sends everything, whatever range is asked for.
    NoRanges,
    /// As `CutOff`, and as `Whole`, with an entity tag; another one than the client has means another version.
    TaggedCutOff(usize, &'static str),
    Tagged(&'static str),
    /// Says 206 for another place than was asked for.
    WrongRange,
    Status(u16),
}

struct Server {
    address: String,
    requests: Arc<AtomicUsize>,
    ranges: Arc<Mutex<Vec<Option<usize>>>>,
}

/// What a request asks for: a place to go on from, and the tag of what it has.
#[derive(Debug, Clone, Default)]
struct Asked {
    range: Option<usize>,
    tag: Option<String>,
}

/// Serves `answers` one after another, the last one for ever.
fn serve(answers: Vec<Answer>) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (requests, ranges) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
    let server = Server { address, requests: requests.clone(), ranges: ranges.clone() };
    thread::spawn(move || {
        for stream in listener.incoming() {
            let n = requests.fetch_add(1, Ordering::SeqCst);
            let answer = answers.get(n).or(answers.last()).copied().unwrap();
            let mut stream = stream.unwrap();
            let asked = read_request(&stream);
            ranges.lock().unwrap().push(asked.range);
            // The client may be gone already: that is its right.
            respond(&mut stream, answer, &asked).ok();
        }
    });
    server
}

fn read_request(stream: &TcpStream) -> Asked {
    let mut asked = Asked::default();
    for line in BufReader::new(stream).lines() {
        let line = line.unwrap().to_lowercase();
        if let Some(value) = line.strip_prefix("range: bytes=") {
            asked.range = value.trim_end_matches('-').parse().ok();
        }
        asked.tag = line.strip_prefix("if-range: ").map(str::to_owned).or(asked.tag);
        if line.is_empty() {
            break;
        }
    }
    asked
}

fn respond(stream: &mut TcpStream, answer: Answer, asked: &Asked) -> std::io::Result<()> {
    let mut range = asked.range;
    let mut tag = String::new();
    let answer = match answer {
        Answer::TaggedCutOff(_, own) | Answer::Tagged(own) => {
            tag = format!("ETag: {own}\r\n");
            if asked.tag.as_deref() != Some(own) {
                range = None;
            }
            if let Answer::TaggedCutOff(bytes, _) = answer { Answer::CutOff(bytes) } else { Answer::Whole }
        }
        other => other,
    };
    let start = range.unwrap_or(0);
    let rest = &BODY[start.min(BODY.len())..];
    let mut head = |status: &str, length: usize, more: &str| {
        write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{tag}{more}\r\n")
    };
    let content_range = format!("Content-Range: bytes {start}-{}/{}\r\n", BODY.len() - 1, BODY.len());
    let ok = |head: &mut dyn FnMut(&str, usize, &str) -> std::io::Result<()>, length: usize| {
        if range.is_some() { head("206 Partial Content", length, &content_range) } else { head("200 OK", length, "") }
    };
    match answer {
        Answer::Whole if start >= BODY.len() && range.is_some() => {
            head("416 Range Not Satisfiable", 0, &format!("Content-Range: bytes */{}\r\n", BODY.len()))
        }
        Answer::Whole => {
            ok(&mut head, rest.len())?;
            stream.write_all(rest)
        }
        Answer::CutOff(bytes) => {
            ok(&mut head, rest.len())?;
            stream.write_all(&rest[..bytes.min(rest.len())])
        }
        Answer::LongLie => {
            ok(&mut head, rest.len() + 100)?;
            stream.write_all(rest)
        }
        Answer::ShortLie => {
            ok(&mut head, rest.len() - 5)?;
            stream.write_all(rest)
        }
        Answer::Wrong => {
            head("200 OK", BODY.len(), "")?;
            stream.write_all(&BODY.to_ascii_uppercase())
        }
        Answer::NoRanges => {
            head("200 OK", BODY.len(), "")?;
            stream.write_all(BODY)
        }
        Answer::WrongRange => {
            head("206 Partial Content", 3, &format!("Content-Range: bytes 0-2/{}\r\n", BODY.len()))?;
            stream.write_all(&BODY[..3])
        }
        Answer::Status(status) => head(&format!("{status} No"), 0, ""),
        Answer::TaggedCutOff(..) | Answer::Tagged(_) => unreachable!("handled above"),
    }
}

/// The SHA-256 of `BODY`, worked out by another program.
const SHA256: &str = "e66f2ee3950f0da550d175c3822047e5af0c98c8c4976fd19f3e6ee40e6c43ec";

fn card(server: &Server, sha256: &str) -> Card {
    let text = format!(
        "format = 1\nname = \"toy\"\ntitle = \"Toy\"\nlicence = \"MIT\"\nbase-url = \"http://{}\"\n[reader.conll]\n\
         [[file]]\nsplit = \"train\"\npath = \"sub/train.conll\"\nsha256 = \"{sha256}\"\n",
        server.address
    );
    Card::parse("toy", &text).unwrap()
}

fn run(server: &Server, folder: &Path) -> Result<Vec<Fetched>, String> {
    fetch(&card(server, SHA256), folder, &mut |_| {}).map_err(|e| e.to_string())
}

#[test]
fn a_file_is_fetched_verified_and_not_fetched_again() {
    let (server, folder) = (serve(vec![Answer::Whole]), tempfile::tempdir().unwrap());
    let mut seen = Vec::new();
    let fetched = fetch(&card(&server, SHA256), folder.path(), &mut |p| seen.push((p.done, p.total))).unwrap();
    assert!(fetched[0].verified && !fetched[0].present);
    assert_eq!(fs::read(folder.path().join("toy/sub/train.conll")).unwrap(), BODY);
    assert_eq!(seen.last(), Some(&(BODY.len() as u64, Some(BODY.len() as u64))));
    assert!(run(&server, folder.path()).unwrap()[0].present);
    assert_eq!(server.requests.load(Ordering::SeqCst), 1);
    assert_eq!(fs::read_dir(folder.path().join("toy/sub")).unwrap().count(), 1, "nothing else is left");
}

#[test]
fn without_a_checksum_the_file_is_unverified() {
    let (server, folder) = (serve(vec![Answer::Whole]), tempfile::tempdir().unwrap());
    let fetched = fetch(&card(&server, ""), folder.path(), &mut |_| {}).unwrap();
    assert!(!fetched[0].verified);
    assert_eq!(fetched[0].sha256, SHA256);
}

#[test]
fn a_broken_download_is_continued() {
    for answers in [
        vec![Answer::CutOff(7), Answer::Whole],
        vec![Answer::CutOff(7), Answer::CutOff(3), Answer::Whole],
        vec![Answer::CutOff(7), Answer::NoRanges],
        vec![Answer::CutOff(7), Answer::WrongRange, Answer::Whole],
        vec![Answer::Status(503), Answer::Whole],
        vec![Answer::ShortLie, Answer::Whole],
    ] {
        let (server, folder) = (serve(answers.clone()), tempfile::tempdir().unwrap());
        let result = run(&server, folder.path());
        if matches!(answers[0], Answer::ShortLie) {
            // A length that is too short cannot be told from a shorter file: the checksum tells.
            assert!(result.unwrap_err().contains(&format!("not {SHA256}")), "{answers:?}");
            assert!(!folder.path().join("toy/sub/train.conll").exists());
            continue;
        }
        result.unwrap_or_else(|e| panic!("{answers:?}: {e}"));
        assert_eq!(fs::read(folder.path().join("toy/sub/train.conll")).unwrap(), BODY, "{answers:?}");
        if matches!(answers[..], [Answer::CutOff(7), Answer::Whole]) {
            assert_eq!(*server.ranges.lock().unwrap(), [None, Some(7)]);
        }
    }
}

#[test]
fn what_came_is_kept_for_the_next_time() {
    let (server, folder) = (serve(vec![Answer::CutOff(4)]), tempfile::tempdir().unwrap());
    let error = run(&server, folder.path()).unwrap_err();
    assert!(error.contains("broke off 4 times") && error.contains("sub/train.conll"), "{error}");
    assert!(!folder.path().join("toy/sub/train.conll").exists());
    assert_eq!(fs::read(folder.path().join("toy/sub/train.conll.part")).unwrap(), &BODY[..16]);
    let server = serve(vec![Answer::Whole]);
    run(&server, folder.path()).unwrap();
    assert_eq!(*server.ranges.lock().unwrap(), [Some(16)]);
}

#[test]
fn a_length_that_is_too_long_is_found_out() {
    let (server, folder) = (serve(vec![Answer::LongLie]), tempfile::tempdir().unwrap());
    let result = run(&server, folder.path());
    // After the first answer the file is whole; the server's next promise contradicts its first.
    assert!(result.is_err() || fs::read(folder.path().join("toy/sub/train.conll")).unwrap() == BODY, "{result:?}");
}

#[test]
fn a_wrong_file_is_thrown_away() {
    let (server, folder) = (serve(vec![Answer::Wrong]), tempfile::tempdir().unwrap());
    let error = run(&server, folder.path()).unwrap_err();
    assert!(error.contains("thrown away"), "{error}");
    assert_eq!(fs::read_dir(folder.path().join("toy/sub")).unwrap().count(), 0);
}

#[test]
fn what_is_left_of_another_version_is_fetched_anew() {
    let (server, folder) = (serve(vec![Answer::Whole]), tempfile::tempdir().unwrap());
    fs::create_dir_all(folder.path().join("toy/sub")).unwrap();
    for old in [&b"old"[..], &b"o".repeat(BODY.len()), &b"o".repeat(BODY.len() + 9)] {
        fs::write(folder.path().join("toy/sub/train.conll.part"), old).unwrap();
        run(&server, folder.path()).unwrap();
        let path = folder.path().join("toy/sub/train.conll");
        assert_eq!(fs::read(&path).unwrap(), BODY);
        fs::remove_file(path).unwrap();
    }
}

#[test]
fn a_file_that_is_there_is_never_touched() {
    let (server, folder) = (serve(vec![Answer::Whole]), tempfile::tempdir().unwrap());
    let path = folder.path().join("toy/sub/train.conll");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, "mine").unwrap();
    let error = run(&server, folder.path()).unwrap_err();
    assert!(error.contains("it was not touched"), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    assert_eq!(server.requests.load(Ordering::SeqCst), 0);
}

#[test]
fn refusals_say_what_to_do() {
    let (server, folder) = (serve(vec![Answer::Status(404)]), tempfile::tempdir().unwrap());
    assert!(run(&server, folder.path()).unwrap_err().contains("answered 404"));
    assert_eq!(server.requests.load(Ordering::SeqCst), 1, "a missing file is not asked for again");
    let manual = Card::find("conll2003", None).unwrap();
    let error = fetch(&manual, folder.path(), &mut |_| {}).unwrap_err().to_string();
    assert!(error.contains("can't be downloaded automatically") && error.contains("NIST"), "{error}");
    let synthetic = Card::find("synth-news", None).unwrap();
    assert!(fetch(&synthetic, folder.path(), &mut |_| {}).unwrap_err().to_string().contains("nothing to fetch"));
}

#[test]
fn without_a_checksum_halves_are_joined_by_their_tag_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (path, part) = (folder.path().join("toy/sub/train.conll"), folder.path().join("toy/sub/train.conll.part"));
    let run = |answers: Vec<Answer>| {
        let server = serve(answers);
        let result = fetch(&card(&server, ""), folder.path(), &mut |_| {}).map_err(|e| e.to_string());
        let asked = server.ranges.lock().unwrap().clone();
        (result, asked)
    };
    // Nobody knows what this is the half of.
    fs::create_dir_all(part.parent().unwrap()).unwrap();
    fs::write(&part, "old").unwrap();
    let (result, asked) = run(vec![Answer::Whole]);
    assert!(result.is_ok() && asked == [None]);
    assert_eq!(fs::read(&path).unwrap(), BODY);
    fs::remove_file(&path).unwrap();

    for (tag, goes_on) in [("\"one\"", true), ("\"two\"", false)] {
        assert!(run(vec![Answer::TaggedCutOff(4, "\"one\""), Answer::Status(404)]).0.is_err());
        let (result, asked) = run(vec![Answer::Tagged(tag)]);
        assert!(result.is_ok(), "{result:?}");
        assert_eq!((asked, fs::read(&path).unwrap()), (vec![Some(4)], BODY.to_vec()), "{goes_on}");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no tag is left");
        fs::remove_file(&path).unwrap();
    }
}
