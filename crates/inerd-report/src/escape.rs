//! Text from data never becomes markup: one function per target language.

/// For SVG and HTML, in text and in double-quoted attributes.
pub(crate) fn xml(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\'' => out += "&#39;",
            // XML 1.0 allows no other control characters, not even as references.
            '\t' | '\n' | '\r' => out.push(c),
            c if c.is_control() => out.push('\u{FFFD}'),
            c => out.push(c),
        }
    }
    out
}

/// For LaTeX text mode. Signs that the default fonts or encodings lack are spelled in maths.
pub(crate) fn latex(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out += r"\textbackslash{}",
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => {
                out.push('\\');
                out.push(c);
            }
            '~' => out += r"\textasciitilde{}",
            '^' => out += r"\textasciicircum{}",
            // In maths, where every paper's fonts have them.
            '<' | '>' | '|' => {
                out.push('$');
                out.push(c);
                out.push('$');
            }
            // A straight quotation mark needs an encoding that not every paper has.
            '"' | '”' => out += "''",
            '±' => out += r"$\pm$",
            '×' => out += r"$\times$",
            '−' => out += r"$-$",
            '≥' => out += r"$\geq$",
            '≤' => out += r"$\leq$",
            '→' => out += r"$\rightarrow$",
            '·' => out += r"$\cdot$",
            '…' => out += r"\ldots{}",
            '–' => out += "--",
            '†' => out += r"$\dagger$",
            '‡' => out += r"$\ddagger$",
            '∝' => out += r"$\propto$",
            '“' => out += "``",
            '’' => out.push('\''),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// For a cell of a Markdown table.
pub(crate) fn markdown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '|' | '*' | '_' | '`' | '[' | ']' | '<' | '>' | '#' | '~' | '&' => {
                out.push('\\');
                out.push(c);
            }
            '\n' | '\r' => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// For JSON inside `<script type="application/json">`: the data cannot end the element, whatever they say.
pub(crate) fn json_in_html(json: &str) -> String {
    // `<`, `>` and `&` occur in JSON only inside strings, where an escape means the same.
    json.replace('&', "\\u0026").replace('<', "\\u003c").replace('>', "\\u003e")
}

/// A name for a file or an element: lower-case ASCII letters, digits and single hyphens.
pub(crate) fn slug(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if c.is_ascii_alphanumeric() || c == '.' {
            out.push(c.to_ascii_lowercase());
        } else if !out.is_empty() && !out.ends_with('-') {
            out.push('-');
        }
    }
    let out = out.trim_matches(['-', '.']).to_owned();
    if out.is_empty() { "x".to_owned() } else { out }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_data_stays_text() {
        assert_eq!(xml("<script>alert('1')</script>\u{1}"), "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;\u{FFFD}");
        assert_eq!(
            latex(r"a_b & 50% #1 \x {~^}"),
            r"a\_b \& 50\% \#1 \textbackslash{}x \{\textasciitilde{}\textasciicircum{}\}"
        );
        assert_eq!(markdown("a|b*c_d\ne"), r"a\|b\*c\_d e");
        assert_eq!(json_in_html(r#""</script><!--""#), r#""\u003c/script\u003e\u003c!--""#);
    }

    #[test]
    fn slugs_are_safe_names() {
        assert_eq!(slug("Merged (size=1,000)"), "merged-size-1-000");
        assert_eq!(slug("../../etc/passwd"), "etc-passwd");
        assert_eq!(slug("日本"), "x");
    }
}
