"""One pair in a terminal: its texts, the arms' labels, and how those that were asked for came about.

Everything that stands in data or was written by a model is shown as it is, never read as markup or as control codes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from trimtab.report.pair_view.details import render_detail
from trimtab.report.pair_view.excerpt import format_excerpt
from trimtab.report.pair_view.model import ArmLabel, PairView, load_pair_view
from trimtab.report.pair_view.selection import InterestingPair, select_interesting_pairs
from trimtab.report.run_reader import Run
from trimtab.types import Cost, format_conversation


def render_show_command(
    folder: Path, pair: str | None, arm: str | None = None, *, show_text: bool = True
) -> RenderableType:
    """The pair of a finished run whose id begins so, with the labels of every arm or of one; without a pair, some to look at.

    Without `text`, nothing that stands in the pair or that a model wrote on it is shown. Raises `StoreError` where there is no
    finished run, `DataError` where not exactly one id begins so, and `StudyError` for an arm that does not exist.
    """
    run = Run(folder)
    return (
        _render_pair_list(run, arm)
        if pair is None
        else render_pair(load_pair_view(run, pair, arm), show_text=show_text)
    )


def render_pair(view: PairView, *, show_text: bool = True) -> Group:
    """A pair and its labels; each label that was asked for is told once, with the arms that share it."""
    pair = view.pair
    people = "nobody said which is better" if pair.human is None else f"people prefer {pair.human}"
    parts: list[RenderableType] = [
        Text.assemble((f"pair {pair.id}", "bold"), f", {view.split}: {people}"),
    ]
    if show_text:
        parts += _text_block("conversation", format_conversation(pair.prompt))
        parts += _text_block("a" + (", preferred by people" if pair.human == "a" else ""), pair.a)
        parts += _text_block("b" + (", preferred by people" if pair.human == "b" else ""), pair.b)
    parts += [Text(), _labels_table(view.labels) if view.labels else Text("No arm has a label of this pair.")]
    for arms, label in _group_by_source(view.labels):
        told = render_detail(label.label, show_text=show_text)
        if told:
            cost = _format_cost(label.label.cost)
            head = Text.assemble(
                (", ".join(arms), "bold"), f" by {label.annotator}", (f", {cost}" if cost else "", "dim")
            )
            parts += [Text(), head, *(Padding(each, (0, 0, 0, 2)) for each in told)]
    return Group(*parts)


def _text_block(title: str, text: str) -> list[RenderableType]:
    return [Text(), Text(title, style="bold"), Padding(format_excerpt(text), (0, 0, 0, 2))]


def _labels_table(labels: Sequence[ArmLabel]) -> Table:
    table = _new_table(("arm", "annotator", "p_a", "status", "filter", "note"))
    for each in labels:
        label = each.label
        p_a = "–" if label.p_a is None else f"{label.p_a:.3f}"
        cells = (each.arm, each.annotator, p_a, label.status, _filter_result(each), " ".join(label.note.split()))
        table.add_row(*(format_excerpt(cell) for cell in cells))
    return table


def _filter_result(each: ArmLabel) -> str:
    if not each.filter or each.label.status != "ok":
        return ""
    return f"kept by {each.filter}" if each.passed_filter else f"dropped by {each.filter}"


def _group_by_source(labels: Sequence[ArmLabel]) -> list[tuple[list[str], ArmLabel]]:
    found: dict[str, list[ArmLabel]] = {}
    for each in labels:
        found.setdefault(each.source, []).append(each)
    return [([each.arm for each in same], same[0]) for same in found.values()]


def _format_cost(cost: Cost) -> str:
    if not cost.calls:
        return ""
    return (
        f"{cost.calls} calls, {cost.prompt_tokens:,} tokens computed, {cost.cached_tokens:,} reused, "
        f"{cost.generated_tokens:,} written, {cost.seconds:.1f} s"
    )


def _render_pair_list(run: Run, arm: str | None) -> RenderableType:
    worth = select_interesting_pairs(run, arm)
    parts: list[RenderableType] = []
    for title, candidates in (
        ("labels are farthest apart", worth.most_disagreement),
        ("the search went back most often", worth.most_backtracks),
    ):
        if candidates:
            parts += [Text(f"where {title}", style="bold"), _interesting_pair_table(candidates), Text()]
    if not parts:
        return Text("The labels say the same of every pair, and no search went back.")
    return Group(
        *parts,
        Text(
            f"One of them whole: trimtab show {run.folder} {(worth.most_disagreement + worth.most_backtracks)[0].short_id}"
        ),
    )


def _interesting_pair_table(candidates: Sequence[InterestingPair]) -> Table:
    table = _new_table(("pair", "people", "p_a by arm", "steps back"))
    for each in candidates:
        by_arm = _format_probabilities(each.p_a) or "–"
        table.add_row(*map(Text, (each.short_id, each.human or "–", by_arm, str(each.backtracks or ""))))
    return table


def _format_probabilities(p_a: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in p_a.items())


def _new_table(columns: Sequence[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
