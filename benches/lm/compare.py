#!/usr/bin/env python3
"""The other side of `inerd bench train` and `inerd bench generate`: transformers and PEFT on the same shapes.

    compare.py generate MODEL --batch N [--prompt 40] [--length 25] [--allowed 20 | --free] [--forced 40] [--rounds 3]
    compare.py train MODEL [--batch 16] [--prompt 40] [--length 25 | --lengths FILE] [--lora R] [--steps 3]

MODEL is a folder with a config.json (weights are random), or one of `7m`, `124m`. Prompts, allowed tokens and pairs are
those of the Rust side. Prints one JSON line. Times are CPU seconds of all threads, medians (training on FILE: the mean).
"""
import argparse, json, resource, statistics, time

import torch
from transformers import AutoConfig, AutoModelForCausalLM, GPT2Config

SHAPES = {
    "7m": dict(vocab_size=8192, n_positions=256, n_embd=256, n_layer=6, n_head=4),
    "124m": dict(vocab_size=50257, n_positions=1024, n_embd=768, n_layer=12, n_head=12),
}

arguments = argparse.ArgumentParser()
arguments.add_argument("what", choices=["generate", "train"])
arguments.add_argument("model")
arguments.add_argument("--batch", type=int, default=16)
arguments.add_argument("--prompt", type=int, default=40)
arguments.add_argument("--length", type=int, default=25)
arguments.add_argument("--lengths")
arguments.add_argument("--allowed", type=int, default=20)
arguments.add_argument("--free", action="store_true")
arguments.add_argument("--forced", type=int, default=40)
arguments.add_argument("--lora", type=int)
arguments.add_argument("--rounds", type=int, default=3)
arguments.add_argument("--steps", type=int, default=3)
arguments.add_argument("--threads", type=int, default=2)
a = arguments.parse_args()
torch.set_num_threads(a.threads)
torch.manual_seed(0)
no_dropout = dict(resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)
config = GPT2Config(**SHAPES[a.model], **no_dropout) if a.model in SHAPES else AutoConfig.from_pretrained(a.model)
model = AutoModelForCausalLM.from_config(config)
V = config.vocab_size
token = lambda seed, t: (seed * 7919 + t * 104_729 + 13) % V


def generate():
    model.eval()
    passed = lambda at: at * a.forced // 100
    is_forced = lambda at: at > 0 and passed(at + 1) > passed(at)

    def one_round(r):
        seeds = [r * a.batch + row for row in range(a.batch)]
        prompts = torch.tensor([[token(seed, t) for t in range(a.prompt)] for seed in seeds])

        def allowed(row, ids):
            at = len(ids) - a.prompt
            count = 1 if is_forced(at) else a.allowed
            return sorted({(seeds[row] * 31 + at * 1009 + j * 97) % V for j in range(count)})

        masked = {} if a.free else {"prefix_allowed_tokens_fn": allowed}
        start, wall = time.process_time(), time.perf_counter()
        with torch.inference_mode():
            model.generate(prompts, attention_mask=torch.ones_like(prompts), do_sample=False, pad_token_id=0,
                           eos_token_id=None, min_new_tokens=a.length, max_new_tokens=a.length, **masked)
        return time.process_time() - start, time.perf_counter() - wall

    one_round(0)
    times = sorted(one_round(r) for r in range(1, a.rounds + 1))
    cpu, wall = times[len(times) // 2]
    return {"sentences_per_cpu_second": a.batch / cpu, "cpu_seconds_per_sentence": cpu / a.batch,
            "sentences_per_second": a.batch / wall}


def train():
    net = model
    if a.lora:
        from peft import LoraConfig, get_peft_model
        net = get_peft_model(model, LoraConfig(r=a.lora, lora_alpha=2 * a.lora, task_type="CAUSAL_LM",
                                               target_modules=["c_attn", "c_proj", "c_fc"]))
    net.train()
    optimizer = torch.optim.AdamW([p for p in net.parameters() if p.requires_grad], lr=1e-4)
    lengths = json.load(open(a.lengths)) if a.lengths else [[a.prompt, a.length]]
    times, tokens = [], 0
    for step in range(a.steps + 1):
        pairs = [(i, lengths[i % len(lengths)]) for i in range(step * a.batch, (step + 1) * a.batch)]
        longest = max(p + r for _, (p, r) in pairs)
        ids = torch.zeros(a.batch, longest, dtype=torch.long)
        mask = torch.zeros(a.batch, longest, dtype=torch.long)
        labels = torch.full((a.batch, longest), -100)
        for row, (i, (p, r)) in enumerate(pairs):
            ids[row, : p + r] = torch.tensor([token(i, t) for t in range(p + r)])
            mask[row, : p + r] = 1
            labels[row, p : p + r] = ids[row, p : p + r]
        start, wall = time.process_time(), time.perf_counter()
        loss = net(input_ids=ids, attention_mask=mask, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_([p for p in net.parameters() if p.requires_grad], 1.0)
        optimizer.step()
        optimizer.zero_grad()
        loss.item()
        if step > 0:
            times.append((time.process_time() - start, time.perf_counter() - wall))
            tokens += int(mask.sum())
    cpu, wall = [sum(t[i] for t in times) for i in (0, 1)]
    return {"cpu_seconds_per_step": statistics.median(t[0] for t in times),
            "pairs_per_cpu_second": a.steps * a.batch / cpu, "tokens_per_cpu_second": tokens / cpu,
            "pairs_per_second": a.steps * a.batch / wall}


figures = generate() if a.what == "generate" else train()
figures["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"arguments": vars(a), **figures}))
