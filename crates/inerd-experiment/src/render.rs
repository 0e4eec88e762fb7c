//! A plan for people (text, SVG) and for other tools (JSON, DOT).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::cost::{Calibration, Seconds, Summary};
use crate::decide::Decision;
use crate::fingerprint::Fingerprint;
use crate::plan::Plan;
use crate::stage::{Space, Stage, StageKind};

/// A plan with what is known about it: what will happen to every stage, and what that costs.
#[derive(Debug)]
pub struct PlanView<'a> {
    pub plan: &'a Plan,
    /// In the order of the plan's stages.
    pub decisions: &'a [Decision],
    pub calibration: &'a Calibration,
}

/// Pictures of more stages than this show one box per kind.
const MOST_BOXES: usize = 250;

impl PlanView<'_> {
    fn rows(&self) -> impl Iterator<Item = (&Stage, Decision)> {
        self.plan.stages.iter().zip(self.decisions.iter().copied())
    }

    pub fn summary(&self) -> Summary {
        Summary::new(self.plan, self.decisions, self.calibration)
    }

    /// The plan as text: totals first, then at most `most` stages.
    pub fn text(&self, most: usize) -> String {
        let summary = self.summary();
        let mut out = String::new();
        // Writing to a string cannot fail.
        _ = self.write_text(&mut out, &summary, most);
        out
    }

    fn write_text(&self, out: &mut String, summary: &Summary, most: usize) -> std::fmt::Result {
        let Plan { experiment, stages, cells, .. } = self.plan;
        let smoke = if self.plan.space == Space::Smoke { " (smoke)" } else { "" };
        writeln!(out, "{experiment}{smoke}: {} results from {} stages", cells.len(), stages.len())?;
        writeln!(out)?;
        writeln!(out, "{:<10} {:>7} {:>7} {:>7} {:>8}  time", "kind", "stages", "run", "done", "blocked")?;
        for name in StageKind::NAMES {
            if let Some(kind) = summary.kinds.get(name) {
                let time = interval(kind.seconds);
                writeln!(
                    out,
                    "{name:<10} {:>7} {:>7} {:>7} {:>8}  {time}",
                    kind.stages, kind.to_run, kind.done, kind.blocked
                )?;
            }
        }
        writeln!(out)?;
        writeln!(out, "to run     {}", interval(summary.to_run))?;
        writeln!(
            out,
            "shared     {} instead of {} one by one: {:.0} %",
            duration(summary.all.middle),
            duration(summary.one_by_one.middle),
            100.0 * summary.share()
        )?;
        writeln!(out, "memory     {} at the peak", bytes(summary.memory))?;
        writeln!(out, "disk       {}", bytes(summary.disk))?;
        let basis = match self.calibration.runs() {
            0 => "rates of a typical machine; runs make them exact".to_owned(),
            n => format!("{n} earlier stages on this machine"),
        };
        writeln!(out, "from       {basis}")?;
        let mut missing: Vec<&str> = stages.iter().flat_map(|stage| &stage.missing).map(String::as_str).collect();
        missing.sort_unstable();
        missing.dedup();
        if !missing.is_empty() {
            writeln!(out, "missing    {}", missing.join(", "))?;
        }
        writeln!(out)?;
        let digits = self.plan.prefix_length();
        for (stage, decision) in self.rows().take(most) {
            let id: String = stage.id.to_string().chars().take(digits).collect();
            let time = duration(self.calibration.cost(stage).seconds.middle);
            writeln!(out, "{id}  {:<44} {time:>8}  {decision}", stage.label)?;
        }
        if stages.len() > most {
            writeln!(out, "… and {} more stages", stages.len() - most)?;
        }
        Ok(())
    }

    /// The plan as JSON: totals, every stage with its decision and cost, and the cells.
    pub fn json(&self) -> Value {
        let stages: Vec<Value> = self
            .rows()
            .map(|(stage, decision)| {
                json!({
                    "id": stage.id,
                    "kind": stage.kind.name(),
                    "label": stage.label,
                    "parents": stage.parents,
                    "missing": stage.missing,
                    "decision": decision,
                    "why": decision.to_string(),
                    "cost": self.calibration.cost(stage),
                })
            })
            .collect();
        json!({
            "format": Plan::FORMAT,
            "experiment": self.plan.experiment,
            "space": self.plan.space,
            "fingerprint": self.plan.fingerprint(),
            "summary": self.summary(),
            "stages": stages,
            "cells": self.plan.cells,
        })
    }

    /// The stages as a Graphviz graph.
    pub fn dot(&self) -> String {
        let mut out = String::from("digraph plan {\n  rankdir=LR;\n  node [shape=box, style=rounded];\n");
        let graph = self.graph();
        for (i, node) in graph.nodes.iter().enumerate() {
            let style = if node.works { "" } else { ", style=\"rounded,dashed\"" };
            let label = format!("{}\\n{}", escaped(&node.title), escaped(&node.note));
            _ = writeln!(out, "  n{i} [label=\"{label}\"{style}];");
        }
        for (from, to) in &graph.edges {
            _ = writeln!(out, "  n{from} -> n{to};");
        }
        out.push_str("}\n");
        out
    }

    /// The stages as a picture: one column per kind, parents left of children. Dashed boxes don't run.
    pub fn svg(&self) -> String {
        const BOX: (f64, f64) = (190.0, 34.0);
        const STEP: (f64, f64) = (230.0, 44.0);
        let graph = self.graph();
        let columns: Vec<usize> = (0..StageKind::NAMES.len())
            .filter(|column| graph.nodes.iter().any(|node| node.column == *column))
            .collect();
        let mut rows = vec![0usize; StageKind::NAMES.len()];
        let places: Vec<(f64, f64)> = graph
            .nodes
            .iter()
            .map(|node| {
                let column = columns.iter().position(|column| *column == node.column).unwrap_or(0);
                let row = rows[node.column];
                rows[node.column] += 1;
                (20.0 + column as f64 * STEP.0, 44.0 + row as f64 * STEP.1)
            })
            .collect();
        let width = 20.0 + columns.len() as f64 * STEP.0;
        let height = 60.0 + rows.iter().copied().max().unwrap_or(0) as f64 * STEP.1;
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\" font-family=\"sans-serif\" font-size=\"11\">\n<title>Plan of {}</title>\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n",
            markup(&self.plan.experiment)
        );
        for (i, column) in columns.iter().enumerate() {
            let name = StageKind::NAMES.get(*column).copied().unwrap_or_default();
            let x = 20.0 + i as f64 * STEP.0;
            _ = writeln!(out, "<text x=\"{x}\" y=\"26\" font-weight=\"bold\">{name}</text>");
        }
        for (from, to) in &graph.edges {
            if let (Some(a), Some(b)) = (places.get(*from), places.get(*to)) {
                let (x1, y1, x2, y2) = (a.0 + BOX.0, a.1 + BOX.1 / 2.0, b.0, b.1 + BOX.1 / 2.0);
                let bend = f64::midpoint(x1, x2);
                _ = writeln!(
                    out,
                    "<path d=\"M{x1} {y1}C{bend} {y1} {bend} {y2} {x2} {y2}\" fill=\"none\" stroke=\"#999\"/>"
                );
            }
        }
        for (node, (x, y)) in graph.nodes.iter().zip(&places) {
            let dash = if node.works { "" } else { " stroke-dasharray=\"4 3\"" };
            let fill = if node.works { "#dcebf7" } else { "#f4f4f4" };
            _ = writeln!(
                out,
                "<g><title>{}</title><rect x=\"{x}\" y=\"{y}\" width=\"{}\" height=\"{}\" rx=\"5\" fill=\"{fill}\" \
                 stroke=\"#0072b2\"{dash}/><text x=\"{}\" y=\"{}\">{}</text><text x=\"{}\" y=\"{}\" \
                 fill=\"#555\">{}</text></g>",
                markup(&node.detail),
                BOX.0,
                BOX.1,
                x + 8.0,
                y + 14.0,
                markup(&shortened(&node.title, 32)),
                x + 8.0,
                y + 27.0,
                markup(&shortened(&node.note, 34)),
            );
        }
        out.push_str("</svg>\n");
        out
    }

    fn graph(&self) -> Graph {
        if self.plan.stages.len() > MOST_BOXES { self.graph_of_kinds() } else { self.graph_of_stages() }
    }

    fn graph_of_stages(&self) -> Graph {
        let mut graph = Graph::default();
        let mut index: BTreeMap<Fingerprint, usize> = BTreeMap::new();
        for (stage, decision) in self.rows() {
            let time = duration(self.calibration.cost(stage).seconds.middle);
            let at = graph.nodes.len();
            index.insert(stage.id, at);
            graph.nodes.push(Node {
                column: column(stage),
                title: stage.label.clone(),
                note: format!("{} · {time}", stage.id.short().get(..8).unwrap_or_default()),
                detail: format!("{} {}\n{decision}", stage.id, stage.label),
                works: decision.works(),
            });
            let mut edges: Vec<_> = stage.parents.iter().filter_map(|parent| Some((*index.get(parent)?, at))).collect();
            // Parents stand in the order of their ids; a picture stays the same when those change.
            edges.sort_unstable();
            graph.edges.append(&mut edges);
        }
        graph
    }

    fn graph_of_kinds(&self) -> Graph {
        let summary = self.summary();
        let mut graph = Graph::default();
        let mut index = BTreeMap::new();
        for (column, name) in StageKind::NAMES.iter().enumerate() {
            if let Some(kind) = summary.kinds.get(*name) {
                index.insert(*name, graph.nodes.len());
                graph.nodes.push(Node {
                    column,
                    title: format!("{} × {name}", kind.stages),
                    note: format!("{} to run · {}", kind.to_run, duration(kind.seconds.middle)),
                    detail: format!("{} stages, {} to run, {} done", kind.stages, kind.to_run, kind.done),
                    works: kind.to_run > 0,
                });
            }
        }
        let kinds: BTreeMap<Fingerprint, &str> = self.plan.stages.iter().map(|s| (s.id, s.kind.name())).collect();
        for stage in &self.plan.stages {
            for parent in &stage.parents {
                let from = kinds.get(parent).and_then(|name| index.get(name));
                if let (Some(from), Some(to)) = (from, index.get(stage.kind.name())) {
                    graph.edges.push((*from, *to));
                }
            }
        }
        graph.edges.sort_unstable();
        graph.edges.dedup();
        graph
    }
}

#[derive(Default)]
struct Graph {
    nodes: Vec<Node>,
    /// Parent, child.
    edges: Vec<(usize, usize)>,
}

struct Node {
    column: usize,
    title: String,
    note: String,
    detail: String,
    works: bool,
}

fn column(stage: &Stage) -> usize {
    StageKind::NAMES.iter().position(|name| *name == stage.kind.name()).unwrap_or(0)
}

/// For people: `12 s`, `3.4 min`, `2.1 h`, `5.0 days`.
pub fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 0.95 => format!("{:.0} ms", 1000.0 * s),
        s if s < 99.5 => format!("{s:.0} s"),
        s if s < 5970.0 => format!("{:.1} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.1} h", s / 3600.0),
        s => format!("{:.1} days", s / 86_400.0),
    }
}

fn interval(seconds: Seconds) -> String {
    format!("{} ({} to {})", duration(seconds.middle), duration(seconds.low), duration(seconds.high))
}

/// For people: `12 kB`, `3.4 MB`, `2.1 GB`.
pub fn bytes(bytes: f64) -> String {
    match bytes {
        b if b < 1e6 => format!("{:.0} kB", b / 1e3),
        b if b < 1e9 => format!("{:.1} MB", b / 1e6),
        b => format!("{:.1} GB", b / 1e9),
    }
}

fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most { text.to_owned() } else { text.chars().take(most - 1).chain(['…']).collect() }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

fn markup(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
