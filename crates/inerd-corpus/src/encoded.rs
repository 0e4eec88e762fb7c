//! Tokens of many texts: computed in parallel, kept on disk by content.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use rayon::prelude::*;

use crate::{Error, Result};

const MAGIC: &[u8; 8] = b"inerdtk1";

/// Token ids of every text, in order.
///
/// With a `cache` folder the result is kept there under a name made of the tokenizer's `identity` (a fingerprint of its
/// file) and all texts, and read back the next time. A damaged or half-written file is computed anew.
pub fn encode_all(
    texts: &[&str],
    identity: &[u8],
    cache: Option<&Path>,
    encode: &(dyn Fn(&str) -> Vec<u32> + Sync),
) -> Result<Vec<Vec<u32>>> {
    let Some(folder) = cache else {
        return Ok(texts.par_iter().map(|t| encode(t)).collect());
    };
    let mut hasher = blake3::Hasher::new();
    for part in std::iter::once(identity).chain(texts.iter().map(|t| t.as_bytes())) {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let path = folder.join(format!("{}.tokens", hasher.finalize().to_hex()));
    if let Some(kept) = fs::read(&path).ok().and_then(|bytes| parse(&bytes, texts.len())) {
        return Ok(kept);
    }
    let encoded: Vec<Vec<u32>> = texts.par_iter().map(|t| encode(t)).collect();
    store(folder, &path, &encoded).map_err(|source| Error::Write { path, source })?;
    Ok(encoded)
}

/// Magic, body, BLAKE3 of the body. Body: per text its number of tokens and the tokens, as little-endian u32.
fn store(folder: &Path, path: &Path, encoded: &[Vec<u32>]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let mut body = Vec::new();
    for tokens in encoded {
        body.extend((tokens.len() as u32).to_le_bytes());
        tokens.iter().for_each(|t| body.extend(t.to_le_bytes()));
    }
    // Written beside and renamed: a reader never sees half a file.
    let temporary = path.with_extension(format!("{}.part", std::process::id()));
    let mut file = fs::File::create(&temporary)?;
    file.write_all(MAGIC)?;
    file.write_all(&body)?;
    file.write_all(blake3::hash(&body).as_bytes())?;
    file.sync_all()?;
    fs::rename(temporary, path)
}

fn parse(bytes: &[u8], texts: usize) -> Option<Vec<Vec<u32>>> {
    let body = bytes.strip_prefix(MAGIC)?;
    let (body, hash) = body.split_at_checked(body.len().checked_sub(32)?)?;
    if blake3::hash(body).as_bytes() != hash {
        return None;
    }
    let mut numbers = body.chunks_exact(4).map(|b| b.iter().rev().fold(0, |n, &b| (n << 8) | u32::from(b)));
    let mut encoded = Vec::with_capacity(texts);
    while let Some(count) = numbers.next() {
        encoded.push(numbers.by_ref().take(count as usize).collect());
    }
    (encoded.len() == texts).then_some(encoded)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn the_cache_answers_by_content_and_survives_damage() {
        let folder = tempfile::tempdir().unwrap();
        let calls = AtomicUsize::new(0);
        let encode = |text: &str| {
            calls.fetch_add(1, Ordering::Relaxed);
            text.bytes().map(u32::from).collect()
        };
        let run = |texts: &[&str], identity: &[u8]| encode_all(texts, identity, Some(folder.path()), &encode).unwrap();
        let first = run(&["ab", "", "c"], b"t");
        assert_eq!(first, [vec![97, 98], vec![], vec![99]]);
        assert_eq!((run(&["ab", "", "c"], b"t"), calls.load(Ordering::Relaxed)), (first.clone(), 3));
        run(&["ab", "", "c"], b"another tokenizer");
        run(&["a", "bc"], b"t");
        assert_eq!(calls.load(Ordering::Relaxed), 8);
        for entry in fs::read_dir(folder.path()).unwrap() {
            let path = entry.unwrap().path();
            let mut bytes = fs::read(&path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(path, bytes).unwrap();
        }
        assert_eq!((run(&["ab", "", "c"], b"t"), calls.load(Ordering::Relaxed)), (first, 11));
    }
}
