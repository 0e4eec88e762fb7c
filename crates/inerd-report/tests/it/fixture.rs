//! A small experiment whose every number is known by hand.
//!
//! A dataset has 100 sentences with one gold entity each. An answer with `k` hits predicts the right entity in the
//! first `k` sentences and a wrong one in the others, so precision, recall and F1 are all `k` %.

use std::collections::BTreeMap;

use inerd_metrics::ScoreReport;
use inerd_report::{
    Cell, Cost, CurvePoint, Experiment, Facts, GoldSet, Provenance, ReportInput, RuleAudit, StageRun, Status,
};
use inerd_text::{Entity, Generation, Prediction, Schema, Sentence, Span};

pub(crate) const SIZE: usize = 100;

fn types() -> Vec<String> {
    schema().types().to_vec()
}

pub(crate) fn schema() -> Schema {
    Schema::new(["Location", "Person"])
}

/// "Ada17 went to Rome ." with a Person; every fourth one has an attack or a nested entity instead.
pub(crate) fn gold(dataset: &str) -> Vec<Sentence> {
    (0..SIZE)
        .map(|i| {
            let (text, surface) = match i % 25 {
                7 => ("Eve wrote <script>alert(1)</script> & left .".to_owned(), "Eve".to_owned()),
                11 => ("The University of Kraków & Zoë 🦀 met .".to_owned(), "University of Kraków".to_owned()),
                _ => (format!("Ada{i} went to Rome with \"friends\" ."), format!("Ada{i}")),
            };
            let start = text.find(&surface).unwrap_or(0);
            let mut tokens = Vec::new();
            let mut at = 0;
            for word in text.split(' ') {
                tokens.push(Span::new(at, at + word.len()));
                at += word.len() + 1;
            }
            Sentence {
                id: format!("{dataset}/test/{i}"),
                tokens,
                entities: vec![Entity::new("Person", start, start + surface.len())],
                text,
            }
        })
        .collect()
}

/// What the misses look like.
#[derive(Clone, Copy)]
pub(crate) enum Misses {
    /// The right place with the wrong type.
    WrongType,
    /// The first so many are not in the text, the others of the wrong type.
    OutOfText(usize),
    /// The first five are not in the text, the next three not in the schema, the others of the wrong type.
    Invented,
}

pub(crate) fn answers(gold: &[Sentence], hits: usize, misses: Misses) -> Vec<Generation> {
    (gold.iter().enumerate())
        .map(|(i, sentence)| {
            let entity = &sentence.entities[0];
            let (kind, surface, span) = match (i.checked_sub(hits), misses) {
                (None, _) => ("Person", sentence.surface(entity), Some(entity.span)),
                (Some(miss), Misses::OutOfText(most)) if miss < most => ("Person", "Atlantis", None),
                (Some(..5), Misses::Invented) => ("Person", "Atlantis", None),
                (Some(5..8), Misses::Invented) => ("Wizard", sentence.surface(entity), Some(entity.span)),
                (Some(_), _) => ("Location", sentence.surface(entity), Some(entity.span)),
            };
            let confidence = Some(if i < hits { 0.9 } else { 0.4 });
            let prediction = Prediction { kind: kind.into(), surface: surface.into(), span, confidence };
            Generation {
                id: sentence.id.clone(),
                output: format!("{kind} : {surface} ;"),
                tokens: 6,
                predictions: vec![prediction],
                ..Generation::default()
            }
        })
        .collect()
}

pub(crate) fn cell(arm: &str, dataset: &str, seed: u64, hits: usize, misses: Misses) -> Cell {
    let gold = gold(dataset);
    let generations = answers(&gold, hits, misses);
    let stage = |stage: &str| StageRun {
        stage: stage.into(),
        run: format!("{stage}/{arm}-{dataset}-{seed}"),
        fingerprint: format!("{stage}-{arm}-{dataset}-{seed}").replace(' ', ""),
        configuration: format!("{{\"arm\":\"{arm}\",\"dataset\":\"{dataset}\",\"seed\":{seed}}}"),
    };
    let curve = (0..50).map(|i| CurvePoint {
        stage: "fine-tune".into(),
        step: i * 10,
        loss: 3.0 * (-0.05 * i as f64).exp() + 0.1 * seed as f64,
        validation_loss: None,
        learning_rate: 1e-4,
    });
    Cell {
        arm: arm.into(),
        axes: BTreeMap::new(),
        dataset: dataset.into(),
        seed,
        unit: None,
        status: Status::Done,
        stages: vec![stage("corpus"), stage("fine-tune"), stage("generate"), stage("score")],
        scores: Some(ScoreReport::new(&gold, &generations, &schema()).expect("gold and answers are parallel")),
        generations,
        curve: curve.collect(),
        cost: Cost {
            training_seconds: 100.0 + seed as f64,
            training_tokens: 10_000,
            generation_seconds: 5.0,
            generation_tokens: 600,
            joules: None,
            peak_bytes: Some(1 << 30),
        },
        audit: vec![
            RuleAudit { rule: "structure".into(), steps: 600, fired: 60, argmax_removed: 12, mass_removed: 6.0 },
            RuleAudit { rule: "span".into(), steps: 600, fired: 300, argmax_removed: 30, mass_removed: 150.0 },
        ],
        facts: Facts::default(),
        commit: "0123abc".into(),
        data_hash: format!("data-{dataset}"),
    }
}

pub(crate) fn missing(arm: &str, dataset: &str, seed: u64, reason: &str) -> Cell {
    Cell {
        arm: arm.into(),
        dataset: dataset.into(),
        seed,
        status: Status::Missing { reason: reason.into() },
        ..Cell::default()
    }
}

/// | arm | alpha | beta |
/// |---|---|---|
/// | individual | 60, 61, 62 | 50, 50, 50 |
/// | merged | 70, 72, 74 | 55, 57, out of memory |
/// | merged, free | 65, 67, 69 (invents) | not run |
pub(crate) fn experiment() -> ReportInput {
    let mut cells = Vec::new();
    for (arm, dataset, hits, misses) in [
        ("individual", "alpha", [60, 61, 62], Misses::WrongType),
        ("individual", "beta", [50, 50, 50], Misses::WrongType),
        ("merged", "alpha", [70, 72, 74], Misses::WrongType),
        ("merged, free", "alpha", [65, 67, 69], Misses::Invented),
    ] {
        cells.extend([1, 2, 3].into_iter().zip(hits).map(|(seed, hits)| cell(arm, dataset, seed, hits, misses)));
    }
    cells.push(cell("merged", "beta", 1, 55, Misses::WrongType));
    cells.push(cell("merged", "beta", 2, 57, Misses::WrongType));
    cells.push(missing("merged", "beta", 3, "out of memory"));
    for cell in &mut cells {
        let rules: &[&str] = if cell.arm == "merged, free" { &[] } else { &["structure", "span"] };
        cell.facts.masks = Some(rules.iter().map(|r| (*r).to_owned()).collect());
    }
    cells.extend([1, 2, 3].map(|seed| missing("merged, free", "beta", seed, "not run yet")));
    ReportInput {
        experiment: Experiment {
            name: "merging".into(),
            title: "Merging".into(),
            question: "Is coarse-tuning on merged data better than on each dataset alone?".into(),
            baseline: Some("individual".into()),
            contrast: vec![],
            metric: "f1.span".into(),
            min_effect: Some(0.3),
            seeds: vec![1, 2, 3],
        },
        cells,
        gold: vec![
            GoldSet { dataset: "alpha".into(), may_publish: true, types: types(), sentences: gold("alpha") },
            GoldSet { dataset: "beta".into(), may_publish: false, types: types(), sentences: gold("beta") },
        ],
        provenance: Provenance {
            commit: "0123abc".into(),
            dirty: false,
            version: "0.0.0".into(),
            command: "inerd run experiments/merging.toml".into(),
            host: "example".into(),
            device: "CPU (flex), f32".into(),
            hashes: BTreeMap::from([("alpha".into(), "data-alpha".into())]),
        },
    }
}

/// One of every figure. Errors of `sized` are 50, 30, 18 and 11 at 100 … 100,000 sentences (± 1 over seeds), and `plain`
/// hallucinates 30, 20, 14 and 9 % there.
pub(crate) fn gallery() -> ReportInput {
    let mut cells = Vec::new();
    let around = |hits: usize, seed: u64| hits - 1 + seed as usize - 1;
    for seed in [1, 2, 3] {
        for (arm, hits) in [("sized", [50, 70, 82, 89]), ("plain", [45, 55, 62, 66])] {
            for ((size, hits), invented) in [100, 1_000, 10_000, 100_000].into_iter().zip(hits).zip([30, 20, 14, 9]) {
                let misses = if arm == "plain" { Misses::OutOfText(around(invented, seed)) } else { Misses::WrongType };
                let mut cell = cell(arm, "alpha", seed, around(hits, seed), misses);
                cell.axes.insert("coarse.size".into(), size.to_string());
                cell.facts.coarse_sentences = Some(size);
                cell.facts.types = Some(size / 50);
                cells.push(cell);
            }
        }
        for (left_out, hits) in [("alpha", [40, 70]), ("beta", [72, 38])] {
            for (dataset, hits) in ["alpha", "beta"].into_iter().zip(hits) {
                let mut cell = cell("one out", dataset, seed, around(hits, seed), Misses::WrongType);
                cell.axes.insert("coarse.left_out".into(), left_out.into());
                cell.facts.left_out = Some(vec![left_out.into()]);
                cells.push(cell);
            }
        }
        for (arm, masks, seconds, hits) in [
            ("free", vec![], 6.0, 60),
            ("types only", vec!["structure", "types"], 4.5, 66),
            ("all rules", vec!["structure", "types", "span"], 3.0, 74),
        ] {
            let mut cell = cell(arm, "alpha", seed, around(hits, seed), Misses::WrongType);
            cell.facts.masks = Some(masks.into_iter().map(str::to_owned).collect());
            cell.cost.generation_seconds = seconds + 0.1 * seed as f64;
            cells.push(cell);
        }
    }
    let mut input = ReportInput { cells, ..experiment() };
    input.experiment.name = "gallery".into();
    input.experiment.title = String::new();
    input.experiment.baseline = Some("free".into());
    input.experiment.contrast = vec!["types only".into(), "all rules".into()];
    input
}

/// 100 cells of 5 stages: 10 arms on 2 datasets with 5 seeds, tested on `copies` × 100 sentences.
pub(crate) fn large(copies: usize) -> ReportInput {
    let mut input = experiment();
    input.experiment.seeds = (1..=5).collect();
    input.gold.clear();
    input.cells.clear();
    for dataset in ["alpha", "beta"] {
        let renamed = |copy: usize| {
            move |mut s: Sentence| {
                s.id = format!("{}/{copy}", s.id);
                s
            }
        };
        let sentences: Vec<Sentence> =
            (0..copies).flat_map(|copy| gold(dataset).into_iter().map(renamed(copy))).collect();
        for arm in 0..10 {
            for seed in 1..=5 {
                let name = if arm == 0 { "individual".to_owned() } else { format!("arm {arm}") };
                let mut cell = cell(&name, dataset, seed, 50, Misses::WrongType);
                let hits = copies * (50 + arm + seed as usize);
                cell.generations = answers(&sentences, hits, Misses::WrongType);
                cell.scores = Some(ScoreReport::new(&sentences, &cell.generations, &schema()).expect("parallel"));
                cell.stages.push(cell.stages[0].clone());
                cell.facts.masks = Some(vec!["span".into()]);
                input.cells.push(cell);
            }
        }
        input.gold.push(GoldSet { dataset: dataset.into(), may_publish: true, types: types(), sentences });
    }
    input
}
