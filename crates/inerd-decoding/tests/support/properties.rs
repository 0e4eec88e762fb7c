//! What holds for every sentence, set of types, tokenizer, format and set of rules, as functions of a seed: the property
//! tests draw seeds, the fuzz target counts them up.

use std::collections::BTreeSet;

use inerd_decoding::{Allowed, Automaton, EntityOrder, Granularity, Layout, Parsed, Rule, Rules};
use inerd_text::{Entity, Sentence};
use rand::prelude::*;

use super::inline::inline_masks_equal_the_reference;
use super::random::{Case, strict};

/// Every property on one seed.
pub(crate) fn all(seed: u64) {
    accepted_answers_parse(seed);
    gold_answers_are_accepted(seed);
    masks_equal_the_reference(seed);
    inline_masks_equal_the_reference(seed);
    any_output_is_read(seed);
}

/// Walks along `ids`; the place of the token that was refused.
fn refused(automaton: &Automaton, ids: &[u32]) -> Option<usize> {
    let mut state = automaton.start();
    for (at, &id) in ids.iter().enumerate() {
        let mut scratch = Vec::new();
        let allowed = automaton.allowed(&state, &mut scratch).contains(id);
        assert_eq!(allowed, automaton.advance(&mut state, id).is_ok(), "mask and step disagree");
        if !allowed {
            return Some(at);
        }
    }
    assert!(automaton.is_final(&state));
    None
}

fn entities(parsed: &Parsed) -> Vec<Entity> {
    let mut entities: Vec<Entity> =
        (parsed.predictions.iter()).map(|p| Entity { kind: p.kind.clone(), span: p.span.expect("aligned") }).collect();
    entities.sort();
    entities
}

/// A random accepted answer; `None` where it grew too long. Prefers to close what is open.
pub(crate) fn random_answer(case: &mut Case, automaton: &Automaton) -> Option<Vec<u32>> {
    let mut state = automaton.start();
    let mut ids = Vec::new();
    let mut scratch = Vec::new();
    let vocabulary = case.codec.tokenizer().vocab_size() as u32;
    let eos = case.codec.tokenizer().eos();
    while !automaton.is_final(&state) {
        if ids.len() > 400 {
            return None;
        }
        let mut forced = Vec::new();
        automaton.forced(&state, &mut scratch, &mut forced);
        let token = match automaton.allowed(&state, &mut scratch) {
            Allowed::Only(tokens) => {
                assert!(!tokens.is_empty(), "nothing is allowed and the answer has not ended: {ids:?}");
                assert!(tokens.is_sorted_by(|a, b| a < b));
                assert_eq!(tokens.len() == 1, !forced.is_empty());
                if tokens.contains(&eos) && case.rng.random_bool(0.3) {
                    eos
                } else {
                    *tokens.choose(&mut case.rng).unwrap()
                }
            }
            Allowed::Any => case.rng.random_range(0..vocabulary),
            Allowed::Except(tokens) => {
                assert!(tokens.is_sorted_by(|a, b| a < b));
                (0..vocabulary).filter(|t| !tokens.contains(t)).choose(&mut case.rng).unwrap()
            }
        };
        assert!(forced.first().is_none_or(|&first| first == token));
        automaton.advance(&mut state, token).expect("allowed");
        ids.push(token);
    }
    Some(ids)
}

/// (a) Every string that the automaton accepts parses into entities of the text and the schema, as the rules say.
pub(crate) fn accepted_answers_parse(seed: u64) {
    let mut case = Case::new(seed, 7);
    let rules = strict(case.rules);
    let automaton = case.codec.automaton(&case.sentence.text, &rules);
    let Some(ids) = random_answer(&mut case, &automaton) else { return };
    let text = &case.sentence.text;
    let parsed = case.codec.decode(text, &ids, None);
    let context = format!("{rules:?}\n{:?}\n{text:?}\n{parsed:#?}", case.codec.format());
    assert!(!parsed.truncated && parsed.unparsable.is_empty(), "{context}");
    for prediction in &parsed.predictions {
        assert!(case.codec.schema().contains(&prediction.kind), "{context}");
        assert!(text.contains(&prediction.surface), "{context}");
        assert!(
            rules.contains(Rule::NoRepeat).then_some(prediction.span).is_none_or(|span| span.is_some()),
            "{context}"
        );
    }
    if rules.contains(Rule::MaxEntities) {
        // Separators in a content can be read as several entities, so only the rules' own bookkeeping bounds them.
        let ambiguous = text.contains([':', ';', '[', ']']);
        assert!(ambiguous || parsed.predictions.len() <= 3, "{context}");
    }
    if rules.contains(Rule::WordBoundary) && !text.contains([':', ';', '[', ']']) {
        let starts: BTreeSet<usize> = parsed.predictions.iter().filter_map(|p| Some(p.span?.start)).collect();
        let inside = |at: usize| {
            let letter = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphabetic());
            letter(text[..at].chars().next_back()) && letter(text[at..].chars().next())
        };
        assert!(starts.iter().all(|&at| !inside(at)), "{context}");
    }
    if rules.contains(Rule::NoOverlap)
        && rules.contains(Rule::Ordered)
        && rules.contains(Rule::WordBoundary)
        && !text.contains([':', ';', '[', ']'])
    {
        let found = entities(&parsed);
        assert!(found.windows(2).all(|pair| pair[0].span.end <= pair[1].span.start), "{context}");
    }
}

/// (b) Every gold answer is accepted by the rules that claim to, and read back as it was.
pub(crate) fn gold_answers_are_accepted(seed: u64) {
    let case = Case::new(seed, 8);
    let ids = case.codec.answer(&case.sentence);
    let context = format!(
        "{:?}\n{:?}\n{:?}",
        case.sentence,
        case.codec.format(),
        case.codec.decode(&case.sentence.text, &ids, None)
    );
    for rules in [case.rules, strict(case.rules), Rules::exact(), Rules::exact().at(Granularity::Text), Rules::paper()]
    {
        if case.codec.claims(&case.sentence, &rules) {
            let automaton = case.codec.automaton(&case.sentence.text, &rules);
            assert_eq!(refused(&automaton, &ids), None, "{rules:?}\n{context}");
        }
    }
    let parsed = case.codec.decode(&case.sentence.text, &ids, None);
    assert!(parsed.unparsable.is_empty() && !parsed.truncated, "{context}");
    // Marks within the text can be read in more than one way; and a mention that the gold leaves out may come first.
    if case.sentence.text.contains([':', ';', '[', ']']) || case.codec.format().entity_order != EntityOrder::Text {
        return;
    }
    // A surface that the text holds as a whole word, too, is not looked for inside words.
    if parsed.predictions.iter().any(|p| p.span.is_none()) {
        assert!(!case.codec.claims(&case.sentence, &Rules::exact()), "{context}");
        return;
    }
    let read = entities(&parsed);
    let surfaces = |entities: &[Entity]| -> Vec<(String, String)> {
        let mut all: Vec<(String, String)> =
            entities.iter().map(|e| (e.kind.clone(), e.span.of(&case.sentence.text).unwrap().to_owned())).collect();
        all.sort();
        all
    };
    let repeats =
        case.sentence.entities.iter().any(|e| case.sentence.text.matches(case.sentence.surface(e)).count() > 1);
    if case.codec.format().layout == Layout::Inline {
        let kept: Vec<&Entity> = case.sentence.entities.iter().filter(|e| read.contains(e)).collect();
        assert_eq!(kept.len(), read.len(), "{context}");
    } else if repeats {
        assert_eq!(surfaces(&read), surfaces(&case.sentence.entities), "{context}");
    } else {
        assert_eq!(read, case.sentence.entities, "{context}");
    }
}

/// What a record is made of, for the brute-force reference.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Token(u32),
    /// At text level: these bytes, however they are tokenised.
    Bytes(Vec<u8>),
}

/// A type, a span, and how they are written.
struct Record {
    parts: Vec<Part>,
    kind: String,
    start: usize,
    end: usize,
}

/// All answers of the record layouts, without any of the automaton's machinery: every type with every span, any number
/// of times, as long as the rules let them. The tokens come from answers with a single entity.
struct Reference<'a> {
    case: &'a Case,
    rules: Rules,
    records: Vec<Record>,
    words: Vec<(usize, usize)>,
}

/// Entities so far, and how far the next record has come: record, part, bytes of the part.
type Place = (Vec<(String, usize, usize)>, Option<(usize, usize, usize)>);

/// Words by a definition of its own, for the alphabet of the random cases.
pub(crate) fn words(text: &str) -> Vec<(usize, usize)> {
    let letter = |c: char| c.is_ascii_alphabetic() || c == 'é';
    let mut words: Vec<(usize, usize)> = Vec::new();
    let mut in_word = false;
    for (at, c) in text.char_indices() {
        if letter(c) && in_word {
            words.last_mut().unwrap().1 = at + c.len_utf8();
        } else if !c.is_whitespace() {
            words.push((at, at + c.len_utf8()));
        }
        in_word = letter(c);
    }
    // A contraction behind a letter is one word.
    let mut joined = 0;
    for (at, _) in text.match_indices("'s") {
        let alone = !text[at + 2..].starts_with(letter);
        // Behind another contraction it is none.
        if text[..at].ends_with(letter) && alone && joined != at {
            joined = at + 2;
            words.retain(|&(start, _)| start != at + 1);
            words.iter_mut().find(|w| w.0 == at).unwrap().1 = at + 2;
        }
    }
    words
}

impl<'a> Reference<'a> {
    fn new(case: &'a Case, rules: Rules) -> Self {
        let text = &case.sentence.text;
        let words = words(text);
        // Where a span may begin and end.
        let pieces: Vec<(usize, usize)> = if rules.contains(Rule::WordBoundary) {
            words.clone()
        } else {
            let chars = text.char_indices().filter(|(_, c)| !c.is_whitespace());
            chars.map(|(at, c)| (at, at + c.len_utf8())).collect()
        };
        let mut records = Vec::new();
        for (kind, written) in case.codec.schema().types().iter().zip(case.codec.format().written(case.codec.schema()))
        {
            for (i, &(start, _)) in pieces.iter().enumerate() {
                for &(_, end) in &pieces[i..] {
                    let sentence = Sentence { entities: vec![Entity::new(kind, start, end)], ..case.sentence.clone() };
                    let mut ids = case.codec.answer(&sentence);
                    assert_eq!(ids.pop(), Some(case.codec.tokenizer().eos()));
                    let parts = match rules.granularity() {
                        Granularity::Token => ids.into_iter().map(Part::Token).collect(),
                        Granularity::Text => Self::parts(case, &ids, &written, &text[start..end]),
                    };
                    records.push(Record { parts, kind: kind.clone(), start, end });
                }
            }
        }
        Self { case, rules, records, words }
    }

    /// Puts the content's bytes in place of its tokens.
    fn parts(case: &Case, ids: &[u32], written: &str, surface: &str) -> Vec<Part> {
        let tokenizer = case.codec.tokenizer();
        let mark = |mark: &str| if tokenizer.special(mark).is_some() { String::new() } else { format!(" {mark}") };
        let quoted = serde_json::to_string(surface).unwrap();
        let (before, content) = match case.codec.format().layout {
            Layout::Paper => (format!(" {written}{}", mark(":")), format!(" {surface}")),
            Layout::ContentFirst => (String::new(), format!(" {surface}")),
            _ => (format!("{{\"type\": \"{written}\", \"text\": \""), quoted[1..quoted.len() - 1].to_owned()),
        };
        let length = |upto: usize| ids[..upto].iter().map(|&id| tokenizer.token_bytes(id).len()).sum::<usize>();
        let from = (0..ids.len()).rev().find(|&i| length(i) == before.len()).unwrap();
        let to = (from..ids.len()).find(|&i| length(i) == before.len() + content.len()).unwrap();
        let tokens = |ids: &[u32]| ids.iter().map(|&id| Part::Token(id)).collect::<Vec<_>>();
        [tokens(&ids[..from]), vec![Part::Bytes(content.into_bytes())], tokens(&ids[to..])].concat()
    }

    /// The leftmost place that the rules leave to a record behind those that are done.
    fn place_of(&self, done: &[(String, usize, usize)], record: &Record) -> Option<(usize, usize)> {
        let text = &self.case.sentence.text;
        let rules = &self.rules;
        let surface = &text[record.start..record.end];
        let alike = || self.records.iter().filter(|r| r.kind == record.kind && text[r.start..r.end] == *surface);
        let words = self.words.iter().filter(|w| record.start < w.1 && w.0 < record.end).count();
        let same = done.iter().filter(|(kind, s, e)| *kind == record.kind && text[*s..*e] == *surface).count();
        // Read back, a surface stands inside a word only where it is no whole word anywhere.
        let whole = |r: &&Record| self.words.iter().any(|w| w.0 == r.start) && self.words.iter().any(|w| w.1 == r.end);
        let held = Some(alike().filter(whole).count()).filter(|&n| n > 0).unwrap_or_else(|| alike().count());
        let refused = rules.max_entities().is_some_and(|most| done.len() >= most as usize)
            || rules.max_span().is_some_and(|most| words > most as usize)
            || (rules.contains(Rule::NoRepeat) && same >= held);
        let written_alike = alike().filter(|r| r.parts == record.parts && !refused);
        written_alike.map(|r| (r.start, r.end)).find(|&(start, end)| {
            let ordered = !rules.contains(Rule::Ordered) || done.last().is_none_or(|&(_, s, _)| start >= s);
            let apart = !rules.contains(Rule::NoOverlap) || done.iter().all(|&(_, s, e)| end <= s || e <= start);
            ordered && apart
        })
    }

    /// The places behind one more token.
    fn step(&self, (done, within): &Place, token: u32) -> Vec<Place> {
        let open: Vec<(usize, usize, usize)> = match within {
            Some(within) => vec![*within],
            None => (0..self.records.len())
                .filter(|&r| self.place_of(done, &self.records[r]).is_some())
                .map(|r| (r, 0, 0))
                .collect(),
        };
        let spelling = self.case.codec.tokenizer().token_bytes(token);
        let mut out = Vec::new();
        for (record, part, offset) in open {
            let Record { parts, kind, .. } = &self.records[record];
            let (part, offset) = match &parts[part] {
                Part::Token(id) if *id == token => (part + 1, 0),
                Part::Bytes(bytes) if !spelling.is_empty() && bytes[offset..].starts_with(spelling) => {
                    if offset + spelling.len() == bytes.len() { (part + 1, 0) } else { (part, offset + spelling.len()) }
                }
                _ => continue,
            };
            let next = if part == parts.len() {
                let (start, end) = self.place_of(done, &self.records[record]).unwrap();
                ([done.as_slice(), &[(kind.clone(), start, end)]].concat(), None)
            } else {
                (done.clone(), Some((record, part, offset)))
            };
            out.push(next);
        }
        out
    }

    fn steps(&self, places: &[Place], token: u32) -> Vec<Place> {
        let mut next: Vec<Place> = places.iter().flat_map(|place| self.step(place, token)).collect();
        next.sort();
        next.dedup();
        next
    }
}

/// (c) Masks equal those of the brute-force reference over the whole vocabulary.
pub(crate) fn masks_equal_the_reference(seed: u64) {
    let mut case = Case::new(seed, 4);
    if case.codec.format().layout == Layout::Inline {
        return;
    }
    let mut rules = strict(case.rules);
    if rules.granularity() == Granularity::Token {
        rules = rules.with(Rule::WordBoundary);
    }
    let automaton = case.codec.automaton(&case.sentence.text, &rules);
    let Some(ids) = random_answer(&mut case, &automaton) else { return };
    let reference = Reference::new(&case, rules);
    let eos = case.codec.tokenizer().eos();
    let mut state = automaton.start();
    let mut places: Vec<Place> = vec![(Vec::new(), None)];
    for (at, &id) in ids.iter().enumerate().take(40) {
        let expected: Vec<u32> = (0..case.codec.tokenizer().vocab_size() as u32)
            .filter(|&token| {
                let ends = token == eos && places.iter().any(|(_, within)| within.is_none());
                ends || !reference.steps(&places, token).is_empty()
            })
            .collect();
        let mut scratch = Vec::new();
        assert_eq!(
            automaton.allowed(&state, &mut scratch),
            Allowed::Only(&expected),
            "step {at} of {ids:?}\n{rules:?}\n{:?}\n{:?}\n{:?}",
            case.sentence.text,
            case.codec.format(),
            case.codec.decode(&case.sentence.text, &ids, None).output
        );
        places = reference.steps(&places, id);
        automaton.advance(&mut state, id).unwrap();
    }
}

/// (d) Whatever was written, reading it neither panics nor leaves the sentence.
pub(crate) fn any_output_is_read(seed: u64) {
    let mut case = Case::new(seed, 8);
    let vocabulary = case.codec.tokenizer().vocab_size() as u32;
    let mut ids = case.codec.answer(&case.sentence);
    for _ in 0..case.rng.random_range(0..6) {
        let at = case.rng.random_range(0..=ids.len());
        match case.rng.random_range(0..4) {
            0 => ids.insert(at, case.rng.random_range(0..vocabulary + 2)),
            1 => ids.truncate(at),
            2 if at < ids.len() => {
                ids.remove(at);
            }
            // Repeats, as a model that is stuck writes them.
            _ => ids = ids.repeat(2),
        }
    }
    let probabilities: Vec<f32> = ids.iter().map(|_| case.rng.random()).collect();
    let parsed = case.codec.decode(&case.sentence.text, &ids, Some(&probabilities));
    for prediction in &parsed.predictions {
        assert!(prediction.span.is_none_or(|span| span.of(&case.sentence.text).is_some()), "{parsed:?}");
        assert!(prediction.confidence.is_none_or(|c| (0.0..=1.0).contains(&c)), "{parsed:?}");
    }
    assert_eq!(parsed.truncated, !ids.contains(&case.codec.tokenizer().eos()));
    // And no rule set panics on it.
    for rules in [case.rules, Rules::paper_code()] {
        let automaton = case.codec.automaton(&case.sentence.text, &rules);
        let mut state = automaton.start();
        let mut scratch = Vec::new();
        for &id in &ids {
            let allowed = automaton.allowed(&state, &mut scratch).contains(id);
            let step = automaton.advance(&mut state, id);
            assert!(rules == Rules::paper_code() || allowed == step.is_ok());
        }
    }
}
