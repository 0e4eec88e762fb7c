//! From a file's bytes to its text: decompression and character encoding.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use encoding_rs::{DecoderResult, Encoding};

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

/// The text of a file in the encoding that its card names: `cesu-8`, or a label of the WHATWG Encoding Standard
/// (`utf-8`, `latin1`, `windows-1252`, …).
///
/// A byte-order mark is removed. Bytes that the encoding does not know are an error, never a replacement character, and
/// so are zero bytes in UTF-8: text with them is UTF-16.
pub fn decode(path: &Path, bytes: Vec<u8>, encoding: &str) -> Result<String> {
    if encoding == "cesu-8" {
        return decode(path, join_surrogates(bytes), "utf-8");
    }
    // The standard knows many names of Latin-1, and not the usual one.
    let label = if encoding.eq_ignore_ascii_case("latin-1") { "latin1" } else { encoding };
    let Some(known) = Encoding::for_label(label.as_bytes()) else {
        let reason =
            format!("the encoding `{encoding}` is unknown; use a label such as utf-8, utf-16le or windows-1252");
        return Err(Error::Format { path: path.to_owned(), line: 1, reason });
    };
    let refuse = |at: usize, bytes: &[u8]| Error::Encoding {
        path: path.to_owned(),
        line: 1 + bytes.iter().take(at).filter(|&&b| b == b'\n').count(),
        encoding: encoding.to_owned(),
    };
    if known == encoding_rs::UTF_8 {
        let mut text = String::from_utf8(bytes).map_err(|e| refuse(e.utf8_error().valid_up_to(), e.as_bytes()))?;
        if let Some(at) = text.bytes().position(|b| b == 0) {
            // UTF-16 without a mark is valid UTF-8, and nothing else that is text holds this.
            return Err(refuse(at, text.as_bytes()));
        }
        if text.starts_with('\u{feff}') {
            text.drain(..'\u{feff}'.len_utf8());
        }
        return Ok(text);
    }
    let mut decoder = known.new_decoder();
    let mut text = String::with_capacity(decoder.max_utf8_buffer_length(bytes.len()).unwrap_or(bytes.len()));
    match decoder.decode_to_string_without_replacement(&bytes, &mut text, true).0 {
        DecoderResult::InputEmpty => Ok(text),
        // What was decoded before the bad bytes says in which line they are, whatever the width of a character.
        _ => Err(Error::Encoding {
            path: path.to_owned(),
            line: 1 + text.matches('\n').count(),
            encoding: encoding.to_owned(),
        }),
    }
}

/// CESU-8 → UTF-8: characters beyond U+FFFF that were written as two surrogates of three bytes each.
fn join_surrogates(bytes: Vec<u8>) -> Vec<u8> {
    if !bytes.contains(&0xed) {
        return bytes;
    }
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes.as_slice();
    while let [first, tail @ ..] = rest {
        if let [0xed, h1 @ 0xa0..=0xaf, h2, 0xed, l1 @ 0xb0..=0xbf, l2, after @ ..] = rest {
            let half = |a: u8, b: u8| (u32::from(a & 0x0f) << 6) | u32::from(b & 0x3f);
            if let Some(c) = char::from_u32(0x1_0000 + (half(*h1, *h2) << 10) + half(*l1 - 0x10, *l2)) {
                out.extend(c.encode_utf8(&mut [0; 4]).bytes());
                rest = after;
                continue;
            }
        }
        out.push(*first);
        rest = tail;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(bytes: &[u8], encoding: &str) -> String {
        match decode(Path::new("f"), bytes.to_vec(), encoding) {
            Ok(text) => text,
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn each_encoding_is_decoded_or_refused() {
        assert_eq!(decoded("\u{feff}Zoë".as_bytes(), "utf-8"), "Zoë");
        assert_eq!(decoded(b"a\x85\xe9", "windows-1252"), "a…é");
        assert_eq!(decoded(b"Perfection \xed\xa0\xbc\xed\xbd\x95 \xc3\xa9", "cesu-8"), "Perfection \u{1f355} é");
        let refused = decoded(b"fine\nZo\xeb", "utf-8");
        assert!(refused.contains("line 2 holds bytes that are not utf-8"), "{refused}");
        let wide = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
        assert_eq!(decoded(&wide("\u{feff}Zoë\r\n🦀"), "utf-16le"), "Zoë\r\n🦀");
        assert_eq!(decoded(b"\xfe\xff\0Z\0o\0\xeb", "utf-16be"), "Zoë");
        assert_eq!((decoded(b"Zo\xeb", "latin1"), decoded(b"Zo\xeb", "Latin-1")), ("Zoë".into(), "Zoë".into()));
        let mut broken = wide("fine\n也\nnot");
        broken.push(0xd8);
        assert!(decoded(&broken, "utf-16le").contains("line 3 holds bytes that are not utf-16le"));
        assert!(decoded(b"a\n\xff\xff", "shift_jis").contains("line 2 holds bytes"));
        assert!(decoded(b"Z\0o\0", "utf-8").contains("line 1 holds bytes that are not utf-8"));
        assert!(decoded(b"\xed\xa0\xbc", "cesu-8").contains("line 1 holds bytes"));
        assert!(decoded(b"a", "klingon").contains("`klingon` is unknown"));
    }
}
