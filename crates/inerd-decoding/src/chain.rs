//! A sentence as the symbols that a content copies.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::tokenizer::Speller;
use crate::words::Unit;

/// How contents are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ContentStyle {
    /// A space between the separator and the content.
    pub(crate) leading_space: bool,
    /// Quotes, backslashes and control characters are escaped as in JSON strings.
    pub(crate) escaped: bool,
}

impl ContentStyle {
    /// A piece of the sentence as it stands in an answer.
    pub(crate) fn render(self, piece: &str) -> Cow<'_, str> {
        if !self.escaped || !piece.contains(|c: char| c == '"' || c == '\\' || c.is_ascii_control()) {
            return Cow::Borrowed(piece);
        }
        let mut out = String::with_capacity(piece.len() + 4);
        for c in piece.chars() {
            match c {
                '"' | '\\' => out.extend(['\\', c]),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                c if c.is_ascii_control() => {
                    // Writing to a string can't fail.
                    let _ = write!(out, "\\u{:04x}", u32::from(c));
                }
                c => out.push(c),
            }
        }
        Cow::Owned(out)
    }

    /// A piece behind a separator.
    pub(crate) fn led(self, piece: &str) -> Cow<'_, str> {
        if self.leading_space { Cow::Owned(format!(" {}", self.render(piece))) } else { self.render(piece) }
    }

    const fn lead(self) -> &'static str {
        if self.leading_space { " " } else { "" }
    }
}

/// Where a content may begin.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start {
    /// The symbols of the first unit, where they differ from the chain's.
    pub(crate) head: (u32, u32),
    /// Where the chain goes on behind the head.
    pub(crate) chain: u32,
    /// Where the unit, with the space before it, stands in the chain.
    pub(crate) unit: u32,
    /// Byte offset in the text.
    pub(crate) offset: u32,
    /// The beginning of a word, and not of a token inside one.
    pub(crate) whole: bool,
}

impl Start {
    pub(crate) const fn head_len(&self) -> u32 {
        self.head.1 - self.head.0
    }
}

/// No span ends here.
pub(crate) const NO_END: u32 = u32::MAX;

/// See [`crate::spans`].
#[derive(Debug, Default)]
pub(crate) struct Chain {
    pub(crate) symbols: Vec<u32>,
    /// Per place between two symbols, one more than there are symbols: the byte offset of the end, or [`NO_END`].
    pub(crate) ends: Vec<u32>,
    pub(crate) heads: Vec<u32>,
    pub(crate) starts: Vec<Start>,
}

/// What a chain is made of.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) text: &'a str,
    pub(crate) units: &'a [Unit],
    pub(crate) speller: &'a Speller,
    pub(crate) style: ContentStyle,
    /// Spans may also begin and end inside a word: at the prompt's tokens, or at any character at text level.
    pub(crate) inside_words: bool,
}

impl Chain {
    fn with_capacity(source: &Source<'_>, symbols: usize) -> Self {
        Self {
            symbols: Vec::with_capacity(symbols + 16),
            ends: Vec::with_capacity(symbols + 17),
            heads: Vec::new(),
            starts: Vec::with_capacity(source.units.len()),
        }
    }

    /// The sentence in tokens; `prompt` are those of the text.
    pub(crate) fn of_tokens(source: Source<'_>, prompt: &[u32]) -> Self {
        let mut chain = Self::with_capacity(&source, prompt.len());
        let mut offsets = Offsets::new(source.text, prompt, source.speller);
        for &unit in source.units {
            chain.push_tokens(unit, prompt, &mut offsets, source);
        }
        chain.finish(source)
    }

    /// The sentence in bytes.
    pub(crate) fn of_bytes(source: Source<'_>) -> Self {
        let mut chain = Self::with_capacity(&source, source.text.len());
        // One head for all: the space that a content stands behind.
        let lead = source.style.lead();
        chain.heads.extend(lead.bytes().map(u32::from));
        for &unit in source.units {
            chain.push_bytes(unit, (0, lead.len() as u32), source);
        }
        chain.finish(source)
    }

    fn finish(mut self, source: Source<'_>) -> Self {
        self.ends.resize(self.symbols.len(), NO_END);
        self.ends.push(source.units.last().map_or(NO_END, |u| u.end as u32));
        if let Some(first) = self.ends.first_mut() {
            *first = NO_END;
        }
        self
    }

    /// Marks the end of the unit before, which is where the next one's space begins.
    fn mark_end(&mut self, at: u32, unit: Unit) {
        self.ends.resize(at as usize, NO_END);
        self.ends.push(unit.space as u32);
    }

    /// Whether a space that the sentence does not have stands before its first word, as some tokenizers want it.
    fn extra_space(&self, source: Source<'_>) -> bool {
        self.starts.is_empty() && source.speller.prefixes_space()
    }

    /// Whether a word stands in the chain as it does behind a separator.
    fn is_led(space: &str, extra_space: bool, style: ContentStyle) -> bool {
        if extra_space { style.leading_space && space.is_empty() } else { space == style.lead() }
    }

    fn push_tokens(&mut self, unit: Unit, prompt: &[u32], offsets: &mut Offsets, source: Source<'_>) {
        let Source { text, speller, style, .. } = source;
        let begin = self.symbols.len() as u32;
        let [piece, word, space] = [(unit.space, unit.end), (unit.start, unit.end), (unit.space, unit.start)]
            .map(|(from, to)| text.get(from..to).unwrap_or_default());
        let escapes = matches!(style.render(piece), Cow::Owned(_));
        let own = if escapes { None } else { offsets.tokens(unit.space, unit.end) };
        let extra_space = self.extra_space(source);
        self.mark_end(begin, unit);
        match own {
            Some((from, to)) => self.symbols.extend_from_slice(&prompt[from..to]),
            None if extra_space => speller.spell(&format!(" {}", style.render(piece)), &mut self.symbols),
            None => speller.spell(&style.render(piece), &mut self.symbols),
        }
        let as_head = Self::is_led(space, extra_space, style);
        let (head, chain) =
            if as_head { ((0, 0), begin) } else { (self.head(word, speller, style), self.symbols.len() as u32) };
        self.starts.push(Start { head, chain, unit: begin, offset: unit.start as u32, whole: true });
        if source.inside_words
            && let Some((from, to)) = own
        {
            self.cut(unit, &offsets.starts[from..=to], begin, as_head, source);
        }
    }

    fn head(&mut self, piece: &str, speller: &Speller, style: ContentStyle) -> (u32, u32) {
        let from = self.heads.len() as u32;
        speller.spell(&style.led(piece), &mut self.heads);
        (from, self.heads.len() as u32)
    }

    /// Starts and ends at the tokens inside a word.
    fn cut(&mut self, unit: Unit, offsets: &[usize], begin: u32, whole_as_head: bool, source: Source<'_>) {
        let Source { text, speller, style, .. } = source;
        for (i, token) in offsets.windows(2).enumerate() {
            let (from, to) = (token[0].max(unit.start), token[1]);
            // A token that holds the space alone, or that begins or ends within a character, is no place to begin.
            let Some(piece) = text.get(from..to).filter(|p| !p.is_empty()) else { continue };
            let at = begin + i as u32;
            if token[0] > unit.start {
                self.ends.resize(at as usize, NO_END);
                self.ends.push(token[0] as u32);
            } else if whole_as_head {
                continue;
            }
            // The unit's first token may hold the space before the unit, or one that only the tokenizer sees.
            let respelled = style.leading_space || token[0] <= unit.start;
            let (head, chain) = if respelled { (self.head(piece, speller, style), at + 1) } else { ((0, 0), at) };
            self.starts.push(Start { head, chain, unit: begin, offset: from as u32, whole: false });
        }
    }

    fn push_bytes(&mut self, unit: Unit, lead: (u32, u32), source: Source<'_>) {
        let Source { text, speller, style, .. } = source;
        let begin = self.symbols.len() as u32;
        let [word, space] =
            [(unit.start, unit.end), (unit.space, unit.start)].map(|(from, to)| text.get(from..to).unwrap_or_default());
        let extra_space = self.extra_space(source);
        self.mark_end(begin, unit);
        self.symbols.extend(extra_space.then_some(u32::from(b' ')));
        speller.symbols(&style.render(space), &mut self.symbols);
        let at = self.symbols.len() as u32;
        let as_head = Self::is_led(space, extra_space, style);
        let (head, chain) = if as_head { ((0, 0), begin) } else { (lead, at) };
        self.starts.push(Start { head, chain, unit: begin, offset: unit.start as u32, whole: true });
        speller.symbols(&style.render(word), &mut self.symbols);
        let rendered: usize = word.chars().map(|c| style.render(c.encode_utf8(&mut [0; 4])).len()).sum();
        // Only where every character has symbols of its own.
        if source.inside_words && self.symbols.len() - at as usize == rendered {
            let mut at = at;
            for (i, c) in word.char_indices() {
                if i > 0 {
                    self.ends.resize(at as usize, NO_END);
                    self.ends.push((unit.start + i) as u32);
                    let offset = (unit.start + i) as u32;
                    self.starts.push(Start { head: lead, chain: at, unit: begin, offset, whole: false });
                }
                at += style.render(c.encode_utf8(&mut [0; 4])).len() as u32;
            }
        }
    }
}

/// Where the prompt's tokens begin in the text.
pub(crate) struct Offsets {
    /// Of every token and of the end, as far as the tokens spell the text.
    pub(crate) starts: Vec<usize>,
    /// Units come in order, so the search for their tokens goes on where it stopped.
    at: usize,
}

impl Offsets {
    pub(crate) fn new(text: &str, prompt: &[u32], speller: &Speller) -> Self {
        let mut starts = Vec::with_capacity(prompt.len() + 1);
        starts.push(0);
        let mut rest = text.as_bytes();
        for (i, &id) in prompt.iter().enumerate() {
            let mut bytes = speller.tokenizer().token_bytes(id);
            if i == 0
                && speller.prefixes_space()
                && let Some(stripped) = bytes.strip_prefix(b" ")
            {
                bytes = stripped;
            } else if bytes.is_empty() {
                break;
            }
            let Some(tail) = rest.strip_prefix(bytes) else { break };
            rest = tail;
            starts.push(text.len() - rest.len());
        }
        Self { starts, at: 0 }
    }

    /// The tokens that spell exactly `from..to`.
    fn tokens(&mut self, from: usize, to: usize) -> Option<(usize, usize)> {
        // The first of equal offsets: a space that the tokenizer put in front has no width in the text.
        while self.starts.get(self.at).is_some_and(|&s| s < from) {
            self.at += 1;
        }
        let first = self.at;
        let last = first + self.starts[first..].iter().position(|&s| s >= to)?;
        (self.starts.get(first) == Some(&from) && self.starts.get(last) == Some(&to)).then_some((first, last))
    }
}
