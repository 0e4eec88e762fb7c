//! Spans of words, and the tokens of a prompt that hold them.

mod support;

use inerd_decoding::{Codec, FormatSettings};
use inerd_text::{Schema, Span};
use proptest::prelude::*;
use support::Toy;
use support::random::Case;

#[test]
fn spans_are_whole_words_up_to_a_length_and_tokens_may_hold_more_than_their_span() {
    let tokenizer = Toy::new(&["Ada", " Love", "lace", " (B"], &["<eos>"], false);
    let codec = Codec::new(tokenizer, FormatSettings::default(), Schema::new(["Person"])).unwrap();
    let text = "Ada Lovelace (B2)";
    let alignment = codec.align(text, &codec.prompt_with_cue("news", text));
    let spans: Vec<&str> = alignment.spans(2).map(|s| s.of(text).unwrap()).collect();
    assert_eq!(spans, ["Ada", "Ada Lovelace", "Lovelace", "Lovelace (", "(", "(B2", "B2", "B2)", ")"]);
    let cue = codec.prompt_with_cue("news", "").len() - codec.prompt("").len();
    let held = |start, end| alignment.tokens(Span::new(start, end)).map(|(a, b)| (a - cue, b - cue));
    assert_eq!(held(0, 3), Some((0, 0)));
    assert_eq!(held(4, 12), Some((1, 2)), "` Love` and `lace`");
    assert_eq!(held(14, 16), Some((3, 4)), "` (B` and `2`");
    assert_eq!(held(16, 17), Some((5, 5)));
    assert_eq!(held(16, 18), None, "outside the text");
}

proptest! {
    #[test]
    fn every_span_lies_in_the_tokens_that_hold_its_first_and_last_byte(seed: u64) {
        let Case { codec, sentence, .. } = Case::new(seed, 12);
        let text = &sentence.text;
        let tokens = codec.tokenizer().encode(text);
        for cue in ["", "some corpus"] {
            let prompt = codec.prompt_with_cue(cue, text);
            let alignment = codec.align(text, &prompt);
            let spans: Vec<Span> = alignment.spans(3).collect();
            prop_assert!(sentence.entities.iter().all(|e| spans.contains(&e.span) == alignment.holds(e.span, 3)));
            for span in spans {
                let (first, last) = alignment.tokens(span).unwrap();
                // Where the sentence stands in the prompt, found by looking for it from the end.
                let begin = (0..prompt.len()).rev().find(|&at| prompt[at..].starts_with(&tokens)).unwrap();
                let spelled = |tokens: &[u32]| -> usize { tokens.iter().map(|&t| codec.tokenizer().token_bytes(t).len()).sum() };
                // Some tokenizers put a space in front that the text doesn't have.
                let extra = spelled(&tokens) - text.len();
                let ends = |place: usize| spelled(&prompt[begin..=place]) - extra;
                prop_assert!(span.start < ends(first) && (first == begin || ends(first - 1) <= span.start));
                prop_assert!(span.end <= ends(last) && (last == begin || ends(last - 1) < span.end));
            }
        }
    }
}
