//! Real checkpoints against the outputs that another implementation gave for them.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use inerd_lm::generate::Free;
use inerd_lm::{Input, LanguageModel, Request, Settings, Tokenizer, generate};
use serde_json::Value;

/// The folder of a model of the shared collection, or `None` with a line that says so.
fn shared(model: &str) -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "tests find the shared collection through the environment")]
    let root = std::env::var("INERD_SHARED")
        .map_or_else(|_| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
    let dir = root.join("models").join(model);
    if !dir.is_dir() {
        #[expect(clippy::print_stderr, reason = "a skipped test must say so")]
        {
            eprintln!("skipped: {} is not there", dir.display());
        }
        return None;
    }
    Some(dir)
}

fn golden(dir: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(dir.join("golden.json")).unwrap()).unwrap()
}

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|v| u32::try_from(v.as_u64().unwrap()).unwrap()).collect()
}

fn load(dir: &Path) -> (LanguageModel, Tokenizer, Device) {
    let device = Device::flex();
    let model = LanguageModel::load(dir, &device).unwrap();
    let tokenizer = Tokenizer::load(&dir.join("tokenizer.json"), model.config.eos_token()).unwrap();
    model.check_tokenizer(&tokenizer).unwrap();
    (model, tokenizer, device)
}

const GPT2: &str = "tinystories-3m-chat-gpt2";

/// The models, the weights that there are of each, and the story's perplexity.
const MODELS: [(&str, &[&str], f64); 3] = [
    (GPT2, &["hf", "hf-bf16"], 2.26),
    ("stories260k", &["hf", "hf-bf16"], 1.43),
    ("tinystories-656k", &["hf", "hf-resaved", "hf-bf16"], 22.36),
];

#[test]
fn logits_and_greedy_text_equal_those_of_transformers() {
    for (name, folders, _) in MODELS {
        let Some(dir) = shared(name) else { return };
        for folder in folders.iter().filter(|folder| **folder != "hf-bf16") {
            let (model, tokenizer, device) = load(&dir.join(folder));
            for case in golden(&dir)["cases"].as_array().unwrap() {
                let prompt = ids(&case["input_ids"]);
                let logits = model.last_logits(&prompt, &device);
                for (got, want) in logits.iter().zip(case["last_logits_first16"].as_array().unwrap()) {
                    let want = want.as_f64().unwrap();
                    let difference = (f64::from(*got) - want).abs();
                    assert!(difference <= 2e-5 * want.abs().max(1.0), "{name}/{folder}: {got} instead of {want}");
                }
                let greedy = ids(&case["greedy_ids"]);
                let settings = Settings {
                    batch: 1,
                    max_new_tokens: greedy.len() - prompt.len(),
                    end_of_sequence: tokenizer.end_of_sequence(),
                };
                let request = Request::new(prompt.clone(), Box::new(Free));
                let output = generate(&model, vec![request], settings, &device, &mut |_| {}).unwrap().remove(0);
                assert_eq!([prompt, output.ids].concat(), greedy, "{name}/{folder}");
            }
        }
    }
}

#[test]
fn each_model_knows_its_story() {
    for (name, folders, perplexity) in MODELS {
        let Some(dir) = shared(name) else { return };
        let golden = golden(&dir);
        let story = ids(&golden["story_ids"]);
        for folder in folders {
            let (model, _, device) = load(&dir.join(folder));
            let hidden = model.decoder.hidden(&Input::sequence(&story, &device), None);
            let log_probabilities = burn::tensor::activation::log_softmax(model.decoder.logits(hidden), 2);
            let [_, length, vocabulary] = log_probabilities.dims();
            let values: Vec<f32> = log_probabilities.into_data().iter::<f32>().collect();
            let tolerance = if *folder == "hf-bf16" { 0.2 } else { 2e-4 };
            let mut sum = 0.0;
            for (position, want) in (0..length - 1).zip(golden["story_logprobs"].as_array().unwrap()) {
                let got = f64::from(values[position * vocabulary + story[position + 1] as usize]);
                let want = want.as_f64().unwrap();
                assert!((got - want).abs() < tolerance, "{name}/{folder}, {position}: {got} instead of {want}");
                sum += got;
            }
            let got = (-sum / (length - 1) as f64).exp();
            assert!((got - perplexity).abs() < 0.05, "{name}/{folder}: perplexity {got}");
        }
    }
}

#[test]
fn tokenizers_agree_and_spell_their_tokens_bytes() {
    for model in [GPT2, "stories260k", "tinystories-656k"] {
        let Some(dir) = shared(model) else { return };
        let config: Value =
            serde_json::from_str(&std::fs::read_to_string(dir.join("hf/config.json")).unwrap()).unwrap();
        let end = config["eos_token_id"].as_u64().and_then(|id| u32::try_from(id).ok());
        let tokenizer = Tokenizer::load(&dir.join("hf/tokenizer.json"), end).unwrap();
        for case in golden(&dir)["tokenizer_cases"].as_array().unwrap() {
            let text = case["text"].as_str().unwrap();
            let encoded = tokenizer.encode(text);
            assert_eq!(encoded, ids(&case["ids"]), "{model}: {text}");
            // SentencePiece vocabularies put a space in front of the text.
            let decoded = tokenizer.decode(&encoded);
            let lossless = case["decoded"].as_str().unwrap() == text;
            assert!(!lossless || decoded == text || decoded == format!(" {text}"), "{model}: {decoded:?}");
        }
    }
}

#[test]
fn weights_survive_a_round_trip_byte_for_byte() {
    let Some(dir) = shared(GPT2) else { return };
    let (model, _, device) = load(&dir.join("hf"));
    let copy = tempfile::tempdir().unwrap();
    model.save(copy.path()).unwrap();
    let again = LanguageModel::load(copy.path(), &device).unwrap();
    let once = std::fs::read(copy.path().join("model.safetensors")).unwrap();
    again.save(copy.path()).unwrap();
    assert!(once == std::fs::read(copy.path().join("model.safetensors")).unwrap(), "the second copy differs");
    let prompt = [1, 2, 3];
    assert_eq!(model.last_logits(&prompt, &device), again.last_logits(&prompt, &device));
}

#[test]
fn damaged_weights_and_foreign_tokenizers_are_told_apart() {
    let Some(dir) = shared(GPT2) else { return };
    let copy = tempfile::tempdir().unwrap();
    std::fs::copy(dir.join("hf/config.json"), copy.path().join("config.json")).unwrap();
    let weights = std::fs::read(dir.join("hf/model.safetensors")).unwrap();
    let device = Device::flex();
    let message = |bytes: &[u8]| {
        std::fs::write(copy.path().join("model.safetensors"), bytes).unwrap();
        LanguageModel::load(copy.path(), &device).unwrap_err().to_string()
    };
    for cut in [0, 4, 100, weights.len() / 2, weights.len() - 1] {
        let message = message(&weights[..cut]);
        assert!(message.contains("truncated") && message.contains("model.safetensors"), "{cut}: {message}");
    }
    let config = std::fs::read_to_string(dir.join("hf/config.json")).unwrap();
    std::fs::write(copy.path().join("config.json"), config.replace("\"n_layer\": 8", "\"n_layer\": 9")).unwrap();
    let message = message(&weights);
    assert!(message.contains("h.8.ln_1.weight") && message.contains("missing"), "{message}");

    let (model, _, _) = load(&dir.join("hf"));
    let Some(foreign) = shared("tokenizers/gpt2") else { return };
    let foreign = Tokenizer::load(&foreign.join("tokenizer.json"), None).unwrap();
    let message = model.check_tokenizer(&foreign).unwrap_err().to_string();
    assert!(message.contains("50257") && message.contains("14019"), "{message}");
}
