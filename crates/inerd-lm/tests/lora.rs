//! Low-rank adapters against PEFT, and what they promise.

use std::fs;
use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor};
use inerd_lm::{Config, FalconConfig, Gpt2Config, Input, LanguageModel, LlamaConfig, LoraConfig, Noise};
use safetensors::SafeTensors;
use serde_json::Value;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn cases() -> Value {
    serde_json::from_slice(&fs::read(golden().join("cases.json")).unwrap()).unwrap()
}

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|v| v.as_u64().unwrap() as u32).collect()
}

fn close(name: &str, got: &[f32], want: &[f32], tolerance: f32) {
    assert_eq!(got.len(), want.len(), "{name}");
    let worst = got.iter().zip(want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst <= tolerance, "{name}: values differ by {worst}");
}

fn lora() -> LoraConfig {
    LoraConfig { rank: 4, alpha: 8.0, dropout: 0.0, rslora: false, targets: None, trained_tokens: Vec::new() }
}

fn small() -> (LanguageModel, Device) {
    let device = Device::flex();
    (LanguageModel::random(Config::Gpt2(Gpt2Config::new(60, 64, 32, 2, 4)), 7, &device).unwrap(), device)
}

/// Mean cross-entropy of each token given those before it.
fn loss(model: &LanguageModel, ids: &[u32], noise: Option<Noise>, device: &Device) -> Tensor<1> {
    let input = Input::sequence(&ids[..ids.len() - 1], device).with_noise(noise);
    let hidden = model.decoder.hidden(&input, None);
    let [_, length, width] = hidden.dims();
    let targets: Vec<i32> = ids[1..].iter().map(|&t| t as i32).collect();
    let targets = Tensor::<1, Int>::from_ints(targets.as_slice(), device).unsqueeze_dim(1);
    log_softmax(model.decoder.logits(hidden.reshape([length, width])), 1).gather(1, targets).mean().neg()
}

/// The model after one step of `AdamW` on `ids`, and the loss before it.
fn stepped(model: &LanguageModel, ids: &[u32], rate: f64, device: &Device) -> (LanguageModel, f32) {
    let device = device.clone().autodiff();
    let model = model.with_decoder(model.decoder.clone().train());
    let loss = loss(&model, ids, None, &device);
    let value = loss.clone().into_scalar::<f32>();
    let gradients = GradientsParams::from_grads(loss.backward(), &model.decoder);
    let mut optimiser = AdamWConfig::new().with_epsilon(1e-8).with_weight_decay(0.01).init();
    let decoder = optimiser.step(rate, model.decoder.clone(), gradients);
    (model.with_decoder(decoder.valid()), value)
}

fn tensors(path: &Path) -> Vec<(String, Vec<f32>)> {
    let bytes = fs::read(path).unwrap();
    let floats = |b: &[u8]| b.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    let mut tensors: Vec<(String, Vec<f32>)> = (SafeTensors::deserialize(&bytes).unwrap().tensors().into_iter())
        .map(|(name, tensor)| (name, floats(tensor.data())))
        .collect();
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    tensors
}

#[test]
fn forward_and_one_step_equal_those_of_peft() {
    let golden_cases = cases();
    let prompts: Vec<Vec<u32>> = golden_cases["prompts"].as_array().unwrap().iter().map(ids).collect();
    let device = Device::flex();
    for case in golden_cases["adapters"].as_array().unwrap() {
        let name = case["adapter"].as_str().unwrap();
        let base = LanguageModel::load(&golden().join(case["weights"].as_str().unwrap()), &device).unwrap();
        let model = base.load_adapter(&golden().join(name), "default").unwrap();
        let merged = model.clone().merged();
        for (prompt, want) in prompts.iter().zip(case["logits"].as_array().unwrap()) {
            let want: Vec<f32> = want.as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32).collect();
            close(name, &model.last_logits(prompt, &device), &want, 2e-5);
            close(&format!("{name}, merged"), &merged.last_logits(prompt, &device), &want, 4e-5);
        }
        // What is written is what PEFT wrote.
        let dir = tempfile::tempdir().unwrap();
        model.save_adapter(dir.path(), None).unwrap();
        let file = "adapter_model.safetensors";
        assert!(
            fs::read(dir.path().join(file)).unwrap() == fs::read(golden().join(name).join(file)).unwrap(),
            "{name}"
        );

        let (after, before) = stepped(&model, &prompts[0], 1e-2, &device);
        assert!((f64::from(before) - case["loss"].as_f64().unwrap()).abs() < 1e-5, "{name}: loss {before}");
        after.save_adapter(dir.path(), None).unwrap();
        let (got, want) = (tensors(&dir.path().join(file)), tensors(&golden().join(name).join("stepped").join(file)));
        assert_eq!(got.len(), want.len());
        for ((name, got), (wanted, want)) in got.iter().zip(&want) {
            assert_eq!(name, wanted);
            close(name, got, want, 2e-5);
        }
    }
}

#[test]
fn a_fresh_adapter_changes_nothing_and_training_changes_nothing_else() {
    let (base, device) = small();
    let prompt = [5, 17, 42, 8, 30];
    let config = LoraConfig { trained_tokens: vec![58, 59], targets: Some("attn|c_fc".to_owned()), ..lora() };
    let model = base.with_adapter(&config, "one", 1).unwrap();
    assert_eq!(model.last_logits(&prompt, &device), base.last_logits(&prompt, &device));
    // Rank 4 on c_attn (32 + 96), c_proj (32 + 32) and c_fc (32 + 128) of two layers, and two rows of 32.
    assert_eq!(model.trained_parameters(), 2 * 4 * (128 + 64 + 160) + 64);

    let (after, _) = stepped(&model, &[3, 58, 4, 59, 7], 1e-2, &device);
    let merged = after.clone().merged();
    assert_ne!(after.last_logits(&prompt, &device), base.last_logits(&prompt, &device));
    close("merged", &merged.last_logits(&[58, 2, 59], &device), &after.last_logits(&[58, 2, 59], &device), 1e-5);
    // Beside the adapted layers and the two rows, no value has moved.
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    base.save(dirs[0].path()).unwrap();
    merged.save(dirs[1].path()).unwrap();
    let file = |dir: &tempfile::TempDir| tensors(&dir.path().join("model.safetensors"));
    for ((name, old), (_, new)) in file(&dirs[0]).into_iter().zip(file(&dirs[1])) {
        let adapted = ["c_attn.weight", "attn.c_proj.weight", "c_fc.weight"].iter().any(|end| name.ends_with(end));
        if name.ends_with("wte.weight") {
            assert_eq!(old[..58 * 32], new[..58 * 32]);
            assert_ne!(old[58 * 32..], new[58 * 32..]);
        } else {
            assert_eq!(adapted, old != new, "{name}");
        }
    }
}

#[test]
fn adapters_on_one_base_are_independent() {
    let (base, device) = small();
    let ids = [5, 17, 42, 8, 30];
    let one = base.with_adapter(&lora(), "one", 1).unwrap();
    let two = base.with_adapter(&lora(), "two", 1).unwrap();
    let (one, two) = (stepped(&one, &ids, 1e-2, &device).0, stepped(&two, &ids, 3e-2, &device).0);
    let [a, b, c] = [&base, &one, &two].map(|m| m.last_logits(&ids, &device));
    assert!(a != b && b != c && a != c);
    // A module that holds both tells their parameters apart.
    let both = vec![one.decoder.clone().train(), two.decoder.clone().train()];
    let device = device.autodiff();
    let sum = loss(&one.with_decoder(both[0].clone()), &ids, None, &device)
        + loss(&two.with_decoder(both[1].clone()), &ids, None, &device);
    let gradients = GradientsParams::from_grads(sum.backward(), &both);
    assert_eq!(gradients.len(), 2 * 2 * 2, "two factors in two layers of two adapters");
}

#[test]
fn dropout_is_drawn_from_its_stream() {
    let (base, device) = small();
    let ids = [5, 17, 42, 8, 30, 2];
    let config = LoraConfig { dropout: 0.5, ..lora() };
    let model = stepped(&base.with_adapter(&config, "one", 1).unwrap(), &ids, 0.1, &device).0;
    let loss =
        |purpose: Option<&str>| loss(&model, &ids, purpose.map(|p| Noise::new(3, p)), &device).into_scalar::<f32>();
    assert_eq!(loss(Some("step 1")), loss(Some("step 1")));
    assert_ne!(loss(Some("step 1")), loss(Some("step 2")));
    assert_ne!(loss(Some("step 1")), loss(None));
}

#[test]
fn an_adapter_survives_its_files_and_says_whether_it_fits() {
    let device = Device::flex();
    let llama = LlamaConfig { tie_word_embeddings: false, ..LlamaConfig::new(60, 64, 32, 2, 4) };
    for config in [
        Config::Gpt2(Gpt2Config::new(60, 64, 32, 2, 4)),
        Config::Qwen2(llama),
        Config::Falcon(FalconConfig::new(60, 64, 32, 2, 4)),
    ] {
        let base = LanguageModel::random(config, 7, &device).unwrap();
        let wanted = LoraConfig { rslora: true, trained_tokens: vec![3, 59], ..lora() };
        let model = base.with_adapter(&wanted, "one", 1).unwrap();
        let model = stepped(&model, &[5, 59, 42, 3, 30], 1e-2, &device).0;
        let dir = tempfile::tempdir().unwrap();
        model.save(dir.path()).unwrap();
        let again = base.load_adapter(dir.path(), "one").unwrap();
        let logits = again.last_logits(&[59, 1, 2], &device);
        assert_eq!(logits, model.last_logits(&[59, 1, 2], &device));
        assert_eq!(logits, model.restored(dir.path()).unwrap().last_logits(&[59, 1, 2], &device));
        let continued = again.continued(&LoraConfig { dropout: 0.5, ..wanted.clone() }).unwrap().unwrap();
        assert_eq!(continued.last_logits(&[59, 1, 2], &device), logits);
        let noisy = |model: &LanguageModel| -> Vec<f32> {
            let input = Input::sequence(&[59, 1, 2], &device).with_noise(Some(Noise::new(1, "a pass")));
            model.decoder.hidden(&input, None).into_data().iter::<f32>().collect()
        };
        assert_ne!(noisy(&continued), noisy(&again), "another dropout");
        for other in [
            LoraConfig { rank: 5, ..wanted.clone() },
            LoraConfig { targets: Some("mlp".to_owned()), ..wanted.clone() },
            LoraConfig { trained_tokens: vec![3], ..wanted.clone() },
        ] {
            assert!(again.continued(&other).unwrap().is_none(), "{other:?}");
        }
    }
}

#[test]
fn what_an_adapter_cannot_do_is_told() {
    let (base, device) = small();
    let refused = |config: LoraConfig| base.with_adapter(&config, "one", 1).unwrap_err().to_string();
    for (config, said) in [
        (LoraConfig { rank: 0, ..lora() }, "rank"),
        (LoraConfig { targets: Some("q_proj".to_owned()), ..lora() }, "c_attn"),
        (LoraConfig { targets: Some("(".to_owned()), ..lora() }, "regular expression"),
        (LoraConfig { trained_tokens: vec![60], ..lora() }, "token 60"),
    ] {
        let message = refused(config);
        assert!(message.contains(said), "{message}");
    }
    let dir = tempfile::tempdir().unwrap();
    base.with_adapter(&lora(), "one", 1).unwrap().save(dir.path()).unwrap();
    let path = dir.path().join("adapter_config.json");
    let good = fs::read_to_string(&path).unwrap();
    for (key, value) in [
        ("use_dora", Value::from(true)),
        ("modules_to_save", Value::from(vec!["lm_head"])),
        ("rank_pattern", serde_json::json!({ "c_attn": 2 })),
        ("bias", Value::from("all")),
        ("peft_type", Value::from("IA3")),
        ("init_lora_weights", Value::from("pissa")),
    ] {
        let mut config: Value = serde_json::from_str(&good).unwrap();
        config[key] = value;
        fs::write(&path, config.to_string()).unwrap();
        let message = base.load_adapter(dir.path(), "one").unwrap_err().to_string();
        assert!(message.contains(key), "{message}");
    }
    // An adapter of another model.
    fs::write(&path, &good).unwrap();
    let wider = LanguageModel::random(Config::Gpt2(Gpt2Config::new(60, 64, 48, 3, 4)), 7, &device).unwrap();
    let message = wider.load_adapter(dir.path(), "one").unwrap_err().to_string();
    assert!(message.contains("shape") && message.contains("h.2.attn.c_attn"), "{message}");
}
