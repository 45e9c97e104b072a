"""Checks the values of `--trainer` arguments as `transformers.TrainingArguments` does, before any training."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from typing import Any

from transformers import TrainingArguments
from transformers.integrations import get_available_reporting_integrations

from trimtab.config.trainer_arguments import validate_trainer_arguments
from trimtab.errors import StudyError
from trimtab.models.silence_transformers import silence_transformers


def validate_trainer_values(arguments: Mapping[str, Any]) -> None:
    """Raises `StudyError` for an argument that Trainer rejects, and for a tracker that is not installed."""
    validate_trainer_arguments(arguments)
    for tracker in _list_trackers(arguments.get("report_to")):
        available = sorted(get_available_reporting_integrations())
        if tracker not in available:
            raise StudyError(
                f"--trainer report_to={tracker}: {tracker} is not installed or not known (installed: "
                f"{', '.join(available) or 'none'}); install it, or leave report_to out"
            )
    try:
        with tempfile.TemporaryDirectory() as folder, silence_transformers():
            TrainingArguments(**{"output_dir": folder, "report_to": "none", **arguments})
    except Exception as error:
        values = " ".join(f"--trainer {name}={value}" for name, value in arguments.items())
        message = " ".join(str(error).split())[:400]
        raise StudyError(f"{values}: {type(error).__name__}: {message}") from error


def _list_trackers(report_to: Any) -> list[str]:
    named = report_to if isinstance(report_to, list | tuple) else [] if report_to is None else [report_to]
    return [str(name) for name in named if str(name) not in ("none", "all")]
