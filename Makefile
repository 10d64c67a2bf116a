# make test   everything that must hold before a change is merged
# make demo   a database, canald and a client on this screen, in under a minute
# make bench  throughput on this machine
#
# Needs a Rust toolchain and a C compiler. Databases, stock clients and tools are fetched into the
# user's cache folder; what cannot be had is skipped, and said.

CARGO  ?= cargo
CACHE  ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/canald
TARGET := $(or $(CARGO_TARGET_DIR),target)

CARGO_DENY_VERSION := 0.20.2
CARGO_DENY := $(CACHE)/tools/cargo-deny-$(CARGO_DENY_VERSION)/bin/cargo-deny

.PHONY: test demo bench fmt format lint fast corpora doc loom sim-check sim deny servers clean-servers
.DELETE_ON_ERROR:

# The quick ones first.
test: fmt lint fast corpora doc loom sim-check sim deny servers

# Is everything formatted? (`make format` does it.)
fmt:
	$(CARGO) fmt --all --check
	$(CARGO) fmt --manifest-path fuzz/Cargo.toml --check
	$(CARGO) fmt --manifest-path sim/Cargo.toml --check

format:
	$(CARGO) fmt --all
	$(CARGO) fmt --manifest-path fuzz/Cargo.toml
	$(CARGO) fmt --manifest-path sim/Cargo.toml

lint:
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	$(CARGO) clippy --manifest-path fuzz/Cargo.toml --all-targets --features seeds \
	    --target-dir $(TARGET)/fuzz -- -D warnings

doc:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --document-private-items

deny: $(CARGO_DENY)
	$(CARGO_DENY) --all-features check bans licenses sources
	$(CARGO_DENY) --manifest-path sim/Cargo.toml --config deny.toml check bans licenses sources

$(CARGO_DENY):
	$(CARGO) install cargo-deny --quiet --locked --version $(CARGO_DENY_VERSION) \
	    --root $(CACHE)/tools/cargo-deny-$(CARGO_DENY_VERSION) --target-dir $(TARGET)/tools

# The drivers must compile for the simulator, which is a build of its own.
sim-check:
	$(CARGO) check -p canald --lib --no-default-features \
	    --config "build.rustflags=['--cfg','madsim']" --target-dir $(TARGET)/madsim

# The whole daemon under seeded faults (sim/README.md): what the simulator is made of, the same seeds each
# time, others for each commit, runs that must repeat, what it found before, and bugs that it must find.
SIM_FLAGS := --manifest-path sim/Cargo.toml --config sim/.cargo/config.toml
SIM_CARGO := env -u RUSTFLAGS CARGO_TARGET_DIR=$(abspath $(TARGET))/sim $(CARGO)
COMMIT = $(or $(shell git rev-parse HEAD 2>/dev/null),0)

sim:
	$(SIM_CARGO) clippy $(SIM_FLAGS) --all-targets -- -D warnings
	$(SIM_CARGO) test $(SIM_FLAGS)
	RUSTDOCFLAGS="--cfg madsim -D warnings" $(SIM_CARGO) doc $(SIM_FLAGS) --no-deps --document-private-items
	$(SIM_CARGO) sim run --seeds 300
	$(SIM_CARGO) sim run --seeds 100 --from $(COMMIT)
	$(SIM_CARGO) sim run --seeds 20 --twice
	$(SIM_CARGO) sim replay sim/scenarios/*.toml
	$(SIM_CARGO) sim replay sim/scenarios/dead-source-while-clients-ask.toml --files $(TARGET)/sim/logs
	tests/servers tool mysql97 mysqlbinlog --verify-binlog-checksum $(TARGET)/sim/logs/binlog.* >/dev/null
	$(SIM_CARGO) sim mutants --check
	$(SIM_CARGO) sim mutants --three $(COMMIT)

loom:
	RUSTFLAGS="--cfg loom" $(CARGO) test -p canald-handoff --release --test loom --target-dir $(TARGET)/loom

# Unit tests, properties and golden files: no server, no network beyond loopback.
fast:
	$(CARGO) test --workspace --exclude canald-tests

# Inputs that the fuzzer found, on the stable compiler (fuzz/README.md).
corpora:
	$(CARGO) test --manifest-path fuzz/Cargo.toml --target-dir $(TARGET)/fuzz

# Real servers and stock clients.
servers:
	$(CARGO) test -p canald-tests

demo:
	$(CARGO) build -p canald --bin canald
	CANALD_BIN=$(TARGET)/debug/canald tests/demo

bench:
	$(CARGO) bench -p canald-benches

# Stops whatever a killed test left behind.
clean-servers:
	tests/servers stop --all
