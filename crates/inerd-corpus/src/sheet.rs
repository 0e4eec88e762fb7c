//! A table of a report, for people and for machines.

use serde::{Deserialize, Serialize};

/// A titled table of text cells; numbers are already written out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sheet {
    pub title: String,
    pub header: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

impl Sheet {
    pub fn new(title: impl Into<String>, header: &[&str]) -> Self {
        Self { title: title.into(), header: header.iter().map(|h| (*h).to_owned()).collect(), rows: Vec::new() }
    }

    pub fn row<I: IntoIterator<Item = String>>(&mut self, cells: I) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Aligned columns: numbers to the right, the rest to the left.
    pub fn text(&self) -> String {
        let lines: Vec<&Vec<String>> = std::iter::once(&self.header).chain(&self.rows).collect();
        let columns = lines.iter().map(|l| l.len()).max().unwrap_or(0);
        let cell = |line: &Vec<String>, column: usize| line.get(column).cloned().unwrap_or_default();
        let width = |column| lines.iter().map(|l| cell(l, column).chars().count()).max().unwrap_or(0);
        let number = |c: &String| c.is_empty() || c.starts_with(|c: char| c.is_ascii_digit() || "-–".contains(c));
        let right = |column| self.rows.iter().all(|l| number(&cell(l, column)));
        let widths: Vec<(usize, bool)> = (0..columns).map(|c| (width(c), right(c))).collect();
        let mut out = format!("{}\n", self.title);
        for line in lines {
            let padded = widths.iter().enumerate().map(|(column, &(width, right))| {
                let cell = cell(line, column);
                let space = " ".repeat(width - cell.chars().count());
                if right { format!("{space}{cell}") } else { format!("{cell}{space}") }
            });
            out += padded.collect::<Vec<_>>().join("  ").trim_end();
            out.push('\n');
        }
        out
    }

    /// A table of Markdown below a heading.
    pub fn markdown(&self) -> String {
        let line = |cells: &mut dyn Iterator<Item = String>| format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "));
        let escaped = |cell: &String| cell.replace('|', "\\|").replace(['\n', '\r'], " ");
        let mut out = format!("## {}\n\n", self.title);
        out += &line(&mut self.header.iter().map(escaped));
        out += &line(&mut self.header.iter().map(|_| "---".to_owned()));
        for row in &self.rows {
            out += &line(&mut row.iter().map(escaped));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_to_the_right() {
        let mut sheet = Sheet::new("sizes", &["split", "sentences"]);
        sheet.row(["train".to_owned(), "12".to_owned()]);
        sheet.row(["test".to_owned(), "3".to_owned()]);
        assert_eq!(sheet.text(), "sizes\nsplit  sentences\ntrain         12\ntest           3\n");
        sheet.row(["a|b".to_owned(), "4".to_owned()]);
        assert!(sheet.markdown().ends_with("| test | 3 |\n| a\\|b | 4 |\n"), "{}", sheet.markdown());
    }
}
