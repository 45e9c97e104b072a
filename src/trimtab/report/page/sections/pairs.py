"""The pair browser."""

from __future__ import annotations

from dataclasses import asdict

from markupsafe import Markup

from trimtab.report.model import FIRST_ARMS
from trimtab.report.page.embedded_json import to_embedded_json
from trimtab.report.page.pair_browser import PairBrowserData, count_row_bytes
from trimtab.report.page.sections.section import PageContents, Section


def build_pairs_section(contents: PageContents) -> Section | None:
    """As many pairs as fit `contents.max_pair_bytes`."""
    data = contents.pairs
    if data is None:
        return None
    rows = _take_fitting_rows(data.rows, contents.max_pair_bytes)
    return Section(
        id="pairs",
        title="Pairs",
        tab="Pairs",
        intro=_describe_count(data, len(rows)),
        template="pairs",
        values={
            "arms": data.arms,
            "initial_arm": _select_initial_arm(data),
            "document": _build_document(data, rows),
            "scorer": data.scorer,
        },
    )


def _take_fitting_rows(rows: tuple[str, ...], max_bytes: int) -> tuple[str, ...]:
    used = 0
    for index, row in enumerate(rows):
        used += count_row_bytes([row])
        if used > max_bytes:
            return rows[:index]
    return rows


def _describe_count(data: PairBrowserData, num_shown: int) -> str:
    if num_shown == data.num_pairs:
        count = f"All {data.num_pairs:,} unlabeled pairs"
    else:
        count = f"{num_shown:,} of the {data.num_pairs:,} unlabeled pairs, a random sample by pair id"
    return f"{count}, with the labels that arms were trained on."


def _select_initial_arm(data: PairBrowserData) -> int:
    """The index of `weak`, or else of the first arm that is not a reference."""
    names = [arm.name for arm in data.arms]
    if "weak" in names:
        return names.index("weak")
    return next((index for index, name in enumerate(names) if name not in FIRST_ARMS), 0)


def _build_document(data: PairBrowserData, rows: tuple[str, ...]) -> Markup:
    head = to_embedded_json({"id_length": data.id_length, "arms": [asdict(arm) for arm in data.arms]})
    return Markup(f'{head[:-1]},"rows":[\n' + ",\n".join(rows) + "]}")  # noqa: S704 - embedded JSON contains no markup
