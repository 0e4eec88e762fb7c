//! From a plan and a store to what a report is made of. Reads artefacts, computes nothing.

use std::collections::BTreeMap;

use inerd_experiment::{Experiment, Fingerprint, Plan, StageKind};
use inerd_report::{Cell, Cost, CurvePoint, Facts, GoldSet, Provenance, ReportInput, StageRun, Status};
use inerd_run::{Artefact, Error, Store};
use inerd_training::Step;

/// Everything that the store holds of an experiment.
pub(crate) fn collect(experiment: &Experiment, plan: &Plan, store: &Store) -> Result<ReportInput, Error> {
    let mut gold: BTreeMap<String, GoldSet> = BTreeMap::new();
    let mut cells = Vec::with_capacity(plan.cells.len());
    let mut provenance = Provenance::default();
    let mut sources = Sources { plan, store, curves: BTreeMap::new(), artefacts: BTreeMap::new() };
    for planned in &plan.cells {
        let axes = planned.point.iter().filter(|(key, value)| !names_dataset(key, value, &planned.dataset));
        let mut cell = Cell {
            arm: planned.arm.clone(),
            axes: axes.map(|(key, value)| (key.clone(), plain(value))).collect(),
            dataset: planned.dataset.clone(),
            seed: planned.seed,
            ..Cell::default()
        };
        match sources.fill(&mut cell, planned.score, &planned.lineage)? {
            Some(made) => provenance = made,
            None => cell.status = Status::Missing { reason: "not run yet".to_owned() },
        }
        if !gold.contains_key(&planned.dataset)
            && let Some(sentences) = sources.gold(planned.score)?
        {
            let may_publish = inerd_corpus::Card::find(&planned.dataset, None).is_ok_and(|card| card.is_synthetic());
            let dataset = planned.dataset.clone();
            gold.insert(dataset.clone(), GoldSet { dataset, may_publish, sentences });
        }
        cells.push(cell);
    }
    for stage in &plan.stages {
        if let StageKind::Corpus(corpus) = &stage.kind {
            for dataset in &corpus.datasets {
                provenance.hashes.insert(dataset.name.clone(), dataset.fingerprint.to_string());
            }
        }
    }
    let question = &experiment.question;
    Ok(ReportInput {
        experiment: inerd_report::Experiment {
            name: experiment.name.clone(),
            question: question.question.clone(),
            baseline: question.baseline.clone(),
            contrast: question.contrast.0.clone(),
            metric: question.metric.clone(),
            min_effect: question.min_effect,
            seeds: question.seeds.iter().collect(),
        },
        cells,
        gold: gold.into_values().collect(),
        provenance,
    })
}

/// An axis that only says which dataset is tested is not an axis of the table.
fn names_dataset(key: &str, value: &serde_json::Value, dataset: &str) -> bool {
    key.starts_with("data.target") || (key.ends_with("dataset") && value.as_str() == Some(dataset))
}

fn plain(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Array(values) => values.iter().map(plain).collect::<Vec<_>>().join("+"),
        other => other.to_string(),
    }
}

struct Sources<'a> {
    plan: &'a Plan,
    store: &'a Store,
    /// Several cells share a training: its curve is read once.
    curves: BTreeMap<Fingerprint, Vec<CurvePoint>>,
    artefacts: BTreeMap<Fingerprint, Artefact>,
}

impl Sources<'_> {
    fn artefact(&mut self, id: Fingerprint) -> Result<Option<Artefact>, Error> {
        if !self.artefacts.contains_key(&id) {
            if !self.store.contains(id) {
                return Ok(None);
            }
            self.artefacts.insert(id, self.store.get(id)?);
        }
        Ok(self.artefacts.get(&id).cloned())
    }

    /// Fills in what the store knows of a cell; `None` where its scores aren't there.
    fn fill(
        &mut self,
        cell: &mut Cell,
        score: Fingerprint,
        lineage: &[Fingerprint],
    ) -> Result<Option<Provenance>, Error> {
        let Some(scored) = self.artefact(score)? else { return Ok(None) };
        cell.scores = Some(scored.json(inerd_run::SCORES)?);
        let Some(StageKind::Score(stage)) = self.plan.stage(score).map(|s| s.kind.clone()) else { return Ok(None) };
        let mut seconds = BTreeMap::new();
        for id in lineage.iter().copied().chain([stage.corpus, stage.generations, score]) {
            let (Some(planned), Some(artefact)) = (self.plan.stage(id), self.artefact(id)?) else { continue };
            let facts = &artefact.manifest.facts;
            seconds.insert(id, facts.get("seconds").copied().unwrap_or_default());
            cell.stages.push(StageRun {
                stage: planned.kind.name().to_owned(),
                run: artefact.dir().strip_prefix(self.store.root()).unwrap_or(artefact.dir()).display().to_string(),
                fingerprint: id.to_string(),
                configuration: artefact.manifest.stage.to_string(),
            });
        }
        for id in lineage {
            let points = self.curve(*id)?;
            cell.cost.training_seconds += seconds.get(id).copied().unwrap_or_default();
            cell.curve.extend(points);
        }
        if let Some(generated) = self.artefact(stage.generations)? {
            cell.generations = generated.json_lines(inerd_run::GENERATIONS)?;
            cell.cost.generation_tokens = cell.generations.iter().map(|g| g.tokens as u64).sum();
        }
        cell.cost =
            Cost { generation_seconds: seconds.get(&stage.generations).copied().unwrap_or_default(), ..cell.cost };
        cell.facts = self.facts(stage.generations, lineage)?;
        let made = scored.manifest.provenance;
        cell.commit.clone_from(&made.commit);
        cell.data_hash = stage.corpus.to_string();
        Ok(Some(Provenance {
            commit: made.commit,
            dirty: !made.dirty.is_empty(),
            version: made.version,
            command: made.command.join(" "),
            host: made.host,
            device: made.device,
            hashes: BTreeMap::new(),
        }))
    }

    fn facts(&mut self, generations: Fingerprint, lineage: &[Fingerprint]) -> Result<Facts, Error> {
        let mut facts = Facts::default();
        if let Some(StageKind::Generate(stage)) = self.plan.stage(generations).map(|s| &s.kind) {
            facts.masks = Some(stage.settings.rules.iter().map(str::to_owned).collect());
        }
        for id in lineage {
            if let Some(StageKind::Coarse(stage)) = self.plan.stage(*id).map(|s| &s.kind)
                && let Some(corpus) = self.artefact(stage.corpus)?
            {
                facts.coarse_sentences = corpus.manifest.facts.get("sentences").map(|&n| n as u64);
            }
        }
        Ok(facts)
    }

    fn curve(&mut self, id: Fingerprint) -> Result<Vec<CurvePoint>, Error> {
        if !self.curves.contains_key(&id) {
            let name = self.plan.stage(id).map_or("train", |s| s.kind.name()).to_owned();
            let steps: Vec<Step> = match self.artefact(id)? {
                Some(artefact) => artefact.json_lines(inerd_run::CURVE)?,
                None => Vec::new(),
            };
            let points = steps.into_iter().map(|step| CurvePoint {
                stage: name.clone(),
                step: step.step as u64,
                loss: step.loss,
                validation_loss: None,
                learning_rate: step.learning_rate,
                seconds: 0.0,
            });
            self.curves.insert(id, points.collect());
        }
        Ok(self.curves.get(&id).cloned().unwrap_or_default())
    }

    fn gold(&mut self, score: Fingerprint) -> Result<Option<Vec<inerd_text::Sentence>>, Error> {
        let Some(StageKind::Score(stage)) = self.plan.stage(score).map(|s| s.kind.clone()) else { return Ok(None) };
        match self.artefact(stage.corpus)? {
            Some(corpus) => corpus.json_lines(inerd_run::SENTENCES).map(Some),
            None => Ok(None),
        }
    }
}
