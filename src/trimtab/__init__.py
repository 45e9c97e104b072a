"""Trimtab aligns a strong language model with the feedback of a weaker one.

import trimtab

dataset = trimtab.load_pairs("pairs.jsonl")
labels = trimtab.annotate(dataset.pairs, "length")
quality = trimtab.audit("labeled.jsonl", "probe")
run = trimtab.run("study.yaml", "runs/first")
run.metrics()
"""

from typing import TYPE_CHECKING, Any

from trimtab.core.memory import limit_kernel_cache
from trimtab.core.openmp import limit_thread_spinning
from trimtab.errors import (
    ClusterError,
    DataError,
    EngineError,
    HubError,
    ModelError,
    StoreError,
    StudyError,
    TrainingError,
    TrimtabError,
)
from trimtab.types import Annotation, Completion, Dataset, Message, Metric, Pair, Preference, Score, Verdict

__all__ = [
    "Annotation",
    "Audit",
    "ClusterError",
    "Completion",
    "DataError",
    "Dataset",
    "EngineError",
    "HubError",
    "Message",
    "Metric",
    "ModelError",
    "Pair",
    "Preference",
    "RunResults",
    "Score",
    "StoreError",
    "Study",
    "StudyError",
    "StudyPlan",
    "TrainingError",
    "TrimtabError",
    "Verdict",
    "annotate",
    "audit",
    "load_pairs",
    "open_run",
    "plan",
    "run",
]

limit_thread_spinning()
limit_kernel_cache()

if TYPE_CHECKING:
    from trimtab.api import annotate, audit, load_pairs, open_run, plan, run
    from trimtab.config.study import Study
    from trimtab.report.data_frames import RunResults
    from trimtab.workflows.audit import Audit
    from trimtab.workflows.study_plan import StudyPlan
else:
    _LAZY = ("Audit", "RunResults", "Study", "StudyPlan", "annotate", "audit", "load_pairs", "open_run", "plan", "run")

    def __getattr__(name: str) -> Any:
        """Loads the API on first use, since it takes much longer to import than the values above."""
        if name not in _LAZY:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from trimtab import api  # noqa: PLC0415

        return getattr(api, name)
