# Tillstream on one machine. `make` lists the targets.

PYTHON3 ?= python3
VENV    := .venv
PYTHON  := $(VENV)/bin/python
STATE   := .tillstream
PROTO   := proto/tillstream/recommender/v1/recommender
STUBS   := $(PROTO)_pb2.py
JARS    := $(STATE)/jars/kafka/.complete $(STATE)/jars/spark/.complete
CLASSES := $(STATE)/classes/kafka.jsa
PAGE    := web/dist/index.html

CHECKED  := recsys services spark infra local bench docs tests clients/openapi.py
# Processes that run the tests. Those on engines wait for half of their time, so three keep two cores busy.
WORKERS  ?= 3
# Schemathesis gives all operations of a test one id, and a worker runs each id once: these run without workers.
ONE_ID   := tests/fuzz/test_openapi.py
CSV_FLAG  = $(if $(CSV),--csv '$(CSV)')
RATE_FLAG = $(if $(RATE),--rate '$(RATE)')
NODES_SET = $(if $(NODES),TILLSTREAM_CLUSTER_NODES=$(NODES))
MAPPING_FLAG = $(if $(MAPPING),--mapping '$(MAPPING)')

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# Goals run one after the other, also under `make -j`; only the parts of `installed` and of `tested` run side by side.
ifeq ($(filter installed tested,$(MAKECMDGOALS)),)
.NOTPARALLEL:
endif
.PHONY: help setup installed prerequisites browser jars proto web clients demo up inspect join down status replay train evaluate reconcile rebuild grow verify test tested tested-on-workers tested-alone fuzz lint faults bench soak metrics monitoring prometheus lock notices audit aws-package aws-synth aws-deploy aws-destroy images imagelock compose-env compose-up compose-down compose-test k8s-test k8s-pin cluster cluster-down cluster-test

help:
	@echo "Tillstream on one machine:"
	@sed -n 's/^\([a-z0-9-]*\):.*## /  \1#/p' $(MAKEFILE_LIST) | awk -F'#' '{printf "%-14s %s\n", $$1, $$2}'

# --- run ---

demo: setup ## run everything from a fresh state until Ctrl-C   [CSV=file] [MAPPING=file] [RATE=events/s] [KEEP=1: continue the last one]
	@exec $(PYTHON) -m local demo --stop-with-parent $(if $(KEEP),--keep) $(CSV_FLAG) $(MAPPING_FLAG) $(RATE_FLAG)

up: setup ## start the stack detached; it keeps its state   [CSV=file] [MAPPING=file] [RATE=events/s]
	@exec $(PYTHON) -m local up $(CSV_FLAG) $(MAPPING_FLAG) $(RATE_FLAG)

inspect: $(VENV)/.complete ## find out how a file of purchases is read, and write its mapping   CSV=file [ARGS='--dates day-first']
	@exec $(PYTHON) -m services.producer inspect '$(call required,CSV)' $(ARGS)

join: $(VENV)/.complete ## make one file of orders and their lines, which then goes as CSV=file   ORDERS=file LINES=file OUT=file [ARGS='--on id=order_id']
	@exec $(PYTHON) -m services.producer join --orders $(call required,ORDERS) --lines $(call required,LINES) --out '$(call required,OUT)' $(ARGS)

down: $(VENV)/.complete ## stop the stack of `make up`; the data stays
	@exec $(PYTHON) -m local down

status: $(VENV)/.complete ## processes, health and lag
	@$(PYTHON) -m local status || true

replay: $(VENV)/.complete ## send one more file to the running stack   CSV=file [MAPPING=file] [RATE=n|max] [SOURCE=name]
	@exec $(PYTHON) -m local replay '$(call required,CSV)' $(MAPPING_FLAG) $(RATE_FLAG) $(if $(SOURCE),--source '$(SOURCE)')

train: $(VENV)/.complete ## run the batch job now: figures, evaluation, model
	@exec $(PYTHON) -m local train

evaluate: setup ## offline evaluation of the recommendations: metrics.json and report.html   CSV=file [MAPPING=file] [ARGS='--split 2020-10-22']
	@exec $(PYTHON) -m spark.evaluate --csv '$(call required,CSV)' $(MAPPING_FLAG) $(ARGS)

reconcile: $(VENV)/.complete ## compare the live figures with the archive, to the cent
	@exec $(PYTHON) -m local reconcile

verify: $(VENV)/.complete ## compare every live figure with a computation from the file   CSV=file [MAPPING=file]
	@engines="$$($(PYTHON) -m local env)" && eval "$$engines" && \
	exec $(PYTHON) -m local.verify --csv '$(call required,CSV)' $(MAPPING_FLAG) --gateway "$$TILLSTREAM_GATEWAY"

rebuild: $(VENV)/.complete ## rebuild all live tables from archive and Kafka, without downtime
	@engines="$$($(PYTHON) -m local env)" && eval "$$engines" && exec $(PYTHON) -m services.aggregator.rebuild

grow: $(VENV)/.complete ## add partitions to the purchases topic while everything runs   PARTITIONS=8
	@engines="$$($(PYTHON) -m local env)" && eval "$$engines" && \
	exec $(PYTHON) -m services.provision grow --partitions '$(or $(PARTITIONS),$(error PARTITIONS is missing: make grow PARTITIONS=8))'

required = $(or $($(1)),$(error $(1) is missing: make $@ $(1)=path/to/file.csv))

# --- develop ---

test: setup browser prometheus ## unit, contract, integration and end-to-end tests, on real engines   [WORKERS=n] [ARGS='--costs']
	@$(MAKE) --no-print-directory --jobs=2 tested

# The workers wait now and then, for times that a test is about; what needs no worker takes the processor meanwhile.
tested: tested-on-workers tested-alone

tested-on-workers: $(CLASSES)
	$(PYTHON) -m pytest --numprocesses=$(WORKERS) --ignore=$(ONE_ID) $(ARGS)

tested-alone:
	cd web && npm test
	$(PYTHON) -m pytest $(ONE_ID) $(ARGS)

fuzz: setup ## fuzzing: 1,000,000 messages, 30,000 of them on real engines; 1,000,000 extreme events on them; 2,000 requests per operation   [MESSAGES=n] [SEED=n]
	$(PYTHON) -m tests.fuzz --messages $(or $(MESSAGES),1000000) --engines 30000 --extremes $(or $(MESSAGES),1000000) $(if $(SEED),--seed '$(SEED)')
	$(PYTHON) -m pytest tests/fuzz/test_openapi.py --hypothesis-profile=fuzz --timeout 0

images: $(VENV)/.complete ## build the container images, with an SBOM each, in .tillstream/images; needs buildah or Docker   [ONLY='gateway spark']
	@exec $(PYTHON) -m local.images build $(ONLY)

imagelock: $(VENV)/.complete ## pin the images' Debian packages at the versions that Debian has now
	@exec $(PYTHON) -m local.images lock

compose-env: $(VENV)/.complete ## write .env with random keys for `docker compose up`; an existing file stays
	@$(PYTHON) -m local.compose env

compose-up: $(VENV)/.complete ## start compose.yaml detached; with Docker the same as `docker compose up`   [ONLY='demo-stream demo-model']
	@exec $(PYTHON) -m local.compose up $(ONLY)

compose-down: $(VENV)/.complete ## stop what `make compose-up` started; the data stays
	@exec $(PYTHON) -m local.compose down

compose-test: $(VENV)/.complete ## start compose.yaml with the images, count an event, check every container's rights
	@exec $(PYTHON) -m local.compose test

k8s-test: setup ## build every overlay and combination of components of k8s/, and check the objects
	$(PYTHON) -m pytest tests/k8s

k8s-pin: $(VENV)/.complete ## write an overlay of k8s/ with the images of `make images` by digest   OVERLAY=local [REGISTRY=host/path]
	@$(PYTHON) -m local.k8s_pin '$(call required,OVERLAY)' --registry '$(REGISTRY)'

lint: setup ## ruff, mypy strict, import rules, spelling, the page's linter
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy $(CHECKED)
	$(VENV)/bin/lint-imports --no-cache
	$(VENV)/bin/codespell
	cd web && npm run --silent lint

faults: setup ## fault injection: random faults on real engines, then every figure compared   [TRIALS=200] [SEED=n] [ONLY='kill Redis']
	@exec $(PYTHON) -m tests.faults $(if $(TRIALS),--trials '$(TRIALS)') $(if $(SEED),--seed '$(SEED)') $(if $(ONLY),--only '$(ONLY)')

bench: setup ## run the benchmarks
	$(PYTHON) -m bench

soak: setup ## soak test: 30 minutes under load; fails on growth, stalls or loss   [MINUTES=30] [CSV=file]
	$(PYTHON) -m bench.soak $(if $(MINUTES),--minutes '$(MINUTES)') $(CSV_FLAG)

# AWS's own example account, unless TILLSTREAM_INFRA_ACCOUNT is set.
EXAMPLE := TILLSTREAM_INFRA_ACCOUNT=$(or $(TILLSTREAM_INFRA_ACCOUNT),111122223333)

aws-package: $(VENV)/.complete ## pack what runs on AWS: the function of Data Firehose, the batch job; in .tillstream/aws
	@exec $(PYTHON) -m infra package

aws-synth: setup aws-package ## write CloudFormation templates of all AWS resources to cdk.out, offline, and check them
	$(EXAMPLE) $(PYTHON) -m infra synth --out cdk.out
	$(VENV)/bin/cfn-lint --config-file infra/cfnlint.yaml cdk.out/*.template.json

CDK := infra/node_modules/.bin/cdk --app '$(PYTHON) -m infra synth'

infra/node_modules/.complete: infra/package-lock.json
	cd infra && npm ci --no-audit --no-fund
	@touch $@

aws-deploy: setup aws-package infra/node_modules/.complete ## create or change the AWS resources, with the credentials of the environment   [ONLY=TillstreamBatch]
	$(CDK) deploy $(or $(ONLY),--all) --require-approval broadening

aws-destroy: setup aws-package infra/node_modules/.complete ## delete the AWS resources; the buckets stay   [ONLY=TillstreamBatch]
	$(CDK) destroy $(or $(ONLY),--all)

cluster: setup ## a real Kubernetes node on this machine with k8s/overlays/local in it; needs root, Go and gcc   [NODES=3]
	@$(NODES_SET) exec $(PYTHON) -m local.cluster up

cluster-test: setup ## in that cluster: kills, rolling restarts, scaling, network policies, exact figures   [ONLY=kills] [RATE=100] [NODES=3]
	@$(NODES_SET) exec $(PYTHON) -m local.cluster test $(if $(ONLY),-k '$(ONLY)') $(RATE_FLAG)

cluster-down: $(VENV)/.complete ## end the cluster of `make cluster`, with its data
	@exec $(PYTHON) -m local.cluster down

# One lock for development; one for each image, of the same versions; one for what builds images, one for the engines
# in wheels; one for uv, which installs the others; one for the function on AWS, one for the CDK app, one for the audit.
LOCKS   := producer archiver aggregator recommender gateway spark
UV      ?= $(VENV)/bin/uv
COMPILE := $(UV) pip compile --quiet --generate-hashes --python-version 3.11 \
	--no-header --no-annotate --no-emit-index-url --no-emit-find-links
SAME    := -c requirements/development.lock

metrics: $(VENV)/.complete ## write docs/metrics.md from the list of metrics
	$(PYTHON) -m services.common.metrics_docs

monitoring: $(VENV)/.complete ## write Grafana's dashboards, and the operator's rules from monitoring/rules
	$(PYTHON) -m local.monitoring

prometheus: $(VENV)/.complete ## get Prometheus and Alertmanager; `make demo` and `make up` start them where they are found
	@$(PYTHON) -m local.monitoring.programs

notices: $(VENV)/.complete ## write THIRD_PARTY.md, the licences of what images ship
	$(PYTHON) -m local.notices

audit: $(STATE)/audit/.complete ## ask PyPI, npm and OSV for known vulnerabilities of all that is locked
	@exec $(PYTHON) -m local.audit

lock: $(VENV)/.complete ## pin the dependencies of pyproject.toml with their hashes, for development and for each image
	$(COMPILE) pyproject.toml --all-extras -o requirements/development.lock
	for image in $(LOCKS); do \
		$(COMPILE) pyproject.toml --extra $$image --extra aws $(SAME) -o requirements/$$image.lock || exit 1; \
	done
	for tools in build local; do \
		$(COMPILE) pyproject.toml --extra $$tools $(SAME) -o requirements/$$tools.lock || exit 1; \
	done
	echo uv | $(COMPILE) - $(SAME) -o requirements/setup.lock
	echo msgspec | $(COMPILE) - $(SAME) -o requirements/function.lock
	$(COMPILE) --group infra $(SAME) -o requirements/infra.lock
	$(COMPILE) --group audit $(SAME) -o requirements/audit.lock
	$(PYTHON) -m local.notices

# --- set up: each step once, and again when what it is made from has changed ---

setup: prerequisites ## install and build what the other targets need (they call it)
	@$(MAKE) --no-print-directory --jobs=3 installed

# Python's packages, Kafka's jars and the page's packages come from different servers: side by side.
installed: $(VENV)/.complete $(VENV)/.infra $(STUBS) $(JARS) $(PAGE)

prerequisites:
	@$(PYTHON3) -m local.prerequisites

$(VENV)/.complete: requirements/setup.lock requirements/development.lock
	$(PYTHON3) -m venv $(VENV)
	$(PYTHON) -m pip install --disable-pip-version-check --no-input --quiet --require-hashes -r requirements/setup.lock
	$(UV) pip install --python $(PYTHON) --require-hashes --compile-bytecode -r requirements/development.lock
	@touch $@

# Not compiled to bytecode: of 240 MB of generated sources, what is imported compiles itself once.
$(VENV)/.infra: requirements/infra.lock $(VENV)/.complete
	$(UV) pip install --python $(PYTHON) --require-hashes -r requirements/infra.lock
	@touch $@

$(STATE)/audit/.complete: requirements/audit.lock $(VENV)/.complete
	$(UV) venv --quiet --clear --python $(PYTHON) $(@D)
	$(UV) pip install --python $(@D)/bin/python --require-hashes -r requirements/audit.lock
	@touch $@

proto: $(STUBS) ## generate the gRPC stubs
$(STUBS): $(PROTO).proto $(VENV)/.complete
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" $(PYTHON) -m grpc_tools.protoc -I . --python_out=. --grpc_python_out=. --mypy_out=. --mypy_grpc_out=. $<

jars: $(JARS) ## download Kafka's server and Spark's S3 connector
$(STATE)/jars/kafka/.complete: local/kafka/pom.xml
	rm -rf $(@D)
	mvn -B -q -ntp --strict-checksums -f $< dependency:copy-dependencies -DoutputDirectory=$(CURDIR)/$(@D)
	@touch $@
$(STATE)/jars/spark/.complete: spark/pom.xml $(VENV)/.complete | $(STATE)/jars/kafka/.complete # one Maven at a time
	rm -rf $(@D)
	$(PYTHON) -m spark jars
	@touch $@

# `make test` starts some thirty brokers: an archive of their classes saves more than it costs.
$(CLASSES): $(STATE)/jars/kafka/.complete $(VENV)/.complete
	$(PYTHON) -m local.engines.kafka_classes

web: $(PAGE) ## build the web page
$(PAGE): web/node_modules/.complete $(shell find web -path web/node_modules -prune -o -path web/dist -prune -o -type f -print)
	cd web && npm run --silent build
	@touch $@
web/node_modules/.complete: web/package-lock.json
	cd web && npm ci --no-audit --no-fund
	@touch $@

clients: $(VENV)/.complete web/node_modules/.complete ## generate the Python and the TypeScript client of the REST API, in .tillstream/clients
	@PYTHON=$(CURDIR)/$(PYTHON) clients/generate.sh $(STATE)/clients

browser: $(VENV)/.complete
	@$(PYTHON) -m local.browser
