# Every task of this repository. `make` alone lists them.
#
# Variables:
#   SWIFT_FLAGS   more flags for swift build and swift test (CI: -Xswiftc -warnings-as-errors)
#   MARTLET_STATE where the local stack keeps its data (default .martlet)

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.ONESHELL:
# The targets share one .build folder and two cores; each tool runs in parallel by itself.
.NOTPARALLEL:
MAKEFLAGS += --no-builtin-rules --no-print-directory

SWIFT_FLAGS ?=
RELEASE := .build/release/martlet
SWIFT_SOURCES := Sources Tests Package.swift $(wildcard Benchmarks)

.PHONY: help demo demo-serve test test-swift test-python test-slow test-gpu test-faults lint format build release up down status \
	bench-fleet bench-artifacts bench-gateway install-build install-stack install-test install-lint install-bench clean

help: ## List the tasks
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: ## Install, build, start the stack, run the security-qa pipeline, report; the stack stays up
	@deploy/demo.sh

demo-serve: ## After demo: serve the champion, roll a second version out under load, refuse two broken ones
	@deploy/demo-serve.sh

test: test-swift test-python ## All tests: unit, integration on real servers, Python

test-swift: install-test
	swift build --build-tests $(SWIFT_FLAGS)
	# Most integration tests wait for servers; more than a few at a time on two cores and they wait for each other.
	export SWT_EXPERIMENTAL_MAXIMUM_PARALLELIZATION_WIDTH=$${SWT_EXPERIMENTAL_MAXIMUM_PARALLELIZATION_WIDTH:-4}
	log=.build/test-swift.log
	if ! swift test --skip-build --disable-xctest $(SWIFT_FLAGS) 2>&1 | tee "$$log"; then
		# Thousands of lines after what went wrong: said again where it is looked for.
		printf '\nWhat failed (all of it is in %s):\n' "$$log" >&2
		grep -A 3 'recorded an issue' "$$log" | cut -c 1-2000 >&2 || tail -n 30 "$$log" >&2
		exit 1
	fi

test-python: install-test
	environment=$$(deploy/python/env.sh stages)
	cd Sources/Stages/Python
	"$$environment/bin/python" -m pytest

test-slow: install-test ## Python tests that take minutes: TinyLlama's architecture through train, merge, evaluate
	environment=$$(deploy/python/env.sh stages)
	cd Sources/Stages/Python
	"$$environment/bin/python" -m pytest -m slow

test-gpu: install-test ## Python tests on one NVIDIA GPU: train, merge, evaluate, exhausted memory; without a GPU they fail
	environment=$$(deploy/python/env.sh stages)
	cd Sources/Stages/Python
	"$$environment/bin/python" -m pytest -m gpu -rA --durations=0

test-faults: release ## Kills, stops, wiped and absent servers against the whole stack; up to half an hour
	Tests/faults/run.sh all

lint: install-lint ## Formatting, shell scripts, YAML, compose.yaml
	swift format lint --strict --recursive --parallel $(SWIFT_SOURCES)
	git ls-files -z -- '*.sh' .ci/run | xargs -0 shellcheck
	git ls-files -z -- '*.yaml' '*.yml' .yamllint | xargs -0 yamllint --strict
	docker-compose --file compose.yaml config --quiet

format: ## Rewrite the Swift sources in the project's format
	swift format --in-place --recursive --parallel $(SWIFT_SOURCES)

build: install-build ## Debug build
	swift build $(SWIFT_FLAGS)

install-build:
	@deploy/install.sh build

install-stack:
	@deploy/install.sh build stack python

install-test:
	@deploy/install.sh build stack python test

install-lint:
	@deploy/install.sh lint

install-bench:
	@deploy/install.sh build stack python bench

release: install-build ## Release build: .build/release/martlet
	swift build --configuration release --product martlet --static-swift-stdlib $(SWIFT_FLAGS)

up: install-stack release ## Start the whole stack on this machine
	$(RELEASE) up

down: ## Stop the stack; its data stays
	$(RELEASE) down

status: ## Show what runs where
	$(RELEASE) status

bench-fleet: install-bench release ## Tasks per second, latency and memory against Celery, Dramatiq and a bare loop
	Benchmarks/fleet/run.sh

bench-artifacts: install-bench release ## 1 GiB up and down against rclone and the AWS command line
	Benchmarks/artifacts/run.sh

bench-gateway: install-bench release ## Latency, CPU, memory, streams against vllm-router, nginx, HAProxy, LiteLLM
	Benchmarks/gateway/run.sh

clean: ## Remove what was built; data of the stack (.martlet) and caches stay
	rm -rf .build
