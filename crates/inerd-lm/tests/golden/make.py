"""Writes tiny random models and what transformers and PEFT compute with them.

    pip install torch transformers peft
    python make.py            # in this folder; rewrites everything but itself

Every parameter is random (norms and biases, too), so that a misplaced one shows. `cases.json` lists, for each case, the
folder of its weights, settings that differ from that folder's config.json, prompts, the logits behind each prompt and
the greedy continuation of the first. Made with the versions that `versions` in `cases.json` states.
"""

import json
import shutil
from pathlib import Path

import peft
import torch
import transformers
from transformers import AutoModelForCausalLM

HERE = Path(__file__).parent
VOCABULARY = 48
PROMPTS = [[5, 17, 42, 8, 30, 2, 21, 9], [11], [(7 * i + 3) % VOCABULARY for i in range(21)]]
NEW_TOKENS = 12

GPT2 = dict(vocab_size=VOCABULARY, n_positions=40, n_embd=16, n_layer=2, n_head=4, bos_token_id=0, eos_token_id=0)
SHAPE = dict(vocab_size=VOCABULARY, hidden_size=16, num_hidden_layers=2, num_attention_heads=4, bos_token_id=0,
             eos_token_id=0, max_position_embeddings=64)
LLAMA = dict(SHAPE, intermediate_size=24, num_key_value_heads=2, tie_word_embeddings=True)
YARN = dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=16)
LLAMA3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=16)


def rope(**settings):
    """One setting as transformers 5 writes it."""
    return {"rope_parameters": dict(rope_theta=100.0, **settings)}


def old_rope(**settings):
    """The same as older checkpoints have it."""
    return {"rope_parameters": None, "rope_theta": 100.0, "rope_scaling": settings}


# folder: (model type, its settings, how it is saved, {case: settings that differ})
MODELS = {
    "gpt2": ("gpt2", GPT2, {}, {}),
    "gpt2-untied": ("gpt2", dict(GPT2, n_inner=24, activation_function="gelu", tie_word_embeddings=False), {}, {
        "by-layer": dict(scale_attn_by_inverse_layer_idx=True),
        "unscaled": dict(scale_attn_weights=False),
    }),
    "llama": ("llama", LLAMA, {}, {
        "theta": rope(rope_type="default"),
        "linear": rope(rope_type="linear", factor=2.0),
        "linear-old": old_rope(type="linear", factor=2.0),
        "dynamic": dict(rope(rope_type="dynamic", factor=2.0), max_position_embeddings=16),
        "yarn": rope(**YARN),
        "yarn-old": old_rope(**YARN),
        "yarn-temperature": rope(**YARN, attention_factor=0.8, beta_fast=8.0, beta_slow=2.0, truncate=False),
        "llama3": rope(**LLAMA3),
    }),
    "llama-bf16-shards": ("llama", dict(LLAMA, tie_word_embeddings=False, attention_bias=True, mlp_bias=True, head_dim=6,
                                        num_key_value_heads=1),
                          dict(dtype=torch.bfloat16, shard="6KB"), {}),
    "mistral": ("mistral", dict(LLAMA, tie_word_embeddings=False, sliding_window=5), {}, {"whole": dict(sliding_window=None)}),
    "qwen2": ("qwen2", LLAMA, dict(dtype=torch.float16), {
        "windowed": dict(use_sliding_window=True, sliding_window=6, max_window_layers=1, layer_types=None),
    }),
    "gpt-neox": ("gpt_neox", dict(SHAPE, intermediate_size=32), {}, {
        "sequential": dict(use_parallel_residual=False),
        "all-rotary-old": dict(rope_parameters=None, rotary_pct=1.0, rotary_emb_base=100),
    }),
    "falcon": ("falcon", SHAPE, {}, {}),
    "falcon-new": ("falcon", dict(SHAPE, new_decoder_architecture=True, num_kv_heads=2, tie_word_embeddings=False), {}, {}),
    "falcon-new-one-norm": ("falcon", dict(SHAPE, new_decoder_architecture=True, num_kv_heads=2,
                                           num_ln_in_parallel_attn=1), {}, {}),
    "falcon-sequential": ("falcon", dict(SHAPE, multi_query=False, parallel_attn=False, bias=True, ffn_hidden_size=24), {}, {}),
}


def randomise(model, seed):
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in sorted(model.named_parameters()):
        noise = torch.randn(parameter.shape, generator=generator)
        norm = parameter.dim() == 1 and name.endswith("weight")
        parameter.data = (1 + 0.2 * noise) if norm else 0.3 * noise


def answers(model):
    """Logits behind each prompt, and the greedy continuation of the first."""
    model = model.float().eval()
    logits = []
    with torch.no_grad():
        for prompt in PROMPTS:
            logits.append([float(x) for x in model(torch.tensor([prompt])).logits[0, -1]])
        first = torch.tensor([PROMPTS[0]])
        greedy = model.generate(first, attention_mask=torch.ones_like(first), max_new_tokens=NEW_TOKENS, do_sample=False,
                                eos_token_id=None, pad_token_id=0)
    return dict(logits=logits, greedy=greedy[0].tolist())


def families():
    cases = []
    for seed, (folder, (kind, settings, saving, variants)) in enumerate(MODELS.items()):
        path = HERE / folder
        config = transformers.AutoConfig.for_model(kind, **settings)
        model = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
        randomise(model, seed)
        model = model.to(saving.get("dtype", torch.float32))
        model.save_pretrained(path, max_shard_size=saving.get("shard", "1GB"))
        (path / "generation_config.json").unlink(missing_ok=True)
        own = json.loads((path / "config.json").read_text())
        for name, changes in {"": {}, **variants}.items():
            work = HERE / "work"
            shutil.copytree(path, work)
            changed = {k: v for k, v in {**own, **changes}.items() if v is not None or k not in changes}
            (work / "config.json").write_text(json.dumps(changed))
            loaded = AutoModelForCausalLM.from_pretrained(work, attn_implementation="eager", dtype=torch.float32)
            shutil.rmtree(work)
            cases.append(dict(name=f"{folder} {name}".strip(), weights=folder, changes=changes, **answers(loaded)))
    return cases


# adapter folder: (base, settings)
ADAPTERS = {
    "lora-gpt2": ("gpt2", dict(r=3, lora_alpha=6, target_modules=["c_attn", "c_fc"], trainable_token_indices=[40, 47])),
    "lora-llama": ("llama", dict(r=2, lora_alpha=4, use_rslora=True, target_modules=r".*\.(q|v|down)_proj")),
    "lora-falcon-new": ("falcon-new", dict(r=2, lora_alpha=2, target_modules=["query_key_value"],
                                           trainable_token_indices=dict(word_embeddings=[40, 47], lm_head=[40, 47]))),
}


def adapters():
    """Each adapter at random, and after one AdamW step on the first prompt's next-token loss."""
    cases = []
    for seed, (folder, (base, settings)) in enumerate(ADAPTERS.items()):
        model = AutoModelForCausalLM.from_pretrained(HERE / base, attn_implementation="eager", dtype=torch.float32)
        model = peft.get_peft_model(model, peft.LoraConfig(task_type="CAUSAL_LM", **settings))
        generator = torch.Generator().manual_seed(100 + seed)
        trained = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
        for _, parameter in trained:
            parameter.data = 0.3 * torch.randn(parameter.shape, generator=generator)
        model.save_pretrained(HERE / folder)
        before = answers(model)
        optimiser = torch.optim.AdamW([p for _, p in trained], lr=1e-2, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)
        ids = torch.tensor([PROMPTS[0]])
        logits = model(ids).logits[0, :-1]
        loss = torch.nn.functional.cross_entropy(logits, ids[0, 1:])
        loss.backward()
        optimiser.step()
        model.save_pretrained(HERE / folder / "stepped")
        (HERE / folder / "stepped" / "adapter_config.json").unlink()
        for where in [HERE / folder, HERE / folder / "stepped"]:
            (where / "README.md").unlink(missing_ok=True)
        config = json.loads((HERE / folder / "adapter_config.json").read_text())
        config["base_model_name_or_path"] = base
        (HERE / folder / "adapter_config.json").write_text(json.dumps(config, indent=1))
        cases.append(dict(adapter=folder, weights=base, loss=loss.item(), **before))
    return cases


for old in HERE.iterdir():
    if old.is_dir():
        shutil.rmtree(old)
written = dict(
    versions=dict(torch=torch.__version__, transformers=transformers.__version__, peft=peft.__version__),
    prompts=PROMPTS, families=families(), adapters=adapters(),
)
(HERE / "cases.json").write_text(json.dumps(written))
