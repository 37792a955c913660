"""Things on and before the face: glasses, a hand, a face mask, a lock of hair. They are curves of the face's frame."""

from __future__ import annotations

import numpy as np

from edgefer_export.data.synthetic.curves import band, closed_spline, ellipse, quadratic
from edgefer_export.data.synthetic.geometry import FaceCurves
from edgefer_export.data.synthetic.identity import Identity
from edgefer_export.data.synthetic.scene import Scene


def add_glasses(curves: FaceCurves, identity: Identity, scene: Scene) -> None:
    """Two lenses, a bridge and the temples, a little before the eyes."""
    y = identity.eye_height + 0.03 + scene.glasses_drop
    half_width = 0.325 * scene.glasses_size
    half_height = (0.20 + 0.10 * scene.glasses_shape) * scene.glasses_size
    square = 0.78 if scene.glasses_shape < 0.5 else 0.70
    for side, name in ((-1.0, "left"), (1.0, "right")):
        x = side * (identity.eye_spacing + 0.01)
        corner_x, corner_y = square * half_width, square * half_height
        ring = [
            (x + half_width, y),
            (x + corner_x, y + corner_y),
            (x, y + half_height),
            (x - corner_x, y + corner_y),
            (x - half_width, y),
            (x - corner_x, y - corner_y),
            (x, y - half_height),
            (x + corner_x, y - corner_y),
        ]
        curves.add(f"{name}_lens", closed_spline(np.array(ring)), 0.14)
        outer = x + side * half_width
        curves.add(f"{name}_temple", np.array([(outer, y - 0.05), (side * 1.02, y - 0.07)]), 0.1)
        streak = np.array(
            [
                (x - 0.5 * half_width, y - 0.1 * half_height),
                (x - 0.1 * half_width, y - 0.7 * half_height),
                (x + 0.1 * half_width, y - 0.7 * half_height),
                (x - 0.3 * half_width, y - 0.0 * half_height),
            ]
        )
        curves.add(f"{name}_streak", streak, 0.14)
        curves.add(f"{name}_led", ellipse(x + 0.08 * scene.gaze[0], y - 0.05, 0.075, 0.075, 10), 0.14)
    inner = identity.eye_spacing + 0.01 - half_width
    curves.add("bridge", quadratic((-inner, y - 0.04), (0.0, y - 0.08), (inner, y - 0.04), 5), 0.2)


def add_occlusion(curves: FaceCurves, identity: Identity, scene: Scene) -> None:
    """What hides part of the face, if anything does."""
    if scene.occlusion == "hand":
        _add_hand(curves, identity, scene)
    elif scene.occlusion == "mask":
        _add_mask(curves, identity)
    elif scene.occlusion == "hair":
        _add_lock(curves, identity, scene)


def _add_hand(curves: FaceCurves, identity: Identity, scene: Scene) -> None:
    side, reach = scene.occlusion_side, scene.occlusion_reach
    x, y = side * (0.75 - 0.55 * reach), identity.mouth_height + 0.35 - 0.45 * reach
    wrist = np.array([(x - 0.25, y + 0.3), (x + 0.25, y + 0.3), (side * 1.3 + 0.35, 3.0), (side * 1.3 - 0.35, 3.0)])
    curves.add("wrist", wrist)
    curves.add("palm", ellipse(x, y + 0.2, 0.36, 0.38, 16))
    for k in range(4):
        base = x + (k - 1.5) * 0.17
        lean = -side * (0.10 + 0.10 * k)
        tip_y = y - 0.42 + 0.05 * abs(k - 1.3)
        path = np.array([(base, y + 0.1), (base + 0.6 * lean, y - 0.2), (base + lean, tip_y)])
        curves.add(f"finger{k}", _limb(path, 0.085))


def _limb(path: np.ndarray, half_width: float) -> np.ndarray:
    left, right = path.copy(), path.copy()
    left[:, 0] -= half_width
    right[:, 0] += half_width
    tip = path[-1] + (0.0, -0.8 * half_width)
    return np.concatenate([left, [tip], right[::-1]])


def _add_mask(curves: FaceCurves, identity: Identity) -> None:
    chin = identity.chin_length + 0.24 * curves.jaw + 0.05
    top = 0.14
    ring = [
        (0.0, top),
        (0.45, top + 0.12),
        (0.80 * identity.cheek_width, 0.32),
        (0.86 * identity.jaw_width, 0.85),
        (0.45, chin),
        (0.0, chin + 0.06),
    ]
    right = np.array(ring)
    curves.add("mask", closed_spline(np.concatenate([right, right[1:-1][::-1] * (-1.0, 1.0)])), 0.12)
    for k, y in enumerate((0.5, 0.75)):
        curves.add(f"pleat{k}", quadratic((-0.62, y), (0.0, y + 0.06), (0.62, y), 7), 0.12)
    for side, name in ((-1.0, "left"), (1.0, "right")):
        curves.add(f"{name}_strap", np.array([(side * 0.78, 0.36), (side * 1.0, -0.02)]), 0.05)


def _add_lock(curves: FaceCurves, identity: Identity, scene: Scene) -> None:
    side, reach = scene.occlusion_side, scene.occlusion_reach
    start = (side * 0.25, identity.hairline - 0.2)
    end = (side * (0.75 - 0.2 * reach), 0.1 + 0.4 * reach)
    centre = quadratic(start, (side * (0.5 + 0.1 * reach), -0.35), end, 9)
    curves.add("lock", band(centre, 0.12 * np.linspace(1.6, 0.4, 9) + 0.05), 0.1)
