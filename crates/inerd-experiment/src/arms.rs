//! Arms to points: `set`, crossed and zipped axes, conditions.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::file::{ArmText, Block, Combined, When};
use crate::layer::{Assignment, lookup};
use crate::problem::{Place, Problem};
use crate::read::Axis;
use crate::settings::Settings;
use crate::validate::validate;

/// More points than this in one arm are a mistake in a grid.
const MOST_POINTS: usize = 100_000;

/// One of the things compared.
#[derive(Debug, Clone, PartialEq)]
pub struct Arm {
    pub name: String,
    pub points: Vec<Point>,
}

/// One setting of an arm's axes.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// Dotted key and value of every axis, in the order of the file.
    pub axes: Vec<(String, Value)>,
    pub settings: Settings,
}

/// Expands one arm; what is wrong with it goes to `problems`.
pub(crate) fn expand(arm: &ArmText, file: &Combined, base: &Value, problems: &mut Vec<Problem>) -> Arm {
    let mut points: Vec<Point> = Vec::new();
    let mut seen = BTreeSet::new();
    let empty = [Block::default()];
    let blocks = if arm.blocks.is_empty() { &empty[..] } else { &arm.blocks };
    for block in blocks {
        let layers = Layers::new(arm, block, file, problems);
        for choice in layers.choices(&arm.place, problems) {
            let Some(point) = layers.point(base, &choice, problems) else { continue };
            let key: Vec<_> = point.axes.iter().map(|(key, value)| format!("{key}={value}")).collect();
            if seen.insert(key.clone()) {
                points.push(point);
            } else {
                let message = format!("the arm \"{}\" has the point {} twice", arm.name, key.join(", "));
                let problem = Problem::new(message, Some(&arm.place));
                problems.push(problem.help("give the blocks of an arm different axis values"));
            }
        }
    }
    Arm { name: arm.name.clone(), points }
}

/// Everything that bears on the points of one block, in the order in which it applies.
struct Layers<'a> {
    set: Vec<&'a Assignment>,
    /// Groups of axes that move together; groups are crossed.
    groups: Vec<Vec<&'a Axis>>,
    when: Vec<&'a When>,
    exclude: Vec<&'a Vec<Assignment>>,
    file: &'a Combined,
}

impl<'a> Layers<'a> {
    fn new(arm: &'a ArmText, block: &'a Block, file: &'a Combined, problems: &mut Vec<Problem>) -> Self {
        let own = [&arm.all, block];
        let mine: Vec<&Axis> = own.iter().flat_map(|b| b.grid.iter().chain(b.zip.iter().flatten())).collect();
        let set: Vec<&Assignment> = arm.all.set.iter().chain(&block.set).chain(&file.overrides).collect();
        for (i, axis) in mine.iter().enumerate() {
            if mine[..i].iter().any(|other| overlap(&other.path, &axis.path)) {
                let message = format!("`{}` is an axis twice", axis.path.join("."));
                problems.push(Problem::new(message, Some(&axis.place)).label("the second time"));
            }
        }
        // What an arm sets or varies itself, the axes of the whole file don't vary.
        let free = |axis: &Axis| {
            !mine.iter().any(|own| overlap(&own.path, &axis.path))
                && !arm.all.set.iter().chain(&block.set).any(|own| overlap(&own.path, &axis.path))
        };
        let shared_grid = file.top.grid.iter().filter(|axis| free(axis)).map(|axis| vec![axis]);
        let shared_zip =
            file.top.zip.iter().filter(|group| group.iter().all(&free)).map(|group| group.iter().collect());
        let own_grid = own.iter().flat_map(|b| &b.grid).map(|axis| vec![axis]);
        let own_zip = own.iter().flat_map(|b| &b.zip).map(|group| group.iter().collect());
        let groups: Vec<Vec<&Axis>> = shared_grid.chain(shared_zip).chain(own_grid).chain(own_zip).collect();
        for axis in groups.iter().flatten() {
            // A table may be switched on beside an axis over one of its keys.
            let clash = |fixed: &&&Assignment| {
                overlap(&fixed.path, &axis.path) && !(fixed.path.len() < axis.path.len() && fixed.value.is_object())
            };
            if let Some(fixed) = set.iter().find(clash) {
                let message = format!("`{}` is set, but it is also an axis", fixed.key());
                let problem = Problem::new(message, Some(&fixed.place));
                problems.push(problem.help("an axis gives the key its values: remove one of the two"));
            }
        }
        let when = file.top.when.iter().chain(own.iter().flat_map(|b| &b.when)).collect();
        let exclude = file.top.exclude.iter().chain(own.iter().flat_map(|b| &b.exclude)).collect();
        Self { set, groups, when, exclude, file }
    }

    /// An index into every group, the last group fastest.
    fn choices(&self, place: &Place, problems: &mut Vec<Problem>) -> Vec<Vec<usize>> {
        let lengths: Vec<usize> = self.groups.iter().map(|g| g.first().map_or(1, |axis| axis.values.len())).collect();
        let total = lengths.iter().try_fold(1usize, |total, length| total.checked_mul(*length));
        match total {
            Some(total) if total <= MOST_POINTS => (0..total)
                .map(|mut n| {
                    let mut choice = vec![0; lengths.len()];
                    for (index, length) in choice.iter_mut().zip(&lengths).rev() {
                        *index = n % length;
                        n /= length;
                    }
                    choice
                })
                .collect(),
            _ => {
                let message = format!("an arm has more than {MOST_POINTS} points");
                problems.push(Problem::new(message, Some(place)).help("shorten its axes"));
                Vec::new()
            }
        }
    }

    fn point(&self, base: &Value, choice: &[usize], problems: &mut Vec<Problem>) -> Option<Point> {
        let mut values = base.clone();
        for assignment in &self.set {
            assignment.apply(&mut values);
        }
        let mut axes = Vec::new();
        for (group, index) in self.groups.iter().zip(choice) {
            for axis in group {
                let value = axis.values.get(*index)?;
                crate::layer::assign(&mut values, &axis.path, value);
                axes.push((axis.path.join("."), value.clone()));
            }
        }
        let mut settings = typed(&values)?;
        let mut whens = Vec::new();
        for when in &self.when {
            if meets(&serde_json::to_value(&settings).ok()?, &when.is) {
                for assignment in &when.set {
                    assignment.apply(&mut values);
                }
                whens.extend(&when.set);
                settings = typed(&values)?;
            }
        }
        if !self.exclude.is_empty() {
            let full = serde_json::to_value(&settings).ok()?;
            if self.exclude.iter().any(|condition| meets(&full, condition)) {
                return None;
            }
        }
        let place_of = |key: &str| self.place_of(key, &whens);
        validate(&settings, &place_of, problems);
        Some(Point { axes, settings })
    }

    /// Where the value of a key (or of one below it) was written: the last layer that gave it one.
    fn place_of(&self, key: &str, whens: &[&Assignment]) -> Option<Place> {
        let path: Vec<&str> = key.split('.').collect();
        let begins = |other: &[String]| overlap(&other.iter().map(String::as_str).collect::<Vec<_>>(), &path);
        let axes = self.groups.iter().flatten().map(|axis| (&axis.path, &axis.place));
        let sets = self.file.top.set.iter().chain(self.set.iter().copied()).map(|a| (&a.path, &a.place));
        let whens = whens.iter().map(|a| (&a.path, &a.place));
        sets.chain(axes).chain(whens).rfind(|(path, _)| begins(path)).map(|(_, place)| place.clone())
    }
}

fn typed(values: &Value) -> Option<Settings> {
    use serde::Deserialize as _;
    // Every value was checked against the definition, so this only fails where the definition is wrong.
    Settings::deserialize(values).ok()
}

/// Whether all keys have the values of a condition.
fn meets(settings: &Value, condition: &[Assignment]) -> bool {
    condition.iter().all(|wanted| {
        let found = lookup(settings, &wanted.path).unwrap_or(&Value::Null);
        match &wanted.value {
            // `"fine.co_regularization" = true`: switched on.
            Value::Object(object) if object.is_empty() => found.is_object(),
            value => found == value,
        }
    })
}

/// Whether one path is the other or leads to it.
fn overlap<A: AsRef<str>, B: AsRef<str>>(a: &[A], b: &[B]) -> bool {
    a.iter().zip(b).all(|(a, b)| a.as_ref() == b.as_ref())
}
