//! The masks of the inline layout by brute force: the sentence unit by unit, with every mark that may stand between two
//! units, and none of the automaton's machinery.

use inerd_decoding::{Allowed, Granularity, Layout, Rule, Rules};
use inerd_text::{Entity, Sentence};

use super::properties::{random_answer, words};
use super::random::{Case, strict};

/// Entities nest no deeper than the automaton follows them.
const DEEPEST: usize = 4;

/// What an answer is made of. Symbols are tokens, at text level bytes.
struct Reference<'a> {
    case: &'a Case,
    rules: Rules,
    /// Every unit with the white space before it, as the sentence has it.
    own: Vec<Vec<u32>>,
    /// Every unit as it stands behind an opening mark.
    led: Vec<Vec<u32>>,
    /// What opens an entity of each type: mark, name, separator.
    opens: Vec<Vec<u32>>,
    close: Vec<u32>,
}

/// How far an answer has come.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
struct Place {
    unit: usize,
    /// Symbols of the unit that are written.
    offset: usize,
    /// An opening mark stands right before the unit.
    led: bool,
    /// The units at which open entities begin.
    open: Vec<usize>,
    complete: usize,
    /// Tokens of a mark that are still to come.
    mark: Vec<u32>,
}

impl<'a> Reference<'a> {
    fn new(case: &'a Case, rules: Rules) -> Self {
        let tokenizer = case.codec.tokenizer();
        let text = &case.sentence.text;
        let bytes = |ids: &[u32]| ids.iter().flat_map(|&id| tokenizer.token_bytes(id)).copied().collect::<Vec<u8>>();
        let prefixes_space = bytes(&tokenizer.encode("a")) == b" a";
        let spelled =
            |piece: &str| tokenizer.encode(&if prefixes_space { piece.to_owned() } else { format!(" {piece}") });
        let mark = |mark: &str| tokenizer.special(mark).map_or_else(|| spelled(mark), |id| vec![id]);
        let [open, tcs, close] = ["[", ":", "]"].map(mark);
        let written = case.codec.format().written(case.codec.schema());
        let opens = written.iter().map(|name| [open.clone(), spelled(name), tcs.clone()].concat()).collect::<Vec<_>>();

        let units = words(text);
        let ends = |i: usize| if i == 0 { 0 } else { units[i - 1].1 };
        let piece =
            |i: usize| format!("{}{}", if i == 0 && prefixes_space { " " } else { "" }, &text[ends(i)..units[i].1]);
        let as_bytes = |piece: String| piece.into_bytes().into_iter().map(u32::from).collect::<Vec<u32>>();
        let answer = |entities| {
            let mut ids = case.codec.answer(&Sentence { entities, ..case.sentence.clone() });
            assert_eq!(ids.pop(), Some(tokenizer.eos()));
            ids
        };
        let (own, led) = if rules.granularity() == Granularity::Text {
            let led = |i: usize| as_bytes(format!(" {}", &text[units[i].0..units[i].1]));
            ((0..units.len()).map(|i| as_bytes(piece(i))).collect(), (0..units.len()).map(led).collect())
        } else {
            let mut rest = answer(Vec::new());
            let own: Vec<Vec<u32>> = (0..units.len())
                .map(|i| {
                    let length = (0..=rest.len()).find(|&n| bytes(&rest[..n]).len() == piece(i).len()).unwrap();
                    rest.drain(..length).collect()
                })
                .collect();
            let led = |i: usize| match case.codec.schema().types().first() {
                Some(kind) => {
                    let ids = answer(vec![Entity::new(kind, units[i].0, units[i].1)]);
                    let before = own[..i].iter().map(Vec::len).sum::<usize>() + opens[0].len();
                    let behind = own[i + 1..].iter().map(Vec::len).sum::<usize>() + close.len();
                    ids[before..ids.len() - behind].to_vec()
                }
                None => Vec::new(),
            };
            let led = (0..units.len()).map(led).collect();
            (own, led)
        };
        Self { case, rules, own, led, opens, close }
    }

    /// Whether the outermost entity may reach so many units.
    fn fits(&self, place: &Place, reached: usize) -> bool {
        let longest = self.rules.max_span().map_or(usize::MAX, |n| n as usize);
        place.open.first().is_none_or(|&start| reached - start <= longest)
    }

    /// The sentence goes on.
    fn text(&self, place: &Place, token: u32) -> Option<Place> {
        let symbols: Vec<u32> = match self.rules.granularity() {
            Granularity::Token => vec![token],
            Granularity::Text => {
                self.case.codec.tokenizer().token_bytes(token).iter().copied().map(u32::from).collect()
            }
        };
        let mut next = place.clone();
        for &symbol in &symbols {
            let unit = if next.led { self.led.get(next.unit)? } else { self.own.get(next.unit)? };
            if unit.get(next.offset) != Some(&symbol) {
                return None;
            }
            next.offset += 1;
            if next.offset == unit.len() {
                (next.unit, next.offset, next.led) = (next.unit + 1, 0, false);
            }
        }
        let reached = next.unit + usize::from(next.offset > 0);
        (!symbols.is_empty() && self.fits(&next, reached)).then_some(next)
    }

    fn step(&self, place: &Place, token: u32) -> Vec<Place> {
        let began = |mark: &[u32], place: Place| {
            (mark.first() == Some(&token)).then(|| Place { mark: mark[1..].to_vec(), ..place })
        };
        if !place.mark.is_empty() {
            return began(&place.mark, place.clone()).into_iter().collect();
        }
        let mut next: Vec<Place> = self.text(place, token).into_iter().collect();
        if place.offset > 0 {
            return next;
        }
        let deepest = if self.rules.contains(Rule::NoOverlap) { 1 } else { DEEPEST };
        let most = self.rules.max_entities().map_or(usize::MAX, |n| n as usize);
        let room = place.open.len() < deepest && place.complete + place.open.len() < most;
        if place.unit < self.own.len() && room && self.fits(place, place.unit + 1) {
            let open = [place.open.as_slice(), &[place.unit]].concat();
            let opened = Place { led: true, open, ..place.clone() };
            next.extend(self.opens.iter().filter_map(|mark| began(mark, opened.clone())));
        }
        if place.open.last().is_some_and(|&start| start < place.unit) {
            let mut closed = Place { complete: place.complete + 1, ..place.clone() };
            closed.open.pop();
            next.extend(began(&self.close, closed));
        }
        next
    }

    fn steps(&self, places: &[Place], token: u32) -> Vec<Place> {
        let mut next: Vec<Place> = places.iter().flat_map(|place| self.step(place, token)).collect();
        next.sort();
        next.dedup();
        next
    }

    fn ends(&self, place: &Place) -> bool {
        place.unit == self.own.len() && place.open.is_empty() && place.mark.is_empty()
    }
}

/// (c), for the inline layout.
pub(crate) fn inline_masks_equal_the_reference(seed: u64) {
    let mut case = Case::new(seed, 4);
    if case.codec.format().layout != Layout::Inline {
        return;
    }
    let rules = strict(case.rules);
    let automaton = case.codec.automaton(&case.sentence.text, &rules);
    let Some(ids) = random_answer(&mut case, &automaton) else { return };
    let reference = Reference::new(&case, rules);
    let eos = case.codec.tokenizer().eos();
    let (mut state, mut places) = (automaton.start(), vec![Place::default()]);
    for (at, &id) in ids.iter().enumerate().take(40) {
        let expected: Vec<u32> = (0..case.codec.tokenizer().vocab_size() as u32)
            .filter(|&token| {
                let ends = token == eos && places.iter().any(|place| reference.ends(place));
                ends || !reference.steps(&places, token).is_empty()
            })
            .collect();
        let mut scratch = Vec::new();
        assert_eq!(
            automaton.allowed(&state, &mut scratch),
            Allowed::Only(&expected),
            "step {at} of {ids:?}\n{rules:?}\n{:?}\n{:?}",
            case.sentence.text,
            case.codec.decode(&case.sentence.text, &ids[..at], None).output
        );
        places = reference.steps(&places, id);
        automaton.advance(&mut state, id).unwrap();
    }
}
