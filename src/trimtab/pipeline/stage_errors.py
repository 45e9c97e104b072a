"""Errors of stages name the stage and the arm that it belongs to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from trimtab.errors import TrimtabError
from trimtab.pipeline.stage import Stage


@contextmanager
def name_stage_in_errors(stage: Stage, arm: str = "") -> Iterator[None]:
    """Adds the names of the stage and the arm to an error; one that is not ours gets them as a note."""
    place = f"{stage.name} (arm {arm})" if arm else stage.name
    try:
        yield
    except TrimtabError as error:
        message = str(error)
        if message.startswith(place):
            raise
        raise type(error)(f"{place}: {message.removeprefix(f'{stage.name}: ')}") from error
    except Exception as error:
        error.add_note(f"in stage {place}")
        raise


def describe_error(error: Exception) -> str:
    """The message of an error in one line, with its type and place if it is not one of ours."""
    if isinstance(error, TrimtabError):
        return str(error)
    notes = getattr(error, "__notes__", ())
    message = " ".join(f"{type(error).__name__}: {error}".split())
    return f"{message} ({', '.join(notes)})" if notes else message
