"""Scores random answers by the rules of the generative systems' own scripts; see README.md.

Written from what those scripts do: UniversalNER `src/eval/evaluate.py`, GNER `src/gner_evaluator.py`, GoLLIE
`src/tasks/utils_scorer.py` and `utils_typing.py`, PaDeLLM `eval/eval.py`, and nervaluate itself on character offsets.
The 1e-10 in the first two's denominators is left out.
"""

import re
import string
import sys
from collections import Counter

from nervaluate import Evaluator

from common import Random, bits, fnv

CASES = 2_500
WORDS = ["the", "The", "Bank", "bank", "us", "US", "business", "A", "an", "Zoë", "U.S.", "New", "York", ",", "-", "東京"]
TYPES = ["PER", "LOC", "ORG"]
INVENTED = ["Bonk", "ban", "new York", " us", "business,", "the", "", "U.S", "york new"]


def draw(case):
    """Sentences as (text, words with offsets, gold, answers); answers are (type, surface, offsets or None)."""
    random = Random(case)
    sentences = []
    for _ in range(1 + random.below(3)):
        words = [random.pick(WORDS) for _ in range(1 + random.below(8))]
        text, offsets = "", []
        for word in words:
            text += " " * bool(text)
            offsets.append((len(text), len(text) + len(word)))
            text += word
        gold, at = [], 0
        while at < len(words):
            if random.below(2):
                end = min(len(words), at + 1 + random.below(2))
                gold.append((random.pick(TYPES), offsets[at][0], offsets[end - 1][1]))
                at = end
            else:
                at += 1
        answers, taken = [], []
        for kind, start, end in gold:
            choice = random.below(8)
            if choice == 0:
                continue
            if choice == 1:
                kind = random.pick(TYPES + ["ANIMAL"])
            if choice == 2:
                start = max(0, start - 1 - random.below(3))
            answers.append((kind, text[start:end], (start, end)))
            if choice == 3:
                answers.append((kind, text[start:end], None))
            if choice == 4:
                answers.append((random.pick(TYPES), random.pick(INVENTED), None))
            taken.append((start, end))
        sentences.append((text, offsets, gold, answers))
    return sentences


def normalise(text):
    text = "".join(c for c in text.lower() if c not in set(string.punctuation))
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def sets(pairs):
    """Counts of sets by type: pairs of (gold, predicted), each a set of (type, key)."""
    counts = {}
    for gold, predicted in pairs:
        for kind, _ in gold | predicted:
            counts.setdefault(kind, [0, 0, 0])
        for entity in predicted:
            counts[entity[0]][0 if entity in gold else 1] += 1
        for entity in gold - predicted:
            counts[entity[0]][2] += 1
    return counts


def padellm(sentences):
    return sets(
        ({(k, t[s:e]) for k, s, e in gold}, {(k, surface) for k, surface, _ in answers})
        for t, _, gold, answers in sentences
    )


def authors(sentences):
    return sets(
        (
            {(k, t[s:e].replace(" ", "")) for k, s, e in gold},
            {(k, surface.replace(" ", "")) for k, surface, _ in answers if k in TYPES},
        )
        for t, _, gold, answers in sentences
    )


def universal_ner(sentences):
    return sets(
        ({(k, normalise(t[s:e])) for k, s, e in gold}, {(k, normalise(surface)) for k, surface, _ in answers})
        for t, _, gold, answers in sentences
    )


def tags(offsets, entities):
    """BIO tags; what does not begin and end with a word, or overlaps an earlier entity, is not written."""
    written = ["O"] * len(offsets)
    for kind, place in entities:
        if place is None:
            continue
        begin = [i for i, (s, _) in enumerate(offsets) if s == place[0]]
        end = [i for i, (_, e) in enumerate(offsets) if e == place[1]]
        if not begin or not end or begin[0] > end[0]:
            continue
        covered = range(begin[0], end[0] + 1)
        if all(written[i] == "O" for i in covered):
            for i in covered:
                written[i] = ("B-" if i == begin[0] else "I-") + kind
    return written


def read_back(words, written):
    """GNER's parser: the entities of the tags as a set of (type, normalised words)."""
    found, current, kind = set(), [], None
    for word, tag in list(zip(words, written)) + [("", "O")]:
        if current and tag[0] in "BO":
            found.add((kind, normalise(" ".join(current))))
            current = []
        if tag != "O":
            current.append(word)
            kind = tag[2:]
    return found


def gner(sentences):
    pairs = []
    for text, offsets, gold, answers in sentences:
        words = [text[s:e] for s, e in offsets]
        of_gold = tags(offsets, [(k, (s, e)) for k, s, e in gold])
        of_answers = tags(offsets, [(k, place) for k, _, place in answers if k in TYPES])
        pairs.append((read_back(words, of_gold), read_back(words, of_answers)))
    return sets(pairs)


def gollie(sentences):
    counts = {}
    for text, _, gold, answers in sentences:
        left = [(k, text[s:e].lower().strip()) for k, s, e in gold]
        mentions = Counter()
        for kind, surface, _ in answers:
            content = surface.lower().strip()
            if kind not in TYPES or content not in text.lower():
                continue
            key = surface.lower()
            if key:
                mentions[key] += 1
                if text.lower().count(key) < mentions[key]:
                    continue
            of_kind = counts.setdefault(kind, [0, 0, 0])
            if (kind, content) in left:
                left.remove((kind, content))
                of_kind[0] += 1
            else:
                of_kind[1] += 1
        for kind, _ in left:
            counts.setdefault(kind, [0, 0, 0])[2] += 1
    return counts


def by_sets(counts):
    def line(name, tp, fp, fn):
        p = tp / (tp + fp) if tp + fp else 0.0
        r = tp / (tp + fn) if tp + fn else 0.0
        return f"{name} {tp} {fp} {fn} {bits(p, r, 2 * p * r / (p + r) if p + r else 0.0)}"

    lines = [line(kind, *counts[kind]) for kind in sorted(counts)]
    return "\n".join(lines + [line("micro", *(sum(c[i] for c in counts.values()) for i in range(3)))])


def by_nervaluate(sentences):
    """On aligned answers only: nervaluate has no place for the others."""
    gold = [[dict(label=k, start=s, end=e - 1) for k, s, e in gold] for _, _, gold, _ in sentences]
    predicted = [
        [dict(label=k, start=p[0], end=p[1] - 1) for k, _, p in sorted(answers, key=lambda a: (a[2] or (), a[0])) if p]
        for _, _, _, answers in sentences
    ]
    found = Evaluator(gold, predicted, tags=TYPES, loader="dict").evaluate()

    def line(name, r):
        counts = f"{r.correct} {r.incorrect} {r.partial} {r.missed} {r.spurious}"
        return f"{name} {counts} {bits(r.precision, r.recall, r.f1)}"

    for schema in ("strict", "exact", "partial", "ent_type"):
        lines = [line(kind, found["entities"][kind][schema]) for kind in sorted(found["entities"])]
        yield "\n".join(lines + [line("micro", found["overall"][schema])])


def results(case):
    sentences = draw(case)
    by_surface = [by_sets(score(sentences)) for score in (authors, universal_ner, gner, gollie, padellm)]
    return by_surface + list(by_nervaluate(sentences))


def main():
    if sys.argv[1:2] == ["--explain"]:
        case = int(sys.argv[2])
        print(*draw(case), *results(case), sep="\n\n")
        return
    for case in range(CASES):
        print(*map(fnv, results(case)))


main()
