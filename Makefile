.DEFAULT_GOAL := help
SHELL := /bin/bash
BIN := .venv/bin
PYTEST := $(BIN)/pytest
PYTEST_ARGS ?=
TEMPEST_ARGS ?=
export PATH := $(PATH):/usr/sbin:/sbin

DASHBOARD := cd dashboard && npm

.PHONY: dashboard test-dashboard help cloud down purge setup-run setup-test compatibility setup-tempest tempest tempest-full tempest-plugins tempest-scenario setup-clients test-clients setup-horizon test-horizon lint format unit test test-ha test-storage test-all bench

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

cloud: setup-run ## install what is needed, start the cloud and a first virtual machine
	@$(BIN)/stackling quickstart

down: ## stop the cloud; its data stays
	@[ ! -x $(BIN)/stackling ] || $(BIN)/stackling down

purge: ## stop the cloud and delete its data
	@[ ! -x $(BIN)/stackling ] || $(BIN)/stackling down --purge

setup-run:
	@./setup run

setup-test:
	@./setup test

lint: setup-test ## style, types and the layer rule
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports --no-logo

format: setup-test ## put the code in shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

unit: setup-test ## the quick tests, which need no root and start nothing
	$(PYTEST) tests/unit $(PYTEST_ARGS)

test: lint ## everything that this machine can run
	$(PYTEST) -n 2 -m "not root and not e2e and not crash and not engines" $(PYTEST_ARGS)
	$(PYTEST) -m "(root or e2e or crash) and not survival and not engines and not storage" $(PYTEST_ARGS)
	$(PYTEST) tests/lab/test_survival.py -m quick -rP $(PYTEST_ARGS)
	$(MAKE) tempest

test-ha: setup-test ## everything that a cluster and its engines have to survive, in a lab of three machines
	$(PYTEST) -m "survival or engines" -rP $(PYTEST_ARGS)

test-storage: setup-test ## what volumes have to survive, on a real Ceph with a real guest
	$(PYTEST) -m storage -rP $(PYTEST_ARGS)

test-all: test test-ha test-storage test-clients test-horizon bench ## all tests and the benchmarks

setup-clients: setup-test
	@./setup clients

test-clients: setup-clients ## other people's clients, unmodified, and the tests they bring along, against a simulated cloud
	$(BIN)/python -m tests.clients
	$(BIN)/python -m tests.clients.functional openstackclient
	$(BIN)/python -m tests.clients.functional openstack

setup-horizon: setup-test
	@./setup horizon

test-horizon: setup-horizon ## upstream's dashboard, Horizon, in Chromium against a simulated cloud
	command -v chromium >/dev/null || apt-get install -y -q --no-install-recommends chromium
	$(BIN)/python -m tests.horizon

dashboard: ## build the dashboard's files again (needs Node 20.19 or newer)
	$(DASHBOARD) ci --no-audit --no-fund
	$(DASHBOARD) run texts
	$(DASHBOARD) run build

test-dashboard: setup-test ## the dashboard's own tests, some in Chromium against a simulated cloud
	command -v chromium >/dev/null || apt-get install -y -q --no-install-recommends chromium
	$(DASHBOARD) ci --no-audit --no-fund
	$(DASHBOARD) run check
	$(DASHBOARD) run test
	$(DASHBOARD) run e2e

bench: setup-test ## the benchmarks, against a simulated cloud and a real Ceph
	$(BIN)/python -m bench
	$(BIN)/python -m bench.storage

compatibility: setup-test ## write the table of which operations of OpenStack's APIs there are
	$(BIN)/python -m tests.compatibility

setup-tempest: setup-test
	@./setup tempest

TEMPEST_TARGETS := $(wildcard tests/tempest/target-*.txt)
tempest: setup-tempest ## OpenStack's own tests that a cloud should pass, against a simulated cloud
	$(BIN)/python -m tests.tempest.run $(addprefix --list ,$(TEMPEST_TARGETS)) $(TEMPEST_ARGS)

TEMPEST_API := ^tempest\.(api\.(compute|identity|image|network|volume)|serial_tests)\.
# It logs in to a server whether or not there is one to log in to, so it runs with the next target.
TEMPEST_LOGS_IN := ServerActionsV293TestJSON
tempest-full: setup-tempest ## all of OpenStack's own API tests of the services that exist
	$(BIN)/python -m tests.tempest.run --regex '$(TEMPEST_API)' --but '$(TEMPEST_LOGS_IN)' $(TEMPEST_ARGS)

TEMPEST_PLUGINS := ^(neutron_tempest_plugin\.api|glance_tempest_plugin|octavia_tempest_plugin\.tests\.api|(keystone_tempest_plugin\.tests|cinder_tempest_plugin)\.(api|rbac))\.
tempest-plugins: setup-tempest ## the tests of APIs that the services' own teams keep beside tempest
	$(BIN)/python -m tests.tempest.run --regex '$(TEMPEST_PLUGINS)' $(TEMPEST_ARGS)

TEMPEST_SCENARIO := ^tempest\.(serial_tests\.)?scenario\.|^tempest\.api\.compute\.(servers\.(test_server_actions|test_server_rescue|test_create_server|test_attach_interfaces|test_device_tagging)|volumes\.test_attach_volume|admin\.test_create_server)\.
# What QEMU can't open by itself, and tempest can't be told.
TEMPEST_HOST_ENCRYPTS := encrypted.*(luksv2|cryptsetup)
tempest-scenario: setup-tempest ## OpenStack's own tests that log in to servers, against a real cloud; needs root
	$(BIN)/python -m tests.tempest.run --real --regex '$(TEMPEST_SCENARIO)' --but '$(TEMPEST_HOST_ENCRYPTS)' $(TEMPEST_ARGS)
