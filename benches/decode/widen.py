#!/usr/bin/env python3
"""widen.py TOKENIZER.json SIZE OUT.json: the same byte-level tokenizer with more tokens, for the cost of a large vocabulary.

The tokens added are pairs of existing ones. No merge leads to them, so texts are tokenised as before; at text level they count.
"""
import json, random, sys

source, size, out = sys.argv[1], int(sys.argv[2]), sys.argv[3]
random.seed(1)
tokenizer = json.load(open(source, encoding="utf-8"))
vocabulary = tokenizer["model"]["vocab"]
added = {t["content"] for t in tokenizer["added_tokens"]}
pieces = [t for t in vocabulary if len(t) <= 6 and t not in added]
while len(vocabulary) < size:
    token = random.choice(pieces) + random.choice(pieces)
    if token not in vocabulary:
        vocabulary[token] = max(len(vocabulary), 0)
json.dump(tokenizer, open(out, "w", encoding="utf-8"), ensure_ascii=False)
