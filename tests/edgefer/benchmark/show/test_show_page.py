"""The page: it needs nothing else, holds what the result holds, and trusts no name."""

from __future__ import annotations

import html.parser
import importlib
import re
import sys
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")

from edgefer.benchmark.compare import compare
from edgefer.benchmark.result import Result
from edgefer.benchmark.show.html import page
from edgefer.benchmark.show.overview import names
from edgefer.benchmark.show.plots.frontier import Candidate, best
from edgefer.benchmark.show.sections import sections
from edgefer.errors import EnvironmentMismatch

MakeResult = Callable[..., Result]

NOTHING: dict[str, Any] = {
    "closed": (),
    "opened": (),
    "throughput": (),
    "cold_start": None,
    "memory": None,
    "power": None,
    "layers": None,
    "compiled": None,
    "rivals": (),
}
NUMBER = re.compile(r"(?<![\w.#/-])[-+−]?\d[\d\u202f]*(?:\.\d+)?(?:e[-−+]?\d+)?(?![\w])")
SERIES = {"started", "durations", "arrived", "latencies", "samples", "moments", "losses"}
HOSTILE = "<script>alert(1)</script>&\"'><img src=x onerror=y>\x1b[31m$x^2$\n{{ 7 * 7 }}"


class Words(html.parser.HTMLParser):
    """The text of a page, that of its drawings without the ticks of their axes, its tags and its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text: list[str] = []
        self.drawn: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attributes}
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in values.items()]
        if tag in ("svg", "style", "g"):
            self._open.append("axis" if "matplotlib.axis" in values.get("id", "") else tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("svg", "style", "g"):
            self._open.pop()

    def handle_data(self, data: str) -> None:
        if "style" in self._open:
            return
        if "svg" not in self._open:
            self.text.append(data)
        elif "axis" not in self._open:
            self.drawn.append(data)


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    """Pages by name, so that each is drawn once."""
    return {}


@pytest.fixture
def whole(make_result: MakeResult, made: dict[str, str]) -> str:
    if "whole" not in made:
        made["whole"] = page([make_result()])
    return made["whole"]


def hostile(value: Any, key: str = "") -> Any:
    """A result as plain values with every text replaced that may be any text."""
    if isinstance(value, dict):
        return {hostile(name) if key in ("versions", "missing", "options", "packages", "settings_of") else name:
                hostile(each, name) for name, each in value.items()}  # fmt: skip
    if isinstance(value, list | tuple):
        return [hostile(each, key) for each in value]
    if key in ("measured", "copies", "graph", "wait", "source", "bound", "verdict"):
        return value
    return HOSTILE if isinstance(value, str) else value


def numbers(value: Any, key: str = "") -> list[float]:
    """Every number of the JSON that is not one of a raw series."""
    if isinstance(value, dict):
        return [each for name, item in value.items() if name not in SERIES for each in numbers(item, name)]
    if isinstance(value, list | tuple):
        return [each for item in value for each in numbers(item)] + [float(len(value))]
    return [] if isinstance(value, bool | str | None) else [float(value)]


def writings(value: float) -> set[str]:
    """Every way in which a drawing may write a number of the JSON: a unit, and a number of decimals."""
    scaled = (value * size for size in (1, 1e3, 1e6, 100, 1e-6, 1e-9))
    return {f"{each:,.{decimals}f}".replace(",", "\u202f") for each in scaled for decimals in range(5)}


def test_it_needs_nothing_from_elsewhere(whole: str) -> None:
    words = Words(whole)
    assert not {"script", "link", "iframe", "object", "embed", "base", "form", "img"} & set(words.tags)
    fetching = [each for each in words.attributes if each[1] in {"src", "href", "xlink:href"}]
    assert fetching
    assert [each for each in fetching if not each[2].startswith("#")] == []
    assert [each for each in words.attributes if "://" in each[2] and not each[1].startswith("xmlns")] == []
    assert "@import" not in whole
    assert not [found for found in re.findall(r"url\(([^)]*)\)", whole) if not found.startswith("#")]


def test_every_cell_of_every_table_is_on_the_page(whole: str, make_result: MakeResult) -> None:
    shown = "".join(Words(whole).text)
    found = sections(make_result())
    cells = [cell for section in found for table in section.tables for row in table.rows for cell in row]
    said = [line for section in found for line in (section.title, *section.notes, *section.warnings)]
    assert len(cells) > 500
    assert [each for each in cells if each not in shown] == []
    assert [each for each in said if each.replace("`", "") not in shown] == []


def test_every_number_in_a_drawing_is_in_the_json(whole: str, make_result: MakeResult) -> None:
    result = make_result()
    assert result.cold_start is not None
    values = numbers(msgspec.to_builtins(result))
    values.append(result.cold_start.total - sum(stage.seconds for stage in result.cold_start.stages))
    values.append(float(len(result.opened[0].losses)))
    known = {way for value in values for way in writings(value)}
    names_of = " ".join([layer.name for layer in result.layers.layers] if result.layers else [])
    shown = NUMBER.findall("  ".join(Words(whole).drawn))
    assert len(shown) > 50
    assert [each for each in shown if each not in known and each not in names_of] == []


def test_there_is_a_picture_of_each_kind(whole: str) -> None:
    for caption in (
        "How long the runs took",
        "The tail",
        "Over time, with the state of the machine",
        "Ratio of medians",
        "Every frame, from arrival to answer",
        "What a larger batch gains",
        "Where the time goes, by block",
        "The longest layers",
        "Roofline",
        "From a new process to the first answer",
        "Power over time",
        "Layers by block",
    ):
        assert f"<figcaption>{caption}" in whole, caption
    assert whole.count("<svg") == 13


def test_ids_are_unique_and_references_lead_somewhere(make_result: MakeResult) -> None:
    both = page([make_result(), make_result(1, precision="fp32")])
    ids = [value for _, name, value in Words(both).attributes if name == "id"]
    assert len(ids) > 100
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', both)) <= set(ids)


def test_colours_are_those_of_the_page(whole: str) -> None:
    drawings = re.findall(r"<svg.*?</svg>", whole, flags=re.DOTALL)
    assert all("var(--" in each for each in drawings)
    assert not re.search(r"#0\wfe0\w", whole)
    assert set(re.findall(r"var\(--(\w+)\)", whole)) <= set(re.findall(r"--(\w+):", whole))


def test_the_same_results_give_the_same_page(whole: str, make_result: MakeResult) -> None:
    assert page([make_result()]) == whole


def test_drawing_leaves_matplotlib_as_it_was(make_result: MakeResult) -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    page([make_result(closed=(), layers=None, throughput=())])
    assert dict(matplotlib.rcParams) == before


@pytest.mark.filterwarnings("error")
def test_no_name_is_trusted(make_result: MakeResult) -> None:
    result = msgspec.convert(hostile(msgspec.to_builtins(make_result())), Result)
    text = page([result, result])
    words = Words(text)
    assert not {"script", "img"} & set(words.tags)
    assert not [name for _, name, _ in words.attributes if name.startswith("on")]
    assert "<script>alert(1)</script>&" in "".join(words.text)
    assert "49" not in [found for found in NUMBER.findall("".join(words.drawn)) if "{{" in found]


def test_names_of_no_language_are_drawn(make_result: MakeResult) -> None:
    result = make_result(closed=(), throughput=(), power=None)
    subject = msgspec.structs.replace(result.subject, network="表情\udcff\x00")
    text = page([msgspec.structs.replace(result, subject=subject)])
    assert "表情��" in text
    text.encode("utf-8")


@pytest.mark.parametrize("part", sorted(NOTHING))
def test_each_part_may_be_the_only_one(make_result: MakeResult, part: str) -> None:
    result = make_result(**{name: value for name, value in NOTHING.items() if name != part})
    shown = "".join(Words(page([result])).text)
    assert "What was not measured, and why" in shown
    silent = len(NOTHING) - 2  # what is asked for by name says so itself
    assert shown.count("which does not say why") == (silent + 1 if part == "rivals" else silent)


def test_the_reason_for_what_is_missing_is_shown(make_result: MakeResult) -> None:
    missing = {"power": "No INA3221, NVML or RAPL.", "cold-start": "Skipped.", "against tvm": "Not known."}
    shown = "".join(Words(page([make_result(**NOTHING, missing=missing)])).text)
    assert all(reason in shown for reason in missing.values())


def test_layers_without_times_are_counted(make_result: MakeResult) -> None:
    result = make_result(closed=(), throughput=(), power=None)
    assert result.layers is not None
    untimed = msgspec.structs.replace(
        result.layers,
        source="compile-report",
        layers=tuple(msgspec.structs.replace(layer, seconds=None, share=None) for layer in result.layers.layers),
        blocks=tuple(msgspec.structs.replace(block, seconds=None, share=None) for block in result.layers.blocks),
    )
    text = page([msgspec.structs.replace(result, layers=untimed)])
    assert "Layers by block" in text
    assert "<figcaption>The longest layers" not in text
    assert "which knows no times" in text


def test_samples_too_small_to_draw_much(make_result: MakeResult) -> None:
    result = make_result()
    loop = result.closed[0]
    one = msgspec.structs.replace(loop, started=loop.started[:1], durations=loop.durations[:1])
    still = msgspec.structs.replace(loop, durations=(0.02,) * len(loop.durations))
    assert page([make_result(closed=(one,), throughput=result.throughput[:1], power=None)]).count("<svg") == 10
    assert "<svg" in page([make_result(closed=(still,), layers=None, power=None)])


def test_streams_are_drawn_where_there_is_one_batch(make_result: MakeResult) -> None:
    points = tuple(point for point in make_result().throughput if point.settings.batch == 1)
    assert len(points) == 2
    text = page([make_result(**NOTHING | {"throughput": points})])
    assert "<figcaption>What more streams gain, and what they cost" in text
    assert "<svg" not in page([make_result(**NOTHING | {"throughput": points[:1]})])


def test_stages_that_fill_the_total_leave_no_rest(make_result: MakeResult) -> None:
    start = make_result().cold_start
    assert start is not None
    assert "unaccounted for" in page([make_result(**NOTHING | {"cold_start": start})])
    whole = msgspec.structs.replace(start, total=sum(stage.seconds for stage in start.stages))
    assert "unaccounted for" not in page([make_result(**NOTHING | {"cold_start": whole})])


def test_an_interval_beyond_the_picture_does_not_squeeze_the_others(make_result: MakeResult) -> None:
    rivals = make_result().rivals
    wide = msgspec.structs.replace(rivals[0].ratio.interval, low=0.0001, high=400.0)
    ratio = msgspec.structs.replace(rivals[0].ratio, interval=wide)
    text = page([make_result(**NOTHING | {"rivals": (msgspec.structs.replace(rivals[0], ratio=ratio), *rivals[1:])})])
    assert "0.000 to 400.000" in text
    drawing = text[text.index("<svg") : text.index("</svg>")]
    assert ">0.5<" in drawing
    assert ">0.01<" not in drawing
    assert ">50<" not in drawing


def test_long_series_are_drawn_as_bands(make_result: MakeResult) -> None:
    result = make_result(throughput=(), layers=None, power=None, opened=())
    short = page([result])
    loop = result.closed[0]
    arrivals = make_result().opened[0]
    at = tuple(float(frame) / 30 for frame in range(20_000))
    camera = msgspec.structs.replace(arrivals, seconds=667.0, arrived=at, latencies=(0.02,) * 20_000, losses=())
    long = msgspec.structs.replace(
        loop, started=tuple(float(n) / 50 for n in range(40_000)), durations=loop.durations[:500] * 80
    )
    text = page([msgspec.structs.replace(result, closed=(long,), opened=(camera,))])
    assert "fastest to slowest answer" in text
    assert len(text) < 2 * len(short)


def test_many_clocks_are_drawn_as_a_band(make_result: MakeResult) -> None:
    result = make_result(throughput=(), layers=None, power=None, opened=())
    moments = tuple(
        msgspec.structs.replace(
            moment, clocks=tuple(msgspec.structs.replace(moment.clocks[0], name=f"cpu{index}") for index in range(12))
        )
        for moment in result.conditions.moments
    )
    conditions = msgspec.structs.replace(result.conditions, moments=moments)
    text = page([msgspec.structs.replace(result, conditions=conditions)])
    assert "12 of them, median" in text


def test_two_looks_are_enough_for_the_state_over_time(make_result: MakeResult) -> None:
    result = make_result(throughput=(), layers=None, power=None, opened=())
    few = msgspec.structs.replace(
        result.conditions, moments=(result.conditions.moments[0], result.conditions.moments[-1])
    )
    assert ">clocks (GHz)<" in page([msgspec.structs.replace(result, conditions=few)])
    none = msgspec.structs.replace(result.conditions, moments=(), warnings=())
    text = page([msgspec.structs.replace(result, conditions=none)])
    assert ">clocks (GHz)<" not in text
    assert "Nothing out of order was seen" in text


def test_all_frames_lost(make_result: MakeResult) -> None:
    result = make_result(closed=(), throughput=(), layers=None, power=None)
    loop = msgspec.structs.replace(
        result.opened[0], answered=0, arrived=(), latencies=(), latency=None, service=None, queueing=None
    )
    assert "Every frame, from arrival to answer" in page([msgspec.structs.replace(result, opened=(loop,))])


def test_several_results_have_a_frontier_and_say_how_they_differ(make_result: MakeResult) -> None:
    quick = {"closed": (), "opened": (), "throughput": (), "layers": None, "rivals": (), "power": None}
    loops = make_result().closed[:1]
    results = [
        make_result(**quick | {"closed": loops}),
        make_result(1, precision="fp32", **quick | {"closed": loops}),
        make_result(2, gpu=True, **quick | {"closed": make_result(gpu=True).closed[:1]}),
    ]
    text = page(results)
    assert "<figcaption>Accuracy, latency and size" in text
    shown = "".join(Words(text).text)
    assert "measured on different machines: Example Processor 9000 @ 2.20GHz; Jetson Orin Nano, 15W" in shown
    assert "differ in more than the network: onnxruntime on cpu; tensorrt on NVIDIA Orin" in shown
    alike = page(results[:1] * 2)
    assert "differ in more than" not in alike
    assert all(f'id="result-{index}"' in text for index in range(3))


def test_a_comparison_has_ratios_and_says_what_is_unfair(make_result: MakeResult) -> None:
    base = make_result(layers=None, power=None, rivals=())
    other = make_result(1, median=0.03, layers=None, power=None, rivals=(), created="2026-04-01T10:00:00+00:00")
    fair = compare([base, other])
    text = page([base, other], fair)
    words = Words(text)
    assert "Ratio of times, other over base" in text
    assert text.index("Ratio of times, other over base") < text.index("<h2>All results")
    assert "slower" in words.drawn
    assert "not comparable" not in text.replace("not-comparable", "")
    ids = [value for _, name, value in words.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    loop = other.closed[0]
    settings = msgspec.structs.replace(loop.settings, threads=1)
    single = msgspec.structs.replace(
        other, closed=(msgspec.structs.replace(loop, settings=settings), *other.closed[1:])
    )
    unfair = page([base, single], compare([base, single]))
    banner = unfair[unfair.index("Read these figures with care") : unfair.index("Ratio of times")]
    assert "threads of one inference: 2 against 1" in banner
    assert '<span class="chip not-comparable">not comparable</span>' in unfair


def test_names_tell_results_apart(make_result: MakeResult) -> None:
    one, other = make_result(), make_result(precision="fp32")
    assert names([one, other]) == ("viri-fusion INT8", "viri-fusion FP32")
    later = make_result(created="2026-04-01T10:00:00+00:00")
    assert names([one, later]) == ("viri-fusion INT8, 2026-03-14 09:26", "viri-fusion INT8, 2026-04-01 10:00")
    assert len(set(names([one, one]))) == 2
    assert len(set(names([one, make_result(gpu=True)]))) == 2
    assert names([]) == ()


def test_the_best_are_those_that_none_beats_in_both() -> None:
    rng = np.random.default_rng(1)
    every = [Candidate(str(i), "int8", float(a), float(t), 1) for i, (a, t) in enumerate(rng.random((30, 2)))]
    expected = [
        each
        for each in every
        if not any(other.latency < each.latency and other.accuracy >= each.accuracy for other in every)
    ]
    assert set(best(every)) == set(expected)
    assert [each.latency for each in best(every)] == sorted(each.latency for each in expected)


def test_no_results_give_a_page_that_says_so() -> None:
    assert "There is no result to show." in page([])


@pytest.mark.parametrize("package", ["matplotlib", "jinja2"])
def test_without_a_package_the_extra_is_named(
    make_result: MakeResult, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(EnvironmentMismatch, match=f"`{package}`, which is not installed") as caught:
        page([make_result()])
    assert "edgefer[benchmark]" in caught.value.hint


def test_a_package_that_does_not_load_is_not_called_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        raise ImportError("libfoo.so: cannot open shared object file", name="libfoo")

    monkeypatch.setattr(importlib, "import_module", fail)
    with pytest.raises(EnvironmentMismatch, match="cannot be loaded") as caught:
        page([])
    assert "libfoo.so" in caught.value.details
