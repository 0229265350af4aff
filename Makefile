.DEFAULT_GOAL := help
.PHONY: help test generate build fuzz nightly

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

fuzz: ## every fuzz target for FUZZTIME (30s); what they find stays in testdata/fuzz
	@found=; \
	for dir in $$(grep -rl --include='*_test.go' --exclude-dir=node_modules '^func Fuzz' . | xargs -r -n1 dirname | sort -u); do \
		names=$$(go test -list '^Fuzz' $$dir | grep '^Fuzz') || exit 1; \
		for name in $$names; do \
			echo "fuzz: $$name in $$dir"; \
			go test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) $$dir || found="$$found $$name"; \
		done; \
	done; \
	test -z "$$found" || { echo "fuzz: failed:$$found" >&2; exit 1; }

nightly: ## what takes hours: every fuzz target for ten minutes
	@$(MAKE) --no-print-directory fuzz FUZZTIME=10m
