#!/usr/bin/env bash
# run.sh TEXT GPT2_TOKENIZER.json DATA PYTHON: the table of benches/README.md, one JSON line per measurement.
#
# TEXT is any English text, DATA a folder for what is made of it, PYTHON one that has tokenizers, xgrammar==0.2.8 and
# llguidance==1.9.1. A peer and we are measured one after the other, so that their ratio is that of one machine at one
# time. Needs `cargo build --release -p inerd-decoding --example decode_bench`.
set -euo pipefail
text="$1" gpt2="$2" data="$3" python="$4"
here="$(cd "$(dirname "$0")" && pwd)"
bench="${CARGO_TARGET_DIR:-$here/../../target}/release/examples/decode_bench"
eos='<|endoftext|>'
mkdir -p "$data"
"$python" "$here/widen.py" "$gpt2" 128000 "$data/gpt2-128k.json"

measure() {
  local vocabulary="$1" tokenizer="$2" types="$3"
  "$python" "$here/data.py" "$text" "$data" --types "$types"
  local input=("$tokenizer" "$eos" "$data/sentences-$types.jsonl" "$data/types-$types.json")
  echo "{\"vocabulary\": \"$vocabulary\", \"types\": $types, \"inerd\": $("$bench" "${input[@]}" | tr -d '\n')}"
  for peer in xgrammar llguidance; do
    echo "{\"vocabulary\": \"$vocabulary\", \"types\": $types, \"$peer\": $("$python" "$here/peers.py" "${input[@]}" "$peer")}"
  done
}

for types in 4 18 66 150; do measure 50k "$gpt2" "$types"; done
for types in 18 150; do measure 128k "$data/gpt2-128k.json" "$types"; done
