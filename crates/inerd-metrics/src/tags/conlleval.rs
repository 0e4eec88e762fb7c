use super::same_length;
use crate::counts::{Scores, SentenceCounts};
use crate::tally::Tally;
use crate::{Convention, Result};

/// The last tag of one side: what stands before the first hyphen, and what follows it.
#[derive(Debug, Clone, Copy)]
struct Side<'a> {
    mark: &'a str,
    kind: &'a str,
}

const OUTSIDE: Side<'static> = Side { mark: "O", kind: "" };

impl<'a> Side<'a> {
    fn new(tag: &'a str) -> Self {
        let (mark, kind) = tag.split_once('-').unwrap_or((tag, ""));
        Self { mark, kind }
    }

    /// Whether an entity ends between this tag and the next.
    fn ends_before(self, next: Self) -> bool {
        let by_marks = match self.mark {
            "B" | "I" => matches!(next.mark, "B" | "O"),
            "E" => matches!(next.mark, "E" | "I" | "O"),
            "[" | "]" => true,
            _ => false,
        };
        by_marks || (!matches!(self.mark, "O" | ".") && self.kind != next.kind)
    }

    /// Whether an entity begins at the tag after this one.
    fn begins_at(self, next: Self) -> bool {
        let by_marks =
            matches!((self.mark, next.mark), ("B" | "I" | "O", "B") | ("O" | "E", "I" | "E") | (_, "[" | "]"));
        by_marks || (!matches!(next.mark, "O" | ".") && self.kind != next.kind)
    }
}

/// The evaluation script of the CoNLL shared tasks. It counts entities where they *begin* and follows one that both
/// sides began together until they stop agreeing; on malformed tags that is not the same as comparing spans, which is
/// why this is not one of the other rules' machines.
pub(crate) fn score<S, T>(gold: &[T], predicted: &[T]) -> Result<(Scores, SentenceCounts)>
where
    S: AsRef<str>,
    T: AsRef<[S]>,
{
    let mut tally = Tally::with_capacity(gold.len());
    let mut last = (OUTSIDE, OUTSIDE);
    // Both sides are inside an entity that they began together.
    let mut agree = false;
    for (sentence, (gold, predicted)) in gold.iter().zip(predicted).enumerate() {
        let (gold, predicted) = (gold.as_ref(), predicted.as_ref());
        same_length(sentence, gold.len(), predicted.len())?;
        let pairs = gold.iter().zip(predicted).map(|(g, p)| (Side::new(g.as_ref()), Side::new(p.as_ref())));
        for now in pairs.chain([(OUTSIDE, OUTSIDE)]) {
            let ends = (last.0.ends_before(now.0), last.1.ends_before(now.1));
            if agree {
                if ends == (true, true) && last.0.kind == last.1.kind {
                    tally.found_correct(last.0.kind);
                    agree = false;
                } else if ends.0 != ends.1 || now.0.kind != now.1.kind {
                    agree = false;
                }
            }
            let begins = (last.0.begins_at(now.0), last.1.begins_at(now.1));
            if begins.0 {
                tally.fn_(now.0.kind);
            }
            if begins.1 {
                tally.fp(now.1.kind);
            }
            agree |= begins == (true, true) && now.0.kind == now.1.kind;
            last = now;
        }
        tally.end_sentence();
    }
    Ok(tally.finish(Convention::Span))
}
