SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --warn-undefined-variables --no-builtin-rules --no-print-directory

# The only folder under cmd/; `kratos new` may have renamed it.
SERVICE := $(notdir $(firstword $(wildcard cmd/*)))
# Packages for `make test`, and additional flags for `go test` or `make bench`.
PKG ?= ./...
FLAGS ?=
# Duration of one turn of `make bench-service`.
SECONDS ?= 5
# Documents whose contract is in api/contract.txt; BREAK=confirmed accepts broken contracts.
CONTRACT := $(sort $(wildcard api/*/*/*.asyncapi.yaml))
BREAK ?=
# Version of the program that make static builds.
VERSION ?= dev

.PHONY: help
help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

.PHONY: run
run: ## Build and start the service with ./configs, in-process broker and SQLite; Ctrl-C drains it
	@scripts/build.sh ./bin/ ./cmd/...
	@exec ./bin/$(SERVICE) -conf ./configs

.PHONY: static
static: ## Build the service as one static program, bin/static/service, as deploy/Dockerfile does; VERSION=dev
	@CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '-s -w -X main.Version=$(VERSION)' -o bin/static/service ./cmd/$(SERVICE)

.PHONY: test
test: ## Run all tests, with the race detector if a C compiler exists
	@scripts/test.sh $(FLAGS) $(PKG)
	$(if $(filter ./...,$(PKG)),@cd kratosv3 && ../scripts/test.sh $(FLAGS) ./...)

.PHONY: scaffold-test
scaffold-test: ## Build, test and run services of every kind that kratos-mqtt new makes; make test takes one of each
	@SCAFFOLD=all go test -count=1 -timeout 40m ./internal/test/scaffold

.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME (30s); PKG=pattern picks some
	@scripts/fuzz.sh $(filter-out ./...,$(PKG))

.PHONY: check
check: check-format check-vet check-platforms check-tidy check-compatibility check-api check-contract check-proto check-asyncapi check-wire check-imports check-licences check-settings check-deploy check-lint ## Format, vet, lint, import rules, generated code, go.mod
	@echo "check: all good"

.PHONY: api
api: plugins ## Generate Go code and AsyncAPI documents from every .proto file; BREAK=confirmed accepts breaking changes of the contract
	@scripts/generate.sh .
	@go run ./tools/contract -write $(if $(filter confirmed,$(BREAK)),-confirm) api/contract.txt $(CONTRACT)

.PHONY: golden
golden: ## Regenerate the expected output and errors of the generators in tools/
	@go test -count=1 ./tools/internal/golden -run 'TestGolden|TestErrors' -update
	@go test -count=1 ./tools/internal/golden

.PHONY: licences
licences: ## Regenerate docs/licences.md, the licences of all dependencies
	@go run ./tools/licences -write docs/licences.md

.PHONY: settings
settings: ## Regenerate docs/guide/settings.md from the comments of config.proto
	@go run ./tools/settingspage -write docs/guide/settings.md

.PHONY: docs-test
docs-test: ## Compile and run every code block of the documents, and compare the output that they show
	@go test -count=1 ./internal/test/doctest/... ./tools/internal/guide/... ./tools/contract ./internal/test/migration ./mqtttest/eventfake ./mqtttest/brokerfake
	@go test -count=1 -run '^TestPage' ./tools/kratos-mqtt/internal/command
	@go test -count=1 -run 'OfTheGuide$$' ./internal/test/e2e
	@go test -count=1 -run '^(TestGuide|TestCommandLine|TestLayout)$$' ./internal/test/scaffold
	@cd kratosv3 && go test -count=1 ./transport/...

.PHONY: bench
bench: ## Compare our clients with other clients; FLAGS="-only publish -rounds 7"
	@cd bench && go build -o ../bin/bench .
	@exec ./bin/bench $(FLAGS)

.PHONY: bench-service
bench-service: ## Compare the service with the same steps written by hand; SECONDS=5 per turn, FLAGS="-databases sqlite -rounds 5"
	@go build -o ./bin/ ./cmd/...
	@cd bench && go build -o ../bin/handwritten ./handwritten && go build -o ../bin/bench-service ./service
	@exec ./bin/bench-service -server ./bin/$(SERVICE) -handwritten ./bin/handwritten -time $(SECONDS)s $(FLAGS)

.PHONY: faults
faults: ## Send messages while faults are injected, and report losses; MESSAGES= FAULTS= KINDS= PROTOCOL=3.1.1|5 BROKER=in-process|mosquitto SEED=
	@go build -o bin/faults ./tools/faults
	@exec ./bin/faults

.PHONY: cluster-test
cluster-test: ## Run collectors, savers and PostgreSQL around a cluster under load and faults; MESSAGES= FAULTS= KINDS= RATE= SEED= CLUSTER=nats|gmqtt|scripted|scripted-<preset>
	@go build -o ./bin/ ./cmd/... ./tools/clustertest
	@exec ./bin/clustertest ./bin/$(SERVICE)

.PHONY: soak
soak: ## Like faults, for DURATION=10m at RATE=1000 messages per second, with about one fault per second
	@go build -o bin/faults ./tools/faults
	@DURATION=$${DURATION:-10m} RATE=$${RATE:-1000} exec ./bin/faults

.PHONY: broker-tables
broker-tables: ## Measure the installed brokers and write the tables of docs/brokers
	@go test -count=1 ./tools/kratos-mqtt/internal/doctor -run TestBrokers -update

.PHONY: adopt
adopt: .tools/gofumpt ## Once after `kratos new NAME -r`: client ids, order of imports and requirements, and generated code follow the new name
	@scripts/rename.sh
	@go tool wire gen ./cmd/... ./internal/test/doctest/provider
	@wire=$$(go tool -n wire) && cd kratosv3 && $$wire gen ./internal/wired
	@.tools/gofumpt -w .
	@for module in . kratosv3 bench deploy mqtttest/internal/gmqtt; do (cd $$module && go mod tidy) || exit 1; done
	@! command -v protoc >/dev/null || $(MAKE) api

.PHONY: clean
clean: ## Remove everything that make built
	rm -rf bin .tools

# Parts of check. Each can be run separately.

.PHONY: check-format
check-format: .tools/gofumpt
	@echo "check: gofumpt"
	@diff=$$(.tools/gofumpt -d .) || true; [ -z "$$diff" ] || { echo "$$diff"; exit 1; }

.PHONY: check-vet
check-vet:
	@echo "check: go vet"
	@go vet ./...
	@go vet -tags noembedded ./...
	@cd bench && go vet ./...
	@cd deploy && go vet ./...
	@cd kratosv3 && go vet ./...

# The library is for these systems, too; CI runs the tests on Linux only.
.PHONY: check-platforms
check-platforms:
	@for os in darwin windows; do \
		echo "check: go vet for $$os"; \
		GOOS=$$os go vet ./... && (cd kratosv3 && GOOS=$$os go vet ./...) || exit 1; \
	done

.PHONY: check-compatibility
check-compatibility: .tools/apidiff
	@echo "check: API compatibility"
	@scripts/check-compatibility.sh .tools/apidiff

.PHONY: check-tidy
check-tidy:
	@echo "check: go mod tidy"
	@go mod tidy -diff
	@cd bench && go mod tidy -diff
	@cd deploy && go mod tidy -diff
	@cd kratosv3 && go mod tidy -diff
	@cd mqtttest/internal/gmqtt && go mod tidy -diff

.PHONY: check-api
check-api: plugins
	@echo "check: generated code"
	@scripts/check-generated.sh

.PHONY: check-contract
check-contract:
	@echo "check: contract"
	@go run ./tools/contract api/contract.txt $(CONTRACT)

.PHONY: check-proto
check-proto:
	@echo "check: buf lint"
	@scripts/check-proto.sh

.PHONY: check-asyncapi
check-asyncapi:
	@echo "check: AsyncAPI documents"
	@scripts/check-asyncapi.sh

.PHONY: check-wire
check-wire:
	@echo "check: wire"
	@go tool wire diff ./cmd/... ./internal/test/doctest/provider
	@wire=$$(go tool -n wire) && cd kratosv3 && $$wire diff ./internal/wired

.PHONY: check-imports
check-imports:
	@echo "check: import rules"
	@go test -count=1 ./internal/test/repotest -run 'Import|Rooms|Embedded|Length|Methods|English|Tics|Picture'

.PHONY: check-licences
check-licences:
	@echo "check: licences"
	@go run ./tools/licences docs/licences.md

.PHONY: check-settings
check-settings:
	@echo "check: page of settings"
	@go run ./tools/settingspage docs/guide/settings.md

.PHONY: check-deploy
check-deploy:
	@echo "check: deploy"
	@cd deploy && go test -count=1 ./...

.PHONY: check-lint
check-lint:
	@echo "check: golangci-lint"
	@scripts/lint.sh .tools/golangci-lint

# Tools at the versions of go.tool.mod.

.PHONY: plugins
plugins: .tools/protoc-gen-go .tools/protoc-gen-go-grpc own-plugins

# The plugins of this module. go build detects changes itself.
.PHONY: own-plugins
own-plugins:
	@go build -o .tools/ ./tools/protoc-gen-go-mqtt ./tools/protoc-gen-mqtt-asyncapi

# npm packages that tests and checks run: exactly those of the lock file, without their
# install scripts.
.PHONY: npm
npm: .tools/npm/node_modules/.package-lock.json ## Install the npm packages that some tests and checks run

.tools/npm/node_modules/.package-lock.json: scripts/npm/package.json scripts/npm/package-lock.json
	@mkdir -p .tools/npm
	@cp scripts/npm/*.json .tools/npm/
	@npm ci --ignore-scripts --silent --no-audit --no-fund --prefix .tools/npm
	@touch $@

# The NATS server is a program of its own: its modules are not ours.
.PHONY: nats
nats: .tools/nats-server ## Build the NATS server that some tests start

.tools/nats-server:
	@echo "building nats-server"
	@GOBIN=$(CURDIR)/.tools go install github.com/nats-io/nats-server/v2@v2.15.2

# So is gmqtt, which is pinned by a go.mod of its own.
.PHONY: gmqtt
gmqtt: .tools/gmqttd ## Build the gmqtt broker that some tests start

.tools/gmqttd: mqtttest/internal/gmqtt/go.mod mqtttest/internal/gmqtt/go.sum
	@echo "building gmqttd"
	@cd mqtttest/internal/gmqtt && go build -o $(CURDIR)/$@ github.com/DrmagicE/gmqtt/cmd/gmqttd
	@touch $@

.tools/apidiff:
	@echo "building apidiff"
	@GOBIN=$(CURDIR)/.tools go install golang.org/x/exp/cmd/apidiff@v0.0.0-20261011100332-faecfb24eb49

.tools/gotestsum:
	@echo "building gotestsum"
	@GOBIN=$(CURDIR)/.tools go install gotest.tools/gotestsum@v1.13.0

.tools/protoc-gen-go: PACKAGE := google.golang.org/protobuf/cmd/protoc-gen-go
.tools/protoc-gen-go-grpc: PACKAGE := google.golang.org/grpc/cmd/protoc-gen-go-grpc
.tools/gofumpt: PACKAGE := mvdan.cc/gofumpt
.tools/golangci-lint: PACKAGE := github.com/golangci/golangci-lint/v2/cmd/golangci-lint

.tools/%: go.tool.mod go.tool.sum
	@echo "building $*"
	@go build -modfile=go.tool.mod -o $@ $(PACKAGE)
	@touch $@
