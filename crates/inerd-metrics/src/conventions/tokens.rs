use std::borrow::Cow;

use inerd_text::{Generation, Schema, Sentence, Span};

use super::spans::match_spans;
use super::surfaces::{match_sets, normalise};
use crate::tally::Tally;

/// The corpus's own tokens; where it has none, runs of letters and digits, and every other visible character alone.
pub(crate) fn word_tokens(sentence: &Sentence) -> Cow<'_, [Span]> {
    if !sentence.tokens.is_empty() {
        return Cow::Borrowed(&sentence.tokens);
    }
    let mut tokens: Vec<Span> = Vec::new();
    let mut in_word = false;
    for (start, c) in sentence.text.char_indices() {
        let end = start + c.len_utf8();
        match tokens.last_mut() {
            Some(word) if in_word && c.is_alphanumeric() => word.end = end,
            _ if !c.is_whitespace() => tokens.push(Span::new(start, end)),
            _ => {}
        }
        in_word = c.is_alphanumeric();
    }
    Cow::Owned(tokens)
}

/// The entities that tags over `tokens` can hold, as (type, first token, token after the last): those that begin and
/// end with a token and do not overlap an earlier one.
fn taggable<'a>(
    tokens: &[Span],
    entities: impl Iterator<Item = (&'a str, Option<Span>)>,
) -> Vec<(&'a str, (usize, usize))> {
    let mut written: Vec<(&str, (usize, usize))> = Vec::new();
    for (kind, span) in entities {
        let Some(span) = span else { continue };
        let Ok(first) = tokens.binary_search_by_key(&span.start, |t| t.start) else { continue };
        let Ok(last) = tokens.binary_search_by_key(&span.end, |t| t.end) else { continue };
        let free = |&(_, (start, end)): &(&str, (usize, usize))| last < start || end <= first;
        if first <= last && written.iter().all(free) {
            written.push((kind, (first, last + 1)));
        }
    }
    written
}

fn gold_entities(sentence: &Sentence) -> impl Iterator<Item = (&str, Option<Span>)> {
    sentence.entities.iter().map(|e| (e.kind.as_str(), Some(e.span)))
}

fn predicted_entities(generation: &Generation) -> impl Iterator<Item = (&str, Option<Span>)> {
    generation.predictions.iter().map(|p| (p.kind.as_str(), p.span))
}

/// seqeval on IOB2 tags written from the entities. Such tags are well-formed, so that reading them back, in either
/// mode, gives the entities that were written; the detour through strings is saved.
pub(crate) fn tagged<'a>(sentence: &'a Sentence, generation: &'a Generation, tally: &mut Tally<'a>) {
    let tokens = word_tokens(sentence);
    let gold = taggable(&tokens, gold_entities(sentence));
    let predicted = taggable(&tokens, predicted_entities(generation));
    let predicted = predicted.into_iter().map(|(kind, place)| (kind, Some(place)));
    match_spans(gold.iter().copied(), predicted, &mut Vec::new(), tally);
}

/// GNER: tags with known types only, then the set of (normalised type, normalised words joined by spaces).
pub(crate) fn gner<'a>(sentence: &'a Sentence, generation: &'a Generation, schema: &Schema, tally: &mut Tally<'a>) {
    let tokens = word_tokens(sentence);
    let known = predicted_entities(generation).filter(|(kind, _)| schema.contains(kind));
    let (gold, predicted) = (taggable(&tokens, gold_entities(sentence)), taggable(&tokens, known));
    let words = |(kind, (first, end)): (&'a str, (usize, usize))| {
        let words: Vec<&str> = tokens[first..end].iter().filter_map(|t| t.of(&sentence.text)).collect();
        (kind, normalise(&words.join(" ")))
    };
    match_sets(gold.into_iter().map(words), predicted.into_iter().map(words), tally);
}
