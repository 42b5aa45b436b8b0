# The words of this project; `make` alone lists them. CI (.ci/run) uses the same.
BIN      := mcp-oauth-server
TARGET   := $(or $(CARGO_TARGET_DIR),target)
DEBUG    := $(TARGET)/debug/$(BIN)
PYTHON   ?= python3
NGINX    ?= nginx
CADDY    ?= caddy
CHROMIUM ?= $(firstword $(wildcard /usr/bin/chromium /usr/bin/chromium-browser /usr/bin/google-chrome))

# `make static` uses musl where the toolchain has it, else glibc linked statically.
ARCH     := $(shell uname -m)
MUSL     := $(ARCH)-unknown-linux-musl
GNU      := $(ARCH)-unknown-linux-gnu
HAVE_MUSL = $(wildcard $(shell rustc --print target-libdir --target $(MUSL) 2>/dev/null)/libstd-*.rlib)
STATIC   ?= $(if $(HAVE_MUSL),$(MUSL),$(GNU))

# $(call need,PROGRAM,WHAT TO DO): stops with a plain sentence where a program is missing.
need = command -v $(1) >/dev/null || { echo "$(1) is missing: $(2)" >&2; exit 1; }
need_rust = $(call need,cargo,install Rust from https://rustup.rs) && \
	$(call need,cc,install a C compiler$(comma) which Rust links with (Debian: apt-get install gcc libc6-dev))
comma := ,

.DEFAULT_GOAL := help
.PHONY: clients-field help run test check fmt clippy doc build clients clients-all browser conformance deploy-check soak bench bench-build bench-peers bench-check bench-doc growth attack differential drain faults tls fuzz fuzz-check static audit deps clean

help: ## list these words
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

run: ## serve on 127.0.0.1:3001 with a simulated GitHub; needs no account
	@$(need_rust)
	MCP_STATE_DIR=$${MCP_STATE_DIR:-run} cargo run --locked -- demo

test: ## all tests that need the Rust toolchain alone
	@$(need_rust)
	cargo test --locked

check: fmt clippy test doc ## what must pass before a commit

fmt:
	cargo fmt --check

clippy:
	cargo clippy --locked --all-targets -- -D warnings

doc:
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps

build:
	@$(need_rust)
	cargo build --locked

clients: build tests/clients/ts/node_modules/.package-lock.json tests/clients/ts2/node_modules/.package-lock.json tests/clients/python/.venv/ready ## the official SDKs log in and call tools, one by its client metadata document
	@$(call need,ip,apt-get install iproute2)
	@$(call need,openssl,apt-get install openssl)
	node tests/clients/ts/walk.mjs $(DEBUG)
	tests/clients/python/.venv/bin/python tests/clients/python/walk.py $(DEBUG)
	sh tests/clients/document.sh $(DEBUG)

NODE_CLIENTS   = ts2 inspector mcp-remote
PYTHON_CLIENTS = python2 fastmcp
clients-all: clients $(NODE_CLIENTS:%=tests/clients/%/node_modules/.package-lock.json) $(PYTHON_CLIENTS:%=tests/clients/%/.venv/ready) ## more real clients, among them FastMCP, MCP Inspector, mcp-remote and rmcp; CLIENTS=rmcp runs one
	cargo build --locked --manifest-path tests/clients/rmcp/Cargo.toml --target-dir $(TARGET)/rmcp
	node tests/clients/all.mjs sdks $(DEBUG) $(TARGET)/rmcp/debug/rmcp-walk

# A gigabyte of packages: pinned, not locked, and not part of .ci/run.
FIELD_PYTHON = tests/clients/field/frameworks/.venv/ready tests/clients/field/old/.venv/ready
clients-field: build tests/clients/field/node_modules/ready $(FIELD_PYTHON) ## Codex, Gemini CLI, Copilot CLI, opencode, use-mcp and other clients log in; CLIENTS=Mastra runs one
	@test -n "$(CHROMIUM)" || { echo "Chromium is missing: apt-get install chromium, or make clients-field CHROMIUM=/path" >&2; exit 1; }
	@$(call need,tmux,apt-get install tmux)
	node tests/clients/all.mjs field $(DEBUG) $(CHROMIUM)

tests/clients/field/node_modules/ready: tests/clients/field/package.json
	@$(call need,npm,install npm$(comma) which comes with Node.js 20 or newer)
	npm install --prefix tests/clients/field --no-package-lock --no-audit --no-fund
	@touch $@

browser: build tests/browser/node_modules/.package-lock.json ## Chromium walks through a login; screenshots in target/browser
	@test -n "$(CHROMIUM)" || { echo "Chromium is missing: apt-get install chromium, or make browser CHROMIUM=/path" >&2; exit 1; }
	@$(call need,openssl,apt-get install openssl)
	node tests/browser/walk.mjs $(DEBUG) $(CHROMIUM) $(TARGET)/browser

conformance: tests/conformance/node_modules/.package-lock.json ## the official conformance suites, behind a real login; results in target/conformance
	@$(need_rust)
	cargo build --locked --example conformance
	node tests/conformance/run.mjs $(TARGET)/debug/examples/conformance $(TARGET)/conformance

deploy-check: build ## a login and a stream through nginx and Caddy with the examples of docs/deploy; systemd looks at the unit
	@$(call need,$(NGINX),apt-get install nginx$(comma) or make deploy-check NGINX=/path)
	@$(call need,curl,apt-get install curl)
	@$(call need,$(PYTHON),install Python 3.11 or newer)
	sh tests/deploy/check.sh $(DEBUG) $(NGINX) $(CADDY)

%/node_modules/.package-lock.json: %/package-lock.json
	@$(call need,node,install Node.js 18 or newer)
	@node -e 'process.exit(parseInt(process.versions.node) < 18 ? 1 : 0)' || { echo "Node.js 18 or newer is needed; this is $$(node --version)" >&2; exit 1; }
	@$(call need,npm,install npm$(comma) which comes with Node.js)
	npm ci --prefix $* --no-audit --no-fund
	@touch $@

%/.venv/ready: %/requirements.txt
	@$(call need,$(PYTHON),install Python 3.10 or newer)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "Python 3.10 or newer is needed; this is $$($(PYTHON) --version)" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "Python's venv module is missing: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $*/.venv
	$*/.venv/bin/pip install --quiet --no-deps --requirement $<
	@touch $@

FUZZ_SECONDS ?= 30
FUZZ_TARGETS = $(sort $(basename $(notdir $(wildcard tests/fuzz/targets/*.rs))))
CARGO_FUZZ   = $(TARGET)/tools/bin/cargo-fuzz

# cargo-fuzz wants nightly for the address sanitizer alone; RUSTC_BOOTSTRAP lets the stable compiler take that flag.
fuzz: $(CARGO_FUZZ) ## each parser of strangers' bytes against libFuzzer and a slow reader, FUZZ_SECONDS=30 each
	@$(call need,c++,install a C++ compiler$(comma) with which libFuzzer is built (Debian: apt-get install g++))
	@set -e; for target in $(FUZZ_TARGETS); do \
	  mkdir -p $(TARGET)/fuzz/corpus/$$target $(TARGET)/fuzz/findings/$$target; \
	  RUSTC_BOOTSTRAP=1 $(CARGO_FUZZ) run --fuzz-dir tests/fuzz --target-dir $(TARGET)/fuzz $$target \
	    $(TARGET)/fuzz/corpus/$$target tests/fuzz/seeds/$$target -- -max_total_time=$(FUZZ_SECONDS) \
	    -artifact_prefix=$(TARGET)/fuzz/findings/$$target/ -print_final_stats=1; \
	done

fuzz-check: ## the fuzz targets compile
	@$(need_rust)
	RUSTC_BOOTSTRAP=1 cargo check --locked --manifest-path tests/fuzz/Cargo.toml --target-dir $(TARGET)/fuzz-check

$(CARGO_FUZZ):
	@$(need_rust)
	cargo install --locked --quiet --root $(TARGET)/tools cargo-fuzz@0.13.2

# The binary with the demo's tools, as it is released; SOAK_SECONDS=600 by default.
soak: ## a hundred people and a thousand sessions over a bad network, SOAK_SECONDS=600
	@$(need_rust)
	@$(call need,$(PYTHON),install Python 3.11 or newer)
	cargo build --locked --release
	$(PYTHON) tests/soak/soak.py $(TARGET)/release/$(BIN)

BENCH   = $(TARGET)/bench
MEASURE = $(PYTHON) tests/bench/bench.py $(BENCH)/release $(TARGET)/release/$(BIN) $(BENCH)
# BENCH_ONLY, BENCH_SERVERS, BENCH_ROUNDS, BENCH_SECONDS: tests/bench/bench.py says what they mean.
bench: bench-build $(if $(BENCH_ONLY),,bench-peers static) ## ours and the peers side by side in a quarter of an hour; BENCH_ONLY=quick in two minutes
	$(MEASURE)

growth: bench-build ## what a call costs as connections, sessions, grants, tools and streams grow
	BENCH_ONLY=growth $(MEASURE)

bench-doc: ## put what make bench and make growth found last into docs/performance.md
	$(PYTHON) tests/bench/report.py $(BENCH) docs/performance.md

bench-build:
	@$(need_rust)
	@$(call need,$(PYTHON),install Python 3.11 or newer)
	cargo build --locked --release
	cargo build --locked --release --manifest-path tests/bench/Cargo.toml --target-dir $(BENCH)

# What cannot be had is left out of the table.
bench-peers:
	-@$(MAKE) --no-print-directory tests/bench/node/node_modules/.package-lock.json
	-@$(MAKE) --no-print-directory tests/bench/python/.venv/ready

bench-check: ## the programs of make bench compile
	@$(need_rust)
	cargo check --locked --manifest-path tests/bench/Cargo.toml --target-dir $(TARGET)/bench-check --all-targets

# ATTACK_SECONDS of random bytes; the other attacks take about two minutes.
attack: ## strangers do their worst to the release binary, ATTACK_SECONDS=600; somebody logs in meanwhile
	@$(need_rust)
	@$(call need,$(PYTHON),install Python 3.11 or newer)
	@$(call need,ip,apt-get install iproute2)
	cargo build --locked --release
	$(PYTHON) tests/attack/attack.py $(TARGET)/release/$(BIN)

drain: build ## SIGTERM in the middle of calls, streams and logins, DRAIN_ROUNDS=20: nothing that was sent is lost
	@$(call need,$(PYTHON),install Python 3.11 or newer)
	$(PYTHON) tests/drain/drain.py $(DEBUG)

tls: build ## curl and Chromium over TLS, while the certificate is replaced
	@test -n "$(CHROMIUM)" || { echo "Chromium is missing: apt-get install chromium, or make tls CHROMIUM=/path" >&2; exit 1; }
	@$(call need,openssl,apt-get install openssl)
	@$(call need,curl,apt-get install curl)
	$(PYTHON) tests/tls/tls.py $(DEBUG) $(CHROMIUM)

faults: build ## full, read-only and removed disks and files, clocks that jump: what clients and the operator see
	@$(call need,$(PYTHON),install Python 3.11 or newer)
	@$(call need,faketime,apt-get install faketime)
	@$(call need,cc,install a C compiler)
	$(PYTHON) tests/faults/faults.py $(DEBUG)

DIFFERENTIAL_STREAMS ?= 60000
differential: ## the same bytes to our edge, nginx and hyper, DIFFERENTIAL_STREAMS=60000: nothing is read differently
	@$(need_rust)
	@$(call need,$(NGINX),apt-get install nginx$(comma) or make differential NGINX=/path)
	cargo build --locked --manifest-path tests/differential/Cargo.toml --target-dir $(TARGET)/differential
	$(TARGET)/differential/debug/differential $(NGINX) $(DIFFERENTIAL_STREAMS)

static: ## one static binary in dist/, checked to run in an empty root directory
	@$(need_rust)
	@echo "static target: $(STATIC)"
	env -u RUSTFLAGS -u CARGO_ENCODED_RUSTFLAGS \
	  CARGO_TARGET_$(shell echo $(STATIC) | tr a-z- A-Z_)_RUSTFLAGS="-C target-feature=+crt-static -C link-arg=-Wl,-z,relro,-z,now -C link-arg=-Wl,-z,pack-relative-relocs" \
	  cargo build --locked --release --target $(STATIC)
	install -D $(TARGET)/$(STATIC)/release/$(BIN) dist/$(BIN)
	sh tests/verify-static.sh dist/$(BIN)

# Every crate that is linked in, for Linux; our own left out.
TREE = cargo tree --locked --edges normal --target $(GNU) --prefix none | \
	sed 's/ (\*)$$//; s/ (proc-macro)$$//' | grep -v '^$(BIN) ' | sort -u

audit: ## compare the crates with deps.txt; count them, and the product lines of each module
	@$(TREE) | diff deps.txt - || { echo "deps.txt is not what would be linked in; if that is meant: make deps" >&2; exit 1; }
	@echo "crates: $$(wc -l < deps.txt)"
	@echo "product lines (neither blank nor comment nor test), by ring:"
	@cargo test --locked --quiet --test tidy size:: -- --nocapture --test-threads 1 | sed 's,^[.]*,,' | grep -E '^ *[0-9]+  '
	@echo "constants in limits: $$(cat src/base/limits.rs src/base/limits/*.rs | grep -c 'const '); public root modules: $$(grep -c '^pub mod' src/lib.rs)"

deps: ## write deps.txt anew
	$(TREE) > deps.txt

clean: ## remove everything that was built
	cargo clean
	rm -rf dist run tests/browser/node_modules tests/conformance/node_modules tests/clients/*/node_modules tests/clients/*/.venv tests/clients/field/*/.venv tests/bench/node/node_modules tests/bench/python/.venv
