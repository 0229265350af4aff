.DEFAULT_GOAL := help
.PHONY: help test generate build fuzz

ARGS     ?= ./...
FUZZTIME ?= 30s

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "%-10s %s\n", $$1, $$2 }' Makefile

test: ## every test; or some: make test ARGS='-run TestScenarios ./e2e'
	@.ci/test $(ARGS)

generate: ## write the generated code
	go generate ./...

build: ## ./latchkey, a static binary
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o latchkey .

fuzz: ## every fuzz target for FUZZTIME (30s)
	@set -e; \
	for dir in $$(grep -rl --include='*_test.go' --exclude-dir=node_modules '^func Fuzz' . | xargs -r -n1 dirname | sort -u); do \
		for name in $$(go test -list '^Fuzz' $$dir | grep '^Fuzz'); do \
			echo "fuzz: $$name in $$dir"; \
			go test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) $$dir; \
		done; \
	done
