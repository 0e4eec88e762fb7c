//! Word tokens for texts whose source has none.

use inerd_text::Span;

/// Runs of word characters, and every other character that is not white space by itself.
///
/// The rule is that of the pattern `\w+|[^\w\s]`: letters, digits, combining marks' bases and the underscore are word
/// characters.
pub fn tokenize(text: &str) -> Vec<Span> {
    let mut tokens = Vec::new();
    let mut word: Option<usize> = None;
    for (at, c) in text.char_indices() {
        if c.is_alphanumeric() || c == '_' {
            word.get_or_insert(at);
            continue;
        }
        if let Some(start) = word.take() {
            tokens.push(Span::new(start, at));
        }
        if !c.is_whitespace() {
            tokens.push(Span::new(at, at + c.len_utf8()));
        }
    }
    if let Some(start) = word {
        tokens.push(Span::new(start, text.len()));
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_marks_are_tokens() {
        let text = "Zoë's 3.5-km\u{a0}run… a_b";
        let tokens: Vec<&str> = tokenize(text).into_iter().filter_map(|s| s.of(text)).collect();
        assert_eq!(tokens, ["Zoë", "'", "s", "3", ".", "5", "-", "km", "run", "…", "a_b"]);
    }
}
