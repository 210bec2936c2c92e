# `make` lists the targets. Everything runs in one cargo profile, `dev`: see Cargo.toml.

LOSSMITH := $(or $(CARGO_TARGET_DIR),target)/debug/lossmith
# The crates that are plugins: those built as a cdylib.
PLUGINS := $(patsubst %/Cargo.toml,%,$(shell grep -l cdylib plugins/*/Cargo.toml))

.DEFAULT_GOAL := help
.PHONY: help setup languages build install wheel python plugins demo test test-python test-board lint bet multi-threshold bench bench-python bench-board peers throughput ranks torture \
	doctor

help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: ## Set up libtorch, the Wasm toolchain and the data set; keep what is there.
	@scripts/setup.sh

languages: ## Set up what builds plugins in Python and JavaScript (440 MB of downloads); keep what is there.
	@scripts/setup.sh languages

build: setup ## Build the lossmith command, with the standard plugins in it.
	cargo build -p lossmith

# What `~/.local` is to others: `make install PREFIX=/usr/local`.
PREFIX ?= $(HOME)/.local
install: build ## Copy the command and its libtorch (about 500 MB) into ~/.local, or into PREFIX.
	@scripts/install.sh $(LOSSMITH) "$(PREFIX)"

# Compiled as the tests are, so that after one the other has nothing but this library to link.
wheel: setup ## Write the Python package, with the command in it, as a wheel into dist.
	@scripts/setup.sh wheel
	rm -f dist/lossmith-*.whl
	.tools/maturin/bin/maturin build --manifest-path host/python/Cargo.toml --out dist

plugins: build ## Write the standard plugins as components into target/plugins.
	@set -e; for crate in $(PLUGINS); do $(LOSSMITH) plugin build $$crate; done

demo: build ## Train a teacher on emoji, transfer it to two students, and draw what they find.
	@scripts/demo.sh $(LOSSMITH)

# The tests build the plugins that they need. Without `build` before: it would compile much of what follows with other features.
test: setup languages ## Run all tests.
	cargo test --workspace
	$(MAKE) test-python
	$(MAKE) test-board

# The wheel, installed in an environment of its own.
python: wheel
	@scripts/setup.sh python
	.python/bin/pip install --quiet --disable-pip-version-check --no-deps --no-index --force-reinstall dist/lossmith-*.whl

test-python: python ## Run the tests of the Python package, as a wheel in an environment of its own (650 MB of downloads).
	.python/bin/python -m pytest -q tests/python

# After the other tests there is nothing to compile.
test-board: setup ## Run the tests of the board in a browser (Chromium and 45 MB of downloads).
	@scripts/setup.sh board
	cargo build --workspace --bins
	.board-python/bin/python -m pytest -q tests/board

lint: setup ## Check the format, the lints, who uses whom, and the documentation.
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	@scripts/stored-forms.sh
	@scripts/circles.py
	@scripts/columns.py
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps -p lossmith -p lossmith-board -p lossmith-files -p lossmith-images -p lossmith-plugin -p lossmith-program -p lossmith-python -p lossmith-run -p lossmith-sdk

bet: build ## Reproduce the tables of examples/bet; what is trained is kept (over an hour).
	$(LOSSMITH) data fetch emoji
	@set -e; for sweep in compression same-network control; do $(LOSSMITH) sweep examples/bet/$$sweep.toml; done

multi-threshold: build ## Reproduce the tables of examples/multi-threshold; what is trained is kept (over an hour).
	$(LOSSMITH) data fetch emoji
	@set -e; for data in fashion-mnist emoji expressions why; do $(LOSSMITH) sweep examples/multi-threshold/$$data-sweep.toml; done

bench: plugins ## Time components against native code, large batches, batches in parts, and edits of a running training.
	$(LOSSMITH) plugin build tests/guests/operations
	cargo bench -p lossmith --profile dev --bench plugins
	cargo bench -p lossmith --profile dev --bench large-batches
	cargo bench -p lossmith --profile dev --bench micro-batches
	@# A component that was compiled before would not be compiled again.
	XDG_CACHE_HOME=$$(mktemp -d) cargo bench -p lossmith --profile dev --bench session

# Each side has the machine for itself; other programs that run meanwhile are in the figures.
PEERS := target/peers
# Cases with a target of 0.8, and those that came out nearest to 1: measured three times, both sides in turns. The medians count.
AGAIN := contrastive multi-similarity sup-con batch-hard cross-batch-memory hdc
OURS := cargo bench --quiet -p lossmith --profile dev --bench peers --
THEIRS := .python/bin/python scripts/peers/theirs.py
peers: plugins ## Compare with torch.compile and pytorch-metric-learning in one run (660 MB of downloads, then about half an hour).
	@scripts/setup.sh peers
	@mkdir -p $(PEERS)
	$(OURS) > $(PEERS)/ours.jsonl
	$(THEIRS) > $(PEERS)/theirs.jsonl
	set -e; for round in 2 3; do $(OURS) $(AGAIN) >> $(PEERS)/ours.jsonl; $(THEIRS) $(AGAIN) >> $(PEERS)/theirs.jsonl; done
	@python3 scripts/peers/table.py $(PEERS)/ours.jsonl $(PEERS)/theirs.jsonl
	@echo
	.python/bin/python scripts/peers/compiled.py --bench "$(OURS)"

# Of each figure so many seconds are measured; a training of a ResNet-50 takes seconds a step.
MEASURED ?= 12
throughput: build ## Compare images per second with a loop in PyTorch in one run (660 MB of downloads, then under ten minutes).
	@scripts/setup.sh peers
	.python/bin/python scripts/throughput/images.py target/throughput/images
	cargo bench --quiet -p lossmith --profile dev --bench loading --no-run
	.python/bin/python scripts/throughput/table.py --command $(LOSSMITH) --seconds $(MEASURED) \
		--bench "cargo bench --quiet -p lossmith --profile dev --bench loading --"

ranks: build ## Compare images per second of one process with those of two ranks (five minutes).
	scripts/ranks/table.py --command $(LOSSMITH)

bench-python: build python ## Time the Python module against the command and pytorch-metric-learning in one run (half an hour).
	.python/bin/python scripts/python-bench/table.py --command $(LOSSMITH)

bench-board: build ## Time the board on 1,000 runs, on a long one, and beside a training (1.5 GB of files for the time being).
	scripts/board/bench.py $(LOSSMITH)

torture: setup ## A thousand reloads of a running training with random faults.
	LOSSMITH_TORTURE=1000 cargo test -p lossmith --test training session::torture -- --nocapture

doctor: build ## Print what was found and what is missing.
	@$(LOSSMITH) doctor
