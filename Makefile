# The commands of the project; `make` alone lists them.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

AWS ?= sim
IMAGE ?= arnkeeper:dev
BIN := $(or $(CARGO_TARGET_DIR),target)/debug
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/arnkeeper
DENY_VERSION := 0.20.2
DENY := $(CACHE)/cargo-deny-$(DENY_VERSION)/bin/cargo-deny
CRDS := crds charts/arnkeeper/templates/crds
need := @tests/stand/need
say = @printf '==> %s %s\n' "$$(date +%T)" $(1)

.PHONY: help
help: ## List the targets
	@sed -nE 's/^([a-z0-9-]+):[^#]*## (.*)/  make \1\t\2/p' Makefile | expand -t 20

.PHONY: test
test: build unit emulator demo e2e-sim e2e-moto drift crash-some move replicas chart uninstall metrics ## Every test: units, the emulator, the demo, end to end on both AWS, crashes, the chart, the alerts
	$(call say,"all tests passed")

.PHONY: check
check: ## Format, lints, documentation, licenses, generated files
	$(need) cargo cargo-fmt cargo-clippy cc
	$(call say,"format")
	@cargo fmt --all --check
	$(call say,"clippy")
	@cargo clippy --workspace --all-targets --locked -- -D warnings
	$(call say,"documentation")
	@RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked
	@$(MAKE) --no-print-directory deny crds-check
	$(call say,"all checks passed")

.PHONY: deny
deny: $(DENY)
	$(call say,"licenses and sources of the dependencies")
	@$(DENY) --workspace --locked check bans licenses sources

$(DENY):
	$(call say,"building cargo-deny $(DENY_VERSION) (once; about a minute and a half on two cores)")
	@env -u CARGO_TARGET_DIR CARGO_PROFILE_DEV_DEBUG=0 cargo install --quiet --debug --locked cargo-deny --version $(DENY_VERSION) \
	  --root $(CACHE)/cargo-deny-$(DENY_VERSION)

.PHONY: programs
programs:
	$(need) cargo cc go python3 openssl curl jq flock setsid
	$(call say,"programs")
	@cargo build --workspace --bins --locked

.PHONY: build
build: programs ## Build the programs, the tests and the control plane
	$(call say,"tests")
	@cargo test --workspace --lib --bins --test networks --test e2e --test drift --locked --no-run
	$(call say,"control plane")
	@tests/control-plane/build

.PHONY: unit
unit: build ## The tests that need nothing around them
	$(call say,"unit tests")
	@cargo test --workspace --lib --bins --test networks --locked

.PHONY: emulator
emulator: programs ## The emulated AWS, as boto3 sees it
	$(call say,"the emulator with boto3")
	@venv=$$(tests/stand/venv); PATH="$$venv/bin:$$PATH" tests/stand/stand run --aws sim --no-cluster -- \
	  bash -c 'tests/aws-sim/boto3-check "$$AWS_ENDPOINT_URL" 111122223333'

.PHONY: e2e-sim e2e-moto
e2e-sim: ## End to end on the emulator of this project
e2e-moto: ## End to end on moto
e2e-sim e2e-moto: e2e-%: build
	$(call say,"end to end on $*")
	@tests/stand/stand run --aws $* --operator $(if $(filter sim,$*),--proxy) -- \
	  cargo test --workspace --test e2e --locked -- --test-threads 24

.PHONY: drift
drift: build ## What somebody else changes in ACM is told and put right, on both AWS
	$(call say,"drift")
	@for aws in sim moto; do \
	  ARNKEEPER_DRIFT_INTERVAL=4s ARNKEEPER_PUBLISH_INTERVAL=4s tests/stand/stand run --aws $$aws --operator -- \
	    cargo test --workspace --test drift --locked -- --test-threads 12; \
	done

.PHONY: crash crash-some
crash: programs control-plane ## Kill or freeze the operator around every call that changes something; ONLY='words' for some of the cases
crash-some: programs control-plane ## The moments that matter most of it; part of `make test`
crash crash-some: crash%:
	@$(BIN)/crash --check --only '$(ONLY)'
	$(call say,"killed or frozen around every call that changes something")
	@tests/stand/stand run --aws sim -- bash -c 'tests/stand/operator --install-only && exec "$$@"' crash \
	  $(BIN)/crash $(if $*,--some) --only '$(ONLY)' --jobs $(or $(JOBS),20)

.PHONY: control-plane
control-plane:
	@tests/control-plane/build >/dev/null

.PHONY: move
move: build ## A certificate moves to another cluster and keeps its ARN
	$(call say,"to another cluster")
	@tests/stand/move

.PHONY: replicas
replicas: build ## Several operators: one leads, whatever happens to it
	$(call say,"several operators")
	@tests/stand/replicas

.PHONY: chart
chart: build ## The chart, rendered and on a real API server
	$(call say,"the chart")
	@tests/stand/stand run --aws sim -- tests/chart/test

.PHONY: uninstall
uninstall: build ## Uninstalled by Helm, everything stays and nothing hangs
	$(call say,"uninstalled and installed again")
	@tests/stand/uninstall

.PHONY: metrics
metrics: build ## The alerts and the dashboard, against Prometheus's own tools and the metrics of a running operator
	$(need) curl go jq
	$(call say,"alerts and dashboard")
	@tests/promtool/build >/dev/null
	@tests/stand/stand run --aws sim --operator -- tests/promtool/check

.PHONY: crds
crds: programs ## Write crds/ and the chart's from the types
	@rm -rf $(CRDS)
	@$(BIN)/arnkeeper crds --dir crds
	@$(BIN)/arnkeeper crds --helm --dir charts/arnkeeper/templates/crds

.PHONY: crds-check
crds-check: programs
	$(call say,"crds/ against the types")
	@new=$$(mktemp -d); trap 'rm -rf "$$new"' EXIT; \
	$(BIN)/arnkeeper crds --dir "$$new/crds"; \
	$(BIN)/arnkeeper crds --helm --dir "$$new/charts/arnkeeper/templates/crds"; \
	for folder in $(CRDS); do \
	  diff -ru "$$folder" "$$new/$$folder" || { echo "$$folder is stale: make crds"; exit 1; }; \
	done

.PHONY: up
up: programs ## A stand with the operator in .stand/, to play with; AWS=moto for the other AWS
	@tests/stand/stand up --aws $(AWS) --operator

.PHONY: down
down: ## End it
	@tests/stand/stand down

.PHONY: demo
demo: programs ## One certificate from nothing to a renewal under one ARN, in a minute
	@tests/stand/demo

.PHONY: image
image: ## Build the container image; IMAGE=name:tag
	$(need) docker
	@docker build --tag $(IMAGE) .

comma := ,
# Statically linked, as in the image: a program that is measured should be the one that is shipped.
RELEASE := --release --locked --target $(shell rustc -vV | sed -n 's/^host: //p')
.PHONY: bench
bench: export RUSTFLAGS := -C target-feature=+crt-static
bench: ## The figures, in one table, twenty minutes; ONLY=counts,burst for some, BENCH="--rest-seconds 600" for flags
	$(need) cargo cc go python3 openssl curl jq setsid
	@for figure in $(subst $(comma), ,$(ONLY)); do \
	  grep -q "^    \"$$figure\",$$" benches/figures/main.rs || \
	    { echo "there is no figure $$figure; there are:" $$(sed -n 's/^    "\([a-z]*\)",$$/\1/p' benches/figures/main.rs) >&2; exit 2; }; \
	done
	$(call say,"release build (several minutes, once)")
	@cargo build $(RELEASE) --workspace --bins
	@tests/control-plane/build >/dev/null
	@cargo bench --no-run --bench figures $(filter-out --release,$(RELEASE))
	$(call say,"measuring")
	@folder=$(dir $(BIN))$$(rustc -vV | sed -n 's/^host: //p')/release; \
	ARNKEEPER_BIN=$$(realpath "$$folder") tests/stand/stand run --aws sim --operator -- \
	  cargo bench --bench figures $(filter-out --release,$(RELEASE)) -- $(if $(ONLY),--only $(ONLY)) $(BENCH)
