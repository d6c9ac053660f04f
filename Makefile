# Waybill's tasks. `make` alone lists them. Longer ones live in scripts/.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
# Go stamps the commit too; outside a checkout that git is willing to read it must not try.
STAMP    := $(if $(filter devel,$(VERSION)),false,auto)
FUZZTIME ?= 10s
# A chaos run: what it draws from (0: something new), how long things are broken, events accepted at least.
SEED     ?= 0
LENGTH   ?= 5m
EVENTS   ?= 10000
# How much a growing ledger is given: images in all, half of them under tags that named another (STREAMED
# of these tags move again and again, the others once), pulls in all, a run for each number of
# repositories, in how many parts it is measured, and where the plot goes.
PUSHES       ?= 1000000
PULLS        ?= 9000000
REPOSITORIES ?= 32,2000
PARTS        ?= 10
STREAMED     ?= 0.5
PLOT         ?= docs/growth.svg
# How many entries Tessera is given.
ENTRIES  ?= 1000000
# How often every certificate is renewed, and how long the new ones hold.
ROUNDS   ?= 3
LIFETIME ?= 4m
# How many sequences of acts a soak runs, and from which seed on.
SEQUENCES ?= 1000000
FROM      ?= 1
# The race detector needs a C compiler; without one Go itself turns cgo off.
RACE     := $(if $(filter 1,$(shell go env CGO_ENABLED)),-race)

.PHONY: help build images kms man test unit race lint e2e side oracle structure chaos chaos-planted soak soak-hosts recovery renewals bench bench-growth bench-tessera fuzz check demo demo-down clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## bin/waybill, bin/waybill-gateway, bin/waybill-chaincode, bin/waybill-verify
	@mkdir -p bin
	go build -trimpath -buildvcs=$(STAMP) -ldflags '-X main.version=$(VERSION)' -o bin/ ./cmd/...

# The PKCS#11 program needs a C compiler; the others are built without one.
kms: ## bin/sigstore-kms-*: programs that sign with keys of clouds, Vault and PKCS#11 tokens
	@mkdir -p bin
	go build -C tools/kms -trimpath -buildvcs=$(STAMP) -o $(CURDIR)/bin/ ./sigstore-kms-awskms ./sigstore-kms-gcpkms ./sigstore-kms-azurekms ./sigstore-kms-hashivault $(if $(RACE),./sigstore-kms-pkcs11)

# Dated by the commit, so that whoever has it makes the same. What was changed since bears no commit.
images: ## OCI images of every program, with SBOM and provenance, in bin/images: PUSH=registry/prefix PLATFORM=linux/amd64,linux/arm64
	@SOURCE_DATE_EPOCH=$${SOURCE_DATE_EPOCH:-$$(git log -1 --format=%ct 2>/dev/null || echo 0)} go run -C deploy/images . --source $(CURDIR) -o $(CURDIR)/bin/images \
	  --version '$(VERSION)' --commit "$$(git diff-index --quiet HEAD -- 2>/dev/null && git rev-parse HEAD || true)" $(if $(PLATFORM),--platform $(PLATFORM)) $(if $(PUSH),--push $(PUSH))

# What a package installs below /usr/share. SOURCE_DATE_EPOCH dates the man pages.
man: build ## man pages and shell completion for packages, in bin/share
	@scripts/man

test: ## everything: lint, race, side, e2e; says at the end what took how long
	@MAKE="$(MAKE)" scripts/test lint race side e2e

unit: ## fast tests of every package, property tests in their short form; no network, no server
	@scripts/unit

race: ## all tests of every package under the race detector: PostgreSQL too, property tests in full
	@$(if $(RACE),,echo "note: no C compiler here, so the race detector stays off")
	scripts/go-test $(RACE) -timeout 20m ./chaincode/... ./gateway/... ./cmd/...
	scripts/proof-coverage
	scripts/go-test -short -timeout 20m ./network/...

lint: ## formatting and linters (.golangci.yml)
	@scripts/lint

side: ## tests of the modules beside this one: keyless evidence against sigstore-go, programs that hold keys, images, chart
	@scripts/side

# Real processes on real ports: one package at a time, never from the cache,
# and aloud, since the first run builds Fabric on the way.
e2e: build ## real Fabric, real registry, the real binaries; import directions; faults
	scripts/go-test -v -count=1 -timeout 20m -p 1 ./network/... ./test/...

# The run ends itself: twelve minutes after LENGTH at the latest.
chaos: ## kill everything at random while events flow: SEED=n LENGTH=5m EVENTS=10000 (e2e has one of five minutes)
	go test -v -count=1 -timeout 0 -run TestChaos ./test/chaos -chaos.seed $(SEED) -chaos.length $(LENGTH) -chaos.events $(EVENTS)

chaos-planted: ## six gateways with a planted defect each, to see that the chaos run's checker catches them
	go test -v -count=1 -timeout 60m -run TestPlanted ./test/chaos -chaos.planted

soak: ## acts by those who obey nothing, on the contract and on a model of it: SEQUENCES=n FROM=seed
	@mkdir -p bin/diverged
	WAYBILL_MODEL_SEQUENCES=$(SEQUENCES) WAYBILL_MODEL_SEED=$(FROM) WAYBILL_MODEL_KEEP=$(CURDIR)/bin/diverged go test -v -count=1 -timeout 0 -run TestSequences ./test/model

# Twenty minutes; wants root, for namespaces.
soak-hosts: ## five hosts: each cut off for a minute, a long line between them, members that come and go (e2e has a short one)
	go test -v -count=1 -timeout 60m -run TestConsortium ./test/hosts -hosts.long

recovery: ## a host wiped, one with only its keys, two of four lost for good, on a channel of 10^5 events (e2e has a short one)
	go test -v -count=1 -timeout 30m ./test/recovery -recovery.events 100000

renewals: ## every certificate of a network whose leaf certificates live for minutes, three times, while events flow: ROUNDS=3 LIFETIME=4m
	go test -v -count=1 -timeout 0 -run TestRenewals ./test/renewal -renewal.rounds $(ROUNDS) -renewal.members 4 -renewal.unable 10s -renewal.pause 6s -renewal.lifetime $(LIFETIME)

oracle: ## keyless evidence with anything changed, ours against sigstore-go: SEED=n LENGTH=5m
	@mkdir -p bin/differ
	cd test/sigstore/oracle && WAYBILL_ORACLE=$(LENGTH) WAYBILL_ORACLE_SEED=$(SEED) WAYBILL_ORACLE_KEEP=$(CURDIR)/bin/differ go test -v -count=1 -timeout 0 -run TestOracle .

structure: ## how the source is built, in figures, since a revision: SINCE=rev
	@scripts/structure $(SINCE) .

bench: build ## throughput and latency on a real network
	go test -count=1 -timeout 30m -run '^$$' -bench . -benchtime 1x ./test/bench/...
	go test -count=1 -run '^$$' -bench Evaluate -benchmem ./chaincode/policy

# An hour and more; what it will need of the disk it says first.
bench-growth: build ## rates to final and to visible, disk and memory as a ledger grows: PUSHES=n PULLS=n REPOSITORIES=32,2000 PARTS=n
	@PUSHES=$(PUSHES) PULLS=$(PULLS) REPOSITORIES=$(REPOSITORIES) PARTS=$(PARTS) STREAMED=$(STREAMED) PLOT=$(PLOT) scripts/bench-growth

bench-tessera: ## entries/s of Tessera on POSIX with antispam, the reference of bench-growth: ENTRIES=n
	@ENTRIES=$(ENTRIES) scripts/bench-tessera

fuzz: ## each fuzz target for FUZZTIME (default 10s)
	@FUZZTIME=$(FUZZTIME) scripts/fuzz

check: ## generated files and go.mod are fresh
	@scripts/check

demo: build ## a push becomes a release that four organisations agreed on
	@scripts/demo

demo-down: ## stop what the demo left running
	@scripts/demo-down

clean: ## remove bin/ (networks and ledgers stay: see `waybill network reset`)
	rm -rf bin
