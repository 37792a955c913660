"""The two terms that FERAtt's objective adds to the cross-entropy, as its public code has them.

Marrero Fernandez et al., "FERAtt: Facial Expression Recognition with Attention Net", CVPR Workshops 2019. The code kept
changing around the publication, so that each form is called by when it was there.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch

Reconstruction = Literal["2018", "2019-03", "2019-04"]
RECONSTRUCTIONS: tuple[Reconstruction, ...] = get_args(Reconstruction)
NEEDS_MASK: Reconstruction = "2018"

_MOST_2018 = 10.0
_MOST_2019 = 30.0


def gaussian_structure(embedding: torch.Tensor, labels: torch.Tensor, classes: int, sigma: float) -> torch.Tensor:
    """How far the embedding is from one Gaussian a class: mean_i sum_c (p_ic - [y_i = c])^2, a scalar from 0 to 2.

    p_ic = exp(-|z_i - mu_c|^2 / (2 sigma^2)), divided by its sum over the classes; mu_c is the mean of the samples of c
    in this batch, and gradients pass through it. A class without samples in the batch has p_ic = 0. The sum is formed
    as a softmax of the exponents, since the exponentials themselves are all 0 in float32 beyond some 13 sigma, where
    the published code has neither a responsible class nor a gradient.

    Args:
        embedding: (N, D) floating point.
        labels: (N,) int64 in 0..classes - 1.
        classes: number of classes C.
        sigma: deviation of every Gaussian, in units of the embedding; 1.0 until May 2019, 0.5 from July.
    """
    # The squares of half precision overflow.
    embedding = embedding.to(torch.promote_types(embedding.dtype, torch.float32))
    member = torch.nn.functional.one_hot(labels, classes).to(embedding.dtype)
    counts = member.sum(dim=0)
    means = member.T @ embedding / counts.clamp(min=1.0)[:, None]
    squared = (embedding[:, None, :] - means[None, :, :]).square().sum(dim=2)
    exponents = (squared / (-2.0 * sigma**2)).masked_fill(counts == 0, -torch.inf)
    return (torch.softmax(exponents, dim=1) - member).square().sum(dim=1).mean()


def reconstruction(
    corrected: torch.Tensor, clean: torch.Tensor, mask: torch.Tensor | None, form: Reconstruction
) -> torch.Tensor:
    """How far the corrected image is from the clean face on black, a scalar; d is their difference.

    * `2018` (November and December): mean of d^2 with the target 0 outside the face's mask, in the units of the network
      (which is CIFAR-10's mean colour where the image is normalised by it), at most 10.
    * `2019-03` (24 and 25 March): 10 times the mean of d^2, which is cut at 30 first.
    * `2019-04` (from April to the last form): 5 times the mean of tanh(3 |d|), which the code writes as
      (exp(6 |d|) - 1) / (exp(6 |d|) + 1); at most 5.

    Args:
        corrected: what the network makes of the image, (N, 3, H, W).
        clean: the face alone, in the same units and of the same shape.
        mask: (N, 1, H, W), 1 where the face is; read by `2018` alone.
        form: which of the three.
    """
    if form == "2018":
        target = clean if mask is None else clean * mask
        return (corrected - target).square().mean().clamp(max=_MOST_2018)
    if form == "2019-03":
        return 10.0 * (corrected - clean).square().mean().clamp(max=_MOST_2019)
    return 5.0 * torch.tanh(3.0 * (corrected - clean).abs()).mean()
