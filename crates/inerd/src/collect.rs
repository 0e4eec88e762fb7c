//! From a plan and a store to what a report is made of. Reads artefacts, computes nothing.

use std::collections::{BTreeMap, BTreeSet};

use inerd_decoding::MaskAudit;
use inerd_experiment::{Experiment, Fingerprint, Plan, Settings, StageKind, TypeSet};
use inerd_report::{Cell, Cost, CurvePoint, Facts, GoldSet, Provenance, ReportInput, RuleAudit, StageRun, Status};
use inerd_run::{Artefact, Error, Event, Store, event_logs, read_events};
use inerd_text::{Schema, Sentence};
use inerd_training::Step;
use serde::Deserialize;
use serde_json::Value;

/// Everything that the store holds of an experiment.
pub(crate) fn collect(experiment: &Experiment, plan: &Plan, store: &Store) -> Result<ReportInput, Error> {
    let mut gold: BTreeMap<String, GoldSet> = BTreeMap::new();
    let mut cells = Vec::with_capacity(plan.cells.len());
    let mut provenance = Provenance::default();
    let mut dirty = false;
    let troubles = troubles(store)?;
    let naming = naming_axes(plan);
    let mut sources =
        Sources { plan, store, curves: BTreeMap::new(), artefacts: BTreeMap::new(), schemas: BTreeMap::new() };
    for planned in &plan.cells {
        let axes = planned.point.iter().filter(|(key, _)| !naming.contains(key.as_str()));
        let mut cell = Cell {
            arm: planned.arm.clone(),
            axes: axes.map(|(key, value)| (key.clone(), plain(value))).collect(),
            dataset: planned.dataset.clone(),
            seed: planned.seed,
            unit: sources.unit(&planned.lineage),
            ..Cell::default()
        };
        match sources.fill(&mut cell, planned.score, &planned.lineage)? {
            Some(made) => {
                dirty |= made.dirty;
                provenance = made;
            }
            None => cell.status = Status::Missing { reason: sources.reason(planned.score, &troubles) },
        }
        cell.facts.left_out = settings(experiment, planned).and_then(left_out);
        if !gold.contains_key(&planned.dataset)
            && let Some((sentences, schema)) = sources.gold(planned.score)?
        {
            let may_publish = inerd_corpus::Card::find(&planned.dataset, None).is_ok_and(|card| card.is_synthetic());
            let (dataset, types) = (planned.dataset.clone(), schema.types().to_vec());
            gold.insert(dataset.clone(), GoldSet { dataset, may_publish, types, sentences });
        }
        cells.push(cell);
    }
    provenance.dirty = dirty;
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
            title: question.title.clone(),
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

/// The axes that only say which dataset is tested: they are columns of the tables, not rows.
fn naming_axes(plan: &Plan) -> BTreeSet<&str> {
    let keys: BTreeSet<&String> = plan.cells.iter().flat_map(|c| c.point.keys()).collect();
    let names = |key: &str| {
        let mut values = plan.cells.iter().filter_map(|c| Some((c.point.get(key)?, &c.dataset)));
        values.all(|(value, dataset)| value.as_str() == Some(dataset))
    };
    keys.into_iter().map(String::as_str).filter(|key| names(key)).collect()
}

/// The settings of a cell's point.
fn settings<'a>(experiment: &'a Experiment, cell: &inerd_experiment::Cell) -> Option<&'a Settings> {
    let same = |axes: &[(String, Value)]| {
        axes.len() == cell.point.len() && axes.iter().all(|(key, value)| cell.point.get(key) == Some(value))
    };
    let arm = experiment.arms.iter().find(|arm| arm.name == cell.arm)?;
    arm.points.iter().find(|point| same(&point.axes)).map(|point| &point.settings)
}

/// The pool's datasets that the first tuning leaves out; `None` where it isn't drawn from a pool.
fn left_out(settings: &Settings) -> Option<Vec<String>> {
    let tuning = [&settings.coarse, &settings.fine].into_iter().find(|stage| stage.enabled)?;
    let used = settings.datasets(&tuning.datasets);
    let pool: Vec<&str> = settings.data.pool.iter().collect();
    let inside = used.iter().all(|name| pool.contains(&name.as_str()));
    // A limit on their number leaves datasets out for another reason.
    let whole = tuning.max_datasets.is_none_or(|most| most >= used.len());
    (pool.len() > 1 && inside && whole)
        .then(|| pool.into_iter().filter(|name| !used.iter().any(|u| u == name)).map(str::to_owned).collect())
}

/// Why the last attempt at a stage left nothing, for every stage that an attempt was made at.
fn troubles(store: &Store) -> Result<BTreeMap<Fingerprint, String>, Error> {
    let mut events = Vec::new();
    for path in event_logs(&store.root().join("runs")) {
        events.extend(read_events(&path).map_err(|source| Error::Store { path: path.clone(), source })?);
    }
    // Stable: within a millisecond the order of the file stays.
    events.sort_by_key(|(time, _)| *time);
    let mut troubles = BTreeMap::new();
    for (_, event) in events {
        let Some(stage) = event.stage() else { continue };
        match event {
            Event::StageStarted { label, .. } => {
                troubles.insert(stage, format!("{label} was begun and is not finished"));
            }
            Event::StageFailed { label, class: Some(class), message, .. } => {
                troubles.insert(stage, format!("{label} failed ({class}): {message}"));
            }
            Event::StageFailed { label, class: None, message, .. } => {
                troubles.insert(stage, format!("{label} could not begin: {message}"));
            }
            Event::StageInterrupted { label, .. } => {
                troubles.insert(stage, format!("{label} was interrupted"));
            }
            Event::StageFinished { .. } => {
                troubles.remove(&stage);
            }
            _ => {}
        }
    }
    Ok(troubles)
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(plain).collect::<Vec<_>>().join("+"),
        other => other.to_string(),
    }
}

/// A look at the validation split, as the training stage logs it.
#[derive(Debug, Deserialize)]
struct Validation {
    epoch: usize,
    metric: String,
    score: f64,
}

struct Sources<'a> {
    plan: &'a Plan,
    store: &'a Store,
    /// Several cells share a training: its curve is read once.
    curves: BTreeMap<Fingerprint, Curve>,
    artefacts: BTreeMap<Fingerprint, Artefact>,
    schemas: BTreeMap<Fingerprint, Schema>,
}

#[derive(Debug, Clone, Default)]
struct Curve {
    points: Vec<CurvePoint>,
    /// Read over all steps.
    tokens: u64,
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

    /// The first tuning stage: seeds that share it are not independent. Pre-training doesn't count, as the weights that
    /// somebody else pretrained wouldn't.
    fn unit(&self, lineage: &[Fingerprint]) -> Option<String> {
        let tuning = |id: &&Fingerprint| {
            let kind = self.plan.stage(**id).map(|s| &s.kind);
            matches!(kind, Some(StageKind::Coarse(_) | StageKind::Fine(_)))
        };
        lineage.iter().find(tuning).map(ToString::to_string)
    }

    /// Why a score is not there: the first of the stages it needs that something is known about.
    fn reason(&self, score: Fingerprint, troubles: &BTreeMap<Fingerprint, String>) -> String {
        let mut needed = BTreeSet::from([score]);
        // Parents stand before children.
        for stage in self.plan.stages.iter().rev() {
            if needed.contains(&stage.id) {
                needed.extend(&stage.parents);
            }
        }
        let absent = || self.plan.stages.iter().filter(|s| needed.contains(&s.id) && !self.store.contains(s.id));
        if let Some(trouble) = absent().find_map(|s| troubles.get(&s.id)) {
            return trouble.split_whitespace().collect::<Vec<_>>().join(" ");
        }
        match absent().find(|s| !s.missing.is_empty()) {
            Some(stage) => format!("{} is not at hand", stage.missing.join(", ")),
            None => "not run yet".to_owned(),
        }
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
        for id in lineage.iter().copied().chain([stage.corpus, stage.generations, score]) {
            let (Some(planned), Some(artefact)) = (self.plan.stage(id), self.artefact(id)?) else { continue };
            cell.stages.push(StageRun {
                stage: planned.kind.name().to_owned(),
                run: artefact.dir().strip_prefix(self.store.root()).unwrap_or(artefact.dir()).display().to_string(),
                fingerprint: id.to_string(),
                configuration: artefact.manifest.stage.to_string(),
            });
        }
        cell.cost = self.cost(lineage, stage.generations)?;
        for id in lineage {
            cell.curve.extend(self.curve(*id)?.points);
        }
        if let Some(generated) = self.artefact(stage.generations)? {
            cell.generations = generated.json_lines(inerd_run::GENERATIONS)?;
            cell.cost.generation_tokens = cell.generations.iter().map(|g| g.tokens as u64).sum();
            if generated.path(inerd_run::AUDIT).is_file() {
                let MaskAudit { steps, rules } = generated.json(inerd_run::AUDIT)?;
                let audit = rules.into_iter().map(|r| RuleAudit {
                    rule: r.rule,
                    steps,
                    fired: r.fired,
                    argmax_removed: r.argmax_removed,
                    mass_removed: r.mass_removed,
                });
                cell.audit = audit.collect();
            }
        }
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

    /// What the trainings and the decoding of a cell took.
    fn cost(&mut self, lineage: &[Fingerprint], generations: Fingerprint) -> Result<Cost, Error> {
        let mut cost = Cost::default();
        let mut joules = Some(0.0);
        for id in lineage.iter().copied().chain([generations]) {
            let Some(artefact) = self.artefact(id)? else { continue };
            let fact = |name: &str| artefact.manifest.facts.get(name).copied();
            let seconds = fact("seconds").unwrap_or_default();
            if id == generations {
                cost.generation_seconds = seconds;
            } else {
                cost.training_seconds += seconds;
                cost.training_tokens += self.curve(id)?.tokens;
            }
            // A part of the energy would be misread as all of it.
            joules = joules.zip(fact("joules")).map(|(sum, own)| sum + own);
            cost.peak_bytes = cost.peak_bytes.max(fact("process_peak_memory").map(|b| b as u64));
        }
        cost.joules = joules;
        Ok(cost)
    }

    fn facts(&mut self, generations: Fingerprint, lineage: &[Fingerprint]) -> Result<Facts, Error> {
        let mut facts = Facts::default();
        if let Some(StageKind::Generate(stage)) = self.plan.stage(generations).map(|s| s.kind.clone()) {
            facts.masks = Some(stage.settings.rules.iter().map(str::to_owned).collect());
            let own = Some(stage.corpus).filter(|_| stage.settings.types != TypeSet::Training);
            let mut schemas = Vec::new();
            for corpus in own.into_iter().chain(stage.training_corpora) {
                schemas.extend(self.schema(corpus)?);
            }
            facts.types = Some(Schema::union(&schemas).len() as u64).filter(|n| *n > 0);
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

    fn schema(&mut self, corpus: Fingerprint) -> Result<Option<Schema>, Error> {
        if !self.schemas.contains_key(&corpus) {
            let Some(artefact) = self.artefact(corpus)? else { return Ok(None) };
            self.schemas.insert(corpus, artefact.json(inerd_run::SCHEMA)?);
        }
        Ok(self.schemas.get(&corpus).cloned())
    }

    fn curve(&mut self, id: Fingerprint) -> Result<Curve, Error> {
        if !self.curves.contains_key(&id) {
            let curve = self.read_curve(id)?;
            self.curves.insert(id, curve);
        }
        Ok(self.curves.get(&id).cloned().unwrap_or_default())
    }

    fn read_curve(&mut self, id: Fingerprint) -> Result<Curve, Error> {
        let name = self.plan.stage(id).map_or("train", |s| s.kind.name()).to_owned();
        let Some(artefact) = self.artefact(id)? else { return Ok(Curve::default()) };
        let steps: Vec<Step> = artefact.json_lines(inerd_run::CURVE)?;
        let looks: Vec<Validation> = if artefact.path(inerd_run::VALIDATION).is_file() {
            artefact.json_lines(inerd_run::VALIDATION)?
        } else {
            Vec::new()
        };
        let tokens = steps.iter().map(|s| s.tokens as u64).sum();
        let points = steps.iter().enumerate().map(|(i, step)| {
            // A look comes after the last step of its epoch; as a score, a loss is negative.
            let last = steps.get(i + 1).is_none_or(|next| next.epoch != step.epoch);
            let look = looks.iter().find(|v| last && v.epoch == step.epoch && v.metric == "loss");
            CurvePoint {
                stage: name.clone(),
                step: step.step as u64,
                loss: step.loss,
                validation_loss: look.map(|v| -v.score),
                learning_rate: step.learning_rate,
            }
        });
        Ok(Curve { points: points.collect(), tokens })
    }

    /// The sentences that a score is of, and their types.
    fn gold(&mut self, score: Fingerprint) -> Result<Option<(Vec<Sentence>, Schema)>, Error> {
        let Some(StageKind::Score(stage)) = self.plan.stage(score).map(|s| s.kind.clone()) else { return Ok(None) };
        let (Some(corpus), Some(schema)) = (self.artefact(stage.corpus)?, self.schema(stage.corpus)?) else {
            return Ok(None);
        };
        Ok(Some((corpus.json_lines(inerd_run::SENTENCES)?, schema)))
    }
}
