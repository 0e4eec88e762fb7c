//! Arms, axes, conditions, layers.

use std::collections::BTreeMap;
use std::path::PathBuf;

use inerd_experiment::{Experiment, Schedule};

use crate::common::{Memory, problems, read, read_with};

fn labels(experiment: &Experiment, arm: &str) -> Vec<String> {
    let arm = experiment.arms.iter().find(|a| a.name == arm).unwrap();
    arm.points
        .iter()
        .map(|point| point.axes.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" "))
        .collect()
}

const BASE: &str = "[data]\npool = [\"a\", \"b\"]\ntarget = \"a\"\n";

#[test]
fn grids_are_crossed_in_the_order_of_the_file() {
    let text =
        format!("{BASE}[[arm]]\nname = \"x\"\ngrid = {{ \"fine.lr\" = [0.1, 0.2], \"fine.epochs\" = [1, 2] }}\n");
    let found = labels(&read(&text).unwrap(), "x");
    assert_eq!(
        found,
        [
            "fine.lr=0.1 fine.epochs=1",
            "fine.lr=0.1 fine.epochs=2",
            "fine.lr=0.2 fine.epochs=1",
            "fine.lr=0.2 fine.epochs=2"
        ]
    );
}

#[test]
fn zipped_axes_move_together() {
    let text = format!(
        "{BASE}[[arm]]\nname = \"x\"\nzip = {{ \"coarse.datasets\" = [[\"a\"], [\"b\"]], \"fine.dataset\" = [\"a\", \"b\"] }}\n"
    );
    let found = labels(&read(&text).unwrap(), "x");
    assert_eq!(found, [r#"coarse.datasets=["a"] fine.datasets=["a"]"#, r#"coarse.datasets=["b"] fine.datasets=["b"]"#]);
}

#[test]
fn zips_and_grids_and_several_zips_are_crossed() {
    let text = format!(
        "{BASE}[[arm]]\nname = \"x\"\ngrid = {{ \"fine.epochs\" = [1, 2] }}\nzip = [{{ \"fine.lr\" = [0.1, 0.2], \"fine.batch\" = [8, 16] }}, {{ \"model.layers\" = [1, 2, 3] }}]\n"
    );
    assert_eq!(read(&text).unwrap().points(), 12);
}

#[test]
fn blocks_are_concatenated() {
    let text = format!(
        "{BASE}[[arm]]\nname = \"x\"\n[[arm.block]]\ngrid = {{ \"fine.lr\" = [0.1, 0.2] }}\n[[arm.block]]\nset = {{ \"fine.schedule\" = \"constant\" }}\ngrid = {{ \"fine.lr\" = [0.3] }}\n"
    );
    let experiment = read(&text).unwrap();
    assert_eq!(labels(&experiment, "x"), ["fine.lr=0.1", "fine.lr=0.2", "fine.lr=0.3"]);
    assert_eq!(experiment.arms[0].points[2].settings.fine.schedule, Schedule::Constant);
}

#[test]
fn excluded_points_are_gone() {
    let text = format!(
        "{BASE}exclude = []\n[[arm]]\nname = \"x\"\ngrid = {{ \"fine.lr\" = [0.1, 0.2], \"fine.epochs\" = [1, 2] }}\nexclude = [{{ \"fine.lr\" = 0.1, \"fine.epochs\" = 2 }}]\n"
    );
    let text = text.replace("exclude = []\n", "");
    assert_eq!(
        labels(&read(&text).unwrap(), "x"),
        ["fine.lr=0.1 fine.epochs=1", "fine.lr=0.2 fine.epochs=1", "fine.lr=0.2 fine.epochs=2"]
    );
}

#[test]
fn conditions_see_resolved_settings_and_not_only_axes() {
    let text = format!(
        "{BASE}[fine]\nschedule = \"cosine\"\n[[arm]]\nname = \"x\"\ngrid = {{ \"fine.lora.mode\" = [\"on\", \"off\"] }}\nwhen = {{ is = {{ \"fine.lora.mode\" = \"on\", \"fine.schedule\" = \"cosine\" }}, set = {{ \"fine.lr\" = 0.5 }} }}\n"
    );
    let experiment = read(&text).unwrap();
    let rates: Vec<f64> = experiment.arms[0].points.iter().map(|point| point.settings.fine.lr).collect();
    assert_eq!(rates, [0.5, 1e-3]);
}

#[test]
fn shared_axes_give_way_to_an_arm_that_sets_the_key() {
    let text = format!(
        "{BASE}[grid]\n\"fine.lr\" = [0.1, 0.2]\n[[arm]]\nname = \"x\"\n[[arm]]\nname = \"y\"\nset = {{ \"fine.lr\" = 0.3 }}\n"
    );
    let text = text.replace("[grid]", "[zip]");
    let experiment = read(&text).unwrap();
    assert_eq!(labels(&experiment, "x").len(), 2);
    assert_eq!(labels(&experiment, "y"), [""]);
}

#[test]
fn optional_tables_are_switched_by_true_and_false() {
    let text = format!(
        "{BASE}[[arm]]\nname = \"x\"\ngrid = {{ \"fine.co_regularization\" = [false, true, {{ alpha = 5 }}] }}\n"
    );
    let experiment = read(&text).unwrap();
    let alphas: Vec<_> = experiment.arms[0]
        .points
        .iter()
        .map(|point| point.settings.fine.co_regularization.as_ref().map(|co| (co.alpha, co.copies)))
        .collect();
    assert_eq!(alphas, [None, Some((1.0, 2)), Some((5.0, 2))]);
}

#[test]
fn layers_win_in_their_order() {
    let files = Memory(BTreeMap::from([
        (PathBuf::from("base/one.toml"), "fine = { lr = 0.1, epochs = 1, batch = 8, warmup = 0.5 }\n".to_owned()),
        (PathBuf::from("base/two.toml"), "extends = \"one.toml\"\n[fine]\nepochs = 2\nbatch = 16\n".to_owned()),
        (
            PathBuf::from("x.toml"),
            format!(
                "extends = \"base/two.toml\"\n{BASE}[fine]\nbatch = 32\n[[arm]]\nname = \"x\"\nset = {{ \"fine.clip\" = 2, \"fine.beta1\" = 0.5 }}\n"
            ),
        ),
    ]));
    let overrides = [("fine.beta1".to_owned(), "0.7".to_owned())];
    let fine = Experiment::read("x.toml", &overrides, &files).unwrap().arms[0].points[0].settings.fine.clone();
    assert_eq!((fine.lr, fine.epochs, fine.batch, fine.warmup), (0.1, 2, 32, 0.5));
    assert_eq!((fine.clip, fine.beta1), (Some(2.0), 0.7));
}

#[test]
fn overrides_take_toml_and_bare_words() {
    let overrides = [
        ("fine.lr", "3e-4"),
        ("fine.schedule", "cosine"),
        ("data.pool", "[\"p\", \"q\"]"),
        ("data.target", "p"),
        ("experiment.seeds.count", "7"),
        ("fine.patience", "false"),
    ];
    let experiment = read_with(BASE, &overrides).unwrap();
    let settings = &experiment.arms[0].points[0].settings;
    assert!((settings.fine.lr - 3e-4).abs() < 1e-12);
    assert_eq!(settings.fine.schedule, Schedule::Cosine);
    assert_eq!(settings.data.pool.iter().collect::<Vec<_>>(), ["p", "q"]);
    assert_eq!(settings.data.target.as_deref(), Some("p"));
    assert_eq!(settings.fine.patience, None);
    assert_eq!(experiment.question.seeds.count, 7);
}

#[test]
fn bad_overrides_are_problems_too() {
    let error = read_with(BASE, &[("fine.lrr", "1"), ("fine.epochs", "many"), ("data.pool", "[1")]).unwrap_err();
    let found: Vec<_> = error.problems.iter().map(|p| (p.file().unwrap().to_owned(), p.message().to_owned())).collect();
    assert!(found.iter().all(|(file, _)| file == "--set"), "{found:?}");
    assert_eq!(found.len(), 3, "{found:?}");
}

#[test]
fn overriding_an_axis_is_refused() {
    let text = format!("{BASE}[[arm]]\nname = \"x\"\ngrid = {{ \"fine.lr\" = [0.1, 0.2] }}\n");
    let error = read_with(&text, &[("fine.lr", "0.3")]).unwrap_err();
    assert_eq!(error.problems.len(), 1);
    assert!(error.problems[0].message().contains("also an axis"));
}

#[test]
fn seeds_are_replicates_and_grow_at_the_end() {
    let mut experiment = read(BASE).unwrap();
    assert_eq!(experiment.question.seeds.iter().collect::<Vec<_>>(), [1, 2, 3]);
    experiment.change_seeds("+2").unwrap();
    assert_eq!(experiment.question.seeds.iter().collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    experiment.change_seeds("1").unwrap();
    assert_eq!(experiment.question.seeds.count, 1);
    for bad in ["", "+", "-1", "0", "x", "99999999999999999999"] {
        assert!(experiment.change_seeds(bad).is_err(), "{bad}");
    }
}

#[test]
fn arms_of_an_extended_file_are_kept_replaced_or_chosen() {
    let files = Memory(BTreeMap::from([
        (PathBuf::from("a.toml"), format!("{BASE}[[arm]]\nname = \"x\"\n[[arm]]\nname = \"y\"\nset = {{ \"fine.lr\" = 0.1 }}\n")),
        (
            PathBuf::from("b.toml"),
            "extends = \"a.toml\"\n[experiment]\narms = [\"y\", \"z\"]\n[[arm]]\nname = \"y\"\nset = { \"fine.lr\" = 0.2 }\n[[arm]]\nname = \"z\"\n".to_owned(),
        ),
    ]));
    let experiment = Experiment::read("b.toml", &[], &files).unwrap();
    let names: Vec<_> = experiment.arms.iter().map(|arm| arm.name.as_str()).collect();
    assert_eq!(names, ["y", "z"]);
    assert!((experiment.arms[0].points[0].settings.fine.lr - 0.2).abs() < 1e-12);
}

#[test]
fn circles_of_extends_are_seen() {
    let files = Memory(BTreeMap::from([
        (PathBuf::from("a.toml"), "extends = \"b.toml\"\n".to_owned()),
        (PathBuf::from("b.toml"), "extends = \"./a.toml\"\n".to_owned()),
    ]));
    let error = Experiment::read("a.toml", &[], &files).unwrap_err();
    assert!(error.problems[0].message().contains("circle"), "{:?}", error.problems[0].message());
    assert_eq!(error.problems[0].file(), Some("b.toml"));
}

#[test]
fn a_million_points_are_refused_before_they_fill_the_memory() {
    let axis = |key: &str| format!("\"{key}\" = [{}]", (1..=1000).map(|n| n.to_string()).collect::<Vec<_>>().join(","));
    let text = format!(
        "{BASE}[[arm]]\nname = \"x\"\ngrid = {{ {}, {}, {} }}\n",
        axis("fine.epochs"),
        axis("fine.batch"),
        axis("coarse.epochs")
    );
    let found = problems(&text);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("more than 100000 points"));
}

#[test]
fn the_sketch_of_the_handbook_works() {
    let text = r#"
        [experiment]
        question   = "Is coarse-tuning on merged data better than on each dataset alone?"
        baseline   = "individual"
        metric     = "f1.span"
        min_effect = 0.3
        seeds      = { start = 1, count = 5 }
        [[arm]]
        name = "merged"
        set  = { "coarse.datasets" = "all" }
        grid = { "fine.dataset" = ["wnut17", "bc5cdr"] }
        [[arm]]
        name = "individual"
        zip  = { "coarse.datasets" = [["wnut17"], ["bc5cdr"]], "fine.dataset" = ["wnut17", "bc5cdr"] }
        [data]
        pool = ["wnut17", "bc5cdr"]
    "#;
    let experiment = read(text).unwrap_or_else(|error| panic!("{:#?}", error.problems));
    let plan = inerd_experiment::Plan::build(&experiment, &crate::common::Fake::default()).unwrap();
    assert_eq!(plan.cells.len(), 20);
    assert_eq!(plan.cells[0].dataset, "wnut17");
    let coarse = plan.stages.iter().filter(|stage| stage.kind.name() == "coarse").count();
    assert_eq!(coarse, 15, "one merged and two individual per seed");
}
