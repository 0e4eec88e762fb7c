//! From a file's bytes to its text: decompression and character encoding.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use encoding_rs::Encoding;

use crate::{Error, Result};

/// The path itself where it exists, else its zstd-compressed sibling (`train.txt` → `train.txt.zst`).
pub fn locate(path: &Path) -> Option<PathBuf> {
    if path.is_file() {
        return Some(path.to_owned());
    }
    let mut compressed = path.as_os_str().to_owned();
    compressed.push(".zst");
    let compressed = PathBuf::from(compressed);
    compressed.is_file().then_some(compressed)
}

/// The bytes of a file, decompressed where its name ends in `.zst`.
pub fn read_bytes(path: &Path) -> Result<Vec<u8>> {
    let wrap = |source| Error::Read { path: path.to_owned(), source };
    if path.extension().is_none_or(|e| e != "zst") {
        return fs::read(path).map_err(wrap);
    }
    let file = io::BufReader::new(fs::File::open(path).map_err(wrap)?);
    let mut decoder = ruzstd::decoding::StreamingDecoder::new(file)
        .map_err(|e| wrap(io::Error::new(io::ErrorKind::InvalidData, e)))?;
    let mut bytes = Vec::new();
    decoder.read_to_end(&mut bytes).map_err(wrap)?;
    Ok(bytes)
}

/// The text of a file in the encoding that its card names (WHATWG labels: `utf-8`, `latin-1`, `windows-1252`, …).
///
/// A byte-order mark is removed. Bytes that the encoding does not know are an error, never a replacement character.
pub fn decode(path: &Path, bytes: Vec<u8>, encoding: &str) -> Result<String> {
    let Some(known) = Encoding::for_label(encoding.as_bytes()) else {
        let reason = format!("the encoding `{encoding}` is unknown");
        return Err(Error::Format { path: path.to_owned(), line: 1, reason });
    };
    let refuse = |at: usize, bytes: &[u8]| Error::Encoding {
        path: path.to_owned(),
        line: 1 + bytes.iter().take(at).filter(|&&b| b == b'\n').count(),
        encoding: encoding.to_owned(),
    };
    if known == encoding_rs::UTF_8 {
        let mut text = String::from_utf8(bytes).map_err(|e| refuse(e.utf8_error().valid_up_to(), e.as_bytes()))?;
        if text.starts_with('\u{feff}') {
            text.drain(..'\u{feff}'.len_utf8());
        }
        return Ok(text);
    }
    let (text, _, malformed) = known.decode(&bytes);
    if malformed {
        // The decoder does not say where: find the first line that it refuses.
        let bad = bytes.split(|&b| b == b'\n').position(|line| known.decode(line).2).unwrap_or(0);
        return Err(Error::Encoding { path: path.to_owned(), line: bad + 1, encoding: encoding.to_owned() });
    }
    Ok(text.into_owned())
}
