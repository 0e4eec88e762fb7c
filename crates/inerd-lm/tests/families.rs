//! Every family against transformers, on tiny random models (see `golden/make.py`), and what checkpoints may look like.

use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use inerd_lm::attention::Mask;
use inerd_lm::generate::Free;
use inerd_lm::{Config, FalconConfig, GptNeoXConfig, Input, LanguageModel, LlamaConfig, Request, Settings, generate};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::Value;
use tempfile::TempDir;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|v| v.as_u64().unwrap() as u32).collect()
}

fn floats(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32).collect()
}

/// A copy of a golden model with some settings changed; `null` takes a setting away.
fn copy(weights: &str, changes: &Value) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(golden().join(weights)).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, dir.path().join(path.file_name().unwrap())).unwrap();
    }
    let mut config = json(&dir.path().join("config.json"));
    for (key, value) in changes.as_object().into_iter().flatten() {
        let settings = config.as_object_mut().unwrap();
        if value.is_null() {
            settings.remove(key)
        } else {
            settings.insert(key.clone(), value.clone())
        };
    }
    fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
    dir
}

fn load(dir: &Path) -> LanguageModel {
    LanguageModel::load(dir, &Device::flex()).unwrap()
}

fn close(name: &str, got: &[f32], want: &[f32]) {
    assert_eq!(got.len(), want.len(), "{name}");
    let worst = got.iter().zip(want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst <= 2e-5, "{name}: logits differ by {worst}");
}

#[test]
fn logits_and_greedy_text_equal_those_of_transformers() {
    let golden = json(&golden().join("cases.json"));
    let prompts: Vec<Vec<u32>> = golden["prompts"].as_array().unwrap().iter().map(ids).collect();
    let device = Device::flex();
    for case in golden["families"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let dir = copy(case["weights"].as_str().unwrap(), &case["changes"]);
        let model = load(dir.path());
        for (prompt, want) in prompts.iter().zip(case["logits"].as_array().unwrap()) {
            close(name, &model.last_logits(prompt, &device), &floats(want));
        }
        // Token by token, out of the cache.
        let greedy = ids(&case["greedy"]);
        let new = greedy.len() - prompts[0].len();
        let settings = Settings { batch: 1, max_new_tokens: new, end_of_sequence: u32::MAX };
        let request = Request::new(prompts[0].clone(), Box::new(Free));
        let output = generate(&model, vec![request], settings, &device, &mut |_| {}).unwrap().remove(0);
        assert_eq!([prompts[0].clone(), output.ids].concat(), greedy, "{name}");
    }
}

#[test]
fn prompts_of_different_lengths_in_one_batch_change_nothing() {
    let golden = json(&golden().join("cases.json"));
    let prompts: Vec<Vec<u32>> = golden["prompts"].as_array().unwrap().iter().map(ids).collect();
    let settings = |batch| Settings { batch, max_new_tokens: 9, end_of_sequence: u32::MAX };
    let device = Device::flex();
    for weights in ["llama", "mistral", "gpt-neox", "falcon-new"] {
        let model = load(copy(weights, &Value::Null).path());
        let answers = |batch| -> Vec<Vec<u32>> {
            let requests = prompts.iter().map(|p| Request::new(p.clone(), Box::new(Free))).collect();
            let outputs = generate(&model, requests, settings(batch), &device, &mut |_| {}).unwrap();
            outputs.into_iter().map(|o| o.ids).collect()
        };
        assert_eq!(answers(1), answers(3), "{weights}");
    }
}

#[test]
fn sequences_packed_into_one_row_do_not_see_each_other() {
    let device = Device::flex();
    let sequences: [&[u32]; 2] = [&[5, 17, 42, 8, 30, 2, 21, 9, 3], &[11, 6, 7, 44, 12, 13, 14]];
    let packed = sequences.concat();
    let positions: Vec<u32> = sequences.iter().flat_map(|s| 0..s.len() as u32).collect();
    let segments: Vec<i32> = sequences.iter().zip(0..).flat_map(|(s, i)| vec![i; s.len()]).collect();
    for weights in ["llama", "mistral", "qwen2", "gpt-neox", "falcon"] {
        let model = load(copy(weights, &Value::Null).path());
        let mask = Mask::segments(&segments, 1, packed.len(), &device);
        let hidden = model.decoder.hidden(&Input::new(&packed, &positions, 1, mask, &device), None);
        let logits: Vec<f32> = model.decoder.logits(hidden).into_data().iter::<f32>().collect();
        let row = |position: usize| &logits[position * 48..][..48];
        close(weights, row(8), &model.last_logits(sequences[0], &device));
        close(weights, row(15), &model.last_logits(sequences[1], &device));
    }
}

#[test]
fn unchanged_weights_are_exported_byte_for_byte() {
    for weights in ["gpt2", "gpt2-untied", "llama", "mistral", "qwen2", "gpt-neox", "falcon", "falcon-new"] {
        let source = copy(weights, &Value::Null);
        let target = tempfile::tempdir().unwrap();
        let model = load(source.path());
        model.export(target.path()).unwrap();
        let read = |dir: &Path| fs::read(dir.join("model.safetensors")).unwrap();
        assert!(read(source.path()) == read(target.path()), "{weights}: the export differs");
        // Its configuration says the same as the original's.
        assert_eq!(load(target.path()).config, model.config, "{weights}");
    }
    // Shards come out as one file that holds the same tensors.
    let source = copy("llama-bf16-shards", &Value::Null);
    let target = tempfile::tempdir().unwrap();
    load(source.path()).export(target.path()).unwrap();
    let whole = fs::read(target.path().join("model.safetensors")).unwrap();
    let whole = SafeTensors::deserialize(&whole).unwrap();
    let mut count = 0;
    for shard in 1..=3 {
        let shard = fs::read(source.path().join(format!("model-0000{shard}-of-00003.safetensors"))).unwrap();
        for (name, tensor) in SafeTensors::deserialize(&shard).unwrap().tensors() {
            let exported = whole.tensor(&name).unwrap();
            assert_eq!(exported.dtype(), Dtype::BF16);
            assert!(exported.data() == tensor.data() && exported.shape() == tensor.shape(), "{name}");
            count += 1;
        }
    }
    assert_eq!(count, whole.len());
}

/// Rewrites a copy's tensors under names of one's choice.
fn rewrite(
    dir: &Path,
    change: impl Fn(Vec<(String, Dtype, Vec<usize>, Vec<u8>)>) -> Vec<(String, Dtype, Vec<usize>, Vec<u8>)>,
) {
    let path = dir.join("model.safetensors");
    let bytes = fs::read(&path).unwrap();
    let tensors = (SafeTensors::deserialize(&bytes).unwrap().tensors().into_iter())
        .map(|(name, t)| (name, t.dtype(), t.shape().to_vec(), t.data().to_vec()))
        .collect();
    let changed = change(tensors);
    let views = changed.iter().map(|(n, d, s, b)| (n.clone(), TensorView::new(*d, s.clone(), b).unwrap()));
    safetensors::serialize_to_file(views, None, &path).unwrap();
}

#[test]
fn a_tied_matrix_may_be_stored_under_either_name_or_under_both() {
    let prompt = [5, 17, 42];
    let device = Device::flex();
    for (weights, input, output) in [
        ("gpt2", "transformer.wte.weight", "lm_head.weight"),
        ("llama", "model.embed_tokens.weight", "lm_head.weight"),
        ("falcon", "transformer.word_embeddings.weight", "lm_head.weight"),
    ] {
        let dir = copy(weights, &Value::Null);
        let want = load(dir.path()).last_logits(&prompt, &device);
        rewrite(dir.path(), |mut tensors| {
            let copy = tensors.iter().find(|t| t.0 == input).unwrap().clone();
            tensors.push((output.to_owned(), copy.1, copy.2, copy.3));
            tensors
        });
        assert_eq!(load(dir.path()).last_logits(&prompt, &device), want, "{weights}");
        rewrite(dir.path(), |tensors| tensors.into_iter().filter(|t| t.0 != input).collect());
        let model = load(dir.path());
        assert_eq!(model.last_logits(&prompt, &device), want, "{weights}");
        // Out it goes under the name it came by.
        let target = tempfile::tempdir().unwrap();
        model.export(target.path()).unwrap();
        let bytes = fs::read(target.path().join("model.safetensors")).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        assert!(tensors.tensor(output).is_ok() && tensors.tensor(input).is_err(), "{weights}");
    }
    let dir = copy("llama", &Value::Null);
    rewrite(dir.path(), |mut tensors| {
        let copy = tensors.iter().find(|t| t.0 == "model.embed_tokens.weight").unwrap().clone();
        tensors.push(("lm_head.weight".to_owned(), copy.1, copy.2, vec![0; copy.3.len()]));
        tensors
    });
    let message = LanguageModel::load(dir.path(), &device).unwrap_err().to_string();
    assert!(message.contains("`lm_head.weight` differs"), "{message}");
}

#[test]
fn names_without_the_wrapping_class_are_found_and_kept() {
    let dir = copy("llama", &Value::Null);
    let want = load(dir.path()).last_logits(&[1, 2, 3], &Device::flex());
    let strip = |name: String| name.strip_prefix("model.").unwrap_or(&name).to_owned();
    rewrite(dir.path(), |tensors| tensors.into_iter().map(|(n, d, s, b)| (strip(n), d, s, b)).collect());
    let model = load(dir.path());
    assert_eq!(model.last_logits(&[1, 2, 3], &Device::flex()), want);
    let target = tempfile::tempdir().unwrap();
    model.export(target.path()).unwrap();
    let bytes = fs::read(target.path().join("model.safetensors")).unwrap();
    assert!(SafeTensors::deserialize(&bytes).unwrap().tensor("layers.0.self_attn.q_proj.weight").is_ok());
}

#[test]
fn what_does_not_fit_is_told_by_name() {
    let device = Device::flex();
    let message = |dir: &Path| LanguageModel::load(dir, &device).unwrap_err().to_string();
    let dir = copy("falcon", &Value::Null);
    rewrite(dir.path(), |tensors| {
        tensors.into_iter().filter(|t| t.0 != "transformer.h.1.mlp.dense_4h_to_h.weight").collect()
    });
    let missing = message(dir.path());
    assert!(missing.contains("`h.1.mlp.dense_4h_to_h.weight` is missing"), "{missing}");

    let dir = copy("gpt-neox", &Value::Null);
    rewrite(dir.path(), |mut tensors| {
        tensors.push(("gpt_neox.layers.0.extra.weight".to_owned(), Dtype::F32, vec![1], vec![0; 4]));
        // A constant that old exports keep is no parameter.
        tensors.push(("gpt_neox.layers.0.attention.rotary_emb.inv_freq".to_owned(), Dtype::F32, vec![1], vec![0; 4]));
        tensors
    });
    let extra = message(dir.path());
    assert!(extra.contains("extra.weight") && !extra.contains("inv_freq"), "{extra}");

    let dir = copy("llama", &serde_json::json!({ "intermediate_size": 32 }));
    let misshapen = message(dir.path());
    assert!(misshapen.contains("[24, 16]") && misshapen.contains("[32, 16]"), "{misshapen}");

    // More settings that can't be met: a bias that isn't there, a shard that isn't there, a cut one.
    let biased = message(copy("llama", &serde_json::json!({ "attention_bias": true })).path());
    assert!(biased.contains("q_proj.bias` is missing"), "{biased}");
    let dir = copy("llama-bf16-shards", &Value::Null);
    let shard = dir.path().join("model-00002-of-00003.safetensors");
    let bytes = fs::read(&shard).unwrap();
    fs::write(&shard, &bytes[..bytes.len() - 7]).unwrap();
    let cut = message(dir.path());
    assert!(cut.contains("00002-of-00003") && cut.contains("truncated"), "{cut}");
    fs::remove_file(&shard).unwrap();
    let absent = message(dir.path());
    assert!(absent.contains("00002-of-00003") && absent.contains("can't read"), "{absent}");
}

#[test]
fn models_from_scratch_have_the_size_they_claim_and_survive_a_round_trip() {
    let device = Device::flex();
    let llama = LlamaConfig { num_key_value_heads: Some(2), ..LlamaConfig::new(60, 32, 24, 2, 4) };
    let configs = [
        Config::Llama(llama.clone()),
        Config::Llama(LlamaConfig { attention_bias: true, mlp_bias: true, head_dim: Some(4), ..llama.clone() }),
        Config::Mistral(LlamaConfig { tie_word_embeddings: false, ..llama.clone() }),
        Config::Qwen2(llama),
        Config::GptNeoX(GptNeoXConfig::new(60, 32, 32, 2, 4)),
        Config::GptNeoX(GptNeoXConfig { attention_bias: false, ..GptNeoXConfig::new(60, 32, 32, 2, 4) }),
        Config::Falcon(FalconConfig::new(60, 32, 24, 2, 4)),
        Config::Falcon(FalconConfig {
            new_decoder_architecture: true,
            bias: true,
            ..FalconConfig::new(60, 32, 24, 2, 4)
        }),
    ];
    for config in configs {
        let model = LanguageModel::random(config.clone(), 3, &device).unwrap();
        let dir = tempfile::tempdir().unwrap();
        model.save(dir.path()).unwrap();
        let bytes = fs::read(dir.path().join("model.safetensors")).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let values: usize = tensors.tensors().iter().map(|(_, t)| t.data().len() / 4).sum();
        assert_eq!(config.parameters(), values as u64, "{config:?}");
        let again = load(dir.path());
        assert_eq!(again.config, config);
        assert_eq!(again.last_logits(&[1, 2, 3], &device), model.last_logits(&[1, 2, 3], &device));
    }
}
