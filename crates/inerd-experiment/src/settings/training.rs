use super::{Rules, Subset};
use crate::define::{Names, choices, settings};

choices! {
    /// Which loss a response token is trained with.
    pub enum Loss {
        /// Cross-entropy over the whole vocabulary.
        Response = "response",
        /// Cross-entropy over the tokens that the mask allows there (the mask in the loss).
        Masked = "masked",
    }

    /// The learning rate over the steps.
    pub enum Schedule {
        /// Warm-up, then constant.
        Constant = "constant",
        /// Warm-up, then a straight line down.
        Linear = "linear",
        /// Warm-up, then half a cosine down.
        Cosine = "cosine",
        /// Warm-up, stable, decay over the last `decay` share of the steps.
        Wsd = "wsd",
    }

    /// Number format of training and decoding.
    pub enum Precision {
        /// f32 on the CPU, bf16 with f32 master copies on a GPU.
        Auto = "auto",
        /// 32-bit floats.
        F32 = "f32",
        /// bf16 with f32 master copies of what is trained.
        Bf16 = "bf16",
    }

    /// Whether low-rank adapters are trained instead of the full weights.
    pub enum LoraMode {
        /// On above 3 billion parameters, as in the paper.
        Auto = "auto",
        /// Always.
        On = "on",
        /// Never.
        Off = "off",
    }

    /// What patience and the best checkpoint look at, on the validation split.
    pub enum ValidMetric {
        /// Span micro F1 of decoded answers.
        F1 = "f1",
        /// Loss.
        Loss = "loss",
        /// Nothing: the last epoch is kept.
        None = "none",
    }

    /// The order of the training data.
    pub enum DataOrder {
        /// Shuffled anew for every epoch.
        Shuffled = "shuffled",
        /// One pass in the order of the subset's draw. A larger subset begins with the smaller one, so its training may
        /// go on from where the smaller one's was: see [`Stage::continues`](crate::Stage::continues).
        Nested = "nested",
    }

    /// Whether equal stages are one.
    pub enum Sharing {
        /// A stage that several arms or experiments need runs once.
        Auto = "auto",
        /// Every arm and point trains its own copy, with draws of its own: independent replicates.
        Never = "never",
    }
}

settings! {
    /// Low-rank adapters.
    pub struct Lora {
        /// `auto`, `on` or `off`.
        mode: LoraMode = LoraMode::Auto;
        /// Rank of the update.
        rank: usize = 8, [.range(1.0, 65_536.0)];
        /// Scale: the update counts `alpha / rank` times.
        alpha: f64 = 32.0, [.range(0.0, 1e6)];
        /// Dropout in front of the adapter.
        dropout: f64 = 0.1, [.range(0.0, 0.99)];
        /// Regular expression that is searched in the names of the dense layers; where it is absent, PEFT's choice for the
        /// family: `c_attn`, `query_key_value`, or `q_proj` and `v_proj`.
        targets: Option<String> = None;
        /// Scale by `alpha / sqrt(rank)` instead.
        rslora: bool = false;
        /// Train the embeddings of new separator tokens, too.
        train_separators: bool = true;
    }

    /// Co-Regularization (Zhou and Chen 2021): copies that learn from each other's agreement.
    pub struct CoRegularization {
        /// Number of copies; copy 0 is used afterwards.
        copies: usize = 2, [.range(2.0, 16.0)];
        /// Weight of the agreement loss.
        alpha: f64 = 1.0, [.range(0.0, 1e6)];
        /// Share of the steps before the agreement loss begins.
        warmup: f64 = 0.1, [.range(0.0, 1.0)];
        /// Noise on the first weights of every copy but copy 0, as a share of each matrix's standard deviation. For what is
        /// trained already and would begin equal: full weights, or an adapter that goes on. Fresh adapters and models from
        /// scratch differ by their draws.
        noise: f64 = 0.05, [.range(0.0, 10.0)];
    }

    /// Packed levitated markers (Ye et al. 2022).
    pub struct PlMarker {
        /// Candidate spans per pass, at most.
        pairs: usize = 256, [.range(1.0, 100_000.0)];
        /// Longest candidate span, in words.
        max_span: usize = 8, [.range(1.0, 1000.0)];
        /// Weight of the span-classification loss.
        weight: f64 = 1.0, [.range(0.0, 1e6)];
        /// Spans that are no entity for each one that is, in training, drawn anew for every epoch; all where it is absent.
        negatives: Option<f64> = None;
        /// Drop decoded entities that the span classifier denies: those that it takes for no entity with at least
        /// `threshold`.
        veto: bool = true;
        /// Replace the type of a decoded entity by the span classifier's where it is surer than the answer was.
        rescore: bool = false;
        /// Add spans that the span classifier takes for an entity with at least `threshold`, the surest first, where they
        /// share no text with an entity that is there.
        propose: bool = false;
        /// How sure it must be to veto or propose, as a probability.
        threshold: f64 = 0.5, [.range(0.0, 1.0)];
    }

    /// What is looked at on the validation split, and when.
    pub struct Validation {
        /// `f1`, `loss` or `none`.
        metric: ValidMetric = ValidMetric::F1;
        /// Masking rules of the decoding.
        rules: Rules = Rules::preset("exact");
        /// At most this many validation sentences.
        max_sentences: Option<usize> = Some(200);
        /// Epochs between two looks.
        every: usize = 1, [.range(1.0, 1000.0)];
        /// Stop an answer here, in tokens.
        max_new_tokens: usize = 100, [.range(1.0, 1_000_000.0)];
        /// Look at the *test* split instead, as the authors' code did. A leak, to be measured only.
        on_test: bool = false;
    }

    /// Language modelling on plain text, before any entity is seen.
    pub struct Pretrain {
        /// Whether the stage exists.
        enabled: bool = false;
        /// Plain-text corpora.
        corpora: Names = Names::default();
        /// Passes over the text.
        epochs: usize = 1, [.range(1.0, 100_000.0)];
        /// Stop after this many steps, whatever `epochs` says.
        max_steps: Option<usize> = None;
        /// Sequences per step.
        batch: usize = 16, [.range(1.0, 1_000_000.0)];
        /// Sequences per forward pass; gradients are accumulated up to `batch`.
        micro_batch: Option<usize> = None;
        /// Length of a sequence, in tokens; the model's context where it is absent.
        length: Option<usize> = None;
        /// Peak learning rate.
        lr: f64 = 1e-3, [.alias("learning_rate").range(0.0, 10.0)];
        /// The learning rate over the steps.
        schedule: Schedule = Schedule::Wsd;
        /// Share of the steps with a rising learning rate.
        warmup: f64 = 0.02, [.range(0.0, 1.0)];
        /// Share of the steps in which `wsd` falls.
        decay: f64 = 0.2, [.range(0.0, 1.0)];
        /// The learning rate at the end, as a share of the peak.
        final_lr: f64 = 0.0, [.range(0.0, 1.0)];
        /// Decoupled weight decay.
        weight_decay: f64 = 0.1, [.range(0.0, 10.0)];
        /// Largest norm of the gradient; unlimited where it is absent.
        clip: Option<f64> = Some(1.0);
        /// Decay of the first moment.
        beta1: f64 = 0.9, [.range(0.0, 0.999_999)];
        /// Decay of the second moment.
        beta2: f64 = 0.95, [.range(0.0, 0.999_999)];
        /// Dropout in the model.
        dropout: f64 = 0.0, [.range(0.0, 0.99)];
        /// Number format.
        precision: Precision = Precision::Auto;
        /// Share of the text that is held out for perplexity.
        valid_fraction: f64 = 0.01, [.range(0.0, 0.5)];
        /// Steps between two checkpoints; only at epochs' ends where it is absent.
        checkpoint_every: Option<usize> = None, [.inert()];
        /// Seed of the initial weights and the order of the text: fixed, so that replicates share the base model. Its
        /// absence (`false`) gives every replicate a base model of its own.
        seed: Option<u64> = Some(1);
    }
}

settings! {
    /// Tuning on entities: the keys of `[coarse]` and `[fine]`.
    pub struct Training {
        /// Whether the stage exists.
        enabled: bool = true;
        /// What it is trained on: names, `all` (the pool), `target`, or `others` (the pool without the target).
        datasets: Names = Names::of(&["target"]), [.alias("dataset")];
        /// At most this many datasets: the first of the list.
        max_datasets: Option<usize> = None;
        /// How much of their training data is used.
        subset: Subset = Subset::default();
        /// The order of the training data.
        order: DataOrder = DataOrder::Shuffled, [.skip_default()];
        /// Passes over the data, at most.
        epochs: usize = 15, [.range(1.0, 100_000.0)];
        /// Stop after this many steps, whatever `epochs` says.
        max_steps: Option<usize> = None;
        /// Stop after this many looks at the validation split without a better result.
        patience: Option<usize> = Some(3);
        /// Sentences per step.
        batch: usize = 16, [.range(1.0, 1_000_000.0)];
        /// Sentences per forward pass; gradients are accumulated up to `batch`.
        micro_batch: Option<usize> = None;
        /// Longest sequence, in tokens; the model's context where it is absent. Longer ones are left out.
        max_length: Option<usize> = None;
        /// Peak learning rate.
        lr: f64 = 1e-3, [.alias("learning_rate").range(0.0, 10.0)];
        /// The learning rate over the steps.
        schedule: Schedule = Schedule::Linear;
        /// Share of the steps with a rising learning rate.
        warmup: f64 = 0.1, [.range(0.0, 1.0)];
        /// Number of steps with a rising learning rate, instead of a share.
        warmup_steps: Option<usize> = None, [.skip_default()];
        /// Share of the steps in which `wsd` falls.
        decay: f64 = 0.2, [.range(0.0, 1.0)];
        /// The learning rate at the end, as a share of the peak.
        final_lr: f64 = 0.0, [.range(0.0, 1.0)];
        /// Decoupled weight decay.
        weight_decay: f64 = 0.01, [.range(0.0, 10.0)];
        /// Largest norm of the gradient; unlimited where it is absent.
        clip: Option<f64> = Some(1.0);
        /// Decay of the first moment.
        beta1: f64 = 0.9, [.range(0.0, 0.999_999)];
        /// Decay of the second moment.
        beta2: f64 = 0.999, [.range(0.0, 0.999_999)];
        /// Dropout in the model.
        dropout: f64 = 0.0, [.range(0.0, 0.99)];
        /// Loss of a response token.
        loss: Loss = Loss::Response;
        /// Masking rules in the loss, where `loss` is `masked`, and in the agreement loss of `co_regularization`.
        mask: Rules = Rules::preset("exact");
        /// Low-rank adapters.
        lora: Lora = Lora::default();
        /// Co-Regularization; off where it is absent.
        co_regularization: Option<CoRegularization> = None;
        /// Packed levitated markers; off where they are absent.
        pl_marker: Option<PlMarker> = None;
        /// Number format.
        precision: Precision = Precision::Auto;
        /// What is looked at on the validation split.
        valid: Validation = Validation::default();
        /// Steps between two checkpoints; only at epochs' ends where it is absent.
        checkpoint_every: Option<usize> = None, [.inert()];
        /// Seed of the stage; the replicate's own where it is absent. A fixed seed lets replicates share the
        /// stage, and the lineage says so.
        seed: Option<u64> = None;
        /// Whether equal stages are one.
        share: Sharing = Sharing::Auto;
    }
}

impl Training {
    /// The defaults of `[coarse]`: the pool, merged.
    pub fn coarse() -> Self {
        Self { datasets: Names::of(&["all"]), ..Self::default() }
    }
}
