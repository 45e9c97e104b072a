"""The sections of the page, in the order in which their tabs have them; each is None where there is nothing to show."""

from __future__ import annotations

from collections.abc import Callable

from trimtab.report.sections.answer import answer
from trimtab.report.sections.comparisons import comparisons
from trimtab.report.sections.cost import cost
from trimtab.report.sections.data import data
from trimtab.report.sections.judges import judges
from trimtab.report.sections.labels import labels, ledger
from trimtab.report.sections.pairs import pairs
from trimtab.report.sections.results import results
from trimtab.report.sections.rewards import rewards
from trimtab.report.sections.samples import samples
from trimtab.report.sections.searches import searches
from trimtab.report.sections.section import Contents, Section
from trimtab.report.sections.settings import settings
from trimtab.report.sections.side_effects import side_effects
from trimtab.report.sections.similarities import similarities
from trimtab.report.sections.training import training

SECTIONS: tuple[Callable[[Contents], Section | None], ...] = (
    answer,
    results,
    comparisons,
    rewards,
    side_effects,
    similarities,
    labels,
    ledger,
    searches,
    training,
    judges,
    samples,
    pairs,
    cost,
    data,
    settings,
)
