//! The decision table, row by row and case by case.

use std::collections::BTreeMap;

use inerd_experiment::{
    Blocked, Case, Decision, EmptyStore, Failure, Fingerprint, Parents, Plan, Retry, Skip, State, Why, decide,
    decide_all,
};

use crate::common::{Fake, read};

const FAILURES: [Failure; 5] = [Failure::OutOfMemory, Failure::Nan, Failure::Data, Failure::Environment, Failure::Bug];

fn states() -> Vec<State> {
    let mut states = vec![State::Absent, State::Published, State::Corrupt, State::Running];
    for checkpoint in [false, true] {
        states.push(State::Interrupted { checkpoint });
        states.extend(FAILURES.map(|class| State::Failed { class, checkpoint }));
    }
    states
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for state in states() {
        for needed in [false, true] {
            for parents in [Parents::Ready, Parents::Pending, Parents::Blocked] {
                for inputs in [false, true] {
                    for retry in [Retry::All, Retry::Transient] {
                        cases.push(Case { state, needed, parents, inputs, retry });
                    }
                }
            }
        }
    }
    cases
}

/// Every one of the 16 × 2 × 3 × 2 × 2 cases, against the table written as conditions instead of an order.
#[test]
fn every_case_has_the_decision_of_the_table() {
    let cases = cases();
    assert_eq!(cases.len(), 384);
    for case in cases {
        let decision = decide(case);
        let Case { state, needed, parents, inputs, retry } = case;
        let published = state == State::Published;
        let hopeless = matches!(state, State::Failed { class, .. }
            if retry == Retry::Transient && class != Failure::Environment);
        let free = needed && !published && state != State::Running && !hopeless;
        assert_eq!(decision == Decision::Skip(Skip::Done), published, "{case:?}");
        assert_eq!(decision == Decision::Skip(Skip::NotNeeded), !published && !needed, "{case:?}");
        assert_eq!(decision == Decision::Wait, needed && state == State::Running, "{case:?}");
        assert_eq!(matches!(decision, Decision::Blocked(Blocked::Failed(_))), needed && hopeless, "{case:?}");
        assert_eq!(decision == Decision::Blocked(Blocked::Parent), free && parents == Parents::Blocked, "{case:?}");
        assert_eq!(
            decision == Decision::Blocked(Blocked::MissingInput),
            free && parents != Parents::Blocked && !inputs,
            "{case:?}"
        );
        let works = free && parents != Parents::Blocked && inputs;
        assert_eq!(decision.works(), works, "{case:?}");
        let resumable = matches!(
            state,
            State::Interrupted { checkpoint: true }
                | State::Failed { class: Failure::Environment | Failure::OutOfMemory, checkpoint: true }
        );
        assert_eq!(matches!(decision, Decision::Resume(_)), works && resumable, "{case:?}");
        assert!(!decision.to_string().is_empty());
    }
}

fn plan() -> Plan {
    let text = r#"
        data = { pool = ["a", "b"] }
        [experiment]
        seeds = { count = 1 }
        [grid]
        "data.target" = ["a", "b"]
        [[arm]]
        name = "x"
    "#;
    Plan::build(&read(text).unwrap(), &Fake::default()).unwrap()
}

fn one(plan: &Plan, kind: &str) -> Fingerprint {
    plan.stages.iter().find(|stage| stage.kind.name() == kind).unwrap().id
}

fn decisions(plan: &Plan, store: &BTreeMap<Fingerprint, State>) -> BTreeMap<Fingerprint, Decision> {
    let all = decide_all(plan, store, Retry::All, &Plan::is_score);
    plan.stages.iter().map(|stage| stage.id).zip(all).collect()
}

#[test]
fn a_new_plan_runs_everything() {
    let plan = plan();
    let all = decide_all(&plan, &EmptyStore, Retry::All, &Plan::is_score);
    assert!(all.iter().all(|decision| *decision == Decision::Run(Why::New)));
}

#[test]
fn done_stages_are_skipped_and_new_ones_run() {
    let plan = plan();
    let mut store: BTreeMap<_, _> = plan.stages.iter().map(|stage| (stage.id, State::Published)).collect();
    assert!(decisions(&plan, &store).values().all(|d| *d == Decision::Skip(Skip::Done)));
    let score = one(&plan, "score");
    store.remove(&score);
    let now = decisions(&plan, &store);
    assert_eq!(now[&score], Decision::Run(Why::New));
    assert_eq!(now.values().filter(|decision| decision.works()).count(), 1);
}

#[test]
fn collected_weights_are_not_trained_again_for_finished_scores() {
    let plan = plan();
    let mut store: BTreeMap<_, _> = plan.stages.iter().map(|stage| (stage.id, State::Published)).collect();
    for kind in ["coarse", "fine", "generate"] {
        store.remove(&one(&plan, kind));
    }
    let now = decisions(&plan, &store);
    assert_eq!(now[&one(&plan, "coarse")], Decision::Skip(Skip::NotNeeded));
    assert!(now.values().all(|decision| !decision.works()));
}

#[test]
fn a_damaged_artefact_is_made_again_only_where_something_reads_it() {
    let plan = plan();
    let mut store: BTreeMap<_, _> = plan.stages.iter().map(|stage| (stage.id, State::Published)).collect();
    let coarse = one(&plan, "coarse");
    store.insert(coarse, State::Corrupt);
    assert_eq!(decisions(&plan, &store)[&coarse], Decision::Skip(Skip::NotNeeded));
    let fine = one(&plan, "fine");
    for stage in &plan.stages {
        // One fine-tuning and what follows it is gone.
        let gone = stage.id == fine || matches!(stage.kind.name(), "generate" | "score");
        if gone {
            store.remove(&stage.id);
        }
    }
    assert_eq!(decisions(&plan, &store)[&coarse], Decision::Run(Why::Corrupt));
}

#[test]
fn a_failure_blocks_its_own_branch_only() {
    let plan = plan();
    let fine = one(&plan, "fine");
    let failed = State::Failed { class: Failure::Nan, checkpoint: true };
    let store = BTreeMap::from([(fine, failed)]);
    let all = decide_all(&plan, &store, Retry::Transient, &Plan::is_score);
    let blocked = all.iter().filter(|decision| matches!(decision, Decision::Blocked(_))).count();
    // The fine-tuning, its generations and its score; the other target's branch runs.
    assert_eq!(blocked, 3);
    let again = decide_all(&plan, &store, Retry::All, &Plan::is_score);
    assert!(again.contains(&Decision::Run(Why::Failed(Failure::Nan))), "a new run tries again");
}

#[test]
fn killed_workers_leave_interrupted_stages_that_are_resumed() {
    let plan = plan();
    let fine = one(&plan, "fine");
    let store = BTreeMap::from([(fine, State::Interrupted { checkpoint: true })]);
    assert_eq!(decisions(&plan, &store)[&fine], Decision::Resume(Why::Interrupted));
    let store = BTreeMap::from([(fine, State::Interrupted { checkpoint: false })]);
    assert_eq!(decisions(&plan, &store)[&fine], Decision::Run(Why::Interrupted));
}

#[test]
fn missing_data_block_what_needs_them_and_nothing_else() {
    let text = r#"
        data = { pool = ["a", "b"] }
        coarse = { enabled = false }
        [tokenizer]
        kind = "file"
        path = "t.json"
        [experiment]
        seeds = { count = 1 }
        [grid]
        "data.target" = ["a", "b"]
    "#;
    let world = Fake { absent: vec!["b".into()], ..Fake::default() };
    let plan = Plan::build(&read(text).unwrap(), &world).unwrap();
    let all = decide_all(&plan, &EmptyStore, Retry::All, &Plan::is_score);
    for (stage, decision) in plan.stages.iter().zip(all) {
        let needs_b = stage.label.split_whitespace().any(|word| word == "b");
        assert_eq!(decision.works(), !needs_b, "{}: {decision}", stage.label);
        assert_eq!(stage.missing.is_empty(), !needs_b || stage.kind.name() == "score", "{}", stage.label);
    }
}
