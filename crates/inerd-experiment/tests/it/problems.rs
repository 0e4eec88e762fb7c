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
