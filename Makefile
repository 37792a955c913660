# Everything a stranger needs: `make demo` and `make test`. Both use the virtual environment in $(VENV).

PYTHON ?= python3
VENV ?= .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.edgefer-installed
DEMO ?= demo-output
PYTHONS ?= python3.10 python3.11 python3.12
PYTEST_WORKERS ?= 2

.PHONY: demo test test-slow test-pythons bench bench-synthetic lint docs clean rtx install

install: $(STAMP)

# pip's own settings (index, find-links, proxy) are honoured: nothing here overrides them.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --upgrade "pip>=24.1"
	$(PY) -m pip install --quiet --constraint constraints.txt --editable ".[export,cpu,vision,test]"
	touch $@

# TensorRT-RTX exists as a wheel for x86-64 Linux only; elsewhere the step says so and goes on.
rtx: $(STAMP)
	$(PY) -m edgefer_export.demo.rtx_wheel --constraint constraints.txt

demo: rtx
	$(PY) -m edgefer_export.demo --output $(DEMO)

lint: $(STAMP)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy edgefer export/edgefer_export

# One OpenMP thread a worker: two teams on the same cores take several times as long as two single threads.
test: lint rtx
	OMP_NUM_THREADS=1 $(PY) -m pytest -n $(PYTEST_WORKERS) --dist loadfile -m "not slow" --benchmark-disable \
	    --cov --cov-report=term --durations=15 tests

test-slow: rtx
	$(PY) -m pytest -m slow --benchmark-disable tests

# The device half and the portable ONNX under every interpreter found; PyTorch is left out unless TORCH=1, because only
# some of its versions have a CPU wheel for each interpreter.
test-pythons: $(STAMP)
	$(PY) tests/pythons.py $(if $(TORCH),--torch) $(PYTHONS)

bench: $(STAMP)
	$(PY) -m pytest benchmarks --benchmark-only --benchmark-json=bench-output.json -q
	$(PY) benchmarks/table.py bench-output.json

bench-synthetic: $(STAMP)
	$(PY) benchmarks/synthetic_study.py

docs: $(STAMP)
	$(PY) -m edgefer.cli.reference

clean:
	rm -rf $(VENV) $(DEMO) bench-output.json .pytest_cache .mypy_cache .ruff_cache
