//! Which tokens of a prompt hold which piece of the sentence.

use inerd_text::Span;

use crate::Codec;
use crate::chain::Offsets;
use crate::words::{self, Unit};

/// A sentence's words and the prompt's tokens they lie in. Words are those of the rule `word-boundary`: runs of letters
/// and digits, or single other characters.
#[derive(Debug)]
pub struct Alignment {
    units: Vec<Unit>,
    /// Where every token of the sentence begins in the text and, behind the last one, where it ends.
    starts: Vec<usize>,
    /// The place of the sentence's first token in the prompt.
    begin: usize,
}

impl Codec {
    /// Aligns a sentence with the prompt that was made of it ([`Codec::prompt`], with whatever cue).
    pub fn align(&self, text: &str, prompt: &[u32]) -> Alignment {
        let tokens = self.tokenizer().encode(text);
        let begin = prompt.len().saturating_sub(self.combine_len() + tokens.len());
        Alignment { units: words::units(text), starts: Offsets::new(text, &tokens, self.speller()).starts, begin }
    }
}

impl Alignment {
    /// Every span of at most `longest` words, from left to right, shorter ones first.
    pub fn spans(&self, longest: usize) -> impl Iterator<Item = Span> + '_ {
        (0..self.units.len()).flat_map(move |first| {
            let ends = self.units.iter().skip(first).take(longest);
            ends.map(move |last| Span::new(self.units[first].start, last.end))
        })
    }

    /// Whether [`Alignment::spans`] holds the span.
    pub fn holds(&self, span: Span, longest: usize) -> bool {
        let first = self.units.binary_search_by_key(&span.start, |u| u.start);
        let last = self.units.binary_search_by_key(&span.end, |u| u.end);
        matches!((first, last), (Ok(first), Ok(last)) if last >= first && last - first < longest)
    }

    /// The places in the prompt of the tokens that hold the first and the last byte of a span; `None` where the prompt's
    /// tokens don't spell the text (a tokenizer with gaps).
    pub fn tokens(&self, span: Span) -> Option<(usize, usize)> {
        let holding = |byte: usize| {
            // Of several tokens that begin at one place (a space that has no width in the text) the last has the byte.
            let token = self.starts.partition_point(|&start| start <= byte).checked_sub(1)?;
            (token + 1 < self.starts.len()).then_some(self.begin + token)
        };
        Some((holding(span.start)?, holding(span.end.checked_sub(1)?)?))
    }
}
