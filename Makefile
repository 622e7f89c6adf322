# The few commands that people type. `make help` lists them.
# Each installs or builds what it lacks, says what it does while it does it, and is quick the second time.
# Cargo is always given the whole workspace: another selection has other features of shared crates, and half of them would
# be compiled again.

.PHONY: help demo test test-offline bench plugins kafka databases prepare lint
.DEFAULT_GOAL := help
SHELL := /bin/bash

CARGO ?= cargo
GRISTMILL := target/debug/gristmill

help: ## list the commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 24

demo: plugins ## run the whole system on the embedded broker, kill it in the middle, check every promise
	@.ci/say "building the host (minutes the first time, seconds after that)"
	@$(CARGO) build --quiet --workspace --bin gristmill
	@$(GRISTMILL) demo

test: plugins kafka databases ## all tests; needs Java 17 and Maven for the real Kafka
	@.ci/test all

test-offline: plugins databases ## the tests that need no Java
	@.ci/test offline

bench: plugins kafka ## measure the host against native loops on a real Kafka, and print a report
	@.ci/say "building the host and the benchmark with optimisations (minutes the first time)"
	@$(CARGO) build --quiet --release --workspace --bins
	@target/release/bench

plugins: prepare ## compile the bundled plugins to WebAssembly components
	@.ci/say "building the bundled plugins for WebAssembly"
	@$(CARGO) build --quiet --workspace --bin gristmill-build
	@target/debug/gristmill-build --bundled

kafka: ## fetch a real Apache Kafka through Maven, and the clients that the suite puts beside ours
	@.ci/prepare clients
	@.ci/say "fetching Apache Kafka through Maven (once)"
	@tests/kafka/kafka.sh fetch

databases: ## install the database servers that the tests of SQL ingests start: PostgreSQL and MariaDB
	@.ci/prepare databases

prepare: ## install the system packages and the WebAssembly target that are missing
	@.ci/prepare

lint: ## formatting, clippy, documentation
	@.ci/test lint
