# Every target does all of its own set-up; what is there already is reused without network.

PREFIX ?= $(HOME)/.local
CARGO ?= cargo
BINARIES := runner server trainer

# sqlx would check our queries against it; ours are checked against the committed crates/store/.sqlx.
unexport DATABASE_URL

.DEFAULT_GOAL := help
.PHONY: help table4 build test test-long lint install uninstall golden golden-statistics bench-step bench-detection bench-loader bench-ingest bench-scale bench-pages results gpu-check docs-screenshots \
        prerequisites libtorch fashion-mnist test-tools clean distclean
.SUFFIXES:

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9%-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

table4: build fashion-mnist ## Table 4 of the paper in the quick profile: set up, build, train, print
	@target/release/runner reproduce table4

build: prerequisites libtorch ## all programs, optimised, into target/release/
	@$(CARGO) build --release --workspace

# ---- tests

test: prerequisites libtorch fashion-mnist test-tools ## every test but the long ones (what CI runs)
	@scripts/run-tests

test-long: prerequisites libtorch fashion-mnist test-tools ## the rest: tests marked #[ignore = "long: ..."]
	@scripts/run-tests --long

accept-%: build fashion-mnist ## accept-N: the acceptance lines of part N, one by one (see scripts/accept/)
	@scripts/accept/$*

lint: prerequisites libtorch ## formatting and clippy, warnings are errors
	@$(CARGO) fmt --all --check
	@$(CARGO) clippy --workspace --all-targets -- -D warnings

golden: ## golden loss traces and logits again from PyTorch (makes its own Python environment)
	@bench/peers/setup
	@.venv-peers/bin/python bench/peers/pytorch_golden.py
	@.venv-peers/bin/python bench/peers/pytorch_logits.py
	@.venv-peers/bin/python bench/peers/pytorch_fcn.py
	@.venv-peers/bin/python bench/peers/torchvision_ops.py
	@.venv-peers/bin/python bench/peers/golden_images.py

golden-statistics: ## golden statistics again from SciPy and statsmodels (makes its own Python environment)
	@bench/peers/setup statistics
	@.venv-statistics/bin/python bench/peers/statistics_golden.py

bench-step: build ## a training step beside PyTorch's, six networks (makes its own Python environment; 30 minutes)
	@bench/peers/setup
	@.venv-peers/bin/python bench/peers/pytorch_step.py $(ARGS)

bench-detection: build ## NMS, RoIAlign and detection beside torchvision's (makes its own Python environment)
	@bench/peers/setup
	@.venv-peers/bin/python bench/peers/torchvision_detection.py $(ARGS)

bench-loader: build ## the loader beside torchvision's and DALI's: ARGS=DIR, a directory of images (makes its own Python environment)
	@bench/peers/setup
	@bench/peers/setup loaders
	@.venv-peers/bin/python bench/peers/torchvision_loader.py $(ARGS)

bench-ingest: build ## points into the database, beside experiment trackers (makes its own Python environment)
	@bench/peers/setup trackers
	@.venv-trackers/bin/python bench/peers/trackers.py $(ARGS)

results: build fashion-mnist ## train the tables with 3 seeds and write docs/RESULTS.md (many hours; ARGS="table4:quick" for less)
	@scripts/make-results $(ARGS)

bench-scale: build ## 10,000 runs: planning, the scheduler's share of each, looking at them
	@bench/scale.py $(ARGS)

bench-pages: build ## the dashboard over 10,000 runs and 10^8 points: times of every address, 64 viewers beside a writer
	@$(CARGO) build --release -p rungs-server --example scale-home
	@bench/pages.py $(ARGS)

gpu-check: build fashion-mnist ## check the CUDA path on this machine's GPUs (docs/GPU.md); says so where there is none
	@scripts/gpu-check $(ARGS)

docs-screenshots: build test-tools ## pictures of every page into docs/images, from ./results (or RUNGS_HOME)
	@scripts/docs-screenshots

# ---- installation

install: build fashion-mnist ## programs, libtorch and Fashion-MNIST under PREFIX (default ~/.local)
	@scripts/install "$(DESTDIR)$(PREFIX)"

uninstall: ## remove what `make install` put under PREFIX
	@scripts/install --remove "$(DESTDIR)$(PREFIX)"

# ---- set-up, each idempotent

prerequisites:
	@scripts/check-prerequisites

libtorch: prerequisites
	@scripts/setup-libtorch

fashion-mnist: prerequisites
	@scripts/setup-fashion-mnist

test-tools: prerequisites
	@scripts/setup-test-tools

clean: ## remove what the compiler made
	@$(CARGO) clean

distclean: clean ## also remove libtorch, Fashion-MNIST and the tools set up here (never results/)
	@rm -rf .libtorch .libtorch.lock .libtorch.tmp.* .data .tools .venv-peers .venv-loaders .venv-statistics .venv-trackers .venv-api .venv-mlflow
