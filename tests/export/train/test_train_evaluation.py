"""Evaluating in batches: as many samples as fit, and the same answers whatever that is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("cv2")

from edgefer.progress import Silent  # noqa: E402
from edgefer_export.networks import registry  # noqa: E402
from edgefer_export.train import TrainSpec, loop  # noqa: E402
from edgefer_export.train.cache import SampleCache  # noqa: E402
from edgefer_export.train.loop import Trainer, in_order  # noqa: E402

SMALL = {"width": "0.125", "size": "32"}


@dataclass
class Samples:
    """As many samples as a cache might have, of so many values each."""

    count: int
    values: int

    def __len__(self) -> int:
        return self.count


@pytest.mark.parametrize(
    ("values", "largest"),
    [
        (3 * 64 * 64, 256),
        (6 * 64 * 64, 256),
        (3 * 224 * 224, 41),
        (4 * 480 * 640, 5),  # ML-Net with its target
        (3 * 4096 * 4096, 1),
    ],
)
def test_the_larger_the_images_the_fewer_at_a_time(values: int, largest: int) -> None:
    batches = in_order(Samples(600, values))  # type: ignore[arg-type]
    assert max(map(len, batches)) == largest
    assert np.concatenate(batches).tolist() == list(range(600))


def test_the_limit_counts_all_inputs(squares: type) -> None:
    options = {**SMALL, "infrared_channels": "1", "present": "true"}
    network = registry.create("viri-fusion", options, labels=("a", "b"))
    assert SampleCache(squares(4), network.inputs, Silent(), "").values == 4 * 32 * 32 + 2


def test_answers_do_not_depend_on_the_limit(
    spec: Callable[..., TrainSpec], squares: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(2)
    network = registry.create("viri-visible", SMALL, labels=("a", "b"))
    cache = SampleCache(squares(10), network.inputs, Silent(), "")
    trainer = Trainer(network.module, spec(), "ce_on_logits", "fp32")
    whole, loss = trainer.logits(cache), trainer.loss(cache)
    monkeypatch.setattr(loop, "EVALUATION_VALUES", 3 * cache.values)
    assert [len(batch) for batch in in_order(cache)] == [3, 3, 3, 1]
    # Other batches, other kernels: they round otherwise.
    torch.testing.assert_close(trainer.logits(cache), whole, rtol=1e-4, atol=1e-4)
    assert trainer.loss(cache) == pytest.approx(loss, rel=1e-4)
