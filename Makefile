# Everything a stranger needs: `make demo` and `make test`. Both use the virtual environment in $(VENV).

PYTHON ?= python3
VENV ?= .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.edgefer-installed
DEMO ?= demo-output
PYTHONS ?= python3.10 python3.11 python3.12
PYTEST_WORKERS ?= 2
BENCHMARKS ?= benchmarks
BENCH_OUTPUT := bench-output/suite.json
WHEELHOUSE_PYTHON ?= python3.10

.PHONY: demo test test-slow test-pythons bench bench-store bench-check bench-synthetic bench-modelopt bench-rivals plugin \
    bench-false-alarms bench-open-loop bench-published bench-networks gpu-check kernels lint docs clean rtx install cubins \
    wheelhouse sbom soak

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
	$(PY) -m mypy edgefer export/edgefer_export kernels

# One OpenMP thread a worker: two teams on the same cores take several times as long as two single threads. A worker that
# dies ends the run and is named: left to restart it, pytest-xdist waits for ever for tests that are done.
test: lint rtx
	OMP_NUM_THREADS=1 $(PY) -m pytest -n $(PYTEST_WORKERS) --dist loadfile --max-worker-restart=0 -m "not slow" \
	    --benchmark-disable --cov --cov-report=term --durations=15 tests

test-slow: rtx
	$(PY) -m pytest -m slow --benchmark-disable tests

# 200,000 inferences in each way that a session can be asked, on each runner of the CPU: memory must not grow.
soak: $(STAMP)
	OMP_NUM_THREADS=1 $(PY) -m pytest -m slow --benchmark-disable -s tests/edgefer/test_soak.py

# The device half and the portable ONNX under every interpreter found; PyTorch is left out unless TORCH=1, because only
# some of its versions have a CPU wheel for each interpreter.
test-pythons: $(STAMP)
	$(PY) tests/pythons.py $(if $(TORCH),--torch) $(PYTHONS)

# Twelve minutes on two cores that do nothing else. The table also comes when a benchmark failed, and says which goals were
# missed; BENCHMARKS=benchmarks/test_bench_session.py measures a part.
bench: $(STAMP)
	@mkdir -p $(dir $(BENCH_OUTPUT)) && rm -f $(BENCH_OUTPUT)
	@$(PY) -m pytest $(BENCHMARKS) --benchmark-only --benchmark-json=$(BENCH_OUTPUT) -q; status=$$?; \
	    $(PY) -m benchmarks.table $(BENCH_OUTPUT) && exit $$status

# Keeps the last run's ratios as those to hold later ones against on this machine. Storing several runs of the same code
# makes the noise that is allowed for that of runs.
bench-store: $(STAMP)
	$(PY) -m benchmarks.store $(BENCH_OUTPUT)

# Measures anew, and fails when a ratio has fallen behind the stored one by more than the measured noise.
bench-check: $(STAMP)
	@mkdir -p $(dir $(BENCH_OUTPUT)) && rm -f $(BENCH_OUTPUT)
	@$(PY) -m benchmarks.check --is-stored
	@$(PY) -m pytest $(BENCHMARKS) --benchmark-only --benchmark-json=$(BENCH_OUTPUT) -q; status=$$?; \
	    $(PY) -m benchmarks.check $(BENCH_OUTPUT) && exit $$status

# Compiles the kernels that edgefer ships, with compilers from the package index; the same sources give the same bytes.
cubins: $(STAMP)
	$(PY) -m kernels.tools.cubins --write

# Everything that can be said of the kernels without a GPU; ten minutes on two cores. `make test` runs the quick part.
kernels: $(STAMP)
	OMP_NUM_THREADS=1 $(PY) -m pytest -n $(PYTEST_WORKERS) --dist loadfile --max-worker-restart=0 --benchmark-disable \
	    --durations=15 tests/kernels tests/edgefer/kernels
	$(PY) -m kernels.tools.coverage

# The C++ plugin library, against this machine's own TensorRT headers; EDGEFER_TENSORRT_INCLUDE says where others are.
plugin:
	cmake -S kernels/plugin -B build/plugin -DCMAKE_BUILD_TYPE=Release
	cmake --build build/plugin --parallel

# Kernels and sessions on this machine's NVIDIA GPU: right, how fast, against what. Writes
# benchmarks/results/DEVICE.json. On a Jetson it has an environment of its own, which sees JetPack's TensorRT and has no
# PyTorch but one that JetPack's owner has installed.
CUDA ?= /usr/local/cuda
TEGRA := $(wildcard /etc/nv_tegra_release)
GPU_VENV := $(if $(TEGRA),.venv-jetson,$(VENV))

gpu-check: $(GPU_VENV)/.edgefer-gpu
	$(GPU_VENV)/bin/python -m benchmarks.gpu_check

$(VENV)/.edgefer-gpu: $(STAMP)
	$(PY) -m pip install --quiet --constraint constraints.txt --editable ".[device]"
	$(call pycuda,$(PY))
	touch $@

# The bindings are of the major release of JetPack's CUDA: later ones ask its driver for functions that it does not have.
.venv-jetson/.edgefer-gpu: pyproject.toml
	$(PYTHON) -m venv --system-site-packages .venv-jetson
	.venv-jetson/bin/python -m pip install --quiet --upgrade "pip>=24.1"
	.venv-jetson/bin/python -m pip install --quiet --editable ".[device,cpu,vision]" \
	    "cuda-bindings==$$($(CUDA)/bin/nvcc --version | sed -n 's/.*release \([0-9]*\).*/\1/p').*"
	$(call pycuda,.venv-jetson/bin/python)
	touch $@

# pycuda has no wheels. Where it cannot be compiled, the check says that its parts about sessions are absent.
pycuda = PATH="$(CUDA)/bin:$$PATH" $(1) -m pip install --quiet --no-binary pycuda "pycuda>=2024.1.2" || \
    echo "pycuda cannot be compiled here (docs/on-the-jetson.md): nothing will be said of sessions"

bench-synthetic: $(STAMP)
	$(PY) benchmarks/synthetic_study.py

# NVIDIA's Model Optimizer needs other versions of onnx and onnxruntime, so it gets an environment of its own (2 GB).
PEER := .venv-modelopt
$(PEER)/.installed: constraints.txt
	$(PYTHON) -m venv $(PEER)
	$(PEER)/bin/python -m pip install --quiet --upgrade "pip>=24.1"
	$(PEER)/bin/python -m pip install --quiet --constraint constraints.txt "nvidia-modelopt[onnx]" torch
	touch $@

bench-modelopt: $(STAMP) $(PEER)/.installed
	$(PY) benchmarks/peer_modelopt.py --peer $(PEER)/bin/python

# Every registered network beside bare runtimes, OpenCV and PyTorch; half an hour, and goes on where it was stopped.
bench-rivals: $(STAMP)
	$(PY) -m benchmarks.rivals

# A hundred comparisons of a session with itself, and a hundred with 5 % of delay added.
bench-false-alarms: $(STAMP)
	$(PY) -m benchmarks.false_alarms bench-output/false-alarms.json

# Ten minutes of frames at 30 Hz through a full-width network, and the report of it.
bench-open-loop: $(STAMP)
	$(PY) benchmarks/open_loop.py bench-output

# The published systems on synthetic pairs, five seeds; within an hour on two cores that do nothing else, resumable.
bench-published: $(STAMP)
	$(PY) -m benchmarks.published_study

# Every registered network at full width: its graph beside what torch alone exports; resumable.
bench-networks: $(STAMP)
	$(PY) -m benchmarks.network_speed

# Wheels for an installation without a package index on a Jetson with JetPack 6; needs Python 3.10, which that has.
wheelhouse:
	$(WHEELHOUSE_PYTHON) deploy/wheelhouse.py wheelhouse

# What is installed in $(VENV), as CycloneDX, checked against its schema. The tool stays out of what it describes.
SBOM := build/edgefer.cdx.json
sbom: $(STAMP)
	@test -x build/sbom-venv/bin/cyclonedx-py || { $(PYTHON) -m venv build/sbom-venv && \
	    build/sbom-venv/bin/python -m pip install --quiet "cyclonedx-bom>=7,<8"; }
	build/sbom-venv/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --validate \
	    --output-format JSON --output-file $(SBOM) $(PY)

docs: $(STAMP)
	$(PY) -m edgefer.cli.reference

clean:
	rm -rf $(VENV) .venv-jetson $(DEMO) $(BENCH_OUTPUT) build/kernels .pytest_cache .mypy_cache .ruff_cache
