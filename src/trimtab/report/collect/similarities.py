"""Semantic similarity of responses: to the human-preferred responses, and between rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from trimtab import stats
from trimtab.config.names import PREFERRED_RESPONSES
from trimtab.pipeline.stages.embed import load_embeddings
from trimtab.report.run_reader import Run
from trimtab.types import Metric

EmbeddingsByPrompt = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SimilarityInfo:
    """The mean cosine similarity of two rows' responses to the same prompts.

    `compared_to` is another row or `PREFERRED_RESPONSES`, averaged over a prompt's preferred responses.
    """

    arm: str
    compared_to: str
    cosine: Metric


def collect_similarities(run: Run) -> list[SimilarityInfo]:
    """Each row against the preferred responses, then each pair of rows."""
    stages = {name: stage for name, stage in run.index.embeddings.items() if run.is_finished(stage)}
    embeddings = {name: load_embeddings(run.artifact(stage)) for name, stage in stages.items()}
    preferred = embeddings.pop(PREFERRED_RESPONSES, {})
    to_preferred = [
        SimilarityInfo(arm=name, compared_to=PREFERRED_RESPONSES, cosine=compute_mean_cosine(rows, preferred))
        for name, rows in embeddings.items()
    ]
    between_rows = [
        SimilarityInfo(arm=a, compared_to=b, cosine=compute_mean_cosine(embeddings[a], embeddings[b]))
        for a, b in combinations(embeddings, 2)
    ]
    return [*to_preferred, *between_rows]


def compute_mean_cosine(a: EmbeddingsByPrompt, b: EmbeddingsByPrompt) -> Metric:
    """The mean cosine over shared prompts, for unit-length embeddings; `n_failed` counts prompts that only one has."""
    shared = [prompt_id for prompt_id in a if prompt_id in b]
    cosines = [float((a[prompt_id] @ b[prompt_id].T).mean()) for prompt_id in shared]
    return stats.mean(cosines, n_failed=len(a.keys() ^ b.keys()))
