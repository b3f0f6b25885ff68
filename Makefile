# demo and test are all that is needed to start; each sets up what it needs.
VENV := .venv
BASE := .venv-base
PYTHON_IN := $(VENV)/bin/python
SETTINGS := pyproject.toml constraints.txt

export OMP_NUM_THREADS ?= 2
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

.PHONY: demo test test-slow install lint docs long verify-base clean
.NOTPARALLEL:

demo: $(VENV)/.hf
	@$(VENV)/bin/expunge demo

# two processes with a thread each; make test ARGS="-k npo -n 0" narrows or gathers it
test: $(VENV)/.dev
	@OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive $(PYTHON_IN) -m pytest -n 2 -m "not slow" $(ARGS)

# what trains a model first or starts processes: the fakes, the powers of attacks, several processes, golden suites
test-slow: $(VENV)/.dev
	@OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive $(PYTHON_IN) -m pytest -n 2 -m slow $(ARGS)

install: $(VENV)/.dev

lint: $(VENV)/.dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/pyright
	$(VENV)/bin/lint-imports
	$(PYTHON_IN) tools/check_sizes.py
	$(PYTHON_IN) tools/check_wording.py
	$(PYTHON_IN) tools/check_docstrings.py
	$(PYTHON_IN) tools/check_constraints.py
	$(PYTHON_IN) tools/check_results.py
	$(PYTHON_IN) tools/make_docs.py --check
	$(PYTHON_IN) tools/check_surface.py

# the pages that are made from the code, then the site, in build/site; a warning is an error
docs: $(VENV)/.dev
	$(PYTHON_IN) tools/make_docs.py
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict --quiet

# slow work, resumable; writes dated pages to docs/results
long: $(VENV)/.dev
	$(PYTHON_IN) -m benchmarks.search_demo --out runs/search --page docs/results/demo-search.md
	$(PYTHON_IN) -m benchmarks.search_demo --out runs/search --group more --worlds 101 102 --page docs/results/demo-search-more.md
	$(PYTHON_IN) -m benchmarks.search_tofu --data ../shared/data/tofu --model ../shared/models/stories260K --page docs/results/tofu-search.md
	$(VENV)/bin/expunge bench tofu --data ../shared/data/tofu --model ../shared/models/stories260K --authors 12 --forget 3
	$(PYTHON_IN) -m benchmarks.tofu_page
	$(PYTHON_IN) -m benchmarks.lm_methods --out runs/lm-methods --workers 2 --page docs/results/lm-methods.md
	$(PYTHON_IN) -m benchmarks.forms --out runs/forms --page docs/results/forms.md
	$(PYTHON_IN) -m benchmarks.trust --out runs/trust --workers 2 --page docs/results/trust.md --keep src/expunge/evaluation/trust.json
	$(PYTHON_IN) tools/make_docs.py
	OMP_NUM_THREADS=1 $(PYTHON_IN) -m benchmarks.exact_sisa --out runs/exact
	OMP_NUM_THREADS=1 $(PYTHON_IN) -m benchmarks.exact_lm --out runs/exact/lm --workers 2
	OMP_NUM_THREADS=1 $(PYTHON_IN) -m benchmarks.exact_replay --out runs/exact
	OMP_NUM_THREADS=1 $(PYTHON_IN) -m benchmarks.exact_page --out runs/exact --ratios --page docs/results/exact.md
	OMP_NUM_THREADS=1 $(PYTHON_IN) -m benchmarks.certified_utility --out runs/certified
	OMP_NUM_THREADS=1 $(PYTHON_IN) -m benchmarks.private_lm --out runs/certified
	OMP_NUM_THREADS=1 $(PYTHON_IN) -m benchmarks.certified_page --out runs/certified --page docs/results/certified.md
	$(PYTHON_IN) -m benchmarks.page ledger
	$(PYTHON_IN) -m benchmarks.page two_writers --seconds 60
	$(PYTHON_IN) -m benchmarks.page ingest
	$(PYTHON_IN) -m benchmarks.page purge
	$(PYTHON_IN) -m benchmarks.page scoring
	$(PYTHON_IN) -m benchmarks.page steps --data ../shared/data/tofu --json
	$(PYTHON_IN) -m benchmarks.page lora

# what an auditor has: the base install alone, in a venv of its own, given a certificate that the full one made
verify-base: $(VENV)/.dev $(BASE)/.base
	$(BASE)/bin/python -m pip install --quiet --no-deps --force-reinstall .
	rm -rf build/base_install
	$(PYTHON_IN) tests/base_install/make_certificate.py build/base_install
	$(BASE)/bin/python tests/base_install/check.py --run build/base_install/run --home build/base_install/home

clean:
	rm -rf $(VENV) $(BASE) build dist .hypothesis .import_linter_cache .pytest_cache .ruff_cache
	find src tests tools -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.hf: $(SETTINGS)
	@sh tools/make_venv.sh $(VENV)
	$(PYTHON_IN) -m pip install -c constraints.txt -e '.[hf]'
	@touch $@

$(VENV)/.dev: $(SETTINGS)
	@sh tools/make_venv.sh $(VENV)
	$(PYTHON_IN) -m pip install -c constraints.txt -e '.[hf,stores,dp,ray,dev]'
	@touch $(VENV)/.hf $@

$(BASE)/.base: $(SETTINGS)
	@sh tools/make_venv.sh $(BASE)
	$(BASE)/bin/python -m pip install -c constraints.txt .
	@touch $@
