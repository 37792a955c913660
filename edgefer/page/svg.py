"""A matplotlib figure as inline SVG that follows the page: its font, and its colours in light and in dark."""

from __future__ import annotations

import html
import io
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_NAMES = (
    "ink",
    "muted",
    "line",
    "paper",
    "int8",
    "fp16",
    "fp32",
    "accent",
    "soft",
    "warm",
    "sky",
    "rose",
    "good",
    "bad",
)

# Matplotlib knows no CSS variables. Each name is drawn in a colour that nothing else has and replaced afterwards.
COLOURS = {name: f"#0{index:x}fe0{index:x}" for index, name in enumerate(_NAMES)}

STYLE: Any = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # class and operator names are the user's: a dollar is a dollar
    "font.size": 9,
    "font.family": "sans-serif",
    "text.color": COLOURS["ink"],
    "axes.labelcolor": COLOURS["muted"],
    "axes.edgecolor": COLOURS["line"],
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "xtick.color": COLOURS["muted"],
    "ytick.color": COLOURS["muted"],
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "grid.color": COLOURS["line"],
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.labelcolor": COLOURS["ink"],
}


def inline_svg(figure: Figure, name: str, description: str) -> str:
    """The figure as an `<svg>` element whose ids start with `name`, described for those who do not see it.

    Args:
        figure: drawn with `COLOURS` under `STYLE`.
        name: unique on the page; also makes matplotlib's ids the same in every run.
        description: what the plot shows, for screen readers.
    """
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # The style element would apply to the whole page, not to this drawing.
    text = re.sub(r"<style.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", text)
    text = re.sub(r"font(?:-family)?: [^;\"]*sans-serif[^;\"]*", _inherit, text)
    for colour, code in COLOURS.items():
        text = text.replace(code, f"var(--{colour})")
    width, height = (float(each) for each in re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', text).groups())  # type: ignore[union-attr]
    opening = (
        f'<svg class="plot" role="img" aria-label="{html.escape(description)}" viewBox="0 0 {width:g} {height:g}" '
        'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
    )
    return opening + text[text.index(">") + 1 :].strip()


def _inherit(found: re.Match[str]) -> str:
    size = re.search(r"([\d.]+)px", found.group())
    return f"font-family: inherit; font-size: {size.group(1)}px" if size else "font-family: inherit"
