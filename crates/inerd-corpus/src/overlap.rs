//! Sentences that stand in two places: exact copies by a normalised text, near copies by their word pairs.
//!
//! Near copies are sentences whose sets of word pairs have a Jaccard similarity of at least the threshold. All of them
//! are found, and nothing else: two sets that are near share one of their rarest members, so only sentences that do are
//! compared (prefix filtering: Bayardo, Ma and Srikant 2007, "Scaling Up All Pairs Similarity Search", WWW). That beats
//! `MinHash`, which misses some, because a few rare word pairs tell sentences apart so well.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use inerd_text::Sentence;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

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
    if left.is_empty() || right.is_empty() {
        return Vec::new();
    }
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
    let mut inside = false;
    for c in text.chars() {
        let alone = is_unspaced(c);
        if !(inside && c.is_alphanumeric() && !alone) {
            inside = c.is_alphanumeric();
            if inside && !out.is_empty() {
                out.push(' ');
            }
        }
        if inside && c.is_ascii() {
            out.push(c.to_ascii_lowercase());
        } else if inside {
            out.extend(c.to_lowercase());
        }
        inside &= !alone;
    }
    if out.is_empty() { text.to_owned() } else { out }
}

/// Scripts that put no space between words (Thai to Khmer, Japanese, Chinese): there a character counts as a word.
fn is_unspaced(c: char) -> bool {
    matches!(c,
        '\u{0e00}'..='\u{0eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '\u{3040}'..='\u{30ff}'
        | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

fn near(left: &[&Sentence], right: &[&Sentence], threshold: f64) -> Vec<Pair> {
    let small = if left.len() > right.len() { right } else { left };
    let near = NearSets::new(small.par_iter().map(|s| shingles(&s.text)).collect(), threshold);
    search(
        left,
        right,
        |s| shingles(&s.text),
        |set, index| {
            let hits = near.of(set).into_iter();
            hits.filter_map(|(hit, similarity)| Some((index.get(hit)?, similarity))).collect()
        },
    )
}

/// Sets that can be asked which of them are near another one.
struct NearSets {
    threshold: f64,
    sets: Vec<Vec<u64>>,
    /// Member → how many sets hold it.
    counts: HashMap<u64, usize>,
    /// Member → the sets that have it among their rarest.
    holding: HashMap<u64, Vec<usize>>,
}

impl NearSets {
    fn new(sets: BTreeSet<Vec<u64>>, threshold: f64) -> Self {
        let sets: Vec<Vec<u64>> = sets.into_iter().collect();
        let mut counts = HashMap::new();
        for &member in sets.iter().flatten() {
            *counts.entry(member).or_default() += 1;
        }
        let mut near = Self { threshold, sets, counts, holding: HashMap::new() };
        for (position, set) in near.sets.iter().enumerate() {
            for member in near.rarest(set) {
                near.holding.entry(member).or_default().push(position);
            }
        }
        near
    }

    /// So many of a set's rarest members that a near set must share one of them: two sets with a similarity of t have at
    /// least ⌈t·n⌉ of each one's n members in common, and the rarest of these stands among the n − ⌈t·n⌉ + 1 rarest of
    /// both.
    fn rarest(&self, set: &[u64]) -> Vec<u64> {
        let mut ordered: Vec<(usize, u64)> =
            set.iter().map(|member| (self.counts.get(member).copied().unwrap_or(0), *member)).collect();
        ordered.sort_unstable();
        let common = (self.threshold * set.len() as f64 - 1e-9).ceil().max(1.0) as usize;
        ordered.truncate((set.len() + 1).saturating_sub(common));
        ordered.into_iter().map(|(_, member)| member).collect()
    }

    /// The near sets with their similarities.
    fn of(&self, set: &[u64]) -> Vec<(&Vec<u64>, f64)> {
        let mut candidates: Vec<usize> =
            self.rarest(set).iter().filter_map(|member| self.holding.get(member)).flatten().copied().collect();
        candidates.sort_unstable();
        candidates.dedup();
        let scored =
            candidates.into_iter().filter_map(|position| self.sets.get(position)).map(|c| (c, jaccard(set, c)));
        scored.filter(|&(_, similarity)| similarity >= self.threshold).collect()
    }
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

    #[test]
    fn words_are_what_spaces_and_scripts_say() {
        assert_eq!(words("Don't—stop, NOW!"), "don t stop now");
        assert_eq!(words("東京へ行く in 2024"), "東 京 へ 行 く in 2024");
        assert_eq!(words("?!"), "?!");
        let (a, b) = (
            "私は昨日東京駅で友達に会いました。とても楽しかった",
            "私は昨日東京駅で友達に会いました。とても楽しかつた",
        );
        assert_eq!(pairs(&[a], &[b], Sameness::Near(0.8)), [(0, 0)]);
    }

    proptest! {
        /// What is found is what a comparison of every sentence with every other finds.
        #[test]
        fn all_near_pairs_are_found(
            left in proptest::collection::vec("[abc]( [abc]){0,8}", 0..12),
            right in proptest::collection::vec("[abc]( [abc]){0,8}", 0..20),
            tenths in 1u8..11,
        ) {
            let threshold = f64::from(tenths) / 10.0;
            let (left, right) = (sentences(&left.iter().map(String::as_str).collect::<Vec<_>>()),
                sentences(&right.iter().map(String::as_str).collect::<Vec<_>>()));
            let (left, right): (Vec<_>, Vec<_>) = (left.iter().collect(), right.iter().collect());
            let mut expected = Vec::new();
            for (l, a) in left.iter().enumerate() {
                let mut best: Option<Pair> = None;
                for (r, b) in right.iter().enumerate() {
                    let (a, b) = (shingles(&a.text), shingles(&b.text));
                    let both = a.iter().filter(|s| b.contains(s)).count();
                    let similarity = both as f64 / (a.len() + b.len() - both) as f64;
                    if similarity >= threshold && best.as_ref().is_none_or(|p| p.similarity < similarity) {
                        best = Some(Pair { left: l, right: r, similarity });
                    }
                }
                expected.extend(best);
            }
            prop_assert_eq!(overlap(&left, &right, Sameness::Near(threshold)), expected);
        }

        /// Whichever side is the larger one, a copy is found, whatever counts as the same.
        #[test]
        fn copies_are_found(texts in proptest::collection::vec("[abc]( [abc]){0,8}", 1..12)) {
            let all = sentences(&texts.iter().map(String::as_str).collect::<Vec<_>>());
            let refs: Vec<&Sentence> = all.iter().collect();
            prop_assert_eq!(overlap(&refs, &refs, Sameness::Near(0.6)).len(), refs.len());
            for (left, right) in [(&refs[..1], &refs[..]), (&refs[..], &refs[..1])] {
                for sameness in [Sameness::Near(0.6), Sameness::Verbatim] {
                    let pair = overlap(left, right, sameness).into_iter().next();
                    prop_assert_eq!(pair, Some(Pair { left: 0, right: 0, similarity: 1.0 }));
                }
            }
        }
    }
}
