# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test docs clean

demo: .venv/ready ## a real study on handwritten digits, and its report
	$(BIN)/scratchcard demo

test: .venv/ready ## lint, types, all tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/pytest

docs: .venv/ready ## the guides, from the docstrings
	for what in metrics methods; do $(BIN)/python -c \
	  "from scratchcard.explain import guide; print(guide('$$what'), end='')" > docs/$$what.md; done

# The exact versions of constraints.txt; a newer torch would bring gigabytes of CUDA.
.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

clean: ## everything that can be made again
	rm -rf .venv runs .pytest_cache .mypy_cache .ruff_cache .hypothesis
