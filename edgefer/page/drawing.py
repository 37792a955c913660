"""Figures as the pages want them: the page's width and style, no axes that say nothing, values beside their bars."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec

from edgefer.page.svg import COLOURS, STYLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH = 9.2  # inches; the page is this wide, so that a point of text here is about 1.4 pixels there

P = ParamSpec("P")


def styled(draw: Callable[P, str]) -> Callable[P, str]:
    """Draw under the page's style without leaving a trace in matplotlib's global settings."""

    @functools.wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> str:
        import matplotlib

        with matplotlib.rc_context(STYLE), warnings.catch_warnings():
            # The page's font draws the text, not the one that matplotlib measures it with.
            warnings.filterwarnings("ignore", message=r"Glyph .* missing from", category=UserWarning)
            return draw(*args, **kwargs)

    return drawn


def new_figure(height: float, width: float = WIDTH) -> Any:
    """A figure of `height` and `width` inches."""
    # Figure, and not pyplot: no global state and no display, whatever thread or backend the caller has.
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height))


def new_axes(height: float, width: float = WIDTH) -> tuple[Any, Axes]:
    """A figure of `height` and `width` inches with one pair of axes."""
    figure = new_figure(height, width)
    return figure, figure.subplots()


def beside(axes: Axes, end: float, row: float, text: str, colour: str) -> None:
    """Write `text` to the right of a bar that ends at `end`."""
    axes.annotate(
        text, (end, row), xytext=(5, 0), textcoords="offset points", va="center", color=COLOURS[colour], fontsize=8.5
    )


def bare(axes: Axes) -> None:
    """Take away ticks and the left spine, and put the grid behind the data."""
    axes.tick_params(which="both", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_axisbelow(True)
