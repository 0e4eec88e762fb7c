//! Sentences that stand in two places: exact copies by a normalised text, near copies by `MinHash`.
//!
//! Near copies are sentences whose sets of word pairs have a Jaccard similarity of at least the threshold. Candidates
//! come from `MinHash` with banding (Broder 1997; Leskovec, Rajaraman and Ullman, *Mining of Massive Datasets*, ch. 3)
//! and every candidate's similarity is then computed exactly, so that nothing is reported that is not near; what is
//! missed is the banding's: at similarity 0.8 about 1 in 70.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use inerd_text::Sentence;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

const BANDS: usize = 8;
const ROWS: usize = 4;

/// What counts as the same sentence.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sameness {
    /// Character for character.
    Verbatim,
    /// The same words in the same order, whatever their case and the marks between.
    Words,
    /// A Jaccard similarity of word pairs of at least this, in (0, 1].
    Near(f64),
}

/// A sentence of `left` that stands, or nearly stands, in `right`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pair {
    /// Position in `left`.
    pub left: usize,
    /// Position in `right`; the most similar one, the first of those.
    pub right: usize,
    /// 1 for copies.
    pub similarity: f64,
}

/// For every sentence of `left` the sentence of `right` that it repeats, where there is one. In the order of `left`.
pub fn overlap(left: &[&Sentence], right: &[&Sentence], sameness: Sameness) -> Vec<Pair> {
    match sameness {
        Sameness::Verbatim => exact(left, right, |s| s.text.clone()),
        Sameness::Words => exact(left, right, |s| words(&s.text)),
        Sameness::Near(threshold) => near(left, right, threshold),
    }
}

fn exact(left: &[&Sentence], right: &[&Sentence], key: impl Fn(&Sentence) -> String + Sync) -> Vec<Pair> {
    search(left, right, |s| key(s), |wanted, index| index.get(wanted).map(|group| (group, 1.0)).into_iter().collect())
}

/// Groups the smaller side by `key`, and asks `matches` for the groups that a sentence of the larger side belongs to.
///
/// Only the smaller side is kept in memory, and copies in it count once: a test set of ten thousand sentences is
/// compared with millions, and "yes" said a thousand times is one group.
fn search<K: Ord + Send + Sync>(
    left: &[&Sentence],
    right: &[&Sentence],
    key: impl Fn(&Sentence) -> K + Sync,
    matches: impl for<'g> Fn(&K, &'g BTreeMap<K, Vec<usize>>) -> Vec<(&'g Vec<usize>, f64)> + Sync,
) -> Vec<Pair> {
    let left_is_large = left.len() > right.len();
    let (small, large) = if left_is_large { (right, left) } else { (left, right) };
    let keys: Vec<K> = small.par_iter().map(|s| key(s)).collect();
    let mut index: BTreeMap<K, Vec<usize>> = BTreeMap::new();
    for (position, key) in keys.into_iter().enumerate() {
        index.entry(key).or_default().push(position);
    }
    // Left position → its best pair. Pairs are compared by similarity, then by position: the order of threads is
    // without effect.
    let better = |best: &mut BTreeMap<usize, Pair>, pair: Pair| {
        let worse = |b: &Pair| match b.similarity.total_cmp(&pair.similarity) {
            Ordering::Equal => pair.right < b.right,
            order => order == Ordering::Less,
        };
        if best.get(&pair.left).is_none_or(worse) {
            best.insert(pair.left, pair);
        }
    };
    let scan = |mut best: BTreeMap<usize, Pair>, (position, sentence): (usize, &&Sentence)| {
        for (group, similarity) in matches(&key(sentence), &index) {
            if left_is_large {
                let right = group.first().copied().unwrap_or_default();
                better(&mut best, Pair { left: position, right, similarity });
            } else {
                group.iter().for_each(|&left| better(&mut best, Pair { left, right: position, similarity }));
            }
        }
        best
    };
    let join = |mut a: BTreeMap<usize, Pair>, b: BTreeMap<usize, Pair>| {
        b.into_values().for_each(|pair| better(&mut a, pair));
        a
    };
    large.par_iter().enumerate().fold(BTreeMap::new, scan).reduce(BTreeMap::new, join).into_values().collect()
}

/// Lower-cased words with one space between; a sentence without a word stays as it is.
fn words(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in text.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()) {
        if !out.is_empty() {
            out.push(' ');
        }
        out.extend(word.chars().flat_map(char::to_lowercase));
    }
    if out.is_empty() { text.to_owned() } else { out }
}

fn near(left: &[&Sentence], right: &[&Sentence], threshold: f64) -> Vec<Pair> {
    // The bands of the smaller side → the sets that share them. A set's bands follow from the set.
    let small = if left.len() > right.len() { right } else { left };
    let mut buckets: Vec<BTreeMap<u64, BTreeSet<Vec<u64>>>> = vec![BTreeMap::new(); BANDS];
    for set in small.par_iter().map(|s| shingles(&s.text)).collect::<BTreeSet<_>>() {
        for (bucket, band) in buckets.iter_mut().zip(signature(&set)) {
            bucket.entry(band).or_default().insert(set.clone());
        }
    }
    search(
        left,
        right,
        |s| shingles(&s.text),
        |set, index| {
            let bands = signature(set);
            let candidates: BTreeSet<&Vec<u64>> =
                buckets.iter().zip(bands).filter_map(|(bucket, band)| bucket.get(&band)).flatten().collect();
            let near = candidates.into_iter().map(|c| (c, jaccard(set, c))).filter(|&(_, s)| s >= threshold);
            near.filter_map(|(c, similarity)| Some((index.get(c)?, similarity))).collect()
        },
    )
}

/// The set of pairs of neighbouring words, edges included, as sorted hashes.
fn shingles(text: &str) -> Vec<u64> {
    let normal = words(text);
    let mut previous = 0;
    let mut set: Vec<u64> = Vec::new();
    for word in normal.split(' ') {
        let this = hash(word.as_bytes());
        set.push(mix(previous ^ this.rotate_left(17)));
        previous = this;
    }
    set.push(mix(previous ^ u64::MAX));
    set.sort_unstable();
    set.dedup();
    set
}

/// One hash per band of minima.
fn signature(set: &[u64]) -> [u64; BANDS] {
    let mut bands = [0; BANDS];
    for (band, value) in bands.iter_mut().enumerate() {
        for row in 0..ROWS {
            let seed = mix((band * ROWS + row + 1) as u64);
            let minimum = set.iter().map(|s| mix(s ^ seed)).min().unwrap_or(0);
            *value = mix(*value ^ minimum);
        }
    }
    bands
}

fn jaccard(a: &[u64], b: &[u64]) -> f64 {
    let (mut i, mut j, mut both) = (0, 0, 0);
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        both += usize::from(x == y);
        i += usize::from(x <= y);
        j += usize::from(y <= x);
    }
    let either = a.len() + b.len() - both;
    if either == 0 { 1.0 } else { both as f64 / either as f64 }
}

/// FNV-1a: fixed for ever, unlike the standard library's hasher.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, &b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

/// The finaliser of `SplitMix64`.
fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sentences(texts: &[&str]) -> Vec<Sentence> {
        texts.iter().map(|t| Sentence { text: (*t).to_owned(), ..Sentence::default() }).collect()
    }

    fn pairs(left: &[&str], right: &[&str], sameness: Sameness) -> Vec<(usize, usize)> {
        let (left, right) = (sentences(left), sentences(right));
        let found = overlap(&left.iter().collect::<Vec<_>>(), &right.iter().collect::<Vec<_>>(), sameness);
        found.into_iter().map(|p| (p.left, p.right)).collect()
    }

    #[test]
    fn three_grades_of_sameness() {
        let train = ["The cat sat .", "a dog", "?!"];
        let test = ["The cat sat .", "the cat, sat", "a dog", "?!", "another"];
        assert_eq!(pairs(&test, &train, Sameness::Verbatim), [(0, 0), (2, 1), (3, 2)]);
        assert_eq!(pairs(&test, &train, Sameness::Words), [(0, 0), (1, 0), (2, 1), (3, 2)]);
        let long = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen \
                    seventeen eighteen nineteen twenty";
        let changed = long.replace("twelve", "twelfth");
        assert_eq!(pairs(&[&changed], &[long], Sameness::Near(0.8)), [(0, 0)]);
        assert_eq!(pairs(&[&changed], &[long], Sameness::Near(0.9)), []);
    }

    proptest! {
        /// Every near pair that is found is near, copies are always found, and nothing depends on the order of `right`.
        #[test]
        fn near_pairs_are_near(texts in proptest::collection::vec("[abc]( [abc]){0,8}", 1..12)) {
            let all = sentences(&texts.iter().map(String::as_str).collect::<Vec<_>>());
            let refs: Vec<&Sentence> = all.iter().collect();
            let found = overlap(&refs, &refs, Sameness::Near(0.6));
            prop_assert_eq!(found.len(), refs.len());
            for pair in &found {
                let exact = jaccard(&shingles(&refs[pair.left].text), &shingles(&refs[pair.right].text));
                prop_assert_eq!(exact, pair.similarity);
                prop_assert_eq!(pair.similarity, 1.0);
            }
            // Whichever side is the larger one, a copy is found.
            for (left, right) in [(&refs[..1], &refs[..]), (&refs[..], &refs[..1])] {
                for sameness in [Sameness::Near(0.6), Sameness::Verbatim] {
                    let pair = overlap(left, right, sameness).into_iter().next();
                    prop_assert_eq!(pair, Some(Pair { left: 0, right: 0, similarity: 1.0 }));
                }
            }
        }
    }
}
