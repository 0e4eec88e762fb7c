//! A LaTeX engine would be a large guest for a test: the structure is checked instead.

use inerd_report::Options;

use crate::files::{report, text};
use crate::fixture;

/// Columns of `lr@{}l…`.
fn columns(specification: &str) -> usize {
    specification.replace("@{}", "").chars().filter(|c| "lcr".contains(*c)).count()
}

/// Cells of a line, `\multicolumn{n}` counted as n.
fn cells(line: &str) -> usize {
    let bare = line.replace("\\&", "");
    let spanned: usize = bare
        .match_indices("\\multicolumn{")
        .map(|(at, mark)| {
            let number: String = bare[at + mark.len()..].chars().take_while(char::is_ascii_digit).collect();
            number.parse::<usize>().unwrap() - 1
        })
        .sum();
    bare.matches('&').count() + 1 + spanned
}

fn check(name: &str, source: &str) {
    let mut depth = 0i32;
    let mut previous = ' ';
    let mut comment = false;
    for c in source.chars() {
        match c {
            '\n' => comment = false,
            _ if comment => {}
            '%' if previous != '\\' => comment = true,
            '{' if previous != '\\' => depth += 1,
            '}' if previous != '\\' => depth -= 1,
            '_' | '#' | '^' => assert_eq!(previous, '\\', "{name}: {c} is not escaped"),
            _ => {}
        }
        assert!(depth >= 0, "{name}: a brace closes nothing");
        previous = if previous == '\\' && c == '\\' { ' ' } else { c };
    }
    assert_eq!(depth, 0, "{name}: a brace stays open");
    assert_eq!(source.matches('$').count() % 2, 0, "{name}: maths stays open");
    assert!(source.is_ascii() || source.chars().all(|c| c.is_alphabetic() || c.is_ascii()), "{name}: {source}");

    let begin = source.lines().find_map(|l| l.strip_prefix("\\begin{tabular}{")).unwrap();
    let expected = columns(begin.strip_suffix('}').unwrap());
    for line in source.lines().filter(|l| l.ends_with("\\\\")) {
        assert_eq!(cells(line), expected, "{name}: {line}");
    }
    for rule in ["\\toprule", "\\midrule", "\\bottomrule", "\\end{tabular}"] {
        assert_eq!(source.matches(rule).count(), 1, "{name}: {rule}");
    }
}

#[test]
fn every_table_can_be_input() {
    let mut input = fixture::experiment();
    for cell in &mut input.cells {
        cell.arm = cell.arm.replace("merged", "100% merged_& {more} #1 $x^2$ ~ \\end \"q\" <b>");
    }
    let files = report(&input, Options::default());
    let tables: Vec<&String> = files.keys().filter(|n| n.ends_with(".tex")).collect();
    assert_eq!(tables.len(), 10);
    for name in tables {
        check(name, &text(&files, name));
    }
}
