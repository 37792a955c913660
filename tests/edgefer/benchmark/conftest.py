"""Results of a benchmark for tests: made up from a seed, consistent in themselves, and measured nowhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest

from edgefer.benchmark.result import (
    BlockTime,
    Clock,
    ClosedLoop,
    ColdStart,
    Conditions,
    Interval,
    Latency,
    Layers,
    LayerTime,
    Loss,
    Machine,
    Memory,
    Moment,
    OpenLoop,
    Power,
    PowerSample,
    Rail,
    Ratio,
    Result,
    Rival,
    Roofline,
    Settings,
    Stage,
    Subject,
    Temperature,
    Throughput,
    WarmUp,
)

MakeResult = Callable[..., Result]


@pytest.fixture
def make_result() -> MakeResult:
    """The factory: `make_result(seed=0, network=..., precision=..., median=seconds, gpu=False, **changes)`."""
    return synthetic_result


def synthetic_result(
    seed: int = 0,
    *,
    network: str = "viri-fusion",
    precision: str = "int8",
    median: float = 0.0193,
    gpu: bool = False,
    **changes: Any,
) -> Result:
    """A `Result` of which every part is filled, from made-up figures; `changes` replaces fields of it."""
    rng = np.random.default_rng(seed)
    base = Settings(
        runner="tensorrt" if gpu else "onnxruntime",
        device="NVIDIA Orin" if gpu else "cpu",
        measured="infer",
        precision=precision,
        threads=None if gpu else 2,
        copies="on" if gpu else "not-applicable",
        graph="on" if gpu else "not-applicable",
        wait="block" if gpu else "not-applicable",
        versions={"tensorrt": "10.3.0"} if gpu else {"onnxruntime": "1.31.0"},
    )
    images = msgspec.structs.replace(base, measured="images")
    closed = closed_loop(rng, base, median, start=4.0), closed_loop(rng, images, median + 0.0012, start=16.0)
    result = Result(
        created="2026-03-14T09:26:53+00:00",
        command=("edgefer", "benchmark", f"{network}.edgefer", "--threads", "2", "--against", "onnxruntime", "opencv"),
        edgefer="0.1.0",
        subject=_subject(network, precision, seed),
        conditions=_conditions(rng, gpu),
        closed=closed,
        opened=(open_loop(rng, base, median),),
        throughput=_throughput(rng, base, median),
        cold_start=_cold_start(gpu),
        memory=Memory(
            host_before=61_000_000,
            host_open=143_000_000,
            host_peak=171_000_000,
            device=212_000_000 if gpu else None,
            bundle=6_240_000,
            graph=1_890_000 if precision == "int8" else 5_840_000,
            engine=3_410_000 if gpu else None,
        ),
        power=_power(rng, closed[0]),
        layers=_layers(rng, median, gpu),
        compiled=_compiled(gpu),
        rivals=_rivals(rng, base, median),
        missing={} if gpu else {"against torch-compile": "torch.compile needs a C++ compiler, and `c++` is not found."},
    )
    return msgspec.structs.replace(result, **changes)


def latency_of(durations: np.ndarray) -> Latency:
    """The figures of a sample in seconds; the interval is a rough one, and good enough to draw."""
    count = len(durations)

    def percentile(share: float) -> float | None:
        return float(np.quantile(durations, share)) if count * (1 - share) >= 1 else None

    median = float(np.median(durations))
    spread = 1.6 * float(durations.std()) / count**0.5
    return Latency(
        count=count,
        minimum=float(durations.min()),
        mean=float(durations.mean()),
        p50=median,
        p90=percentile(0.90),
        p95=percentile(0.95),
        p99=percentile(0.99),
        p999=percentile(0.999),
        maximum=float(durations.max()),
        standard_deviation=float(durations.std()),
        jitter=float(np.abs(np.diff(durations)).mean()),
        variation=float(durations.std() / durations.mean()),
        median=Interval(low=max(float(durations.min()), median - spread), high=median + spread, confidence=0.95),
    )


def durations_of(rng: np.random.Generator, median: float, count: int) -> np.ndarray:
    """Durations in seconds as processors give them: a narrow bulk, a slow drift, a heavy tail."""
    noise = np.exp(rng.normal(0, 0.018, count)) + np.abs(np.cumsum(rng.normal(0, 0.0006, count)))
    noise += (rng.random(count) < 0.01) * rng.exponential(0.35, count)
    return np.asarray(median * noise)


def closed_loop(rng: np.random.Generator, settings: Settings, median: float, start: float) -> ClosedLoop:
    """A closed loop of ten seconds, or 200 runs if that is longer."""
    durations = durations_of(rng, median, max(200, int(10 / median)))
    started = start + np.concatenate([[0.0], np.cumsum(durations[:-1] + 4e-6)])
    return ClosedLoop(
        settings=settings,
        warm_up=WarmUp(runs=38, seconds=38 * median, steady=True),
        latency=latency_of(durations),
        started=tuple(started.tolist()),
        durations=tuple(durations.tolist()),
    )


def open_loop(rng: np.random.Generator, settings: Settings, median: float, frames: int = 300) -> OpenLoop:
    """A camera at 30 Hz whose frames queue behind each other; one pause is long enough to lose some."""
    service = durations_of(rng, median, frames)
    service[frames // 2] = 0.24
    arrived, free, waits, latencies, answered, losses = [], 30.0, [], [], [], []
    for frame in range(frames):
        at = 30.0 + frame / 30
        if free - at > 2.5 / 30:
            losses.append(Loss(frame=frame, arrived=at, reason="the queue was full: the oldest frame was dropped"))
            continue
        begin = max(at, free)
        free = begin + float(service[frame])
        arrived.append(at)
        waits.append(begin - at)
        latencies.append(free - at)
        answered.append(frame)
    return OpenLoop(
        settings=settings,
        warm_up=WarmUp(runs=30, seconds=30 * median, steady=True),
        rate=30.0,
        seconds=frames / 30,
        queue_limit=2,
        arrivals=frames,
        answered=len(answered),
        losses=tuple(losses),
        longest_queue=2,
        latency=latency_of(np.array(latencies)),
        service=latency_of(service[answered]),
        queueing=latency_of(np.array(waits)),
        over_period=sum(each > 1 / 30 for each in latencies),
        arrived=tuple(arrived),
        latencies=tuple(latencies),
    )


def _throughput(rng: np.random.Generator, base: Settings, median: float) -> tuple[Throughput, ...]:
    points = []
    for streams in (1, 2):
        for batch in (1, 2, 4, 8, 16):
            seconds = median * (0.18 + 0.82 * batch) * (1 if streams == 1 else 1.85)
            sample = durations_of(rng, seconds, 200)
            rate = streams * batch / float(np.median(sample))
            points.append(
                Throughput(
                    settings=msgspec.structs.replace(base, batch=batch, streams=streams),
                    seconds=3.0,
                    images=round(3 * rate),
                    rate=rate,
                    interval=Interval(low=rate * 0.985, high=rate * 1.013, confidence=0.95),
                    latency=latency_of(sample),
                )
            )
    return tuple(points)


def _cold_start(gpu: bool) -> ColdStart:
    stages = [("import", 0.071), ("read", 0.004), ("verify", 0.012), ("compile or cache", 0.31 if gpu else 0.118)]
    stages += [("self-check", 0.044), ("first answer", 0.021)]
    return ColdStart(
        repeats=5,
        total=sum(seconds for _, seconds in stages) + 0.049,
        stages=tuple(
            Stage(name=name, seconds=seconds, low=seconds * 0.94, high=seconds * 1.21) for name, seconds in stages
        ),
        note="The files were in the page cache.",
    )


def _power(rng: np.random.Generator, loop: ClosedLoop) -> Power:
    at = np.arange(loop.started[0] - 2, loop.started[-1] + 0.5, 0.1)
    busy = (at > loop.started[0]) & (at < loop.started[-1])
    total = 5.1 + busy * 6.3 + rng.normal(0, 0.12, len(at))
    gpu = 0.9 + busy * 4.1 + rng.normal(0, 0.08, len(at))
    soc = 1.6 + busy * 0.7 + rng.normal(0, 0.05, len(at))
    idle, mean = float(total[~busy].mean()), float(total[busy].mean())
    return Power(
        source="ina3221",
        rails=(
            Rail(name="VDD_IN", idle=idle, mean=mean, peak=float(total.max()), total=True),
            Rail(name="VDD_CPU_GPU_CV", idle=0.9, mean=5.0, peak=float(gpu.max()), total=False),
            Rail(name="VDD_SOC", idle=1.6, mean=2.3, peak=float(soc.max()), total=False),
        ),
        samples=tuple(
            PowerSample(at=float(a), watts=(float(t), float(g), float(s)))
            for a, t, g, s in zip(at, total, gpu, soc, strict=True)
        ),
        inferences=len(loop.durations),
        per_inference=(mean - idle) * loop.latency.mean,
        gross=mean * loop.latency.mean,
        note="Sampled at 10 Hz.",
    )


def _layers(rng: np.random.Generator, median: float, gpu: bool) -> Layers:
    names = [f"/{trunk}/layer{stage}/conv{index}" for trunk in ("visible", "infrared") for stage in (1, 2, 3, 4)
             for index in range(4)]  # fmt: skip
    weights = rng.dirichlet(np.full(len(names) + 3, 4.0)) * median
    layers = []
    rates = {"fp32": 1.3e12, "int8": 5.2e12} if gpu else {"fp32": 1.1e11, "int8": 4.1e11}
    bandwidth = 5.9e10 if gpu else 1.35e10
    for index, name in enumerate(names):
        precision = "fp32" if name.endswith("layer1/conv0") else "int8"
        rate = rates[precision] * float(rng.uniform(0.2, 0.8))
        operations = rate * float(weights[index])
        traffic = operations / (rate / bandwidth * float(rng.uniform(1.1, 9)))
        layers.append(
            LayerTime(
                name=name,
                block="/".join(name.split("/")[1:3]),
                kind="Conv",
                precision=precision,
                seconds=float(weights[index]),
                share=float(weights[index] / median),
                operations=operations,
                traffic=traffic,
            )
        )
    for index, name in enumerate(("/visible/reformat_in", "/infrared/reformat_in", "/fusion")):
        seconds = float(weights[len(names) + index]) * 0.7
        layers.append(
            LayerTime(
                name=name,
                block="fusion" if name == "/fusion" else name.split("/")[1] + "/layer1",
                kind="GatedFusion" if name == "/fusion" else "Reformat",
                precision="fp32",
                seconds=seconds,
                share=seconds / median,
                reformat="reformat" in name,
            )
        )
    blocks = []
    for block in dict.fromkeys(layer.block for layer in layers):
        mine = [layer for layer in layers if layer.block == block]
        seconds = sum(layer.seconds or 0 for layer in mine)
        blocks.append(
            BlockTime(
                block=block,
                layers=len(mine),
                seconds=seconds,
                share=seconds / median,
                operations=sum(layer.operations or 0 for layer in mine) or None,
                traffic=sum(layer.traffic or 0 for layer in mine) or None,
            )
        )
    operations, traffic = sum(x.operations or 0 for x in layers), sum(x.traffic or 0 for x in layers)
    floor = max(traffic / bandwidth, operations / rates["int8"])
    return Layers(
        source="tensorrt-profiler" if gpu else "onnxruntime-profiler",
        layers=tuple(layers),
        blocks=tuple(blocks),
        reformats=sum(x.share or 0 for x in layers if x.reformat),
        coverage=0.93,
        roofline=Roofline(
            bandwidth=bandwidth,
            rates=rates,
            operations=operations,
            traffic=traffic,
            floor=floor,
            bound="memory" if floor == traffic / bandwidth else "compute",
            method="copy of 256 MiB and a matrix product of 1,024 square",
        ),
        note="The profiler itself takes time: shares are meant, not sums.",
    )


def _compiled(gpu: bool) -> Layers:
    kinds = [("visible/layer1", "Conv", "int8", False), ("visible/layer1", "Reformat", "fp32", True)]
    kinds += [("infrared/layer1", "Conv", "int8", False), ("fusion", "Gemm", "fp16" if gpu else "fp32", False)]
    layers = tuple(
        LayerTime(name=f"{block}/{kind}", block=block, kind=kind, precision=precision, seconds=None, share=None,
                  reformat=reformat)
        for block, kind, precision, reformat in kinds
    )  # fmt: skip
    return Layers(
        source="compile-report",
        layers=layers,
        blocks=tuple(
            BlockTime(block=block, layers=sum(layer.block == block for layer in layers), seconds=None, share=None)
            for block in dict.fromkeys(layer.block for layer in layers)
        ),
        reformats=0.25,
        coverage=2 / 3,
    )


def _rivals(rng: np.random.Generator, base: Settings, median: float) -> tuple[Rival, ...]:
    rivals = []
    for name, factor in (("onnxruntime", 0.51), ("openvino", 1.004), ("opencv", 0.93), ("torch", 0.38)):
        ours, theirs = (durations_of(rng, each, 400) for each in (median, median / factor))
        value = float(np.median(ours) / np.median(theirs))
        low, high = value * 0.988, value * 1.013
        rivals.append(
            Rival(
                name=name,
                settings=msgspec.structs.replace(
                    base, runner=name, measured="runner", precision="fp32", versions={name: "2.0"}
                ),
                ours=latency_of(ours),
                theirs=latency_of(theirs),
                ratio=Ratio(
                    value=value,
                    interval=Interval(low=low, high=high, confidence=0.95),
                    verdict="faster" if high < 1 else "slower" if low > 1 else "within-noise",
                ),
                max_error=3.1e-6,
                note="NHWC inside" if name == "opencv" else "",
            )
        )
    return tuple(rivals)


def _subject(network: str, precision: str, seed: int) -> Subject:
    return Subject(
        bundle=f"models/{network}.edgefer",
        digest=f"{seed:064x}",
        network=network,
        options={"classes": "5"},
        parameters=1_454_117,
        precision=precision,
        graph="pair",
        inputs={"visible": (1, 3, 224, 224), "infrared": (1, 1, 224, 224)},
        verdict="pass",
        accuracy={"int8": 0.7855, "fp16": 0.7840, "fp32": 0.7845}[precision] - 0.004 * seed,
        agreement=0.9905 if precision == "int8" else 1.0,
    )


def _conditions(rng: np.random.Generator, gpu: bool) -> Conditions:
    moments = []
    for at in np.arange(0.0, 42.0, 1.0):
        busy = at > 3
        hertz = (2.0e9 if busy else 0.73e9) + float(rng.normal(0, 1e7))
        moments.append(
            Moment(
                at=float(at),
                clocks=(
                    Clock(name="cpu0", hertz=hertz, minimum=0.7e9, maximum=2.2e9, governor="schedutil"),
                    Clock(name="cpu1", hertz=hertz - 4e7, minimum=0.7e9, maximum=2.2e9, governor="schedutil"),
                    *((Clock(name="gpu", hertz=1.02e9 if busy else 0.3e9, maximum=1.02e9),) if gpu else ()),
                ),
                temperatures=(
                    Temperature(name="cpu-thermal", celsius=46 + 9 * (1 - float(np.exp(-at / 12)))),
                    Temperature(name="tj-thermal", celsius=48 + 9 * (1 - float(np.exp(-at / 12)))),
                ),
                throttle=("power cap",) if 20 <= at <= 23 else (),
                load=0.02 + 0.1 * float(rng.random()),
                load_average=1.4,
                memory_available=2_600_000_000,
            )
        )
    machine = Machine(
        cpu="ARM Cortex-A78AE" if gpu else "Example Processor 9000 @ 2.20GHz",
        architecture="aarch64" if gpu else "x86_64",
        cpus=6 if gpu else 2,
        cpu_features=("asimd", "fphp") if gpu else ("avx2", "avx512_vnni"),
        memory=8_000_000_000,
        system="Linux 5.15.148",
        python="3.10.12",
        virtual=None if gpu else "kvm",
        container=not gpu,
        gpu="NVIDIA Orin" if gpu else None,
        tensorrt="10.3.0" if gpu else None,
        board="Jetson Orin Nano" if gpu else None,
        power_mode="15W" if gpu else None,
        packages={"numpy": "2.2.0", "onnxruntime": "1.31.0"},
    )
    return Conditions(
        machine=machine,
        moments=tuple(moments),
        warnings=("The clock of `cpu0` is not fixed: it went from 0.73 to 2.00 GHz.", "A virtual machine (kvm)."),
    )
