use std::collections::{BTreeMap, BTreeSet};

use inerd_text::{Generation, Schema, Sentence};

use crate::tally::Tally;

/// The gold entities as (type, surface). An entity outside its text has no surface; readers let none through.
fn gold_surfaces(sentence: &Sentence) -> impl Iterator<Item = (&str, &str)> {
    sentence.entities.iter().filter_map(|e| Some((e.kind.as_str(), e.span.of(&sentence.text)?)))
}

fn predicted_surfaces(generation: &Generation) -> impl Iterator<Item = (&str, &str)> {
    generation.predictions.iter().map(|p| (p.kind.as_str(), p.surface.as_str()))
}

/// Compares two sets of (type, key).
pub(crate) fn match_sets<'a, K: Ord>(
    gold: impl Iterator<Item = (&'a str, K)>,
    predicted: impl Iterator<Item = (&'a str, K)>,
    tally: &mut Tally<'a>,
) {
    let (gold, predicted): (BTreeSet<_>, BTreeSet<_>) = (gold.collect(), predicted.collect());
    for entity in &predicted {
        if gold.contains(entity) {
            tally.tp(entity.0);
        } else {
            tally.fp(entity.0);
        }
    }
    for (kind, _) in gold.difference(&predicted) {
        tally.fn_(kind);
    }
}

pub(crate) fn padellm<'a>(sentence: &'a Sentence, generation: &'a Generation, tally: &mut Tally<'a>) {
    match_sets(gold_surfaces(sentence), predicted_surfaces(generation), tally);
}

pub(crate) fn authors<'a>(sentence: &'a Sentence, generation: &'a Generation, schema: &Schema, tally: &mut Tally<'a>) {
    let joined = |(kind, surface): (&'a str, &str)| (kind, surface.replace(' ', ""));
    let known = predicted_surfaces(generation).filter(|(kind, _)| schema.contains(kind));
    match_sets(gold_surfaces(sentence).map(joined), known.map(joined), tally);
}

pub(crate) fn universal_ner<'a>(sentence: &'a Sentence, generation: &'a Generation, tally: &mut Tally<'a>) {
    let normal = |(kind, surface): (&'a str, &str)| (kind, normalise(surface));
    match_sets(gold_surfaces(sentence).map(normal), predicted_surfaces(generation).map(normal), tally);
}

/// The normalisation of `UniversalNER` and GNER (from `SQuAD`): lower case, no ASCII punctuation, no English articles,
/// single spaces.
pub fn normalise(surface: &str) -> String {
    let lower = surface.to_lowercase();
    let mut text: String = lower.chars().filter(|c| !c.is_ascii_punctuation()).collect();
    // An article is a maximal run of word characters; it leaves a space behind.
    if ["a", "an", "the"].iter().any(|article| text.contains(article)) {
        let mut kept = String::with_capacity(text.len());
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let mut rest = text.as_str();
        while let Some(first) = rest.chars().next() {
            let end = rest.find(|c| is_word(c) != is_word(first)).unwrap_or(rest.len());
            let (run, tail) = rest.split_at(end);
            kept.push_str(if matches!(run, "a" | "an" | "the") { " " } else { run });
            rest = tail;
        }
        text = kept;
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

pub(crate) fn gollie<'a>(sentence: &'a Sentence, generation: &'a Generation, schema: &Schema, tally: &mut Tally<'a>) {
    let text = sentence.text.to_lowercase();
    let compared = |surface: &str| surface.to_lowercase().trim().to_owned();
    let mut gold: BTreeMap<(&str, String), u64> = BTreeMap::new();
    for (kind, surface) in gold_surfaces(sentence) {
        *gold.entry((kind, compared(surface))).or_default() += 1;
    }
    let mut mentions: BTreeMap<String, usize> = BTreeMap::new();
    for (kind, surface) in predicted_surfaces(generation).filter(|(kind, _)| schema.contains(kind)) {
        let content = compared(surface);
        if !text.contains(&content) {
            continue;
        }
        // The cap counts the content untrimmed and under all types together, as the original does.
        let key = surface.to_lowercase();
        if !key.is_empty() {
            let held = text.matches(&key).count();
            let mentioned = mentions.entry(key).or_default();
            *mentioned += 1;
            if held < *mentioned {
                continue;
            }
        }
        match gold.get_mut(&(kind, content)) {
            Some(left) if *left > 0 => {
                *left -= 1;
                tally.tp(kind);
            }
            _ => tally.fp(kind),
        }
    }
    for ((kind, _), left) in gold {
        (0..left).for_each(|_| tally.fn_(kind));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn articles_punctuation_and_case_do_not_count() {
        for (surface, normal) in [
            ("The U.S. Army", "us army"),
            ("a-n  An\tapple", "apple"),
            ("thea Athens", "thea athens"),
            ("Zoë–a–Kraków", "zoë– –kraków"),
            ("A", ""),
            ("", ""),
        ] {
            assert_eq!(normalise(surface), normal, "{surface}");
        }
    }
}
