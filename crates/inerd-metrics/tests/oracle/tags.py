"""Scores random taggings with seqeval, nervaluate and conlleval's rules; see README.md."""

import sys
import warnings

import numpy as np
from nervaluate import Evaluator
from seqeval.metrics.sequence_labeling import precision_recall_fscore_support as lenient
from seqeval.metrics.v1 import precision_recall_fscore_support as strict
from seqeval.scheme import BILOU, IOB1, IOB2, IOBES, IOE1, IOE2

import conlleval
from common import Random, bits, fnv

warnings.filterwarnings("ignore")
np.seterr(all="ignore")

CASES = 12_000
SCHEMES = [IOB1, IOB2, IOE1, IOE2, IOBES, BILOU]
PREFIXES = ["IOB", "IOB", "IOE", "IOE", "IOBES", "BILOU"]
TYPES = ["PER", "LOC", "X-Y"]
WILD = ["B", "I", "E", "S", "U", "B-", "-PER", "I--LOC", "E-PER-", "U-LOC", "L-LOC", "S-PER", "E-LOC", "I-PER"]


def entities(random, length):
    """Random entities of a sentence as (begin, end, type)."""
    found, at = [], 0
    while at < length:
        if random.below(2):
            end = min(length, at + 1 + random.below(3))
            found.append((at, end, random.pick(TYPES)))
            at = end
        else:
            at += 1
    return found


def write(scheme, found, length):
    """The entities as well-formed tags."""
    tags = ["O"] * length
    for index, (begin, end, kind) in enumerate(found):
        marks = ["I"] * (end - begin)
        before = index > 0 and found[index - 1][1:] == (begin, kind)
        after = index + 1 < len(found) and found[index + 1][0] == end and found[index + 1][2] == kind
        if scheme == 0 and before:
            marks[0] = "B"
        elif scheme == 1:
            marks[0] = "B"
        elif scheme == 2 and after:
            marks[-1] = "E"
        elif scheme == 3:
            marks[-1] = "E"
        elif scheme >= 4:
            first, last, single = "BES" if scheme == 4 else "BLU"
            marks[0], marks[-1] = first, last
            if len(marks) == 1:
                marks[0] = single
        for offset, mark in enumerate(marks):
            tags[begin + offset] = f"{mark}-{kind}"
    return tags


def noisy(random, scheme, tags, disorder):
    """Replaces some tags: 0 none, 1 by tags of the scheme, 2 by any tag."""
    noisy_tags = []
    for tag in tags:
        if disorder > 0 and random.below(4) == 0:
            if disorder == 2 and random.below(2):
                tag = random.pick(WILD)
            else:
                prefix = random.pick(PREFIXES[scheme])
                tag = "O" if prefix == "O" else f"{prefix}-{random.pick(TYPES)}"
        noisy_tags.append(tag)
    return noisy_tags


def draw(case):
    random = Random(case)
    scheme = random.below(6)
    disorder = random.below(3)
    gold, predicted = [], []
    for _ in range(1 + random.below(4)):
        length = random.below(9)
        found = entities(random, length)
        gold.append(noisy(random, scheme, write(scheme, found, length), disorder if random.below(4) == 0 else 0))
        if random.below(3) == 0:
            found = entities(random, length)
        predicted.append(noisy(random, scheme, write(scheme, found, length), max(disorder, random.below(2))))
    return scheme, gold, predicted


def prf(correct, found, gold):
    p = correct / found if found else 0.0
    r = correct / gold if gold else 0.0
    return p, r, 2 * p * r / (p + r) if p + r else 0.0


def by_conlleval(gold, predicted):
    in_gold, in_predicted, correct = conlleval.evaluate(gold, predicted)
    lines = []
    for kind in sorted(set(in_gold) | set(in_predicted)):
        tp, found, support = correct[kind], in_predicted[kind], in_gold[kind]
        lines.append(f"{kind} {tp} {found - tp} {support - tp} {bits(*prf(tp, found, support))}")
    tp, found, support = (sum(c.values()) for c in (correct, in_predicted, in_gold))
    lines.append(f"micro {tp} {found - tp} {support - tp} {bits(*prf(tp, found, support))}")
    return "\n".join(lines)


def by_seqeval(function, gold, predicted, kinds, **options):
    lines = []
    each = function(gold, predicted, average=None, **options)
    assert len(kinds) == len(each[0])
    for kind, p, r, f, support in zip(kinds, *each):
        lines.append(f"{kind} {int(support)} {bits(p, r, f)}")
    for average in ("micro", "macro", "weighted"):
        p, r, f, support = function(gold, predicted, average=average, **options)
        lines.append(f"{average} {int(support)} {bits(p, r, f)}")
    return "\n".join(lines)


def lenient_kinds(gold, predicted):
    from seqeval.metrics.sequence_labeling import get_entities

    return sorted({kind for side in (gold, predicted) for kind, _, _ in get_entities(side)})


def by_strict(gold, predicted, scheme):
    from seqeval.scheme import Entities

    try:
        sides = [Entities(side, scheme) for side in (gold, predicted)]
        kinds = sorted(sides[0].unique_tags | sides[1].unique_tags)
        return by_seqeval(strict, gold, predicted, kinds, scheme=scheme)
    except (ValueError, KeyError):
        return "error"


def as_iob(tags):
    """nervaluate knows B and I only: the other schemes' marks become these."""
    return [{"E": "I", "L": "I", "S": "B", "U": "B"}.get(tag[0], tag[0]) + tag[1:] for tag in tags]


def by_nervaluate(gold, predicted):
    """One text per schema, in the order strict, exact, partial, type."""
    gold, predicted = ([as_iob(tags) for tags in side] for side in (gold, predicted))
    kinds = sorted({tag[2:] for side in (gold, predicted) for tags in side for tag in tags if tag != "O"})
    try:
        found = Evaluator(gold, predicted, tags=kinds, loader="list").evaluate()
    except ValueError:
        return ["error"] * 4

    def line(name, r):
        counts = f"{r.correct} {r.incorrect} {r.partial} {r.missed} {r.spurious}"
        return f"{name} {counts} {bits(r.precision, r.recall, r.f1)}"

    texts = []
    for schema in ("strict", "exact", "partial", "ent_type"):
        lines = [line(kind, found["entities"][kind][schema]) for kind in sorted(found["entities"])]
        texts.append("\n".join(lines + [line("micro", found["overall"][schema])]))
    return texts


def results(case):
    scheme, gold, predicted = draw(case)
    return [
        by_conlleval(gold, predicted),
        by_seqeval(lenient, gold, predicted, lenient_kinds(gold, predicted)),
        by_strict(gold, predicted, SCHEMES[scheme]),
        *by_nervaluate(gold, predicted),
    ]


def main():
    if sys.argv[1:2] == ["--explain"]:
        case = int(sys.argv[2])
        print(*draw(case), *results(case), sep="\n\n")
        return
    for case in range(CASES):
        print(*map(fnv, results(case)))


main()
