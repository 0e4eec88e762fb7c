//! Co-Regularization and PL-Marker in plans: what is shared, and what each stage knows of them.

use inerd_experiment::{Plan, StageKind};

use crate::common::{Fake, problems, read};

fn plan(text: &str) -> Plan {
    let experiment = read(text).unwrap_or_else(|error| panic!("{:#?}", error.problems));
    Plan::build(&experiment, &Fake::default()).unwrap()
}

fn count(plan: &Plan, kind: &str) -> usize {
    plan.stages.iter().filter(|stage| stage.kind.name() == kind).count()
}

const VERDICTS: &str = r#"
    data = { pool = ["a"], target = "a" }
    coarse = { enabled = false }
    fine = { valid = { metric = "loss" } }
    [experiment]
    seeds = { count = 1 }
    [[arm]]
    name = "neither"
    [[arm]]
    name = "loss only"
    set = { "fine.pl_marker" = { veto = false } }
    [[arm]]
    name = "veto"
    set = { "fine.pl_marker" = true }
    [[arm]]
    name = "propose"
    set = { "fine.pl_marker" = { veto = false, propose = true, threshold = 0.9 } }
"#;

#[test]
fn arms_that_differ_in_the_verdicts_share_their_training() {
    let shared = plan(VERDICTS);
    assert_eq!((count(&shared, "fine"), count(&shared, "generate")), (2, 4));
    let judged = shared.stages.iter().filter_map(|stage| match &stage.kind {
        StageKind::Generate(generate) => generate.pl_marker.as_ref(),
        _ => None,
    });
    assert_eq!(judged.count(), 2, "the loss alone has no say in decoding");
    // Where the validation decodes, it judges as well.
    let validated = plan(&VERDICTS.replace("\"loss\" }", "\"f1\" }"));
    assert_eq!(count(&validated, "fine"), 4);
}

#[test]
fn the_mask_of_the_agreement_counts_whatever_the_loss_is() {
    let text = r#"
        data = { pool = ["a"], target = "a" }
        coarse = { enabled = false }
        fine = { co_regularization = true }
        [experiment]
        seeds = { count = 1 }
        [grid]
        "fine.mask" = ["exact", "none"]
        [[arm]]
        name = "one"
    "#;
    assert_eq!(count(&plan(text), "fine"), 2);
    let without = text.replace("co_regularization = true", "co_regularization = false");
    assert_eq!(count(&plan(&without), "fine"), 1);
}

#[test]
fn markers_and_copies_cost_what_they_read() {
    let trained = |arm: &str| {
        let text =
            format!("data = {{ pool = [\"a\"], target = \"a\" }}\ncoarse = {{ enabled = false }}\n[fine]\n{arm}\n");
        let plan = plan(&text);
        let fine = plan.stages.iter().find(|stage| stage.kind.name() == "fine").unwrap();
        (fine.work.trained.most, fine.work.copies)
    };
    let plain = trained("");
    assert!((trained("co_regularization = { copies = 3 }").1 - 3.0 * plain.1).abs() < 1e-9);
    let all = trained("pl_marker = true").0;
    let few = trained("pl_marker = { negatives = 2 }").0;
    let none = trained("pl_marker = { negatives = 0 }").0;
    assert!(plain.0 < none && none < few && few < all && all > 5.0 * plain.0, "{plain:?} {none} {few} {all}");
}

#[test]
fn copies_that_would_stay_equal_are_refused() {
    let found = |fine: &str| problems(&format!("data = {{ pool = [\"a\"], target = \"a\" }}\n[fine]\n{fine}\n"));
    let said = found("co_regularization = { noise = 0 }");
    assert!(said.len() == 1 && said[0].starts_with("3:") && said[0].contains("begin equal"), "{said:?}");
    for fine in [
        "co_regularization = true",
        "co_regularization = { noise = 0 }\ndropout = 0.1",
        "co_regularization = { noise = 0 }\nlora = { mode = \"on\" }",
    ] {
        assert_eq!(found(fine), [""; 0], "{fine}");
    }
    // An adapter that goes on with the one before begins equal, too; one of another shape is drawn anew.
    let adapters = |coarse: &str, fine: &str| {
        let stage = |lora: &str| format!("lora = {{ mode = \"on\", {lora} }}");
        problems(&format!(
            "data = {{ pool = [\"a\"], target = \"a\" }}\n[coarse]\n{}\n[fine]\n{}\nco_regularization = {{ noise = 0 }}\n",
            stage(coarse),
            stage(fine)
        ))
    };
    let said = adapters("rank = 4, dropout = 0.1", "rank = 4, dropout = 0");
    assert!(said.len() == 1 && said[0].starts_with("6:") && said[0].contains("begin equal"), "{said:?}");
    assert_eq!(adapters("rank = 4, dropout = 0", "rank = 4, dropout = 0.1"), [""; 0]);
    assert_eq!(adapters("rank = 4", "rank = 8, dropout = 0"), [""; 0]);
    // From scratch the draws differ.
    let scratch = "data = { pool = [\"a\"], target = \"a\" }\ncoarse = { enabled = false }\nfine = { co_regularization = { noise = 0 } }\n";
    assert_eq!(problems(scratch), [""; 0]);
}
