"""Trimtab steers a strong language model with a weak one."""

from typing import TYPE_CHECKING, Any

from trimtab.errors import DataError, ModelError, StoreError, StudyError, TrainingError, TrimtabError
from trimtab.types import Annotation, Completion, Message, Metric, Pair, Preference, Score, Verdict

__all__ = [
    "Annotation",
    "Completion",
    "DataError",
    "Message",
    "Metric",
    "ModelError",
    "Pair",
    "Preference",
    "Score",
    "StoreError",
    "Study",
    "StudyError",
    "TrainingError",
    "TrimtabError",
    "Verdict",
]

if TYPE_CHECKING:
    from trimtab.config.study import Study
else:

    def __getattr__(name: str) -> Any:
        """`Study` is loaded when it is first asked for: it takes ten times as long as all the rest."""
        if name != "Study":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from trimtab.config.study import Study  # noqa: PLC0415

        return Study
