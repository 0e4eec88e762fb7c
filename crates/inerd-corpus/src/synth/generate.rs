//! The generator: draws templates and fills them.

use std::collections::{BTreeMap, BTreeSet};

use inerd_text::{Entity, Schema, Sentence, Span};
use rand::RngExt;
use rand::seq::{IndexedRandom, SliceRandom};
use rand_chacha::ChaCha8Rng;

use super::Synthesis;
use super::grammar::{Clauses, Grammar, List, Piece, Template};
use crate::stream::stream;
use crate::{Corpus, Error, Result};

pub(super) fn corpus(name: &str, recipe: &Synthesis, grammar: &Grammar) -> Result<Corpus> {
    let labels = labels(grammar, recipe.types);
    let schema = Schema::new(labels.values().copied());
    if let Some(count) = recipe.types.filter(|&count| count == 0 || count != schema.len()) {
        let most = Schema::new(self::labels(grammar, None).into_values()).len();
        return Err(Error::Invalid(format!(
            "write `{name}` with {count} types: the grammar `{}` has 1 to {most}",
            recipe.grammar
        )));
    }
    if recipe.second_language > 0.0 && grammar.second.is_none() {
        return Err(Error::Invalid(format!("write `{name}`: the grammar `{}` has no second language", recipe.grammar)));
    }
    let unseen = unseen_types(&schema, recipe);
    let mut corpus = Corpus { name: name.to_owned(), schema: schema.clone(), ..Corpus::default() };
    for (split, size, evaluation) in
        [("train", recipe.train, false), ("valid", recipe.valid, true), ("test", recipe.test, true)]
    {
        let allowed = |leaf: &str| split == "test" || labels.get(leaf).is_none_or(|label| !unseen.contains(label));
        let rng = stream(&format!("synthesis {name} {split}"), recipe.seed);
        let mut writer = Writer::new(grammar, recipe, &labels, &allowed, evaluation, rng);
        let sentences = (1..=size)
            .map(|n| writer.sentence(format!("{name}/{split}/{n}")))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| Error::Invalid(format!("write `{name}`: no template is left without the unseen types")))?;
        match split {
            "train" => corpus.train = sentences,
            "valid" => corpus.valid = sentences,
            _ => corpus.test = sentences,
        }
    }
    Ok(corpus)
}

/// Finest type → the type that it is annotated as when the hierarchy is cut to `count` types. Types without an entry
/// are not annotated.
fn labels(grammar: &Grammar, count: Option<usize>) -> BTreeMap<&str, &str> {
    let leaves: Vec<&str> =
        grammar.types.iter().filter(|(_, t)| t.children.is_empty()).map(|(name, _)| name.as_str()).collect();
    let Some(count) = count else {
        return leaves.into_iter().map(|leaf| (leaf, leaf)).collect();
    };
    // From coarse to fine, taking turns among parents.
    let depth = |name: &str| grammar.ancestors(name).count();
    let turn = |name: &str| {
        let under = grammar.types.get(name).and_then(|t| t.under.as_ref());
        let siblings = under.and_then(|p| grammar.types.get(p)).map_or(&[][..], |p| &p.children);
        siblings.iter().position(|s| s == name).unwrap_or(0)
    };
    let mut order: Vec<&str> = grammar.types.keys().map(String::as_str).collect();
    order.sort_by_key(|name| (depth(name), turn(name), *name));
    let mut chosen: BTreeSet<&str> = BTreeSet::new();
    for name in order {
        if chosen.len() >= count {
            break;
        }
        chosen.insert(name);
        // A type of which every child is chosen is never the most specific one.
        let parent = grammar.types.get(name).and_then(|t| t.under.as_deref());
        if let Some((parent, node)) = parent.and_then(|p| grammar.types.get_key_value(p))
            && node.children.iter().all(|c| chosen.contains(c.as_str()))
        {
            chosen.remove(parent.as_str());
        }
    }
    let label = |leaf| grammar.ancestors(leaf).find(|a| chosen.contains(a));
    leaves.into_iter().filter_map(|leaf| Some((leaf, label(leaf)?))).collect()
}

fn unseen_types<'a>(schema: &'a Schema, recipe: &Synthesis) -> BTreeSet<&'a str> {
    let mut types: Vec<&str> = schema.types().iter().map(String::as_str).collect();
    types.shuffle(&mut stream("unseen types", recipe.seed));
    let count = (types.len() as f64 * recipe.unseen_types).round() as usize;
    types.into_iter().take(count).collect()
}

struct Writer<'a> {
    grammar: &'a Grammar,
    recipe: &'a Synthesis,
    labels: &'a BTreeMap<&'a str, &'a str>,
    /// Type → the finest types at or below it that may stand in this split.
    leaves: BTreeMap<&'a str, Vec<&'a str>>,
    first: Usable<'a>,
    second: Option<Usable<'a>>,
    /// Names kept back from training may be used.
    evaluation: bool,
    rng: ChaCha8Rng,
}

/// The clauses of one language that can be written without the types that are not allowed.
struct Usable<'a> {
    clauses: &'a Clauses,
    templates: Vec<&'a Template>,
    plain: Vec<&'a Template>,
}

/// A sentence while it is written.
#[derive(Default)]
struct Draft<'a> {
    text: String,
    entities: Vec<Entity>,
    /// `[Type]` → the finest type chosen for it in this template.
    chosen: BTreeMap<&'a str, &'a str>,
    /// Mentions that are open here.
    depth: usize,
    /// Mentions are not annotated here (they stand inside one).
    silent: bool,
}

impl<'a> Writer<'a> {
    fn new(
        grammar: &'a Grammar,
        recipe: &'a Synthesis,
        labels: &'a BTreeMap<&'a str, &'a str>,
        allowed: &dyn Fn(&str) -> bool,
        evaluation: bool,
        rng: ChaCha8Rng,
    ) -> Self {
        let below = |name: &'a String| {
            let mut leaves = grammar.leaves(name);
            leaves.retain(|leaf| allowed(leaf));
            (name.as_str(), leaves)
        };
        let leaves: BTreeMap<&str, Vec<&str>> = grammar.types.keys().map(below).collect();
        let usable = |clauses: &'a Clauses| {
            let writable = |template: &&'a Template| {
                template.iter().all(|piece| match piece {
                    Piece::Mention(name) => leaves.get(name.as_str()).is_some_and(|l| !l.is_empty()),
                    _ => true,
                })
            };
            Usable {
                clauses,
                templates: clauses.templates.iter().filter(writable).collect(),
                plain: clauses.plain.iter().filter(writable).collect(),
            }
        };
        let (first, second) = (usable(&grammar.first), grammar.second.as_ref().map(usable));
        Self { grammar, recipe, labels, leaves, first, second, evaluation, rng }
    }

    /// `None` where no template can be written without the types that are not allowed.
    fn sentence(&mut self, id: String) -> Option<Sentence> {
        let second = self.second.is_some() && self.rng.random_bool(self.recipe.second_language);
        let label_free = self.rng.random_bool(self.recipe.label_free);
        let usable = if second { self.second.as_ref()? } else { &self.first };
        let clauses = usable.clauses;
        let templates = if label_free { usable.plain.clone() } else { usable.templates.clone() };

        let mut draft = Draft::default();
        // A geometric number of clauses with the mean that the recipe wants.
        let more = 1.0 - 1.0 / self.recipe.length;
        loop {
            let template = *templates.choose(&mut self.rng)?;
            draft.chosen.clear();
            self.write(template, clauses, &mut draft);
            if !self.rng.random_bool(more) {
                break;
            }
            let link = clauses.links.choose(&mut self.rng)?;
            draft.text.push(' ');
            self.write(link, clauses, &mut draft);
            draft.text.push(' ');
        }
        draft.text.push_str(" .");
        draft.entities.sort();
        draft.entities.dedup();
        let tokens = words(&draft.text);
        Some(Sentence { id, tokens, entities: draft.entities, text: draft.text })
    }

    fn write(&mut self, template: &'a Template, clauses: &'a Clauses, draft: &mut Draft<'a>) {
        for piece in template {
            match piece {
                Piece::Space => draft.text.push(' '),
                Piece::Text(text) => self.word(text, draft),
                Piece::List(name) => {
                    if let Some(alternative) = self.pick(name, clauses) {
                        self.write(alternative, clauses, draft);
                    }
                }
                Piece::Cue(name) => {
                    let leaf = self.leaf(name, draft);
                    let cue = leaf.and_then(|leaf| self.grammar.cue(leaf)).and_then(|c| c.choose(&mut self.rng));
                    if let Some(cue) = cue {
                        draft.text.push_str(cue);
                    }
                }
                Piece::Mention(name) => self.mention(name, clauses, draft),
            }
        }
    }

    fn mention(&mut self, name: &'a str, clauses: &'a Clauses, draft: &mut Draft<'a>) {
        let grammar = self.grammar;
        let Some(leaf) = self.leaf(name, draft) else { return };
        // Only the outermost: rules for hard edges may name each other.
        let hard = draft.depth == 0 && self.rng.random_bool(self.recipe.boundary);
        let rule = if hard { grammar.boundary_rule(leaf) } else { None }.or_else(|| grammar.mention_rule(leaf));
        let Some(alternative) = rule.and_then(|r| r.choose(&mut self.rng)) else { return };

        let start = draft.text.len();
        let was_silent = draft.silent;
        draft.silent = was_silent || !self.rng.random_bool(self.recipe.nesting);
        // What stands inside has its own choice of types.
        let outside = std::mem::take(&mut draft.chosen);
        draft.depth += 1;
        self.write(alternative, clauses, draft);
        draft.depth -= 1;
        draft.chosen = outside;
        draft.silent = was_silent;
        let allowed = self.leaves.get(leaf).is_some_and(|l| !l.is_empty());
        if let Some(label) = self.labels.get(leaf).filter(|_| allowed && !was_silent) {
            draft.entities.push(Entity::new(*label, start, draft.text.len()));
        }
    }

    /// The finest type for `[name]`, one and the same throughout a template.
    fn leaf(&mut self, name: &'a str, draft: &mut Draft<'a>) -> Option<&'a str> {
        if let Some(leaf) = draft.chosen.get(name) {
            return Some(leaf);
        }
        let leaf = match self.leaves.get(name)?.choose(&mut self.rng) {
            Some(leaf) => *leaf,
            // A template without an allowed type is never chosen, but a mention may hold one: it is written, and not
            // annotated.
            None => *self.grammar.leaves(name).choose(&mut self.rng)?,
        };
        draft.chosen.insert(name, leaf);
        Some(leaf)
    }

    fn pick(&mut self, name: &str, clauses: &'a Clauses) -> Option<&'a Template> {
        let first = &self.grammar.first.lists;
        let mut list: &'a List = clauses.lists.get(name).or_else(|| first.get(name))?;
        if let Some(others) = self.grammar.borrows.get(name)
            && self.rng.random_bool(self.recipe.ambiguity)
        {
            list = others.choose(&mut self.rng).and_then(|other| first.get(other)).unwrap_or(list);
        }
        let unseen = self.evaluation && !list.held_out.is_empty() && self.rng.random_bool(self.recipe.unseen);
        if unseen { list.held_out.choose(&mut self.rng) } else { list.seen.choose(&mut self.rng) }
    }

    /// Writes a word, misspelt with the recipe's probability.
    fn word(&mut self, word: &str, draft: &mut Draft<'_>) {
        let letters: Vec<char> = word.chars().collect();
        let plain = letters.len() >= 4 && letters.iter().all(|c| c.is_alphabetic());
        if !plain || self.recipe.noise == 0.0 || !self.rng.random_bool(self.recipe.noise) {
            draft.text.push_str(word);
            return;
        }
        let at = self.rng.random_range(1..letters.len() - 1);
        let mut noisy = letters;
        match self.rng.random_range(0..4) {
            0 => noisy.swap(at, at + 1),
            1 => drop(noisy.remove(at)),
            2 => noisy.insert(at, noisy[at]),
            _ => noisy = word.to_lowercase().chars().collect(),
        }
        draft.text.extend(noisy);
    }
}

/// The words between spaces.
fn words(text: &str) -> Vec<Span> {
    let mut at = 0;
    let mut spans = Vec::new();
    for word in text.split(' ') {
        if !word.is_empty() {
            spans.push(Span::new(at, at + word.len()));
        }
        at += word.len() + 1;
    }
    spans
}
