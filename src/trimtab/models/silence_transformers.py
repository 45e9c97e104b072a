"""Silence the log lines and progress bars of transformers during a call."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def silence_transformers() -> Iterator[None]:
    """Inside the block transformers logs only errors and shows no progress bars. Python warnings are not affected.

    The previous verbosity and progress bars are restored at the end.
    """
    from transformers.utils import logging

    verbosity, has_progress_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if has_progress_bars:
            logging.enable_progress_bar()
