#!/usr/bin/env python3
"""table.py RESULTS.jsonl: what run.sh measured, as a Markdown table."""
import json, sys

rows = {}
for line in open(sys.argv[1], encoding="utf-8"):
    record = json.loads(line)
    row = rows.setdefault((record["vocabulary"], record["types"]), {})
    for name in ("xgrammar", "llguidance"):
        if name in record:
            row[name] = record[name]
    if "inerd" in record:
        row["inerd, token level"], row["inerd, text level"] = (record["inerd"][k] for k in ("token_level", "text_level"))

columns = [("all-in, µs per token", "all_in_us_per_token"), ("mask, µs, mean", "mask_us_mean"), ("mask, µs, 99 %", "mask_us_p99"),
           ("accept, µs", "accept_us"), ("compile, ms per sentence", "compile_ms_per_sentence"),
           ("allowed", "allowed_per_mask"), ("gold tokens forbidden", "gold_tokens_forbidden")]
print("| vocabulary | types | | " + " | ".join(title for title, _ in columns) + " |")
print("|---|---|---|" + "---|" * len(columns))
for (vocabulary, types), row in rows.items():
    for name in ("inerd, token level", "inerd, text level", "xgrammar", "llguidance"):
        cells = [f"{row[name][key]:.3g}" for _, key in columns]
        print(f"| {vocabulary} | {types} | {name} | " + " | ".join(cells) + " |")
