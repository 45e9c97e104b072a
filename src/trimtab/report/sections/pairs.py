"""The browser of pairs."""

from __future__ import annotations

from dataclasses import asdict

from markupsafe import Markup

from trimtab.report.browse import PairRows, size
from trimtab.report.embedded import embedded
from trimtab.report.model import FIRST_ARMS
from trimtab.report.sections.section import Contents, Section


def pairs(contents: Contents) -> Section | None:
    """As many of the pairs as fit `contents.room` bytes."""
    found = contents.pairs
    if found is None:
        return None
    rows = _fitting(found.rows, contents.room)
    values = {
        "told": _told(found, len(rows)),
        "arms": found.arms,
        "chosen": _main(found),
        "document": _document(found, rows),
    }
    return Section(id="pairs", title="Pairs", tab="Pairs", values=values)


def _fitting(rows: tuple[str, ...], room: int) -> tuple[str, ...]:
    spent = 0
    for place, row in enumerate(rows):
        spent += size([row])
        if spent > room:
            return rows[:place]
    return rows


def _told(found: PairRows, shown: int) -> str:
    if shown == found.total:
        count = f"All {found.total:,} unlabeled pairs"
    else:
        count = f"{shown:,} of the {found.total:,} unlabeled pairs, drawn by their ids"
    return f"{count}, with the labels that arms were trained on."


def _main(found: PairRows) -> int:
    """The arm that is looked at first: `weak`, or else the first that is no reference."""
    names = [arm.name for arm in found.arms]
    if "weak" in names:
        return names.index("weak")
    return next((place for place, name in enumerate(names) if name not in FIRST_ARMS), 0)


def _document(found: PairRows, rows: tuple[str, ...]) -> Markup:
    head = embedded({"short": found.short, "arms": [asdict(arm) for arm in found.arms]})
    return Markup(f'{head[:-1]},"rows":[\n' + ",\n".join(rows) + "]}")  # noqa: S704 - embedded JSON holds no markup
