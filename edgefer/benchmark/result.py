"""What a benchmark found, as a typed and versioned record: one JSON file.

Times are in seconds, rates in images a second, power in watts, energy in joules, sizes in bytes, temperatures in
degrees Celsius, frequencies in hertz. None means "not measured here" or "does not exist here", never zero. Moments are
seconds since the benchmark's start on the monotonic clock, so that series of different origin (latencies, power,
clocks) can be laid over each other.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

SCHEMA_VERSION = 1

Switch = Literal["on", "off", "not-applicable"]
Wait = Literal["spin", "block", "not-applicable"]
Verdict = Literal["faster", "slower", "within-noise"]


class _Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Immutable and closed against unknown fields; each class states `kw_only`, which msgspec does not inherit."""


class Interval(_Struct, frozen=True, kw_only=True):
    """A bootstrap interval at `confidence` (0.95 is 95 %)."""

    low: float
    high: float
    confidence: float


class Latency(_Struct, frozen=True, kw_only=True):
    """A sample of durations in figures, in seconds.

    `jitter` is the mean absolute difference of consecutive durations; `variation` the standard deviation over the
    mean. Percentiles that the sample is too small to tell from its maximum are None (p99.9 needs 1,000 runs).
    """

    count: int
    minimum: float
    mean: float
    p50: float
    p90: float | None
    p95: float | None
    p99: float | None
    p999: float | None
    maximum: float
    standard_deviation: float
    jitter: float
    variation: float
    median: Interval


class Settings(_Struct, frozen=True, kw_only=True):
    """How something was run: all that makes two figures comparable or not.

    `measured` is what lies between start and stop of the clock: "infer" (ready tensors in, estimate out), "images"
    (pre-processing included), "runner" (the bare runner). `copies`: whether host-to-device and device-to-host copies
    are inside; `graph`: whether a CUDA graph was replayed; `wait`: how the host waited for the device. On a CPU these
    three do not apply.
    """

    runner: str
    device: str
    measured: Literal["infer", "images", "runner"]
    precision: str
    threads: int | None
    batch: int = 1
    streams: int = 1
    copies: Switch = "not-applicable"
    graph: Switch = "not-applicable"
    wait: Wait = "not-applicable"
    versions: dict[str, str] = {}
    note: str = ""


class WarmUp(_Struct, frozen=True, kw_only=True):
    """What ran before the clock counted; `steady` is False where the limit came before the median stood still."""

    runs: int
    seconds: float
    steady: bool
    limit: str = ""


class ClosedLoop(_Struct, frozen=True, kw_only=True):
    """One run after the other. `started` and `durations` are the raw series, in the order they ran."""

    settings: Settings
    warm_up: WarmUp
    latency: Latency
    started: tuple[float, ...]
    durations: tuple[float, ...]


class Loss(_Struct, frozen=True, kw_only=True):
    """A frame that got no answer: its number, when it arrived, and why."""

    frame: int
    arrived: float
    reason: str


class OpenLoop(_Struct, frozen=True, kw_only=True):
    """Frames arriving at a fixed rate whether or not the last one is answered.

    `latency` is from the scheduled arrival to the answer, so that time spent waiting behind others counts; `service`
    is of the work alone, `queueing` from arrival to the start of the work. answered + len(losses) == arrivals, always.
    """

    settings: Settings
    warm_up: WarmUp
    rate: float
    seconds: float
    queue_limit: int
    arrivals: int
    answered: int
    losses: tuple[Loss, ...]
    longest_queue: int
    latency: Latency | None
    service: Latency | None
    queueing: Latency | None
    over_period: int
    arrived: tuple[float, ...]
    latencies: tuple[float, ...]


class Throughput(_Struct, frozen=True, kw_only=True):
    """Images a second at one batch size and number of streams; `latency` is of one batch."""

    settings: Settings
    seconds: float
    images: int
    rate: float
    interval: Interval
    latency: Latency


class Stage(_Struct, frozen=True, kw_only=True):
    """One stage of a cold start (import, read, verify, compile or cache, self-check, first answer): median, range."""

    name: str
    seconds: float
    low: float
    high: float
    note: str = ""


class ColdStart(_Struct, frozen=True, kw_only=True):
    """From a new process to the first answer. `total` is measured from outside and includes the interpreter's start.

    Where something is cached between starts, `total` and `stages` are with the cache filled, `empty_total` and
    `empty_stages` with an empty one, as on the very first start; otherwise these are None and empty.
    """

    repeats: int
    total: float
    stages: tuple[Stage, ...]
    empty_total: float | None = None
    empty_stages: tuple[Stage, ...] = ()
    note: str = ""


class Memory(_Struct, frozen=True, kw_only=True):
    """What it takes: resident memory of the process before the session, with it open, and at its peak while running."""

    host_before: int | None
    host_open: int | None
    host_peak: int | None
    device: int | None
    bundle: int | None
    graph: int
    engine: int | None
    note: str = ""


class Clock(_Struct, frozen=True, kw_only=True):
    """A clock's frequency now and its bounds. `governor` is the kernel's policy, where it has one."""

    name: str
    hertz: float | None
    minimum: float | None = None
    maximum: float | None = None
    governor: str | None = None


class Temperature(_Struct, frozen=True, kw_only=True):
    """One sensor."""

    name: str
    celsius: float


class Moment(_Struct, frozen=True, kw_only=True):
    """The state of the machine at one moment, `at` seconds since the start of the benchmark.

    `load` is the share of all CPUs used by other processes since the last moment (None: not known), `stolen` the share
    that a hypervisor gave to other guests; `throttle` names the reasons that the hardware gives for running slower than
    it could.
    """

    at: float
    clocks: tuple[Clock, ...] = ()
    temperatures: tuple[Temperature, ...] = ()
    throttle: tuple[str, ...] = ()
    load: float | None = None
    stolen: float | None = None
    load_average: float | None = None
    memory_available: int | None = None
    swap_used: int | None = None


class Machine(_Struct, frozen=True, kw_only=True):
    """The machine, as far as it does not change during a benchmark."""

    cpu: str
    architecture: str
    cpus: int
    cpu_features: tuple[str, ...]
    memory: int | None
    system: str
    python: str
    virtual: str | None
    container: bool
    gpu: str | None = None
    compute_capability: str | None = None
    gpu_memory: int | None = None
    driver: str | None = None
    cuda: str | None = None
    tensorrt: str | None = None
    board: str | None = None
    l4t: str | None = None
    jetpack: str | None = None
    power_mode: str | None = None
    power_limit: float | None = None
    settings: dict[str, str] = {}
    packages: dict[str, str] = {}


class Conditions(_Struct, frozen=True, kw_only=True):
    """The machine, its state along the way (first: before, last: after), and what was not as it should be."""

    machine: Machine
    moments: tuple[Moment, ...]
    warnings: tuple[str, ...] = ()


class PowerSample(_Struct, frozen=True, kw_only=True):
    """The watts of every rail at one moment, in the order of `Power.rails`."""

    at: float
    watts: tuple[float, ...]


class Rail(_Struct, frozen=True, kw_only=True):
    """One measured supply: mean watts idle and under load, the peak, and what `name` feeds. `total` rails are summed
    into the energy; the others are parts of them."""

    name: str
    idle: float | None
    mean: float
    peak: float
    total: bool


class Power(_Struct, frozen=True, kw_only=True):
    """Power beside the closed loop. `per_inference` is the energy of one run above idle, `gross` with idle included."""

    source: Literal["ina3221", "nvml", "rapl"]
    rails: tuple[Rail, ...]
    samples: tuple[PowerSample, ...]
    inferences: int
    per_inference: float | None
    gross: float
    note: str = ""


class LayerTime(_Struct, frozen=True, kw_only=True):
    """One layer or node as it ran. `block` is the part of the network it belongs to; `seconds` is None where only the
    compile-time report exists."""

    name: str
    block: str
    kind: str
    precision: str
    seconds: float | None
    share: float | None
    reformat: bool = False
    operations: float | None = None
    traffic: float | None = None


class BlockTime(_Struct, frozen=True, kw_only=True):
    """A block of the network: its layers summed."""

    block: str
    layers: int
    seconds: float | None
    share: float | None
    operations: float | None = None
    traffic: float | None = None


class Roofline(_Struct, frozen=True, kw_only=True):
    """The machine's measured bounds: bytes a second from memory, operations a second by precision ("fp32", "int8"), and
    what the network does of it."""

    bandwidth: float
    rates: dict[str, float]
    operations: float
    traffic: float
    floor: float
    bound: Literal["memory", "compute"]
    method: str


class Layers(_Struct, frozen=True, kw_only=True):
    """Layer by layer. `coverage` is the share of operations (or, without them, of layers) that run in INT8 among those
    that could; `reformats` the share of time (or, without times, of layers) spent in reformats and casts."""

    source: Literal["tensorrt-profiler", "onnxruntime-profiler", "openvino-profiler", "compile-report"]
    layers: tuple[LayerTime, ...]
    blocks: tuple[BlockTime, ...]
    reformats: float
    coverage: float | None
    roofline: Roofline | None = None
    note: str = ""


class Ratio(_Struct, frozen=True, kw_only=True):
    """Ours over theirs, of medians: below 1 ours is faster; the verdict is from the interval."""

    value: float
    interval: Interval
    verdict: Verdict


class Rival(_Struct, frozen=True, kw_only=True):
    """The same network by other means, measured in turn with ours in one run (A/B/A/B)."""

    name: str
    settings: Settings
    ours: Latency
    theirs: Latency
    ratio: Ratio
    max_error: float | None
    note: str = ""


class Subject(_Struct, frozen=True, kw_only=True):
    """What was measured."""

    bundle: str
    digest: str
    network: str
    options: dict[str, str]
    parameters: int
    precision: str
    graph: str
    inputs: dict[str, tuple[int, ...]]
    verdict: str
    accuracy: float | None
    agreement: float | None


class Result(_Struct, frozen=True, kw_only=True):
    """Everything that one `edgefer benchmark` found. Parts that were not asked for, or cannot be had, are None or
    empty, and `missing` says why. `layers` is timed, as this machine's runner ran them; `compiled` is of the engine
    that TensorRT made here, which need not have run. `info` is what the session said of itself before it was closed:
    which runner, why that, and how long it took to open."""

    schema: int = SCHEMA_VERSION
    created: str
    command: tuple[str, ...]
    edgefer: str
    subject: Subject
    conditions: Conditions
    closed: tuple[ClosedLoop, ...] = ()
    opened: tuple[OpenLoop, ...] = ()
    throughput: tuple[Throughput, ...] = ()
    cold_start: ColdStart | None = None
    memory: Memory | None = None
    power: Power | None = None
    layers: Layers | None = None
    compiled: Layers | None = None
    rivals: tuple[Rival, ...] = ()
    missing: dict[str, str] = {}
    info: dict[str, Any] = {}
