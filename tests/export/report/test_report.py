"""The report: the page and the JSON say the same, the page needs nothing else, and odd builds have a page, too."""

from __future__ import annotations

import html
import html.parser
import json
import math
import re
import shlex
from pathlib import Path
from typing import Any

import msgspec
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")

from edgefer.bundle.manifest import NetworkSpec, StepFigure
from edgefer.page import text
from edgefer_export.report.content import Report, count_layers, from_json, step_report, to_json
from edgefer_export.report.html import render, write_report

# A number that stands for itself, not one within a name such as FP32, and not the unit of another.
NUMBER = re.compile(r"(?<![\w.#/-])[-+−]?\d[\d\u202f]*(?:\.\d+)?(?:e[-−+]?\d+)?(?![\w])")


class Words(html.parser.HTMLParser):
    """The text of a page, with the ticks of its plots and without (`text`), and every attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.text: list[str] = []
        self.with_ticks: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.tags: set[str] = set()
        self._style = False
        self._axis = 0

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attributes}
        self.tags.add(tag)
        self.attributes += [(tag, name, value) for name, value in values.items()]
        self._style = tag == "style"
        if self._axis:
            self._axis += tag == "g"
        elif tag == "g" and "axis_" in values.get("id", ""):
            self._axis = 1

    def handle_endtag(self, tag: str) -> None:
        self._style = False
        self._axis -= bool(self._axis and tag == "g")

    def handle_data(self, data: str) -> None:
        if self._style:
            return
        self.with_ticks.append(data)
        if not self._axis:
            self.text.append(data)


def read(page: str) -> Words:
    words = Words()
    words.feed(page)
    return words


def numbers(value: Any) -> list[float]:
    """Every number in a JSON document."""
    if isinstance(value, dict):
        return [each for item in value.values() for each in numbers(item)]
    if isinstance(value, list):
        return [each for item in value for each in numbers(item)] + [float(len(value))]
    return [] if isinstance(value, bool | str | None) else [float(value)]


def located(value: Any, path: str = "") -> list[tuple[str, float]]:
    """Every number in a JSON document with the way to it."""
    if isinstance(value, dict):
        return [each for key, item in value.items() for each in located(item, f"{path}.{key}")]
    if isinstance(value, list):
        return [each for index, item in enumerate(value) for each in located(item, f"{path}[{index}]")]
    return [] if isinstance(value, bool | str | None) else [(path, float(value))]


def strings(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [each for key, item in value.items() for each in (key, *strings(item))]
    if isinstance(value, list):
        return [each for item in value for each in strings(item)]
    return [value] if isinstance(value, str) else []


def writings(value: float) -> set[str]:
    """Every way in which the page may write a number of the JSON."""
    ways = {text.points(value), text.plain_points(value), text.scientific(value), f"{value:g}", f"{value:.2f}"}
    ways |= {f"{100 * value:.2f}", f"{100 * value:.0f}", f"{value / 1e6:.2f}"}
    if value == int(value):
        ways |= {text.count(int(value)), str(int(value))}
    return ways


def squeezed(words: str) -> str:
    return re.sub(r"\s", "", words)


def test_every_number_of_the_page_is_in_the_json(sample_report: Report) -> None:
    page = read(render(sample_report))
    document = json.loads(to_json(sample_report))
    known = {way for value in numbers(document) for way in writings(value)}
    in_strings = {found for each in strings(document) for found in NUMBER.findall(each)}
    shown = NUMBER.findall(" ".join(page.text).replace("\u202f%", " %"))
    assert len(shown) > 300
    assert [each for each in shown if each not in known | in_strings] == []


def test_the_search_for_numbers_would_find_a_stray_one(sample_report: Report) -> None:
    page = render(sample_report).replace("</main>", "<p>61.37 % of 4\u202f711</p></main>")
    document = json.loads(to_json(sample_report))
    known = {way for value in numbers(document) for way in writings(value)}
    shown = NUMBER.findall(" ".join(read(page).text))
    assert {"61.37", "4\u202f711"} <= {each for each in shown if each not in known}


def test_every_number_of_the_json_is_on_the_page(sample_report: Report) -> None:
    shown = set(NUMBER.findall(" ".join(read(render(sample_report)).with_ticks).replace("\u202f%", " %")))
    missing = [
        (path, value)
        for path, value in located(json.loads(to_json(sample_report)))
        if not {word for way in writings(value) for word in NUMBER.findall(way)} & shown
    ]
    assert missing == []


def test_the_steps_in_between_have_their_matrices(sample_report: Report) -> None:
    assert len(sample_report.steps) > 2
    assert render(sample_report).count('<table class="matrix">') == len(sample_report.steps)
    two = msgspec.structs.replace(sample_report, steps=(sample_report.steps[0], sample_report.steps[-1]))
    assert "The steps in between" not in render(two)


def test_every_figure_of_the_json_is_on_the_page(sample_report: Report) -> None:
    report = sample_report
    expected = [report.reason, report.created, *report.notes, *report.digests, *report.digests.values()]
    expected += [*report.environment, *report.environment.values(), text.count(report.network.parameters)]
    for step in report.steps:
        figure = step.figure
        assert step.accuracy is not None
        assert figure.correct is not None
        assert figure.mean_recall is not None
        assert figure.worst_recall is not None
        expected += [figure.step, text.count(figure.correct), text.percent(step.accuracy), *step.notes]
        expected += [text.percent(figure.mean_recall), text.percent(figure.worst_recall), str(figure.worst_class)]
        expected += [text.percent(figure.agreement), text.scientific(figure.max_error)]
        expected += [text.megabytes(step.bytes or 0)] + ([] if step.seconds is None else [text.seconds(step.seconds)])
    for step in (report.steps[0], report.steps[-1]):
        expected += [text.count(cell) for row in step.confusion for cell in row]
        expected += [text.percent(each) for each in step.recalls if each is not None]
    for check in report.checks:
        write = text.percent if check.unit == "share" else text.points
        expected += [check.measure, write(check.value), write(check.low), write(check.high), check.verdict, check.note]
    assert report.calibration is not None
    assert report.evaluation is not None
    assert report.engine is not None
    expected += [report.calibration.source, report.calibration.digest, text.count(report.calibration.count)]
    for tensor in report.calibration.ranges:
        expected += [tensor.name, *(text.scientific(each) for each in (tensor.low, tensor.high, tensor.limit))]
    expected += [report.evaluation.source, report.evaluation.digest, text.count(report.evaluation.count)]
    expected += [f"{layer.name} {layer.op} {layer.precision.upper()}" for layer in report.layers]
    expected += [report.engine.version, report.engine.path, report.engine.trtexec, *report.engine.notes]
    expected += [text.megabytes(report.engine.bytes), text.seconds(report.engine.seconds)]
    expected += [f"{name}" for name in (*report.sizes, *report.seconds)]
    expected += [text.megabytes(size) for size in report.sizes.values()]
    expected += [text.seconds(value) for value in report.seconds.values()]
    words = squeezed("".join(read(render(sample_report)).with_ticks))
    assert [each for each in expected if squeezed(each) not in words] == []


def test_the_page_needs_nothing_from_elsewhere(sample_report: Report) -> None:
    page = read(render(sample_report))
    assert not page.tags & {"script", "link", "iframe", "object", "embed", "base", "form"}
    fetching = [(tag, name, value) for tag, name, value in page.attributes if name in {"src", "href", "xlink:href"}]
    assert fetching
    assert [each for each in fetching if not each[2].startswith(("#", "data:"))] == []
    addresses = [each for each in page.attributes if "://" in each[2] and not each[1].startswith("xmlns")]
    assert addresses == []
    assert "@import" not in render(sample_report)
    assert not [found for found in re.findall(r"url\(([^)]*)\)", render(sample_report)) if not found.startswith("#")]


def test_ids_of_the_plots_are_unique(sample_report: Report) -> None:
    ids = [value for _, name, value in read(render(sample_report)).attributes if name == "id"]
    assert len(ids) > 20
    assert len(ids) == len(set(ids))


def test_references_within_the_plots_lead_somewhere(sample_report: Report) -> None:
    page = render(sample_report)
    ids = set(re.findall(r'\bid="([^"]+)"', page))
    assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', page)) <= ids


def test_plots_follow_the_colours_of_the_page(sample_report: Report) -> None:
    page = render(sample_report)
    drawings = re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL)
    assert len(drawings) == 5
    assert all("var(--" in each for each in drawings)
    assert not re.search(r"#0\wfe0\w", page)
    names = set(re.findall(r"var\(--(\w+)\)", "".join(drawings)))
    assert names <= set(re.findall(r"--(\w+):", page))
    assert "prefers-color-scheme: dark" in page


def test_the_same_report_gives_the_same_page(sample_report: Report) -> None:
    assert render(sample_report) == render(sample_report)


def test_drawing_leaves_matplotlib_as_it_was(sample_report: Report) -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    render(sample_report)
    assert dict(matplotlib.rcParams) == before


def test_json_comes_back_equal(sample_report: Report) -> None:
    assert from_json(to_json(sample_report)) == sample_report


def test_json_of_something_else_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="title"):
        from_json(b'{"schema": 1}')


def test_both_files_are_written(sample_report: Report, tmp_path: Path) -> None:
    page, data = write_report(sample_report, tmp_path / "a" / "b")
    assert page == tmp_path / "a" / "b" / "report.html"
    assert page.read_text(encoding="utf-8") == render(sample_report)
    assert from_json(data.read_bytes()) == sample_report
    assert sorted(each.name for each in page.parent.iterdir()) == ["report.html", "report.json"]


def bare_report(**changes: Any) -> Report:
    report = Report(
        title="cbam-early-fusion, FP32",
        verdict="numeric",
        reason="There are no labels.",
        created="2026-03-14T09:26:53Z",
        network=NetworkSpec(name="cbam-early-fusion"),
        precision="fp32",
        labels=("a", "b"),
        inputs=(),
    )
    return msgspec.structs.replace(report, **changes)


def test_a_build_without_data_has_a_page() -> None:
    page = " ".join(read(render(bare_report())).text)
    assert "no labelled data" in page
    assert "Calibration" not in page
    assert "Engine" not in page


def test_steps_without_labels_have_a_page() -> None:
    figure = StepFigure(
        step="ONNX FP32",
        count=8,
        correct=None,
        mean_recall=None,
        worst_class=None,
        worst_recall=None,
        agreement=1.0,
        max_error=2e-6,
    )
    page = " ".join(read(render(bare_report(steps=(step_report(figure),)))).text)
    assert "2e−6" in page
    assert "Which expressions are confused" not in page


def test_a_class_without_images_has_no_recall() -> None:
    figure = StepFigure(
        step="FP32",
        count=4,
        correct=3,
        mean_recall=0.75,
        worst_class="a",
        worst_recall=0.75,
        agreement=1.0,
        max_error=0.0,
    )
    step = step_report(figure, [[3, 1], [0, 0]])
    assert step.accuracy == 0.75
    assert step.recalls == (0.75, None)
    assert "no images" in " ".join(read(render(bare_report(steps=(step,)))).text)


def test_images_without_an_answer_count_against_recall() -> None:
    figure = StepFigure(
        step="broken",
        count=10,
        correct=2,
        mean_recall=0.2,
        worst_class="a",
        worst_recall=0.0,
        agreement=0.2,
        max_error=math.inf,
    )
    step = step_report(figure, [[0, 1], [0, 2]], class_counts=[5, 5])
    assert step.recalls == (0.0, 0.4)


@pytest.mark.parametrize("verdict", ["pass", "fail", "undecided", "numeric", "not-run"])
def test_each_verdict_has_its_banner(verdict: Any) -> None:
    page = render(bare_report(verdict=verdict, blamed_step="int8", images_to_decide=4200))
    assert f'class="banner {verdict}"' in page
    assert "4\u202f200" in page


def test_names_are_escaped() -> None:
    page = render(bare_report(title="<script>alert(1)</script>", notes=("a < b & c",), labels=("$x$", "<b>")))
    assert "<script>" not in page
    assert "a &lt; b &amp; c" in page


def test_a_dollar_in_a_class_name_is_no_formula(sample_report: Report) -> None:
    labels = ("$\\bad{$", *sample_report.labels[1:])
    assert "$\\bad{$" in render(msgspec.structs.replace(sample_report, labels=labels))


def test_the_command_can_be_copied(sample_report: Report) -> None:
    command = re.findall(r"<pre>(edgefer .*?)</pre>", render(sample_report), flags=re.DOTALL)[0]
    assert tuple(shlex.split(html.unescape(command).replace("\\\n", " "))) == sample_report.command


def test_layers_are_counted_by_operator_and_precision(sample_report: Report) -> None:
    counts = count_layers(sample_report.layers)
    assert list(counts)[:2] == ["Conv", "Relu"]
    assert counts["Add"] == {"fp32": 4, "int8": 16}
    assert sum(number for each in counts.values() for number in each.values()) == len(sample_report.layers)
