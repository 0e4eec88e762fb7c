use std::collections::BTreeMap;

use inerd_text::{Generation, Sentence};
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::score::pair;
use crate::statistics::{McNemar, mcnemar};

/// Gold entities that two arms judge differently.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Flips {
    /// Found by both arms.
    pub both: u64,
    /// Found by neither.
    pub neither: u64,
    /// Lost and gained from the baseline to the arm, with the exact test.
    pub all: McNemar,
    pub per_type: BTreeMap<String, McNemar>,
}

/// For every gold entity of a sentence, in order, whether it was predicted with its type and boundaries.
pub fn recovered(sentence: &Sentence, generation: &Generation) -> Vec<bool> {
    let mut used = vec![false; generation.predictions.len()];
    let found = |entity: &inerd_text::Entity| {
        let mut candidates = generation.predictions.iter().zip(&mut used);
        let same = candidates.find(|(p, used)| !**used && p.span == Some(entity.span) && p.kind == entity.kind);
        same.map(|(_, used)| *used = true).is_some()
    };
    sentence.entities.iter().map(found).collect()
}

/// Compares two arms on the same gold sentences.
///
/// # Errors
/// Where gold and predictions do not hold the same sentences in the same order.
pub fn flips(gold: &[Sentence], baseline: &[Generation], arm: &[Generation]) -> Result<Flips> {
    let (mut both, mut neither, mut lost, mut gained) = (0, 0, 0, 0);
    let mut per_type: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for (baseline, arm) in pair(gold, baseline)?.zip(pair(gold, arm)?) {
        let ((sentence, old), (_, new)) = (baseline?, arm?);
        let verdicts = recovered(sentence, old).into_iter().zip(recovered(sentence, new));
        for (entity, verdict) in sentence.entities.iter().zip(verdicts) {
            let of_type = per_type.entry(entity.kind.clone()).or_default();
            match verdict {
                (true, true) => both += 1,
                (false, false) => neither += 1,
                (true, false) => {
                    lost += 1;
                    of_type.0 += 1;
                }
                (false, true) => {
                    gained += 1;
                    of_type.1 += 1;
                }
            }
        }
    }
    let per_type = per_type.into_iter().map(|(kind, (lost, gained))| (kind, mcnemar(lost, gained))).collect();
    Ok(Flips { both, neither, all: mcnemar(lost, gained), per_type })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{answer, japan};

    #[test]
    fn what_one_arm_finds_and_the_other_does_not() {
        let (gold, baseline) = japan();
        let arm = answer(&gold, &[("LOC", "Japan", Some(0)), ("LOC", "Japan", Some(19))]);
        let flips = flips(&[gold], &[baseline], &[arm]).unwrap();
        assert_eq!((flips.both, flips.neither, flips.all.lost, flips.all.gained), (1, 0, 1, 1));
        assert_eq!(flips.per_type["LOC"], flips.all);
    }
}
