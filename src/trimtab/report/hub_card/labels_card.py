"""The card of an arm's labels, a dataset on the Hugging Face Hub."""

from __future__ import annotations

from typing import Any

from trimtab.errors import StoreError
from trimtab.report.collect.report import collect_label_info
from trimtab.report.hub_card.card_text import (
    format_cost,
    format_label_quality,
    format_label_source,
    format_license,
    format_notes,
    format_study,
    join_card,
)
from trimtab.report.hub_card.origins import find_labels_license, find_license_terms, list_hub_datasets
from trimtab.report.model import LabelInfo, Report
from trimtab.report.run_reader import Run, RunRow

_TAGS = ["trimtab", "preference", "weak-to-strong", "dpo"]
# The upper end of each of the Hub's size categories, and its name.
_SIZE_CATEGORIES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
)
_LARGEST_CATEGORY = "10M<n<100M"
_COLUMNS = """\
| column | meaning |
|---|---|
| `prompt`, `chosen`, `rejected` | a preference, as chat messages |
| `trimtab_p_chosen` | the probability that `chosen` is better, as the annotator estimates it |
| `trimtab_margin` | the annotator's raw score difference |
| `trimtab_weight` | the weight of the pair in training |
| `trimtab_id` | the pair's id, a hash of its texts |"""


def build_labels_card(
    run: Run,
    report: Report,
    row: RunRow,
    repo: str,
    file: str,
    count: int,
    left_out: int,
    license_id: str | None = None,
) -> str:
    """The card of `count` labels in `file`; `left_out` pairs have no preferred response.

    `license_id` overrides the known license. Raises `StoreError` if the row has no labels.
    """
    label = collect_label_info(run, row.name)
    if label is None:
        raise StoreError(f"{run.folder}: {row.name} has no labels; run the study again")
    license_id = license_id or find_labels_license(run.study)
    return join_card(
        _build_metadata(run, row, license_id, count, file),
        [
            f"# {repo}",
            f"{count:,} preferences: the labels of arm `{row.name}` of a Trimtab study ({row.description or row.annotator})."
            + (f" {left_out:,} pairs have no preferred response and are left out." if left_out else ""),
            format_notes(report),
            f"```python\nfrom datasets import load_dataset\n\ndata = load_dataset({repo!r}, split='train')\n```",
            _COLUMNS,
            f"## Source\n\n{format_label_source(run, row)}",
            f"## Quality\n\n{format_label_quality(label)}",
            f"## Cost\n\n{_format_labels_cost(label)}",
            f"## License\n\n{format_license(license_id, find_license_terms(run.study))}",
            f"## Study\n\n{format_study(report)}",
        ],
    )


def _build_metadata(run: Run, row: RunRow, license_id: str, count: int, file: str) -> dict[str, Any]:
    is_human = row.annotator == "human"
    synthetic = (
        ["synthetic"] if any("synthetic" in layout for layout in run.split.record["facts"]["layout"].values()) else []
    )
    return {
        "license": license_id,
        "pretty_name": f"{run.study.name}: labels of {row.name}",
        "annotations_creators": ["found" if is_human else "machine-generated"],
        "source_datasets": list_hub_datasets(run.study) or ["original"],
        "task_categories": ["text-generation"],
        "size_categories": [next((name for end, name in _SIZE_CATEGORIES if count < end), _LARGEST_CATEGORY)],
        "tags": [*_TAGS, *synthetic],
        "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": file}]}],
    }


def _format_labels_cost(label: LabelInfo) -> str:
    return f"{format_cost(label.cost)} for {label.n_pairs:,} pairs."
