"""Figures as inline SVG: the same report always gives the same bytes, and the page's colors show through.

Text stays text, in the page's font. Colors are CSS variables (`--arm`, `--reference`, `--grid`, `--zero`), by default
from the color-blind-safe palette of Okabe and Ito, so one figure reads on light and on dark pages.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from trimtab.report.metric_registry import MetricInfo, format_value, get_metric_info
from trimtab.report.model import Arm, LabelInfo, Report, sort_arm_names
from trimtab.report.text.verdict import BASELINE
from trimtab.types import Metric

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Matplotlib knows no CSS: each stands for a color of the page and is replaced in the finished SVG.
TEXT_COLOR, REFERENCE_COLOR, ARM_COLOR, GRID_COLOR, ZERO_LINE_COLOR = (
    "#010101",
    "#010102",
    "#010103",
    "#010104",
    "#010105",
)
_CSS_COLORS = {
    TEXT_COLOR: "currentColor",
    REFERENCE_COLOR: "var(--reference, #767676)",
    ARM_COLOR: "var(--arm, #0072b2)",
    GRID_COLOR: "var(--grid, #e4e4e4)",
    ZERO_LINE_COLOR: "var(--zero, #999999)",
}
MATPLOTLIB_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "trimtab",
    "font.family": "sans-serif",
    "font.size": 11,
    "text.parse_math": False,
    "text.color": TEXT_COLOR,
    "axes.labelcolor": TEXT_COLOR,
    "xtick.color": TEXT_COLOR,
    "ytick.color": TEXT_COLOR,
    "axes.unicode_minus": True,
}
_FIGURE_WIDTH = 5.6  # inches, 72 points each: two panels fit a page side by side, one a phone


def draw_arm_values(report: Report, metric: str) -> str:
    """Every arm's value of one metric with its 95 % interval; the empty string where no arm has one."""
    arms = {arm.name: arm for arm in report.arms}
    rows = [(arms[name], arms[name].metrics[metric]) for name in sort_arm_names(arms) if metric in arms[name].metrics]
    return draw_intervals(rows, get_metric_info(metric), f"{get_metric_info(metric).label} by arm", is_difference=False)


def draw_arm_differences(report: Report, metric: str, baseline: str = BASELINE) -> str:
    """Every arm's paired difference to `against` with its 95 % interval; the empty string where there is none."""
    arms = {arm.name: arm for arm in report.arms}
    found = ((arms[name], report.get_difference(name, baseline, metric)) for name in sort_arm_names(arms))
    rows = [(arm, difference) for arm, difference in found if difference is not None]
    return draw_intervals(
        rows, get_metric_info(metric), f"{get_metric_info(metric).label}, difference to {baseline}", is_difference=True
    )


def draw_label_histogram(label: LabelInfo) -> str:
    """How sure the labels are (bars, by `p_a`) and how often humans agree (dots on the diagonal where calibrated).

    The empty string where there are no labels to count.
    """
    if not sum(each.n for each in label.histogram):
        return ""
    import matplotlib  # noqa: PLC0415

    with matplotlib.rc_context(MATPLOTLIB_STYLE):
        figure, (bars, dots) = create_panels(4.2, rows=2)
        _draw_histogram(bars, label)
        _draw_reliability(dots, label)
        return render_svg(
            figure, f"labels-{label.arm}", f"Labels of {label.arm}: probabilities, and agreement with humans"
        )


def draw_intervals(
    rows: Sequence[tuple[Arm, Metric]],
    info: MetricInfo,
    title: str,
    *,
    is_difference: bool,
    reference_line: float | None = None,
) -> str:
    """A line a row from the low to the high bound; `zero` where the figures are differences, `line` where something else than
    zero is to be told apart from. Empty where there is no figure."""
    if not any(figure.value is not None for _, figure in rows):
        return ""
    import matplotlib  # noqa: PLC0415

    with matplotlib.rc_context(MATPLOTLIB_STYLE):
        figure, (axes,) = create_panels(0.75 + 0.36 * len(rows))
        level = 0.0 if is_difference else reference_line
        if level is not None:
            axes.axvline(level, color=ZERO_LINE_COLOR, linewidth=1.2, zorder=1)
        for place, (arm, value) in enumerate(rows):
            _draw_interval(axes, place, value, ARM_COLOR if arm.role == "arm" else REFERENCE_COLOR)
        axes.set_yticks(range(len(rows)), labels=[arm.name for arm, _ in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.locator_params(axis="x", nbins=6)
        axes.set_xlabel(
            f"{info.label}{f' ({info.unit})' if info.unit else ''}{', difference' if is_difference else ''}"
        )
        _annotate_values(axes, [format_value(value, info, signed=is_difference)[0] for _, value in rows])
        return render_svg(figure, f"{'difference' if is_difference else 'arms'}-{info.name}", title)


def _draw_interval(axes: Axes, place: int, metric: Metric, color: str) -> None:
    if metric.value is None:
        return
    if metric.low is not None and metric.high is not None:
        axes.plot([metric.low, metric.high], [place, place], color=color, linewidth=2.4, solid_capstyle="round")
    axes.plot([metric.value], [place], color=color, marker="o", markersize=7, linestyle="none")


def _annotate_values(axes: Axes, values: Sequence[str]) -> None:
    for place, value in enumerate(values):
        axes.annotate(
            value,
            (1, place),
            xycoords=("axes fraction", "data"),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
        )


def _draw_histogram(axes: Axes, label: LabelInfo) -> None:
    for each in label.histogram:
        width = each.high - each.low
        axes.bar(each.low + width / 2, each.n, width=0.86 * width, color=ARM_COLOR, linewidth=0)
    axes.set_xlim(0, 1)
    axes.set_ylabel("labels")
    axes.grid(visible=True, axis="y", color=GRID_COLOR, linewidth=0.8)
    axes.tick_params(labelbottom=False)


def _draw_reliability(axes: Axes, label: LabelInfo) -> None:
    axes.plot([0, 1], [0, 1], color=ZERO_LINE_COLOR, linewidth=1.2, zorder=1)
    for each in label.histogram:
        share = each.human_a_rate
        if each.mean_p_a is None or share.value is None:
            continue
        if share.low is not None and share.high is not None:
            axes.plot(
                [each.mean_p_a] * 2, [share.low, share.high], color=ARM_COLOR, linewidth=2, solid_capstyle="round"
            )
        axes.plot(
            [each.mean_p_a], [share.value], color=ARM_COLOR, marker="o", markersize=6, linestyle="none", clip_on=False
        )
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_yticks([0, 0.5, 1])
    axes.tick_params(axis="x", pad=9)
    axes.set_xlabel("probability that a is better, by the label")
    axes.set_ylabel("humans say a")
    axes.grid(visible=True, axis="y", color=GRID_COLOR, linewidth=0.8)


def create_panels(height: float, rows: int = 1, width: float = _FIGURE_WIDTH) -> tuple[Figure, list[Axes]]:
    """A figure of bare axes under one another: no frame, a light grid, no tick marks."""
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(width, height), layout="constrained")
    figure.patch.set_visible(False)
    panels: list[Axes] = [figure.add_subplot(rows, 1, row + 1) for row in range(rows)]
    for axes in panels:
        axes.patch.set_visible(False)
        axes.spines[:].set_visible(False)
        axes.set_axisbelow(True)
        axes.tick_params(length=0)
        axes.grid(visible=True, axis="x", color=GRID_COLOR, linewidth=0.8)
    return figure, panels


def render_svg(figure: Figure, name: str, title: str) -> str:
    """The SVG element alone, with ids of its own, so that several fit one page."""
    out = io.StringIO()
    empty: dict[str, Any] = {"Date": None, "Creator": None}
    figure.savefig(out, format="svg", metadata=empty)
    text = out.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text[text.index("<svg") :], flags=re.DOTALL)
    # Matplotlib's own style element would reach the whole page, and its list of fonts would override the page's.
    text = re.sub(r"<defs>\s*<style.*?</defs>\s*", "", text, count=1, flags=re.DOTALL)
    text = re.sub(r"font-family: [^;\"]*;", "", text)
    prefix = re.sub(r"[^A-Za-z0-9-]", "-", name)
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{prefix}-", text)
    for stand_in, color in _CSS_COLORS.items():
        text = text.replace(stand_in, color)
    label = escape(title, quote=True)
    return text.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1).strip()


def to_standalone_svg(drawing: str) -> str:
    """A figure of the page as a file of its own, in the colors of a light page, for programs that know no CSS variables."""
    plain = re.sub(r"var\(--[a-z]+, (#[0-9a-f]+)\)", r"\1", drawing).replace("currentColor", "#1b1f24")
    return plain.replace("<svg ", '<svg style="font-family: sans-serif; background: #ffffff" ', 1) + "\n"
