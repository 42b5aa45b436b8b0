# The everyday targets; `make` alone lists them, `make lab` those of the laboratory (tests/Makefile). CI (.ci/run) uses the same.
BIN      := mcp-oauth-server
TARGET   := $(or $(CARGO_TARGET_DIR),target)
DEBUG    := $(TARGET)/debug/$(BIN)

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
.PHONY: help lab run test check fmt clippy doc build static audit deps clean

# $(call targets_of,MAKEFILE): its documented targets.
targets_of = @sed -n 's/^\([a-z-]*\):.*\#\# \(.*\)/  make \1\t\2/p' $(1) | expand -t 28

help: ## list these targets
	$(call targets_of,Makefile)

lab: ## list the targets of the laboratory, which need more than Rust: conformance, clients, browser, attack, bench, fuzz and others
	$(call targets_of,tests/Makefile)

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

static: ## one static binary in dist/, checked to run in an empty root directory; FEATURES=valkey for replicas
	@$(need_rust)
	@echo "static target: $(STATIC)"
	env -u RUSTFLAGS -u CARGO_ENCODED_RUSTFLAGS \
	  CARGO_TARGET_$(shell echo $(STATIC) | tr a-z- A-Z_)_RUSTFLAGS="-C target-feature=+crt-static -C link-arg=-Wl,-z,relro,-z,now -C link-arg=-Wl,-z,pack-relative-relocs" \
	  cargo build --locked --release --target $(STATIC) $(if $(FEATURES),--features $(FEATURES))
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
	rm -rf dist run tests/browser/node_modules tests/conformance/node_modules tests/clients/*/node_modules tests/clients/*/.venv tests/clients/field/*/.venv tests/bench/node/node_modules tests/bench/python/.venv tests/bridge/*/node_modules tests/bridge/*/.venv

include tests/Makefile
