#!/usr/bin/env python3
"""xgrammar and llguidance on the work of `inerd bench decode`, at token level.

    peers.py TOKENIZER.json EOS SENTENCES.jsonl TYPES.json [xgrammar|llguidance …]

The language is the one that `inerd bench decode` measures: any number of ` TYPE : CONTENT ;`, a CONTENT being any run of
the sentence's pieces (a piece is what GPT-2's pre-tokenizer calls one) in their canonical tokens. One grammar per sentence.
Each operation is timed three times in CPU time of this thread, and the least counts: compiling the grammar, filling the
mask at every token of the gold answer, accepting that token. All-in spreads the compilation (and writing the grammar down
as text) over the answer's tokens. A byte-level `tokenizer.json` is wanted.
"""
import json, re, sys, time

import numpy as np
from tokenizers import Tokenizer, pre_tokenizers

tokenizer_file, eos_name, sentences_file, types_file, *peers = sys.argv[1:]
tokenizer = Tokenizer.from_file(tokenizer_file)
eos = tokenizer.token_to_id(eos_name)
size = max(tokenizer.get_vocab().values()) + 1
pieces_of = pre_tokenizers.ByteLevel(add_prefix_space=False)
encode = lambda text: tokenizer.encode(text, add_special_tokens=False).ids
types = json.load(open(types_file, encoding="utf-8"))
names = [encode(" " + name) for name in types]
TCS, ES = encode(" :"), encode(" ;")


def once(work):
    """Seconds, and the result."""
    begin = time.thread_time_ns()
    result = work()
    return (time.thread_time_ns() - begin) / 1e9, result


def least(work, undo=lambda: None):
    """Seconds of the fastest of three, and the last one's result."""
    spent = []
    for turn in range(3):
        seconds, result = once(work)
        spent.append(seconds)
        if turn < 2:
            undo()
    return min(spent), result


def chain(text):
    """The sentence's pieces as (start, end, tokens behind a separator, tokens within the sentence)."""
    found = []
    for _, (start, end) in pieces_of.pre_tokenize_str(text):
        word = text[start:end].strip()
        if word:
            at = text.index(word, start)
            found.append((at, at + len(word), encode(" " + word), encode(text[start:end])))
    return found


def answer(sentence, pieces):
    """The gold answer's tokens; an entity that does not begin and end with a piece is left out."""
    tokens = []
    for entity in sorted(sentence["entities"], key=lambda e: e["start"]):
        first = next((i for i, p in enumerate(pieces) if p[0] == entity["start"]), None)
        last = next((i for i, p in enumerate(pieces) if p[1] == entity["end"]), None)
        if first is None or last is None or last < first:
            continue
        content = pieces[first][2] + sum((p[3] for p in pieces[first + 1 : last + 1]), [])
        tokens += names[types.index(entity["type"])] + TCS + content + ES
    return tokens + [eos]


def grammar(pieces, define, token, nothing):
    """One rule per place of the sentence, so that contents share their tails."""
    row = lambda ids: " ".join(map(token, ids))
    lines = [define("kind", " | ".join(map(row, names)))]
    lines += [define(f"from{i}", f"{row(p[2])} to{i + 1}") for i, p in enumerate(pieces)]
    lines += [define(f"to{i}", f"{nothing} | {row(p[3])} to{i + 1}") for i, p in enumerate(pieces) if i]
    lines.append(define(f"to{len(pieces)}", nothing))
    lines.append(define("content", " | ".join(f"from{i}" for i in range(len(pieces)))))
    lines.append(define("record", f"kind {row(TCS)} content {row(ES)}"))
    return lines


def xgrammar():
    import xgrammar as xgr

    vocabulary = [""] * size
    for name, at in tokenizer.get_vocab().items():
        vocabulary[at] = name
    info = xgr.TokenizerInfo(vocabulary, xgr.VocabType.BYTE_LEVEL, vocab_size=size, stop_token_ids=[eos])
    # Its cache confuses the grammars of different sentences.
    compiler = xgr.GrammarCompiler(info, max_threads=1, cache_enabled=False)
    mask = xgr.allocate_token_bitmask(1, size)

    def write(pieces):
        lines = grammar(pieces, lambda name, body: f"{name} ::= {body}", lambda t: f"Token({t})", '""')
        return "\n".join(lines + ["root ::= record*"])

    def start(text):
        return xgr.GrammarMatcher(compiler.compile_grammar(text))

    def walk(matcher, token):
        filled, _ = least(lambda: matcher.fill_next_token_bitmask(mask))
        row = mask.numpy()[0].view(np.uint32)
        allowed = int(np.bitwise_count(row).sum())
        accepted, ok = least(lambda: matcher.accept_token(token), lambda: matcher.rollback(1))
        return filled, accepted, allowed, ok and bool(row[token // 32] >> (token % 32) & 1)

    return write, start, walk


def llguidance():
    import llguidance
    import llguidance.numpy

    with open(tokenizer_file, encoding="utf-8") as file:
        known = llguidance.LLTokenizer(file.read(), eos_token=eos)
    mask = llguidance.numpy.allocate_token_bitmask(1, known.vocab_size)

    def write(pieces):
        lines = grammar(pieces, lambda name, body: f"{name}: {body}", lambda t: f"<[{t}]>", '""')
        return "\n".join(["start: record*"] + lines)

    def start(text):
        matcher = llguidance.LLMatcher(known, text)
        assert not matcher.is_error(), matcher.get_error()
        return matcher

    def walk(matcher, token):
        # The matcher remembers a mask until a token is taken, and token rules do not survive its rollback: each
        # measurement has a copy of its own.
        copies = [matcher.deep_copy(), matcher.deep_copy(), matcher]
        filled = min(once(lambda m=m: llguidance.numpy.fill_next_token_bitmask(m, mask, 0))[0] for m in copies)
        row = mask[0].view(np.uint32)
        allowed = int(np.bitwise_count(row).sum())
        taken = [once(lambda m=m: m.consume_token(token)) for m in copies]
        ok = taken[-1][1] and bool(row[token // 32] >> (token % 32) & 1)
        return filled, min(spent for spent, _ in taken), allowed, ok

    return write, start, walk


sentences = [json.loads(line) for line in open(sentences_file, encoding="utf-8") if line.strip()]
for peer in peers or ["xgrammar", "llguidance"]:
    write, start, walk = globals()[peer]()
    compiles, masks, accepts, sizes, forbidden = [], [], [], [], 0
    for sentence in sentences:
        pieces = chain(sentence["text"])
        if not pieces:
            continue
        written, text = least(lambda: write(pieces))
        compiled, matcher = least(lambda: start(text))
        compiles.append(written + compiled)
        for token in answer(sentence, pieces):
            filled, accepted, allowed, ok = walk(matcher, token)
            masks.append(filled), accepts.append(accepted), sizes.append(allowed)
            if not ok:
                forbidden += 1
                break
    micro = lambda values: 1e6 * float(np.mean(values))
    print(json.dumps({
        "peer": peer,
        "mask_us_mean": round(micro(masks), 3),
        "mask_us_p50": round(1e6 * float(np.median(masks)), 3),
        "mask_us_p99": round(1e6 * float(np.quantile(masks, 0.99)), 3),
        "accept_us": round(micro(accepts), 3),
        "compile_ms_per_sentence": round(micro(compiles) / 1000, 4),
        "all_in_us_per_token": round(1e6 * sum(compiles) / len(masks) + micro(masks) + micro(accepts), 3),
        "allowed_per_mask": round(float(np.mean(sizes)), 2),
        "gold_tokens_forbidden": forbidden,
        "tokens": len(masks),
    }))
