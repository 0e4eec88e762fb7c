use std::collections::BTreeMap;

use crate::define::{Names, choices, settings};

choices! {
    /// How the type names of merged datasets relate.
    pub enum TypeNames {
        /// One name, one type: "Organisation" mapped to "Organization" is the same type everywhere.
        Unify = "unify",
        /// Names stay as each dataset has them; equal names are one type.
        Keep = "keep",
        /// Every name gets its dataset in front, so that equal names of two guidelines stay apart.
        Prefix = "prefix",
    }

    /// What sizes are counted in.
    pub enum Unit {
        /// Sentences.
        Sentences = "sentences",
        /// Tokens (words as the dataset has them).
        Tokens = "tokens",
    }

    /// Where the tokenizer comes from.
    pub enum TokenizerKind {
        /// A byte-level BPE trained on the training splits of `datasets` and on `corpora`.
        Train = "train",
        /// The pretrained model's own.
        Model = "model",
        /// A `tokenizer.json`.
        File = "file",
    }
}

settings! {
    /// Which datasets there are, how they are merged and capped.
    pub struct Data {
        /// The datasets that `"all"` stands for, in order.
        pool: Names = Names::default();
        /// The dataset in question: the one that `"target"` stands for and that `"others"` leaves out.
        target: Option<String> = None;
        /// At most this many test sentences per dataset: a fixed draw, the same for every arm and seed.
        max_test: Option<usize> = None;
        /// At most this many validation sentences per dataset: a fixed draw, the same for every arm and seed.
        max_valid: Option<usize> = None;
        /// Share of the training split that becomes the validation split where a dataset has none.
        valid_fraction: f64 = 0.1, [.range(0.0, 0.5)];
        /// Drop training sentences that also stand in the test split of a dataset that is trained or tested on.
        decontaminate: bool = true;
        /// How several datasets become one.
        merge: Merge = Merge::default();
    }

    /// How several datasets become one.
    pub struct Merge {
        /// What happens to type names.
        types: TypeNames = TypeNames::Unify;
        /// Type names to replace, old name to new name, before `types` applies. In every split.
        map: BTreeMap<String, String> = BTreeMap::new();
        /// How often each dataset counts in the merge (1 where it isn't listed).
        weights: BTreeMap<String, f64> = BTreeMap::new();
        /// At most this many training sentences of each dataset, whether it is merged with others or alone.
        cap: Option<usize> = None;
        /// Temperature of the sampling by size: 1 keeps the sizes, larger evens them out.
        temperature: f64 = 1.0, [.range(0.01, 1000.0)];
    }

    /// How much of the training data is used. Smaller sizes are contained in larger ones of the same seed.
    pub struct Subset {
        /// Share of the training data, 0 (exclusive) to 1.
        fraction: f64 = 1.0, [.range(0.0, 1.0)];
        /// At most this many training sentences (after merging).
        max_sentences: Option<usize> = None;
        /// Mentions per type (k-shot).
        shots: Option<usize> = None;
        /// Draw so that every type keeps its share.
        stratified: bool = false;
        /// What `fraction` is counted in.
        unit: Unit = Unit::Sentences;
        /// Seed of the draw; the replicate's own where it is absent.
        seed: Option<u64> = None;
    }

    /// Where the tokenizer comes from.
    pub struct Tokenizer {
        /// `train`, `model` or `file`.
        kind: TokenizerKind = TokenizerKind::Train;
        /// Number of tokens of a trained tokenizer.
        vocabulary: usize = 2000, [.range(260.0, 1_000_000.0)];
        /// Datasets whose training splits it is trained on.
        datasets: Names = Names::of(&["all"]);
        /// Plain-text corpora it is trained on as well.
        corpora: Names = Names::default();
        /// Path of a `tokenizer.json`, for kind `file`.
        path: Option<String> = None;
    }
}
