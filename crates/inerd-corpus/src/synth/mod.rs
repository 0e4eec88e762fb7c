//! Synthetic corpora: sentences from a grammar, with knobs for what makes entity recognition hard.

mod generate;
mod grammar;

use serde::{Deserialize, Serialize};

use crate::{Corpus, Error, Result};

/// Part of the fingerprint of synthetic corpora: raise it whenever the generator writes other sentences.
pub const GENERATOR_VERSION: u32 = 1;

/// The recipe of a synthetic corpus. Shares and probabilities are in 0..=1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Synthesis {
    /// Name of the grammar, `data/grammars/<name>.toml`.
    pub grammar: String,
    pub seed: u64,
    /// Sentences per split.
    pub train: usize,
    pub valid: usize,
    pub test: usize,
    /// How many types to annotate: the grammar's hierarchy is cut there. All of its finest types where not given.
    pub types: Option<usize>,
    /// Probability that a name is borrowed from a list that names something else ("Washington").
    pub ambiguity: f64,
    /// Probability that a mention is one of those whose edges are hard to find.
    pub boundary: f64,
    /// Probability that the mentions inside a mention are annotated as well.
    pub nesting: f64,
    /// Share of each list of names that never stands in the training set.
    pub held_out: f64,
    /// Probability that a name in the evaluation splits is one of those.
    pub unseen: f64,
    /// Share of the types that never stand in the training or validation set.
    pub unseen_types: f64,
    /// Probability that a word of at least four letters is misspelt.
    pub noise: f64,
    /// Mean number of clauses per sentence, at least 1.
    pub length: f64,
    /// Share of sentences without a mention.
    pub label_free: f64,
    /// Share of sentences in the grammar's second language.
    pub second_language: f64,
}

impl Default for Synthesis {
    fn default() -> Self {
        Self {
            grammar: String::new(),
            seed: 0,
            train: 800,
            valid: 150,
            test: 150,
            types: None,
            ambiguity: 0.05,
            boundary: 0.1,
            nesting: 0.0,
            held_out: 0.2,
            unseen: 0.15,
            unseen_types: 0.0,
            noise: 0.0,
            length: 1.3,
            label_free: 0.1,
            second_language: 0.0,
        }
    }
}

impl Synthesis {
    pub fn validate(&self) -> Result<()> {
        let shares = [
            ("ambiguity", self.ambiguity),
            ("boundary", self.boundary),
            ("nesting", self.nesting),
            ("held-out", self.held_out),
            ("unseen", self.unseen),
            ("unseen-types", self.unseen_types),
            ("noise", self.noise),
            ("label-free", self.label_free),
            ("second-language", self.second_language),
        ];
        for (name, share) in shares {
            if !(0.0..=1.0).contains(&share) {
                return Err(Error::Invalid(format!("use `{name} = {share}`: it must be in 0..=1")));
            }
        }
        if !(1.0..=20.0).contains(&self.length) {
            return Err(Error::Invalid(format!("use `length = {}`: it must be in 1..=20", self.length)));
        }
        self.grammar_source().map(|_| ())
    }

    /// The text of the grammar, part of the corpus's fingerprint.
    pub(crate) fn grammar_source(&self) -> Result<&'static str> {
        grammar::source(&self.grammar)
    }
}

/// Writes the corpus of a recipe: the same recipe gives the same sentences, everywhere and always. A split does not
/// depend on the size of another.
pub fn generate(name: &str, recipe: &Synthesis) -> Result<Corpus> {
    recipe.validate()?;
    let grammar = grammar::Grammar::parse(&recipe.grammar, recipe.grammar_source()?, recipe.held_out)?;
    generate::corpus(name, recipe, &grammar)
}
