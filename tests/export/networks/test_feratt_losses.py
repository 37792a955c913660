"""The terms of FERAtt's objective against float64 written out, and their gradients against finite differences."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from edgefer_export.networks.feratt_losses import RECONSTRUCTIONS, gaussian_structure, reconstruction  # noqa: E402


def structure_in_float64(z: np.ndarray, y: np.ndarray, classes: int, sigma: float) -> float:
    """The sum of the published formula, one sample and one class at a time."""
    total = 0.0
    for i in range(len(z)):
        weights = []
        for c in range(classes):
            members = z[y == c]
            if not len(members):
                weights.append(0.0)
                continue
            weights.append(math.exp(-float(((z[i] - members.mean(axis=0)) ** 2).sum()) / (2 * sigma**2)))
        total += sum((weight / sum(weights) - (y[i] == c)) ** 2 for c, weight in enumerate(weights))
    return total / len(z)


@pytest.mark.parametrize("sigma", [1.0, 0.5])
@pytest.mark.parametrize("missing", [False, True])
def test_structure_is_the_published_formula(sigma: float, missing: bool) -> None:
    rng = np.random.default_rng(4)
    z, y = rng.normal(size=(24, 3)), rng.integers(0, 4, 24)
    if missing:
        y[y == 2] = 3
    expected = structure_in_float64(z, y, 4, sigma)
    found = gaussian_structure(torch.from_numpy(z), torch.from_numpy(y), 4, sigma)
    # Both in float64: what differs is the order of some hundred sums.
    assert float(found) == pytest.approx(expected, rel=1e-12)
    single = gaussian_structure(torch.from_numpy(z).float(), torch.from_numpy(y), 4, sigma)
    assert float(single) == pytest.approx(expected, rel=1e-5)


def test_gradients_pass_through_the_means() -> None:
    rng = np.random.default_rng(5)
    y = torch.tensor([0, 0, 1, 1, 3])
    z = torch.tensor(rng.normal(size=(5, 2)), requires_grad=True)
    # Finite differences move the means with the samples.
    assert torch.autograd.gradcheck(lambda given: gaussian_structure(given, y, 4, 0.7), (z,))


def test_a_class_alone_is_its_own_centre() -> None:
    z = torch.tensor([[0.0, 0.0], [2.0, 0.0]])
    assert float(gaussian_structure(z, torch.tensor([1, 1]), 3, 1.0)) == 0.0


def test_samples_far_from_every_mean_still_have_a_gradient() -> None:
    # exp(-(500 / 2)^2 / 2) is 0 in any floating-point type; the one-hot target is not reached by wrong samples.
    z = torch.tensor([[0.0], [500.0], [0.0], [500.0]], requires_grad=True)
    loss = gaussian_structure(z, torch.tensor([0, 0, 1, 1]), 2, 1.0)
    loss.backward()
    assert math.isfinite(loss.item())
    assert z.grad is not None
    assert torch.isfinite(z.grad).all()


def test_half_precision_is_summed_in_float32() -> None:
    z = torch.randn(8, 4, generator=torch.Generator().manual_seed(2))
    y = torch.arange(8) % 2
    found = gaussian_structure(z.bfloat16(), y, 2, 1.0)
    assert found.dtype == torch.float32
    assert float(found) == pytest.approx(float(gaussian_structure(z.bfloat16().float(), y, 2, 1.0)), rel=1e-6)


def images() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    corrected, clean = (torch.rand(2, 3, 5, 4, generator=generator, dtype=torch.float64) for _ in range(2))
    return corrected, clean, (torch.rand(2, 1, 5, 4, generator=generator) > 0.5).double()


def test_reconstruction_has_three_dated_forms() -> None:
    corrected, clean, mask = images()
    assert RECONSTRUCTIONS == ("2018", "2019-03", "2019-04")
    a, b, m = (each.numpy() for each in (corrected, clean, mask))
    growth = np.exp(6 * np.abs(a - b))
    expected = {
        "2018": np.mean((a - b * m) ** 2),
        "2019-03": 10 * np.mean((a - b) ** 2),
        "2019-04": 5 * np.mean((growth - 1) / (growth + 1)),
    }
    for form in RECONSTRUCTIONS:
        # (e^6d - 1) / (e^6d + 1) is tanh(3 d); both in float64.
        assert float(reconstruction(corrected, clean, mask, form)) == pytest.approx(float(expected[form]), rel=1e-12)


def test_reconstruction_is_bounded_in_every_form() -> None:
    clean = torch.zeros(1, 3, 2, 2)
    far = torch.full((1, 3, 2, 2), 1e4)
    found = [float(reconstruction(far, clean, torch.ones(1, 1, 2, 2), form)) for form in RECONSTRUCTIONS]
    assert found == [10.0, 300.0, 5.0]


def test_reconstruction_without_a_mask_takes_the_clean_face_as_it_is() -> None:
    corrected, clean, _ = images()
    masked = reconstruction(corrected, clean, torch.ones(2, 1, 5, 4), "2018")
    assert float(reconstruction(corrected, clean, None, "2018")) == float(masked)
