"""The browser of pairs."""

from __future__ import annotations

from dataclasses import asdict

from markupsafe import Markup

from trimtab.report.model import FIRST_ARMS
from trimtab.report.page.embedded_json import to_embedded_json
from trimtab.report.page.pair_browser import PairBrowserData, count_row_bytes
from trimtab.report.page.sections.section import PageContents, Section


def build_pairs_section(contents: PageContents) -> Section | None:
    """As many of the pairs as fit `contents.room` bytes."""
    found = contents.pairs
    if found is None:
        return None
    rows = _take_fitting_rows(found.rows, contents.max_pair_bytes)
    values = {
        "told": _describe_count(found, len(rows)),
        "arms": found.arms,
        "chosen": _select_initial_arm(found),
        "document": _build_document(found, rows),
    }
    return Section(id="pairs", title="Pairs", tab="Pairs", values=values)


def _take_fitting_rows(rows: tuple[str, ...], room: int) -> tuple[str, ...]:
    spent = 0
    for place, row in enumerate(rows):
        spent += count_row_bytes([row])
        if spent > room:
            return rows[:place]
    return rows


def _describe_count(found: PairBrowserData, shown: int) -> str:
    if shown == found.num_pairs:
        count = f"All {found.num_pairs:,} unlabeled pairs"
    else:
        count = f"{shown:,} of the {found.num_pairs:,} unlabeled pairs, drawn by their ids"
    return f"{count}, with the labels that arms were trained on."


def _select_initial_arm(found: PairBrowserData) -> int:
    """The arm that is looked at first: `weak`, or else the first that is no reference."""
    names = [arm.name for arm in found.arms]
    if "weak" in names:
        return names.index("weak")
    return next((place for place, name in enumerate(names) if name not in FIRST_ARMS), 0)


def _build_document(found: PairBrowserData, rows: tuple[str, ...]) -> Markup:
    head = to_embedded_json({"short": found.id_length, "arms": [asdict(arm) for arm in found.arms]})
    return Markup(f'{head[:-1]},"rows":[\n' + ",\n".join(rows) + "]}")  # noqa: S704 - embedded JSON holds no markup
