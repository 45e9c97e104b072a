"""What a section of the page is: a template, and the values that fill it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from trimtab.report.model import Report
from trimtab.report.page.pair_browser import MAX_PAIR_BYTES, PairBrowserData

Tab = Literal["Results", "Labels", "Training", "Students", "Pairs", "Cost", "Study"]
# The order in which the page has them.
TABS: tuple[Tab, ...] = ("Results", "Labels", "Training", "Students", "Pairs", "Cost", "Study")


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A drawing: `svg` is one SVG element in the page's colors, `name` what its file in `figures/` is called."""

    name: str
    title: str
    svg: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One part of a tab. `values` fill `templates/sections/ID.html.j2`; no `title` means no heading of its own.

    `figures` are those that the values show, for files of their own; `metrics` are the names of the metrics shown, which the
    page explains.
    """

    id: str
    title: str
    tab: Tab
    values: Mapping[str, Any]
    figures: tuple[Figure, ...] = ()
    metrics: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PageContents:
    """What sections are made from. `room` is how many bytes the pairs may take."""

    report: Report
    pairs: PairBrowserData | None = None
    max_pair_bytes: int = MAX_PAIR_BYTES
