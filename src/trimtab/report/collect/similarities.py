"""How alike the rows' answers are in meaning: to what people preferred, and to each other's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab import stats
from trimtab.pipeline.plan.response_metrics import PREFERRED_RESPONSES
from trimtab.pipeline.stages.embed import load_embeddings
from trimtab.report.run_reader import Run
from trimtab.types import Metric

EmbeddingsByPrompt = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SimilarityInfo:
    """The mean cosine of two rows' answers to the same prompts. `to` is another row, or `preferred`: the response that people
    preferred, the mean over those of a prompt where there are several."""

    arm: str
    compared_to: str
    cosine: Metric


def collect_similarities(run: Run) -> list[SimilarityInfo]:
    """Every row beside what people preferred, then every two rows."""
    stages = {name: stage for name, stage in run.index.get("vectors", {}).items() if run.is_finished(stage)}
    vectors = {name: load_embeddings(run.artifact(stage)) for name, stage in stages.items()}
    preferred = vectors.pop(PREFERRED_RESPONSES, {})
    found = [
        SimilarityInfo(arm=name, compared_to=PREFERRED_RESPONSES, cosine=compute_mean_cosine(each, preferred))
        for name, each in vectors.items()
    ]
    pairs = combinations(vectors, 2)
    return [
        *found,
        *(SimilarityInfo(arm=a, compared_to=b, cosine=compute_mean_cosine(vectors[a], vectors[b])) for a, b in pairs),
    ]


def compute_mean_cosine(ours: EmbeddingsByPrompt, theirs: EmbeddingsByPrompt) -> Metric:
    """Over the prompts that both have, of vectors of length 1; `n_failed` counts those that one alone has."""
    common = [key for key in ours if key in theirs]
    values = [float((ours[key] @ theirs[key].T).mean()) for key in common]
    return stats.mean(values, n_failed=len(ours.keys() ^ theirs.keys()))


def similarity_to_json(info: SimilarityInfo) -> dict[str, Any]:
    return {"arm": info.arm, "to": info.compared_to, **asdict(info.cosine)}


def similarity_from_json(document: Mapping[str, Any]) -> SimilarityInfo:
    """What `plain` gave. Raises `KeyError` or `TypeError` where a part is missing or of another kind."""
    figure = {key: value for key, value in document.items() if key not in ("arm", "to")}
    return SimilarityInfo(arm=document["arm"], compared_to=document["to"], cosine=Metric(**figure))
