//! Bad files: everything that is wrong is said at once, with its place and what to do.

use crate::common::problems;

#[test]
fn all_problems_of_a_file_are_reported_at_once() {
    let text = r#"
[experiment]
question = "?"
baselin  = "a"
seeds    = 3

[fine]
epochs = "many"
lrr    = 1e-3
batch  = 0
schedule = "cosin"

[modle]
layers = 2

[[arm]]
name = "a"
set  = { "fine.epoch" = 3, "data.target" = "x" }
grid = { "fine.lr" = 1e-3 }
"#;
    insta::assert_snapshot!(problems(text).join("\n"));
}

#[test]
fn a_report_shows_the_line_and_what_to_do() {
    let text = "[data]\ntarget = \"a\"\n\n[fine]\nlrr = 1e-3\nschedule = \"cosin\"\n";
    let error = crate::common::read(text).unwrap_err();
    let mut out = String::new();
    miette::NarratableReportHandler::new().render_report(&mut out, &error).unwrap();
    insta::assert_snapshot!(out);
}

#[test]
fn settings_that_contradict_each_other() {
    let text = r#"
[data]
pool   = ["a"]
target = "a"
merge  = { weights = { a = -1.0, typo = 2.0 } }

[model]
width = 100
heads = 3

[tokenizer]
kind = "file"

[coarse]
enabled     = false
micro_batch = 5

[fine]
micro_batch = 5
order       = "nested"
max_length  = 9999
patience    = 0
subset      = { fraction = 0.0 }

[generate]
n_best = 3
"#;
    insta::assert_snapshot!(problems(text).join("\n"));
}

#[test]
fn arms_that_are_no_arms() {
    let text = r#"
data = { pool = ["a"], target = "a" }
[experiment]
baseline = "merge"
contrast = ["x"]
[[arm]]
name = "merged"
[[arm]]
name = "merged"
[[arm]]
set = { "fine.lr" = 1e-3 }
"#;
    insta::assert_snapshot!(problems(text).join("\n"));
}

#[test]
fn axes_that_do_not_fit() {
    let text = r#"
data = { pool = ["a"], target = "a" }
[[arm]]
name = "x"
zip  = { "fine.lr" = [1e-3, 1e-4], "fine.epochs" = [1, 2, 3] }
grid = { "fine.batch" = [], "fine.lrr" = [1], "fine.clip" = 1.0 }
[[arm]]
name = "y"
set  = { "fine.lr" = 1e-3 }
grid = { "fine.lr" = [1e-3, 1e-4] }
"#;
    insta::assert_snapshot!(problems(text).join("\n"));
}

#[test]
fn a_missing_file_and_a_missing_base() {
    let error = inerd_experiment::Experiment::load("no/such/file.toml", &[]).unwrap_err();
    assert!(error.problems[0].message().starts_with("read no/such/file.toml"));
    let found = problems("extends = \"base/none.toml\"\ndata.target = \"a\"\n");
    assert_eq!(
        found,
        ["1:11 read base/none.toml: no such file | `extends` names files relative to the file it stands in"]
    );
}

#[test]
fn syntax_errors_keep_their_place() {
    let found = problems("[fine]\nlr = = 1\nepochs = \"many\"\n");
    assert!(found.iter().any(|line| line.starts_with("2:")), "{found:?}");
}
