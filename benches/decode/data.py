#!/usr/bin/env python3
"""Sentences and type names for `inerd bench decode`.

    data.py TEXT OUT [--sentences N] [--words LOW HIGH] [--types N]

TEXT is any English text (UTF-8). OUT/sentences-N.jsonl gets sentences of LOW to HIGH words with 0 to 6 entities, OUT/types-N.json
N type names of one to three words, many of which share words. The same arguments give the same files.
"""
import argparse, json, random, re
from pathlib import Path

HEADS = "Cell Gene Protein Person Group Law Work Place Date Time Money Event Product Road Film Drug".split()
TAILS = "Type Line Name Part Family Title Number Unit Kind Class".split()

arguments = argparse.ArgumentParser()
arguments.add_argument("text", type=Path)
arguments.add_argument("out", type=Path)
arguments.add_argument("--sentences", type=int, default=200)
arguments.add_argument("--words", type=int, nargs=2, default=(10, 60))
arguments.add_argument("--types", type=int, default=18)
arguments.add_argument("--seed", type=int, default=1)
a = arguments.parse_args()
random.seed(a.seed)

names = [h for h in HEADS] + [f"{h} {t}" for h in HEADS for t in TAILS]
names += [f"{h} {t} {i}" for i in range(2, 2 + a.types // 160 + 1) for h in HEADS for t in TAILS]
random.shuffle(names)
types = sorted(names[: a.types])

words = [m for m in re.finditer(r"\S+", a.text.read_text(encoding="utf-8"))]
lines = []
for _ in range(a.sentences):
    length = random.randint(*a.words)
    at = random.randrange(max(1, len(words) - length))
    text, spans = "", []
    for word in words[at : at + length]:
        text += " " if text else ""
        inner = re.search(r"\w(.*\w)?", word.group())
        if inner:
            spans.append((len(text) + inner.start(), len(text) + inner.end()))
        text += word.group()
    entities, end = [], 0
    for start in sorted(random.sample(range(len(spans)), min(random.randint(0, 6), len(spans)))):
        last = min(start + random.randint(0, 3), len(spans) - 1)
        if spans[start][0] >= end:
            end = spans[last][1]
            entities.append({"type": random.choice(types), "start": spans[start][0], "end": end})
    lines.append(json.dumps({"text": text, "entities": entities}, ensure_ascii=False))
a.out.mkdir(parents=True, exist_ok=True)
suffix = f"{a.types}" if a.sentences == 200 else f"{a.types}-{a.sentences}x{a.words[1]}"
(a.out / f"sentences-{suffix}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
(a.out / f"types-{suffix}.json").write_text(json.dumps(types), encoding="utf-8")
