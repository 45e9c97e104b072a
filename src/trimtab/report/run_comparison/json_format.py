"""The run comparison as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from trimtab.report.run_comparison.collect import RunComparison


def run_comparison_to_json(comparison: RunComparison) -> dict[str, Any]:
    """`runs`, `metrics` (one row per arm and metric, with paired differences to the first run), `seeds`, `label_worths` and
    `notes`.

    A metric value is {"value", "low", "high", "n", "n_failed"}.
    """
    return {
        "runs": [
            {"name": run.name, "study": run.report.study.name, "seed": run.report.study.seed} for run in comparison.runs
        ],
        "metrics": [
            {
                "arm": row.arm,
                "metric": row.metric,
                "runs": {name: asdict(metric) for name, metric in row.metrics_by_run.items()},
                "differences": {name: asdict(metric) for name, metric in row.differences.items()},
            }
            for row in comparison.metric_rows
        ],
        "seeds": [
            {
                "arm": aggregate.arm,
                "metric": aggregate.metric,
                "mean": asdict(aggregate.mean),
                "std": asdict(aggregate.std),
                "variance": asdict(aggregate.variance),
                "differences": {name: asdict(metric) for name, metric in aggregate.differences.items()},
            }
            for aggregate in comparison.seed_aggregates
        ],
        "label_worths": [asdict(info) for info in comparison.label_worths],
        "notes": [*comparison.notes, *([comparison.seed_note] if comparison.seed_note else [])],
    }
