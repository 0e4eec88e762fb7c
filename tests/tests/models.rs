//! Architectures and adapters in experiments, and the commands that look at a model.

mod support;

use serde_json::Value;
use support::{Lab, TINY};

/// Coarse- and fine-tuning with adapters of one shape, on separators that are tokens of their own.
fn with_adapters() -> String {
    let adapters = "lora = { mode = \"on\", rank = 2, alpha = 4, dropout = 0.1, targets = \"attn\" }";
    let coarse = format!(
        "[coarse]\nepochs = 1\npatience = false\nsubset = {{ max_sentences = 16 }}\nvalid = {{ metric = \"loss\" }}\n{adapters}"
    );
    TINY.replace("[coarse]\nenabled = false", &coarse).replace("[fine]\n", &format!("[fine]\n{adapters}\n"))
        + "\n[format]\nspecial_tokens = true\ntype_separator = \"<TCS>\"\nentity_separator = \"<ES>\"\n"
}

#[test]
fn adapters_are_trained_on_across_stages_and_stored_beside_their_base() {
    let lab = Lab::new(&with_adapters());
    lab.run(&["run", "experiment.toml"]).expect(0, &["0 failed"]);
    assert!(lab.stored("model.safetensors").is_empty(), "an artefact repeats the base's weights");
    assert_eq!(lab.stored("adapter_model.safetensors").len(), 2);
    // Fine-tuning goes on with the coarse-tuned adapter: both belong to the random weights of the same seed.
    let bases: Vec<Value> =
        lab.stored("base.json").values().map(|bytes| serde_json::from_slice(bytes).unwrap()).collect();
    assert_eq!(bases.len(), 2, "{bases:?}");
    assert!(bases[0] == bases[1] && bases[0]["from"] == "random", "{bases:?}");
    // Rank 2 on c_attn (32 + 96) and c_proj (32 + 32), and two separators of 32.
    for manifest in lab.stored("MANIFEST.json").values() {
        let manifest: Value = serde_json::from_slice(manifest).unwrap();
        if let Some(trained) = manifest["facts"]["trained_parameters"].as_f64() {
            assert_eq!(trained, f64::from(2 * (128 + 64) + 2 * 32));
        }
    }

    // Stopped at any moment, it ends with the same adapter.
    let whole = lab.stored("adapter_model.safetensors");
    let again = Lab::new(&with_adapters());
    let mut child = again.start(&["run", "experiment.toml"]);
    std::thread::sleep(std::time::Duration::from_millis(700));
    child.kill().unwrap();
    child.wait().unwrap();
    again.run(&["run", "experiment.toml"]).expect(0, &["0 failed"]);
    assert!(again.stored("adapter_model.safetensors") == whole, "a resumed training ends with another adapter");
}

#[test]
fn separators_that_are_words_already_are_refused() {
    let lab = Lab::new(&(TINY.to_owned() + "\n[format]\nspecial_tokens = true\n"));
    lab.run(&["run", "experiment.toml"]).expect(1, &["<TCS>"]);
}

#[test]
fn every_architecture_runs_from_scratch() {
    for architecture in ["llama", "gpt-neox", "falcon"] {
        let shape = format!("[model]\narchitecture = \"{architecture}\"\n");
        let lab = Lab::new(&TINY.replace("[model]\n", &shape).replace("epochs   = 2", "epochs   = 1"));
        lab.run(&["run", "experiment.toml"]).expect(0, &["0 failed"]);
    }
    let odd =
        TINY.replace("[model]\n", "[model]\narchitecture = \"gpt-neox\"\n").replace("width   = 32", "width   = 24");
    Lab::new(&odd).run(&["plan", "experiment.toml"]).expect(2, &["heads of width 12", "multiple of 8"]);
    let shared = TINY.replace("[model]\n", "[model]\narchitecture = \"llama\"\nkv_heads = 3\n");
    Lab::new(&shared).run(&["plan", "experiment.toml"]).expect(2, &["2 heads can't share 3"]);
}

fn golden(name: &str) -> String {
    format!("{}/../crates/inerd-lm/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn a_model_says_what_it_is_and_what_it_thinks() {
    let lab = Lab::new("");
    let json = |arguments: &[&str]| -> Value {
        let ended = lab.run(arguments).expect(0, &[]);
        serde_json::from_str(&ended.stdout()).unwrap()
    };
    let seen = json(&["model", "inspect", &golden("llama-bf16-shards"), "--output", "json"]);
    assert_eq!(seen["parameters"], seen["weights"]["values"]);
    assert_eq!((&seen["weights"]["files"], &seen["weights"]["formats"]["bf16"]), (&Value::from(3), &Value::from(35)));

    let cases: Value = serde_json::from_str(&std::fs::read_to_string(golden("cases.json")).unwrap()).unwrap();
    let ids: Vec<String> = cases["prompts"][0].as_array().unwrap().iter().map(ToString::to_string).collect();
    let ids = ids.join(",");
    let logits = |answer: &Value, case: &Value| {
        let pairs = answer["logits"].as_array().unwrap().iter().zip(case["logits"][0].as_array().unwrap());
        assert!(pairs.into_iter().all(|(a, b)| (a.as_f64().unwrap() - b.as_f64().unwrap()).abs() < 4e-5), "{answer}");
    };
    let plain = json(&["model", "logits", "--model", &golden("gpt2"), "--ids", &ids, "--output", "json"]);
    assert_eq!(plain["ids"], cases["prompts"][0]);
    logits(&plain, &cases["families"][0]);
    let adapter = golden("lora-gpt2");
    let adapted =
        ["model", "logits", "--model", &golden("gpt2"), "--adapter", &adapter, "--ids", &ids, "--output", "json"];
    logits(&json(&adapted), &cases["adapters"][0]);
    // Worked into the weights and written, it is a model of its own.
    lab.run(&["model", "export", "--model", &golden("gpt2"), "--adapter", &adapter, "--to", "merged"]).expect(0, &[]);
    logits(&json(&["model", "logits", "--model", "merged", "--ids", &ids, "--output", "json"]), &cases["adapters"][0]);

    for (ids, said) in [("48", "token 48"), ("1,x", "invalid value"), ("", "invalid value")] {
        let ended = lab.run(&["model", "logits", "--model", &golden("gpt2"), "--ids", ids]);
        assert!(ended.code() != 0 && ended.said().contains(said), "{}", ended.said());
    }
    lab.run(&["model", "inspect", "nowhere"]).expect(3, &["nowhere", "config.json"]);
    lab.run(&["model", "generate", "--model", &golden("gpt2"), "--prompt", "x"]).expect(3, &["tokenizer.json"]);
}
