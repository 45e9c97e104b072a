"""Studies side by side as JSON, for programs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from trimtab.report.run_comparison.collect import RunComparison


def run_comparison_to_json(found: RunComparison) -> dict[str, Any]:
    """`studies` in their order, `figures` (one for each arm and metric, by study, with paired differences to the first study),
    `seeds` and `notes`. A figure is {"value", "low", "high", "n", "n_failed"}."""
    return {
        "studies": [
            {"name": side.name, "study": side.report.study.name, "seed": side.report.study.seed} for side in found.runs
        ],
        "figures": [
            {
                "arm": each.arm,
                "metric": each.metric,
                "studies": {name: asdict(figure) for name, figure in each.metrics_by_run.items()},
                "differences": {name: asdict(figure) for name, figure in each.differences.items()},
            }
            for each in found.metric_rows
        ],
        "seeds": [
            {
                "arm": each.arm,
                "metric": each.metric,
                "mean": asdict(each.mean),
                "spread": asdict(each.std),
                "leads": {name: asdict(lead) for name, lead in each.differences.items()},
            }
            for each in found.seed_aggregates
        ],
        "notes": [*found.notes, *([found.seed_note] if found.seed_note else [])],
    }
