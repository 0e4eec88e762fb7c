# Shows these recipes.
default:
    @just --list

# Runs an experiment and writes its report: `just run experiments/wnut17.toml --data-dir …`.
run experiment="experiments/quickstart.toml" *options:
    cargo run --release -- run {{experiment}} {{options}}

# Says what a run would do, and why, without doing it.
plan experiment="experiments/quickstart.toml" *options:
    cargo run --release -- plan {{experiment}} {{options}}

# Writes the report of what the store holds already.
report experiment="experiments/quickstart.toml" *options:
    cargo run --release -- report {{experiment}} {{options}}

# Passes all tests.
test *options:
    cargo test --workspace {{options}}

# Formatting and lints, as CI has them.
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings

# Everything that CI does.
ci:
    bash .ci/run

# Writes the reference page and the JSON schema of experiment files anew.
docs:
    UPDATE_DOCS=1 cargo test -p inerd-experiment documents

# Measures what a stage costs that has nothing to do.
bench-runs *options:
    cargo run --release -p inerd-run --example idle_stages {{options}}

# Measures decoding: masks, compilation, memory.
bench *options:
    cargo run --release -- bench {{options}}

# Reads the corpora and compares them with their cards.
data *options:
    cargo run --release -- data check {{options}}
