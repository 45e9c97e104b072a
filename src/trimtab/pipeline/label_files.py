"""Writes `labels/ARM.parquet`: the labels of each arm, for use outside the study."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from trimtab.pipeline.plan import Plan
from trimtab.pipeline.stage import Stage
from trimtab.storage.artifacts import Artifact, Draft
from trimtab.storage.schemas import LABEL_SCHEMA, load_annotations, load_split_pairs


def write_label_files(plan: Plan, artifacts: Mapping[str, Artifact], folder: Path) -> None:
    """Writes one file per arm with one row per unlabeled pair. `artifacts` are keyed by fingerprint."""
    pairs = {pair.id: pair for pair in load_split_pairs(artifacts[plan.split.fingerprint], "unlabeled")}
    for row in plan.rows:
        if row.labels is None:
            continue
        seconds = _labeling_seconds(row.labels, artifacts) / max(1, len(pairs))
        weights = " ".join(stage.fingerprint for name, stage in row.labels.input_stages.items() if name != "split")
        rows = [
            {
                "id": pair_id,
                "p_a": label.p_a,
                "margin": label.margin,
                "status": label.status,
                "annotator": row.annotator,
                "weights": weights,
                "prompt_hash": pairs[pair_id].prompt_id,
                "tokens": label.cost.prompt_tokens + label.cost.generated_tokens,
                "seconds": max(seconds, label.cost.seconds),
            }
            for pair_id, label in load_annotations(artifacts[row.labels.fingerprint]).items()
        ]
        (folder / "labels").mkdir(exist_ok=True)
        Draft(folder=folder / "labels").write_rows(row.name, rows, LABEL_SCHEMA)


def _labeling_seconds(labels: Stage, artifacts: Mapping[str, Artifact]) -> float:
    """The seconds of the label stages and of the pair tables they read, without training."""
    stages = [labels]
    while stages[-1].role == "label_transform":
        stages.append(stages[-1].input_stages["labels"])
    tables = [stage for stage in stages[-1].input_stages.values() if stage.role == "pair_table"]
    return sum(float(artifacts[stage.fingerprint].record["seconds"]) for stage in (*stages, *tables))
