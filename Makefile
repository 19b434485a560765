# SPDX-License-Identifier: Apache-2.0
#
# The few commands that a person needs; Meson and Ninja do the work. Each target makes the machine ready first
# (tools/setup), which takes no time when there is nothing to do.
#
#   CC=clang make         another compiler           BUILD=build-asan make    another build directory
#   MESON_ARGS=-Db_sanitize=address,undefined        more arguments for Meson
#   ONLY=kernels make test                           the suites whose name holds that word

BUILD ?= build
ONLY ?=
BENCH_ARGS ?=
PEERS_ARGS ?=
TIME ?= 60
FUZZ_ARGS ?=
BASE ?= HEAD~1
GATE_ARGS ?=
SETUP = BUILD='$(BUILD)' sh tools/setup
NINJA = PATH="$(CURDIR)/.venv/bin:$$PATH" ninja -C '$(BUILD)'
MESON = PATH="$(CURDIR)/.venv/bin:$$PATH" meson
PACKAGE = PATH="$(CURDIR)/.venv/bin:$$PATH" .venv/bin/python -m pip install --quiet --disable-pip-version-check \
	--no-build-isolation --no-deps --config-settings=build-dir='$(BUILD)/python' \
	--config-settings=setup-args="-Donnxruntime_headers=$$(tools/fetch-onnxruntime-headers '$(abspath $(BUILD))/onnxruntime-headers' 2>/dev/null)" .

ifneq ($(origin CC),default)
export CC
endif
export MESON_ARGS

.DEFAULT_GOAL := build
.PHONY: build demo test check-all bench bench-peers gate fuzz package wheel format install clean distclean help

build: ## build the library and the command, as build/latchwork
	@$(SETUP) build
	@$(NINJA)

demo: ## find the speech in a recording with a trained LSTM
	@$(SETUP) demo
	@$(NINJA)
	@BUILD='$(BUILD)' sh examples/demo.sh

test: ## build and run all tests and checks
	@$(SETUP) test
	@$(NINJA)
	@$(PACKAGE)
	@BUILD='$(BUILD)' .venv/bin/python tools/run-tests $(ONLY)

check-all: ## everything of make test and what takes longer: all floats, 20,000 models, sanitizers, other CPUs (2 hours)
	@THOROUGH=yes $(SETUP) test
	@$(NINJA)
	@$(PACKAGE)
	@BUILD='$(BUILD)' .venv/bin/python tools/check-all $(ONLY)

bench: ## build and run the benchmarks
	@$(SETUP) bench
	@$(NINJA)
	@$(MESON) test -C '$(BUILD)' --benchmark --verbose --test-args='$(BENCH_ARGS)'

bench-peers: ## run the same work by PyTorch, ONNX Runtime, OpenVINO and oneDNN, in turn, and compare (PEERS_ARGS='--filter step')
	@$(SETUP) bench-peers
	@$(NINJA)
	@LATCHWORK_PEERS=bench/peers '$(BUILD)/latchwork' bench --workloads bench/peers/workloads.json --peers all \
		--peer-python .venv/bin/python --json '$(BUILD)/peers.json' --markdown '$(BUILD)/peers.md' $(PEERS_ARGS)

fuzz: ## fuzz the readers, the calls and a training step for TIME=60 seconds each (FUZZ_ARGS='--engine afl csv')
	@$(SETUP) fuzz
	@! .venv/bin/python -c 'import atheris' 2>/dev/null || $(PACKAGE) || echo 'The Python package could not be built.' >&2
	@python3 tools/fuzz --time $(TIME) $(FUZZ_ARGS)

gate: ## fail when this tree needs more instructions than the commit BASE (HEAD~1); GATE_ARGS=--help
	@$(SETUP) build
	@$(NINJA)
	@PATH="$(CURDIR)/.venv/bin:$$PATH" BUILD='$(BUILD)' sh tools/gate '$(BASE)' $(GATE_ARGS) || [ $$? = 77 ]

package: ## build the Python package and install it into .venv
	@$(SETUP) test
	@$(PACKAGE)

wheel: ## build the Python package for other machines into dist/ (PYTHON=python3.12 chooses the interpreter)
	@$(SETUP) build
	@python/make-wheel $(PYTHON)

format: ## rewrite the C sources in the style of .clang-format
	@$(SETUP) test
	@sh tools/check-format.sh --rewrite

install: build ## install the library, its header and the command (DESTDIR is honoured)
	@$(MESON) install -C '$(BUILD)' --no-rebuild --quiet

clean: ## remove the build directory
	@rm -rf '$(BUILD)'

distclean: clean ## remove the Python environment too
	@rm -rf .venv

help: ## show this list
	@echo 'make           $(shell sed -n "s/^build:.*## //p" Makefile)'
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1 \2/p' Makefile | while read -r name text; do \
		[ "$$name" = build ] || printf 'make %-9s %s\n' "$$name" "$$text"; done
