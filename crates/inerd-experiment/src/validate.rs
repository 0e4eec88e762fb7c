//! What single keys can't say: settings that contradict each other.

use crate::define::Names;
use crate::problem::{Place, Problem};
use crate::settings::{Architecture, DataOrder, Lora, LoraMode, ModelKind, Settings, TokenizerKind, Training};

/// What the width of a head must be a multiple of: rotary positions turn pairs, GPT-NeoX in a quarter of a head.
fn rotary_step(architecture: Architecture) -> usize {
    match architecture {
        Architecture::Gpt2 => 1,
        Architecture::Llama | Architecture::Falcon => 2,
        Architecture::GptNeoX => 8,
    }
}

/// Checks one point's settings.
pub(crate) fn validate(settings: &Settings, place_of: &dyn Fn(&str) -> Option<Place>, problems: &mut Vec<Problem>) {
    let mut report = |keys: &[&str], message: String, help: &str| {
        let place = keys.iter().find_map(|key| place_of(key));
        problems.push(Problem::new(message, place.as_ref()).help(help));
    };
    let Settings { data, tokenizer, model, pretrain, coarse, fine, generate, score, .. } = settings;

    match model.kind {
        ModelKind::Scratch if model.width % model.heads.max(1) != 0 => report(
            &["model.heads", "model.width"],
            format!("{} attention heads don't divide the width {}", model.heads, model.width),
            "choose `model.width` as a multiple of `model.heads`",
        ),
        ModelKind::Scratch if model.kv_heads.is_some_and(|shared| shared == 0 || model.heads % shared != 0) => report(
            &["model.kv_heads", "model.heads"],
            format!("{} heads can't share {} key-value heads", model.heads, model.kv_heads.unwrap_or(0)),
            "choose `model.heads` as a multiple of `model.kv_heads`",
        ),
        ModelKind::Scratch if !(model.width / model.heads.max(1)).is_multiple_of(rotary_step(model.architecture)) => {
            let (width, step) = (model.width / model.heads.max(1), rotary_step(model.architecture));
            report(
                &["model.heads", "model.width", "model.architecture"],
                format!("heads of width {width} can't be rotated: the architecture needs a multiple of {step}"),
                "change `model.width` or `model.heads`",
            );
        }
        ModelKind::Scratch if tokenizer.kind == TokenizerKind::Model => report(
            &["tokenizer.kind", "model.kind"],
            "a model from scratch has no tokenizer of its own".into(),
            "set `tokenizer.kind` to \"train\" or \"file\", or `model.kind` to \"pretrained\"",
        ),
        ModelKind::Pretrained if model.path.is_none() => report(
            &["model.path", "model.kind"],
            "a pretrained model needs `model.path`".into(),
            "give the folder that holds config.json and model.safetensors",
        ),
        _ => {}
    }
    match tokenizer.kind {
        TokenizerKind::File if tokenizer.path.is_none() => report(
            &["tokenizer.path", "tokenizer.kind"],
            "a tokenizer from a file needs `tokenizer.path`".into(),
            "give the path of a tokenizer.json",
        ),
        TokenizerKind::Train if tokenizer.datasets.0.is_empty() && tokenizer.corpora.0.is_empty() => report(
            &["tokenizer.datasets", "tokenizer.kind"],
            "a tokenizer has nothing to be trained on".into(),
            "list datasets in `tokenizer.datasets` or plain text in `tokenizer.corpora`",
        ),
        _ => {}
    }
    if pretrain.enabled {
        if pretrain.corpora.0.is_empty() {
            report(
                &["pretrain.corpora", "pretrain.enabled"],
                "pre-training has no text".into(),
                "list plain-text corpora in `pretrain.corpora`",
            );
        }
        if pretrain.length.is_some_and(|length| model.kind == ModelKind::Scratch && length > model.context) {
            report(
                &["pretrain.length"],
                format!(
                    "sequences of {} tokens don't fit the context of {}",
                    pretrain.length.unwrap_or(0),
                    model.context
                ),
                "lower `pretrain.length` or raise `model.context`",
            );
        }
    }
    let mut fresh = model.kind == ModelKind::Scratch && !pretrain.enabled;
    let mut before = None;
    for (name, stage) in [("coarse", coarse), ("fine", fine)] {
        if stage.enabled {
            training(name, stage, model.kind, model.context, &mut report);
            if !fresh && copies_stay_equal(stage, before) {
                report(
                    &[&format!("{name}.co_regularization.noise"), &format!("{name}.co_regularization")],
                    format!("the copies of `{name}.co_regularization` begin equal and would stay so"),
                    "give them `noise`, or the stage dropout or adapters of its own (`lora.mode = \"on\"`)",
                );
            }
            fresh = false;
            before = Some(stage);
        }
    }
    if generate.datasets.0.is_empty() {
        report(&["generate.datasets"], "nothing is decoded: `generate.datasets` is empty".into(), "name a dataset");
    }
    if generate.n_best > 1 && generate.strategy == crate::settings::Strategy::Greedy {
        report(
            &["generate.n_best"],
            format!("greedy decoding gives one answer, not {}", generate.n_best),
            "set `generate.strategy` to \"beam\" or \"sample\"",
        );
    }
    if score.conventions.0.is_empty() {
        report(&["score.conventions"], "`score.conventions` is empty".into(), "name at least \"span\"");
    }
    for (key, names) in [
        ("coarse.datasets", coarse.enabled.then_some(&coarse.datasets)),
        ("fine.datasets", fine.enabled.then_some(&fine.datasets)),
        ("generate.datasets", Some(&generate.datasets)),
        ("tokenizer.datasets", (tokenizer.kind == TokenizerKind::Train).then_some(&tokenizer.datasets)),
    ] {
        for name in names.into_iter().flat_map(Names::iter) {
            match name {
                "all" | "others" if data.pool.0.is_empty() && key != "tokenizer.datasets" => report(
                    &[key, "data.pool"],
                    format!("`{key}` says \"{name}\", but `data.pool` is empty"),
                    "list the datasets in `data.pool`",
                ),
                "target" | "others" if settings.target().is_none() => report(
                    &[key, "data.target"],
                    format!("`{key}` says \"{name}\", but there is no target dataset"),
                    "name it in `data.target`",
                ),
                _ => {}
            }
        }
    }
    if generate.datasets.iter().any(|name| name == "target") && data.target.as_deref().is_some_and(is_keyword) {
        report(
            &["data.target"],
            "`data.target` must name a dataset".into(),
            "\"all\", \"others\" and \"target\" are no datasets",
        );
    }
    let used: Vec<&str> = (data.pool.iter().chain(data.target.as_deref()))
        .chain(coarse.datasets.iter())
        .chain(fine.datasets.iter())
        .collect();
    for (name, weight) in &data.merge.weights {
        let key = format!("data.merge.weights.{name}");
        if !used.contains(&name.as_str()) {
            report(
                &[&key, "data.merge.weights", "data.merge"],
                format!("`data.merge.weights` weighs `{name}`, which no stage trains on"),
                "name datasets of `data.pool` only",
            );
        }
        if !(0.0..=1000.0).contains(weight) {
            report(
                &[&key, "data.merge.weights", "data.merge"],
                format!("the weight {weight} of `{name}` is not in 0 to 1000"),
                "1 takes every sentence once, 0.5 half of them, 2 every sentence twice",
            );
        }
    }
    if data.pool.iter().any(is_keyword) {
        report(
            &["data.pool"],
            "`data.pool` must name datasets".into(),
            "\"all\", \"others\" and \"target\" are no datasets",
        );
    }
}

fn training(
    name: &str,
    stage: &Training,
    model: ModelKind,
    context: usize,
    report: &mut impl FnMut(&[&str], String, &str),
) {
    let key = |leaf: &str| format!("{name}.{leaf}");
    if stage.datasets.0.is_empty() {
        report(&[&key("datasets")], format!("`{name}.datasets` is empty"), "name a dataset, or switch the stage off");
    }
    if stage.subset.fraction <= 0.0 {
        report(
            &[&key("subset.fraction")],
            format!("`{name}.subset.fraction` leaves no data"),
            "choose a share above 0",
        );
    }
    if let Some(micro) = stage.micro_batch
        && (micro == 0 || !stage.batch.is_multiple_of(micro))
    {
        report(
            &[&key("micro_batch"), &key("batch")],
            format!("a micro-batch of {micro} doesn't divide the batch of {}", stage.batch),
            "gradients are accumulated over whole micro-batches",
        );
    }
    if stage.max_length.is_some_and(|length| model == ModelKind::Scratch && length > context) {
        report(
            &[&key("max_length")],
            format!("`{name}.max_length` is longer than the context of {context} tokens"),
            "lower it or raise `model.context`",
        );
    }
    if stage.order == DataOrder::Nested && stage.epochs != 1 {
        report(
            &[&key("order"), &key("epochs")],
            format!("`{name}.order` \"nested\" is one pass over the data, not {}", stage.epochs),
            "set `epochs` to 1, or leave the order shuffled",
        );
    }
    if stage.patience == Some(0) {
        report(&[&key("patience")], format!("`{name}.patience` must be at least 1"), "`false` switches it off");
    }
}

/// Whether nothing tells the copies of a model that is trained already apart: full weights, or adapters that go on with
/// the one of the stage `before`. Fresh adapters differ by their draws.
fn copies_stay_equal(stage: &Training, before: Option<&Training>) -> bool {
    let noiseless = stage.co_regularization.as_ref().is_some_and(|co| co.noise <= 0.0);
    let undisturbed = match stage.lora.mode {
        LoraMode::On => {
            stage.lora.dropout <= 0.0 && before.is_some_and(|before| adapter_of(before) == adapter_of(stage))
        }
        LoraMode::Auto | LoraMode::Off => stage.dropout <= 0.0,
    };
    noiseless && undisturbed
}

/// What makes the adapters of two stages one that goes on.
fn adapter_of(stage: &Training) -> (Lora, bool) {
    (Lora { dropout: 0.0, ..stage.lora.clone() }, stage.pl_marker.is_some())
}

/// Words that stand for datasets.
pub(crate) fn is_keyword(name: &str) -> bool {
    matches!(name, "all" | "others" | "target")
}
