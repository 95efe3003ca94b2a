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

# The main job on two simulated Regions.
drill *ARGS:
    cargo run --release -- drill {{ARGS}}

# The documentation, warnings denied.
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps

# What must pass before a change lands.
ci:
    .ci/run
