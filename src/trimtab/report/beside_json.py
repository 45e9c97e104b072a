"""Studies side by side as JSON, for programs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from trimtab.report.beside import Beside


def to_json(found: Beside) -> dict[str, Any]:
    """`studies` in their order, `figures` (one for each arm and metric, by study, with paired differences to the first study),
    `seeds` and `notes`. A figure is {"value", "low", "high", "n", "n_failed"}."""
    return {
        "studies": [
            {"name": side.name, "study": side.report.study.name, "seed": side.report.study.seed} for side in found.sides
        ],
        "figures": [
            {
                "arm": each.arm,
                "metric": each.metric,
                "studies": {name: asdict(figure) for name, figure in each.figures.items()},
                "differences": {name: asdict(figure) for name, figure in each.differences.items()},
            }
            for each in found.entries
        ],
        "seeds": [
            {
                "arm": each.arm,
                "metric": each.metric,
                "mean": asdict(each.mean),
                "spread": asdict(each.spread),
                "leads": {name: asdict(lead) for name, lead in each.leads.items()},
            }
            for each in found.seeds
        ],
        "notes": [*found.notes, *([found.seeds_speak_of] if found.seeds_speak_of else [])],
    }
