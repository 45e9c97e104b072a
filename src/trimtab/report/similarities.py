"""How alike the rows' answers are in meaning: to what people preferred, and to each other's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab import statistics
from trimtab.plan.answers import PREFERRED
from trimtab.report.folder import Run
from trimtab.stages.vectors import vectors_of
from trimtab.types import Metric

Vectors = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SimilarityInfo:
    """The mean cosine of two rows' answers to the same prompts. `to` is another row, or `preferred`: the response that people
    preferred, the mean over those of a prompt where there are several."""

    arm: str
    to: str
    cosine: Metric


def similarity_infos(run: Run) -> list[SimilarityInfo]:
    """Every row beside what people preferred, then every two rows."""
    stages = {name: stage for name, stage in run.index.get("vectors", {}).items() if run.finished(stage)}
    vectors = {name: vectors_of(run.artifact(stage)) for name, stage in stages.items()}
    preferred = vectors.pop(PREFERRED, {})
    found = [SimilarityInfo(arm=name, to=PREFERRED, cosine=cosine(each, preferred)) for name, each in vectors.items()]
    pairs = combinations(vectors, 2)
    return [*found, *(SimilarityInfo(arm=a, to=b, cosine=cosine(vectors[a], vectors[b])) for a, b in pairs)]


def cosine(ours: Vectors, theirs: Vectors) -> Metric:
    """Over the prompts that both have, of vectors of length 1; `n_failed` counts those that one alone has."""
    common = [key for key in ours if key in theirs]
    values = [float((ours[key] @ theirs[key].T).mean()) for key in common]
    return statistics.mean(values, n_failed=len(ours.keys() ^ theirs.keys()))


def plain(info: SimilarityInfo) -> dict[str, Any]:
    return {"arm": info.arm, "to": info.to, **asdict(info.cosine)}


def read_back(document: Mapping[str, Any]) -> SimilarityInfo:
    """What `plain` gave. Raises `KeyError` or `TypeError` where a part is missing or of another kind."""
    figure = {key: value for key, value in document.items() if key not in ("arm", "to")}
    return SimilarityInfo(arm=document["arm"], to=document["to"], cosine=Metric(**figure))
