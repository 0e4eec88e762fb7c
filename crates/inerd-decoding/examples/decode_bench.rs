//! `decode_bench TOKENIZER.json EOS SENTENCES.jsonl TYPES.json`: the cost of the default rules, as JSON.

#[path = "../tests/support/mod.rs"]
mod support;

use std::path::Path;
use std::sync::Arc;

use inerd_decoding::{Tokenizer, bench_decode};

fn peak_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kb| kb.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}

#[expect(clippy::print_stdout, reason = "the result of a command")]
fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [tokenizer, eos, sentences, types] = arguments.as_slice() else {
        panic!("usage: decode_bench TOKENIZER.json EOS SENTENCES.jsonl TYPES.json")
    };
    let tokenizer: Arc<dyn Tokenizer> = support::Real::load(Path::new(tokenizer), eos);
    let file = std::io::BufReader::new(std::fs::File::open(sentences).expect("the sentences"));
    let sentences = inerd_text::read_json_lines(file).expect("sentences, one per line");
    let types: Vec<String> = serde_json::from_str(&std::fs::read_to_string(types).expect("the types")).expect("a list");
    let figures = bench_decode(&tokenizer, &sentences, &types, peak_mb).expect("a codec");
    println!("{}", serde_json::to_string_pretty(&figures).expect("plain numbers"));
}
