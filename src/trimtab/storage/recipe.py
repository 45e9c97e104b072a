"""The recipe of a stage, and its fingerprint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def hash_json(value: Any) -> str:
    """A 24-digit hexadecimal hash of a JSON value."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:24]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything that a stage's result depends on. `settings` omit defaults; `inputs` are fingerprints."""

    stage: str
    version: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """The first 12 hexadecimal digits of the recipe's SHA-256 hash."""
        body = {"stage": self.stage, "version": self.version, "settings": self.settings, "inputs": self.inputs}
        return hashlib.sha256(canonical_json(body).encode()).hexdigest()[:12]
