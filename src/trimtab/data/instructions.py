"""Instructions: prompts with one response each, for supervised fine-tuning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from trimtab.types import Prompt, RowFailure


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """A prompt and the response to train on."""

    prompt: Prompt
    response: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InstructionDataset:
    """The instructions of a source, each once, and its unusable rows."""

    instructions: tuple[Instruction, ...]
    failures: tuple[RowFailure, ...] = ()


@runtime_checkable
class InstructionSource(Protocol):
    """A source whose rows can be read as instructions."""

    def load_instructions(self) -> InstructionDataset:
        """Raises `DataError` if no row is usable."""
        ...

    def content_hash(self) -> str: ...
