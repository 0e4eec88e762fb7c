use super::{BadTag, same_length};
use crate::conventions::{Located, NervaluateSchema, judge};
use crate::counts::{Scores, SentenceCounts};
use crate::tally::Tally;
use crate::{Convention, Result};

/// nervaluate's list loader and judgement, all types known.
pub(crate) fn score<S, T>(convention: Convention, gold: &[T], predicted: &[T]) -> Result<(Scores, SentenceCounts)>
where
    S: AsRef<str>,
    T: AsRef<[S]>,
{
    let schema = NervaluateSchema::of(convention);
    let mut tally = Tally::with_capacity(gold.len());
    let (mut of_gold, mut of_predicted) = (Vec::new(), Vec::new());
    for (sentence, (gold, predicted)) in gold.iter().zip(predicted).enumerate() {
        let (gold, predicted) = (gold.as_ref(), predicted.as_ref());
        same_length(sentence, gold.len(), predicted.len())?;
        load(gold, &mut of_gold).map_err(|(token, bad)| bad.at("gold", sentence, token, gold[token].as_ref()))?;
        load(predicted, &mut of_predicted)
            .map_err(|(token, bad)| bad.at("predicted", sentence, token, predicted[token].as_ref()))?;
        judge_all(schema, &of_gold, &of_predicted, &mut tally);
        tally.end_sentence();
    }
    Ok(tally.finish(convention))
}

fn judge_all<'a>(schema: NervaluateSchema, gold: &[Located<'a>], predicted: &[Located<'a>], tally: &mut Tally<'a>) {
    tally.matches(judge(schema, gold, predicted));
    let mut kinds: Vec<&str> = gold.iter().chain(predicted).map(|e| e.kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    for kind in kinds {
        let of_kind =
            |entities: &[Located<'a>]| -> Vec<_> { entities.iter().copied().filter(|e| e.kind == kind).collect() };
        tally.matches_of_type(kind, judge(schema, &of_kind(gold), &of_kind(predicted)));
    }
}

/// An entity begins with `B-` or `I-` after `O`, with `B-` anywhere, and with any change of type; whatever else has
/// the open entity's type continues it.
fn load<'a, S: AsRef<str>>(tags: &'a [S], entities: &mut Vec<Located<'a>>) -> std::result::Result<(), (usize, BadTag)> {
    entities.clear();
    let mut open: Option<(&str, usize)> = None;
    let mut close = |open: Option<(&'a str, usize)>, end: usize| {
        if let Some((kind, first)) = open {
            entities.push(Located { first, last: end - 1, kind });
        }
    };
    for (position, tag) in tags.iter().map(AsRef::as_ref).enumerate() {
        if tag == "O" {
            close(open.take(), position);
            continue;
        }
        let kind = || tag.char_indices().nth(2).map_or("", |(start, _)| &tag[start..]);
        if open.is_none_or(|(k, _)| k != kind() || tag.starts_with('B')) {
            close(open, position);
            if !tag.starts_with("B-") && !tag.starts_with("I-") {
                return Err((position, BadTag("an entity begins with `B-` or `I-`")));
            }
            open = Some((kind(), position));
        }
    }
    close(open, tags.len());
    Ok(())
}
