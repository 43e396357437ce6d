# One line a target; what takes more is Go, under tools.
LINT := go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
WORKFLOWS := go run github.com/rhysd/actionlint/cmd/actionlint@v1.7.12 -shellcheck= -pyflakes=
SPELLING := go run github.com/golangci/misspell/cmd/misspell@v0.8.0 -error
# What people read, and JavaScript; golangci-lint checks the spelling of Go.
SPELT = $$(git ls-files '*.md' .env.example docs/openapi.yaml deploy web/console clients/js/src 'web/src/*.js' ':!web/src/lang')
# SQLite and its C library are C that was made into Go: the race detector has nothing to find in them, and nearly doubles what their tests cost.
RACE := -race $(foreach p,sqlite/lib libc memory,-gcflags='modernc.org/$(p)=-race=false -d=checkptr=0')
# Every test; none is skipped. Those with browsers come last and have the cores for themselves: several depend on when a browser draws. LONG are those
# that take the longest of the others, so they start first.
ALL := RELAY_TEST_ALL=1 CGO_ENABLED=1 go test -timeout 40m
WEB := ./web ./clients/js ./deploy
LONG := ./relay ./cmd/relay ./examples ./relay/internal/store/redis ./tools/chaos ./relay/internal/stream
FUZZTIME ?= 20s
IMAGE ?= anyframe-relay

.PHONY: help check test test-race test-plain test-web quick lint fmt soak chaos fuzz bench bench-full bench-go bench-web bench-sse bench-store footprint structure newcomer pages js demo run image vuln release

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

check: lint test ## all that CI runs

test: ## install what the tests need, then run every one of them
	go run ./tools/setup && $(MAKE) --no-print-directory -j 2 test-race test-plain && $(MAKE) --no-print-directory test-web

test-race:
	$(ALL) $(RACE) -p 4 $(LONG) $$(go list ./... | grep -vxF "$$(go list $(LONG) $(WEB))")

test-web:
	$(ALL) $(RACE) -p 2 $(WEB)

# What the race detector would slow down or distort, and the other modules.
test-plain:
	$(ALL) -run 'Soak|Large|Memory|AThousand|AllocatesNothing|SameAllocations' ./relay ./relay/internal/conversation ./relay/internal/intake ./relay/internal/limits ./relay/internal/message ./relay/internal/stream && go -C bench test ./... && go -C deploy/kubernetes test ./...

quick: ## the tests of the small packages, in about a minute: no race detector, browser, Redis or proxy
	go test -short $$(go list ./... | grep -vE '/(relay|web|deploy|docs|examples|js|redis|redistest|chaos|release|newcomer)$$')

lint: ## linters, formatting, spelling, workflows, docs/openapi.yaml, whether the committed bundle is fresh and small, and what the program is built of
	$(LINT) run && $(SPELLING) $(SPELT) && $(WORKFLOWS) && go vet ./... && GOOS=windows go vet ./... && GOOS=darwin go vet ./... && go -C bench vet ./... && go -C deploy/kubernetes vet ./... && go test -count 1 -v -run '^(TestBundle_Sources_UpToDate|TestSizes)$$' ./web && go run ./tools/audit && go run ./tools/setup tools/openapi && npm --prefix tools/openapi run --silent lint

fmt: ## format all Go code
	$(LINT) fmt

soak: ## break everything at random for RELAY_SOAK, 1m unless told, or as RELAY_SEED says; prints the seed of a failure
	RELAY_SOAK=$${RELAY_SOAK:-1m} go test $(RACE) -timeout 0 -count 1 -run '^TestSoak$$' ./relay

chaos: ## kill, freeze and replace relays and Redis under a thousand streams for RELAY_CHAOS, 3m unless told
	go run ./tools/chaos

fuzz: ## run each fuzz test for FUZZTIME, 20s unless told
	go run ./tools/fuzz $(FUZZTIME)

bench: ## the relay beside nginx, Caddy and others, in minutes, and what a thousand sites cost
	go -C bench run ./load quick && go test -count 1 -v -run '^TestSites_AThousand' ./relay

bench-full: ## the same with thousands of visitors, for docs/benchmarks.md
	go -C bench run ./load -write full

bench-go: ## the hot path's Go benchmarks beside bench/baseline.txt
	go test -run '^$$' -bench '^Benchmark(Parse|Translate|Append|Wake|Write|Turn|SessionState)$$' -benchmem -count 6 -benchtime 100ms ./relay ./relay/internal/... | tee bench/now.txt && go run golang.org/x/perf/cmd/benchstat@v0.0.0-20260908200009-22c9c6c9d4da -ignore pkg bench/baseline.txt bench/now.txt

bench-web: ## the widget in Chromium beside deep-chat, for docs/benchmarks-web.md
	go run ./tools/setup && npm --prefix bench/web ci --no-audit --no-fund && node bench/web/bench.mjs

bench-sse: ## compare the client's event stream reader with two others
	cd bench && go test -run '^$$' -bench . -benchtime 2s

bench-store: ## each store with RELAY_BENCH_ROWS visitors, a million unless told
	RELAY_BENCH_ROWS=$${RELAY_BENCH_ROWS:-1000000} go test -timeout 0 -run '^$$' -bench 'Session|NotesSince' -benchtime 20000x ./relay/internal/store/stores

footprint: ## what a visitor costs the store and AnyFrame
	go test -count 1 -v -run '^TestFootprint$$' ./relay

structure: ## size, cycles, largest types and imports of each package; PATHS="FROM..TO" also counts a call's files
	go run ./tools/structure $(foreach path,$(PATHS),-path '$(path)')

pages: ## what Lighthouse and the Nu HTML checker (which takes Java) say of the pages that the relay serves
	go run ./tools/setup web tools/pages && node tools/pages/check.mjs

newcomer: ## do what README says, in a fresh clone with a fresh home
	go run ./tools/newcomer

js: ## bundle the widget into web/static
	go generate ./web

demo: ## the widget against a scripted control plane, no key needed
	go run ./cmd/relay demo

run: ## serve, with the settings of the environment and .env
	go run ./cmd/relay

image: ## build the container image
	docker build -f deploy/Dockerfile -t $(IMAGE) .

vuln: ## look for known vulnerabilities; needs the network
	go tool govulncheck ./...

release: ## build RELEASE, such as v1.2.3, for every platform into dist
	go run ./tools/release $(RELEASE) dist
