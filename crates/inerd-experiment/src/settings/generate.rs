use crate::define::{Choice, Kind, Names, Setting, choices, settings};

choices! {
    /// The shape of an answer.
    pub enum Style {
        /// `Person : Ada Lovelace ; Location : London ;`
        TypeFirst = "type-first",
        /// `Ada Lovelace : Person ; London : Location ;`
        ContentFirst = "content-first",
        /// The sentence again, with brackets around its entities.
        Inline = "inline",
        /// One JSON object per entity.
        Json = "json",
    }

    /// The order of the entities in an answer.
    pub enum Order {
        /// As in the text.
        Text = "text",
        /// By type, then as in the text.
        Type = "type",
        /// Shuffled with the stage's seed.
        Random = "random",
    }

    /// How a type is written.
    pub enum Verbalise {
        /// As the dataset has it.
        Raw = "raw",
        /// In words: `cell_line` becomes "Cell Line".
        Normalised = "normalised",
        /// With the description on the dataset's card.
        Described = "described",
        /// An arbitrary symbol per type, as a control.
        Symbols = "symbols",
    }

    /// What a span constraint is stated over.
    pub enum Granularity {
        /// The sentence's own tokens.
        Token = "token",
        /// Any tokenisation that spells a span of the sentence.
        Text = "text",
    }

    /// How the next token is chosen.
    pub enum Strategy {
        /// The most probable one.
        Greedy = "greedy",
        /// The most probable sequence among a few.
        Beam = "beam",
        /// Drawn at a temperature, with the replicate's seed.
        Sample = "sample",
    }

    /// A split of a dataset.
    pub enum Split {
        /// Held out until the end.
        Test = "test",
        /// For choices made during development.
        Valid = "valid",
    }

    /// Whose types the mask allows.
    pub enum TypeSet {
        /// The types of the dataset that is decoded.
        Dataset = "dataset",
        /// The types seen in training.
        Training = "training",
        /// Both.
        Both = "both",
    }
}

/// Masking rules: the name of a preset, or a list of single rules.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Rules(pub Vec<String>);

impl Rules {
    pub fn preset(name: &str) -> Self {
        Self(vec![name.to_owned()])
    }

    /// No mask at all.
    pub fn is_none(&self) -> bool {
        matches!(self.0.as_slice(), [name] if name == "none") || self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl Setting for Rules {
    const KIND: Kind = Kind::OneOrMany(&Kind::Choice(RULES));
}

/// The presets (the first four) and the single rules.
const RULES: &[Choice] = &[
    Choice { word: "exact", doc: "preset: no entity outside the text or the type set, whole words" },
    Choice { word: "paper", doc: "preset: the rules as published" },
    Choice { word: "paper-code", doc: "preset: what the authors' code does, with its defects" },
    Choice { word: "none", doc: "preset: no mask" },
    Choice { word: "structure", doc: "the sections of an answer follow each other" },
    Choice { word: "types", doc: "a type is one of the type set, spelled to its end" },
    Choice { word: "copy", doc: "contents hold tokens of the sentence only" },
    Choice { word: "bigram", doc: "two neighbouring tokens of a content are neighbours in the sentence" },
    Choice { word: "span", doc: "a content is a contiguous span of the sentence" },
    Choice { word: "word-boundary", doc: "a content begins and ends at a word's border" },
    Choice { word: "ordered", doc: "entities go from left to right" },
    Choice { word: "no-overlap", doc: "entities don't share text" },
    Choice { word: "no-repeat", doc: "no entity twice" },
    Choice { word: "max-span", doc: "contents have a longest length" },
    Choice { word: "max-entities", doc: "answers have a largest number of entities" },
];

settings! {
    /// How entities are written as text: the same in training and in decoding.
    pub struct Format {
        /// The shape of an answer.
        style: Style = Style::TypeFirst;
        /// What ends the sentence and begins the answer.
        combine: String = "\n".to_owned();
        /// Between a type and its content.
        type_separator: String = " : ".to_owned();
        /// After an entity.
        entity_separator: String = " ; ".to_owned();
        /// The separators are tokens of their own, added to the vocabulary.
        special_tokens: bool = false;
        /// The order of the entities.
        order: Order = Order::Text;
        /// How a type is written.
        verbalise: Verbalise = Verbalise::Normalised;
        /// Put the list of types in front of the sentence.
        type_list: bool = false;
        /// Put the dataset's name in front of the sentence.
        dataset_cue: bool = false;
    }

    /// Decoding of a split.
    pub struct Generate {
        /// What is decoded; every dataset becomes a cell of its own.
        datasets: Names = Names::of(&["target"]), [.alias("dataset")];
        /// Which split.
        split: Split = Split::Test;
        /// Masking rules: a preset (`exact`, `paper`, `paper-code`, `none`) or a list of rules.
        rules: Rules = Rules::preset("exact");
        /// What span rules are stated over.
        granularity: Granularity = Granularity::Token;
        /// Whose types the mask allows.
        types: TypeSet = TypeSet::Dataset;
        /// Longest content, in words, for the rule `max-span`.
        max_span: usize = 16, [.range(1.0, 100_000.0)];
        /// Most entities of an answer, for the rule `max-entities`.
        max_entities: usize = 64, [.range(1.0, 100_000.0)];
        /// How the next token is chosen.
        strategy: Strategy = Strategy::Greedy;
        /// Beams of a beam search.
        beams: usize = 4, [.range(1.0, 1024.0)];
        /// Answers kept per sentence (beam search and sampling).
        n_best: usize = 1, [.range(1.0, 1024.0)];
        /// Temperature of sampling.
        temperature: f64 = 1.0, [.range(0.0, 100.0)];
        /// Stop an answer here, in tokens. Never depends on the gold answer.
        max_new_tokens: usize = 100, [.range(1.0, 1_000_000.0)];
        /// Stop at the gold answer's length plus 10 tokens, as the authors' code did. A leak, to be measured only.
        gold_length: bool = false;
        /// Sentences decoded together. Speed only.
        batch: usize = 32, [.range(1.0, 100_000.0).inert()];
        /// Record how often each rule fired and how much probability it removed.
        audit: bool = true;
        /// Seed of sampling; the replicate's own where it is absent.
        seed: Option<u64> = None;
    }

    /// Scoring of the stored generations.
    pub struct Score {
        /// Conventions to compute; the first is the primary one.
        conventions: Names = Names::of(&["span"]), [.alias("convention")];
        /// Which occurrence a surface stands for where the model gave no position.
        occurrence: String = "leftmost-free".to_owned();
    }
}
