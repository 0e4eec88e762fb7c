"""The rules of the CoNLL shared tasks' evaluation script (2000 to 2003), as published, counted as it counts."""

from collections import Counter


def split(tag):
    mark, hyphen, kind = tag.partition("-")
    return (mark, kind) if hyphen else (tag, "")


def ends(mark, kind, next_mark, next_kind):
    pairs = {("B", "B"), ("B", "O"), ("I", "B"), ("I", "O"), ("E", "E"), ("E", "I"), ("E", "O")}
    if (mark, next_mark) in pairs or mark in ("[", "]"):
        return True
    return mark not in ("O", ".") and kind != next_kind


def begins(mark, kind, next_mark, next_kind):
    pairs = {("B", "B"), ("I", "B"), ("O", "B"), ("O", "I"), ("E", "E"), ("E", "I"), ("O", "E")}
    if (mark, next_mark) in pairs or next_mark in ("[", "]"):
        return True
    return next_mark not in ("O", ".") and kind != next_kind


def evaluate(gold, predicted):
    """Entities in gold, predicted entities and correct ones, by type. A sentence ends with an `O`."""
    in_gold, in_predicted, correct = Counter(), Counter(), Counter()
    inside = False
    last_g = last_p = ("O", "")
    for gold_tags, predicted_tags in zip(gold, predicted):
        for tag_g, tag_p in zip(gold_tags + ["O"], predicted_tags + ["O"]):
            g, p = split(tag_g), split(tag_p)
            if inside:
                end_g, end_p = ends(*last_g, *g), ends(*last_p, *p)
                if end_g and end_p and last_g[1] == last_p[1]:
                    inside = False
                    correct[last_g[1]] += 1
                elif end_g != end_p or g[1] != p[1]:
                    inside = False
            begin_g, begin_p = begins(*last_g, *g), begins(*last_p, *p)
            if begin_g and begin_p and g[1] == p[1]:
                inside = True
            in_gold[g[1]] += begin_g
            in_predicted[p[1]] += begin_p
            last_g, last_p = g, p
    return +in_gold, +in_predicted, +correct
