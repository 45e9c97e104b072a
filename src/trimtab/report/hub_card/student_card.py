"""The card of an arm's student, a model on the Hugging Face Hub."""

from __future__ import annotations

from typing import Any

from trimtab.report.collect.report import collect_label_info
from trimtab.report.hub_card.card_text import (
    format_cost,
    format_label_quality,
    format_label_source,
    format_license,
    format_metric,
    format_notes,
    format_study,
    join_card,
    render_table_lines,
)
from trimtab.report.hub_card.origins import (
    find_base_model,
    find_license_terms,
    find_student_license,
    format_model_name,
    list_hub_datasets,
)
from trimtab.report.model import Report
from trimtab.report.page.sections.results import build_metric_tables
from trimtab.report.run_reader import Run, RunRow
from trimtab.report.text.verdict import HEADLINE_METRICS
from trimtab.types import Cost

_TAGS = ["trimtab", "weak-to-strong", "alignment"]
_REFERENCE_ROWS = ("base", "human", "flipped")


def build_student_card(run: Run, report: Report, row: RunRow, repo: str, license_id: str | None = None) -> str:
    """The card of a student. `license_id` overrides the known one."""
    license_id = license_id or find_student_license(run.study)
    return join_card(
        _build_metadata(run, license_id),
        [
            f"# {repo}",
            f"{format_model_name(run.study.models.student)}, trained on the labels of arm `{row.name}` of a Trimtab study "
            f"({row.description or row.annotator}).",
            format_notes(report),
            _format_usage(repo),
            f"## Results\n\n{_format_results(report, row)}",
            f"## Labels\n\n{_format_labels(run, row)}",
            f"## Cost\n\n{_format_training_cost(run, row)}",
            f"## License\n\n{format_license(license_id, find_license_terms(run.study))}",
            f"## Study\n\n{format_study(report)}",
        ],
    )


def _build_metadata(run: Run, license_id: str) -> dict[str, Any]:
    base = find_base_model(run.study.models.student)
    objective = run.study.training.objective
    return {
        "license": license_id,
        "base_model": base,
        "base_model_relation": "finetune" if base else None,
        "datasets": list_hub_datasets(run.study),
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": [*_TAGS, objective.replace("_", "-")],
    }


def _format_usage(repo: str) -> str:
    return (
        "```python\nfrom transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
        f"model = AutoModelForCausalLM.from_pretrained({repo!r})\n"
        f"tokenizer = AutoTokenizer.from_pretrained({repo!r})\n```"
    )


def _format_results(report: Report, row: RunRow) -> str:
    """The headline metrics of this student and of the rows that it is compared with, and what judges prefer."""
    rows = [name for name in dict.fromkeys((*_REFERENCE_ROWS, report.get_baseline(row.name), row.name)) if name]
    arms = [arm for arm in report.arms if arm.name in rows]
    names = dict.fromkeys(name for arm in arms for name in arm.metrics if name.partition(".")[0] in HEADLINE_METRICS)
    tables = build_metric_tables(report, "Results", list(names), [arm.name for arm in arms]) if names else ()
    lines = [*map(render_table_lines, tables), *_list_win_rates(report, row.name)]
    return "\n\n".join(lines) or "The study measured no quality of responses."


def _list_win_rates(report: Report, arm: str) -> list[str]:
    judges = [judge for judge in report.judges if arm in judge.arms]
    return [
        f"Win rate over `{judge.baseline}` by judge `{judge.name}`: "
        f"{format_metric(judge.arms[arm].metrics['win_rate'], 'win_rate')}"
        for judge in judges
    ]


def _format_labels(run: Run, row: RunRow) -> str:
    label = collect_label_info(run, row.name)
    if label is None:
        return "This model was not trained on an arm's labels."
    return f"{format_label_source(run, row)}\n\n{format_label_quality(label)}"


def _format_training_cost(run: Run, row: RunRow) -> str:
    label = collect_label_info(run, row.name)
    seconds = float(run.artifact(row.training).record["seconds"]) if row.training else 0.0
    training = f"- Training: {format_cost(Cost(seconds=seconds))}"
    return training if label is None else f"- Labels: {format_cost(label.cost)}\n{training}"
