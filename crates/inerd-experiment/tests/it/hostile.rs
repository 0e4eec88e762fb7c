//! Texts that nobody would write on purpose: the parser never panics, and its spans lie inside the text.

use inerd_experiment::{Plan, reference};
use proptest::prelude::*;

use crate::common::{Fake, read, read_with};

/// Whatever comes in: problems with places inside the text, or an experiment that plans or says why not.
fn survives(text: &str) {
    match read(text) {
        Err(error) => {
            assert!(!error.problems.is_empty());
            for problem in &error.problems {
                assert!(!problem.message().is_empty());
                if let Some(span) = problem.span().filter(|_| problem.file() == Some("test.toml")) {
                    assert!(span.start <= span.end && span.end <= text.len(), "{span:?} of {}", text.len());
                    assert!(problem.position().is_some(), "{span:?} cuts a character");
                }
            }
        }
        Ok(experiment) => {
            _ = Plan::build(&experiment, &Fake::default());
        }
    }
}

const WHOLE: &str = r#"
extends = []
exclude = { "fine.lr" = 0.5 }
[experiment]
question = "Größer?"
baseline = "x"
seeds = { start = 1, count = 2 }
[grid]
"data.target" = ["a", "b"]
[[arm]]
name = "x"
set = { "coarse.datasets" = "all", fine.lr = 1e-3 }
zip = [{ "fine.epochs" = [1, 2], "fine.batch" = [8, 16] }]
when = [{ is = { "fine.epochs" = 1 }, set = { "fine.lora" = { mode = "on" } } }]
[[arm.block]]
grid = { "generate.rules" = ["exact", ["types", "span"]] }
[data]
pool = ["a", "b"]
merge = { map = { "Ö" = "O" }, weights = { a = 2 } }
[fine]
pl_marker = true
clip = false
[executor.slurm.stage.fine]
time = "01:00:00"
"#;

#[test]
fn the_whole_example_is_valid() {
    let experiment = read(WHOLE).unwrap_or_else(|error| panic!("{:#?}", error.problems));
    assert_eq!(experiment.points(), 8);
}

#[test]
fn deep_nesting_is_refused() {
    survives(&format!("a = {}{}", "[".repeat(20_000), "]".repeat(20_000)));
    survives(&format!("{} = 1", vec!["a"; 5_000].join(".")));
    survives(&format!("[fine]\n{} = 1", vec!["lora"; 5_000].join(".")));
}

#[test]
fn odd_texts() {
    for text in [
        "",
        "\u{feff}",
        "\0",
        "=",
        "[",
        "[[arm]]",
        "[[arm]]\nname = \"\"",
        "[[arm]]\nname = 3",
        "arm = 3",
        "grid = []",
        "[grid]\n\"\" = [1]",
        "[grid]\n\".\" = [1]",
        "[grid]\nfine = [1]",
        "[grid]\nfine = [{ lr = 1 }]",
        "extends = 3",
        "extends = \"test.toml\"",
        "when = {}",
        "zip = [{}]",
        "exclude = [{}]",
        "[experiment]\nseeds = { count = 0 }",
        "[experiment]\nseeds = { start = 9223372036854775807, count = 3 }",
        "[model]\nheads = 99999999999999999999",
        "[fine]\nlr = nan",
        "[fine]\nlr = -inf",
        "[fine]\nlr = 2020-01-01",
        "[data]\nmax_test = -1",
        "[model]\nlayers = 1000\nwidth = 100000\ncontext = 10000000",
        "[fine]\n\"fine.lr\" = 1",
        "[fine]\nlr = 1\nlearning_rate = 2",
        "fine = 3",
        "[data]\ntarget = \"all\"",
    ] {
        survives(text);
    }
}

#[test]
fn two_spellings_of_one_key_are_refused() {
    let error = read("data.target = \"a\"\n[fine]\nlr = 1e-3\nlearning_rate = 2e-3\n").unwrap_err();
    assert!(error.problems.iter().any(|problem| problem.message().contains("given twice")));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text(text in "\\PC{0,200}") {
        survives(&text);
    }

    /// A valid file with a piece cut out, doubled, or replaced.
    #[test]
    fn damaged_files(start in 0usize..WHOLE.len(), length in 0usize..60, with in "[\\[\\]{}=\"',.a-z0-9\\n é-]{0,12}") {
        let begin = WHOLE.char_indices().map(|(i, _)| i).take_while(|i| *i <= start).last().unwrap_or(0);
        let end = WHOLE.char_indices().map(|(i, _)| i).find(|i| *i >= begin + length).unwrap_or(WHOLE.len());
        survives(&format!("{}{with}{}", &WHOLE[..begin], &WHOLE[end..]));
    }

    #[test]
    fn any_override(key in "[a-z_.]{0,30}", value in "\\PC{0,30}") {
        _ = read_with(WHOLE, &[(&key, &value)]);
    }

    /// Any value under any documented key.
    #[test]
    fn any_value_of_any_key(index in 0usize..1000, value in "(true|false|-?[0-9]{1,20}|[0-9]e[0-9]{1,3}|\"[a-z-]{0,8}\"|\\[\\]|\\{\\}|\\[1, \"a\"\\]|nan)") {
        let page = reference();
        let keys = documented_keys(&page);
        let key = &keys[index % keys.len()];
        survives(&format!("{key} = {value}\ndata.pool = [\"a\"]\n"));
        _ = read_with(WHOLE, &[(key, &value)]);
    }
}

/// `table.key` of every row of the reference page's settings.
fn documented_keys(page: &str) -> Vec<String> {
    let mut table = String::new();
    let mut keys = Vec::new();
    for line in page.lines() {
        if let Some(name) = line.strip_prefix("### `[").and_then(|rest| rest.strip_suffix("]`")) {
            name.clone_into(&mut table);
        } else if let Some(key) = line.strip_prefix("| `").and_then(|rest| rest.split('`').next())
            && !table.is_empty()
        {
            keys.push(format!("{table}.{key}"));
        }
    }
    keys
}
