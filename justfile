# Lists the recipes.
default:
    @just --list

# Format, lints, tests and documentation.
check: doc
    cargo fmt --check
    cargo clippy --all-targets -- -D warnings
    tests/run

# Every test, with every peer.
test *ARGS:
    tests/run {{ARGS}}

# Benchmarks against their peers: ratios from one run, each with its target; `just bench scan` runs one.
bench *NAME:
    tests/bench/run {{NAME}}

# The main job on two simulated Regions.
drill *ARGS:
    cargo run --release -- drill {{ARGS}}

# The pictures of the guided session in docs/screens, from a drill at 80x24.
screens:
    FAILBACK_SCREENS={{justfile_directory()}}/docs/screens cargo nextest run -E 'test(/guided::the_drill_comes_home/)'

# The documentation, warnings denied.
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps

# What must pass before a change lands.
ci:
    .ci/run
