"""Trimtab steers a strong language model with a weak one."""

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
    "StudyError",
    "TrainingError",
    "TrimtabError",
    "Verdict",
]
