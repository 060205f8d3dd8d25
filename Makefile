# `make` alone lists what there is. Everything is built in the dev profile and in one target directory, so that nothing is
# built twice; the image, the benchmark and the guards alone are optimised.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help build crds chart fmt lint test test-oldest guards e2e demo bench binaries image reproduce tools

# On CI the committed Cargo.lock holds; `make LOCKED=--locked` does the same elsewhere.
LOCKED ?= $(if $(filter true,$(CI)),--locked)
# cargo-deny and cargo-auditable as scripts/install-tools leaves them.
CARGO_DENY := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/streamgate/cargo-deny-0.20.2/bin
CARGO_AUDITABLE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/streamgate/cargo-auditable-0.7.7/bin
# Envoy and Traefik, the same.
PEERS := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/streamgate/peers-envoy-1.40.0-traefik-3.7.15
# Where cargo builds.
TARGET := $(or $(CARGO_TARGET_DIR),target)
# WHAT=idle: the benchmark measures this alone.
WHAT ?=
# ONCE=1: the demo ends after its last step. CLUSTER=1: it is told on a Kubernetes control plane.
ONCE ?=
CLUSTER ?=
# KIND=1: the end-to-end tests run on a cluster of kind. TEST=name: that one alone.
KIND ?=
TEST ?=
# E2E_KUBECONFIG=file: on that cluster. Nothing of ours is built for one that isn't ours.
ON := $(if $(E2E_KUBECONFIG),given,$(if $(filter-out 0,$(KIND)),kind,own))
# ACCEPT=1: the guards' figures become what they count.
ACCEPT ?=
# ENGINE=docker: the image is made by the Dockerfile.
ENGINE ?=

help: ## Lists these targets
	@echo 'make TARGET, of'
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)$$/  \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 14

build: ## Builds all: the proxy is then target/debug/streamgate-proxy
	cargo build $(LOCKED) --workspace

crds: ## Writes crds/*.yaml, the CustomResourceDefinitions, from the types, and the chart's copies
	cargo run $(LOCKED) -p streamgate-crds --example definitions

chart: ## Writes the table of values in the chart's README.md from its values.yaml
	cargo run $(LOCKED) -p streamgate-tests --example chart-values

fmt: ## Formats the code
	cargo fmt --all

lint: ## Checks formatting, clippy without a warning, and what the dependencies may be
	cargo fmt --all --check
	cargo clippy $(LOCKED) --workspace --all-targets -- -D warnings
	PATH="$(CARGO_DENY):$$PATH" cargo deny $(LOCKED) check --hide-inclusion-graph bans licenses sources

# With --all-targets the dependencies have the features that the tests need too, so `cargo test` builds none of them again.
# The build comes first, for the tests start the binaries, and cargo doesn't know that.
test: tools ## Installs what is missing (as root or by sudo), lints, and runs all tests
	$(MAKE) --no-print-directory lint
	tests/cluster/cluster build
	$(MAKE) --no-print-directory image ENGINE=
	cargo build $(LOCKED) --workspace --all-targets
	$(MAKE) --no-print-directory guards
	cargo test $(LOCKED) --workspace

guards: ## Counts the instructions of the hot functions, and fails where one takes over 5 % more than is committed; ACCEPT=1 commits to what it counts
	scripts/guards $(if $(filter-out 0,$(ACCEPT)),--accept) $(LOCKED)

test-oldest: export KUBERNETES_VERSION := 1.34
test-oldest: tools ## Runs the tests of the cluster on the oldest Kubernetes that can be had
	tests/cluster/cluster build
	cargo build $(LOCKED) --workspace --all-targets
	cargo test $(LOCKED) -p streamgate-tests --test cluster --test node

# Features are those of the workspace's build, so that nothing is built twice.
e2e: tools ## Tests image and chart on a whole cluster, as root; KIND=1 on one that kind makes; E2E_KUBECONFIG=file on that one; TEST=name that test alone
	$(if $(filter own,$(ON)),tests/cluster/cluster build)
	$(if $(filter given,$(ON)),,$(MAKE) --no-print-directory image ENGINE=)
	cargo build $(LOCKED) --workspace --all-targets
	cargo test $(LOCKED) --workspace --test e2e -- --list $(TEST) | grep ': test$$' >/dev/null || { echo "no test is called $(TEST)" >&2; exit 1; }
	$(if $(filter kind,$(ON)),tests/cluster/kind $(TEST),cargo test $(LOCKED) --workspace --test e2e -- $(TEST))

# The first time with CLUSTER=1 the control plane and Helm are built, which takes minutes and needs Go.
demo: ## Shows it all on this machine, without root; ONCE=1 ends after the last step, by its outcome; CLUSTER=1 tells it by kubectl
	scripts/install-tools demo
	$(if $(filter-out 0,$(CLUSTER)),tests/cluster/control-plane build && scripts/helm version --short)
	cargo build $(LOCKED) -p streamgate-proxy -p streamgate-operator -p streamgate-demo
	"$(TARGET)/debug/streamgate-demo" $(if $(filter-out 0,$(ONCE)),--once) $(if $(filter-out 0,$(CLUSTER)),--cluster)

bench: ## Compares a released build with HAProxy, nginx, Envoy and Traefik: processor time, memory, latency; WHAT=idle measures that alone, WHAT='apply scale' the control plane
	scripts/install-tools bench
	cargo build $(LOCKED) --release -p streamgate-proxy -p streamgate-operator -p streamgate-bench
	STREAMGATE_PROXY="$(TARGET)/release/streamgate-proxy" STREAMGATE_OPERATOR="$(TARGET)/release/streamgate-operator" \
	    STREAMGATE_SYNC="$(TARGET)/release/streamgate-sync" STREAMGATE_PEERS="$(PEERS)" "$(TARGET)/release/streamgate-bench" $(WHAT)

binaries: ## Builds the image's binaries, static and stripped: target/image/binaries
	PATH="$(CARGO_AUDITABLE):$$PATH" scripts/image/binaries "$(TARGET)/image/binaries"

image: export IMAGE := ghcr.io/streamgate/streamgate
image: export VERSION := $(shell sed -nE 's/^version = "(.*)"/\1/p' Cargo.toml)
image: export REVISION = $(shell git describe --always --abbrev=40 --exclude='*' --dirty=-modified 2>/dev/null || echo unknown)
image: export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
ifeq ($(ENGINE),)
image: ## Makes the image target/image/streamgate.tar without a container engine; ENGINE=docker makes it by the Dockerfile
	scripts/install-tools image
	$(MAKE) --no-print-directory binaries
	scripts/image/pack "$(TARGET)/image/binaries" "$(TARGET)/image/streamgate.tar"
else
image:
	$(ENGINE) build --build-arg VERSION --build-arg REVISION --build-arg SOURCE_DATE_EPOCH --tag "$$IMAGE:$$VERSION" .
	mkdir -p "$(TARGET)/image"
	$(ENGINE) save --output "$(TARGET)/image/streamgate.tar" "$$IMAGE:$$VERSION"
endif

# Takes twice as long as the image.
reproduce: ## Makes the image of what is committed twice, in different places, and compares
	scripts/install-tools image
	scripts/image/reproduce

tools: ## Installs what `make test` and `make lint` need
	scripts/install-tools
