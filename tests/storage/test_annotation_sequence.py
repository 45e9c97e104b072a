"""Annotations in a temporary file are the same when they are read."""

from __future__ import annotations

import numpy as np

from trimtab.storage.schemas import create_annotation_sequence
from trimtab.types import Annotation, Cost

ANNOTATIONS = [
    Annotation(pair_id="a", p_a=0.1 + 0.2, margin=-1e-300),
    Annotation(pair_id="half a character: \ud83d", p_a=None, status="failed", note="why"),
    Annotation(pair_id="c", p_a=1.0, cost=Cost(calls=2, seconds=0.5), detail={"arms": {"one": None}, "é": [1, "x"]}),
]


def test_annotations_are_read_as_they_were_written() -> None:
    stored = create_annotation_sequence()
    for annotation in ANNOTATIONS:
        stored.append(annotation)
    assert list(stored.as_sequence()) == ANNOTATIONS


def test_numbers_of_numpy_become_plain_numbers() -> None:
    stored = create_annotation_sequence()
    detail = {"score": np.float32(0.5)}
    stored.append(Annotation(pair_id="a", p_a=float(1), margin=np.float64(2.5), detail=detail))
    stored.append(Annotation(pair_id="b", p_a=np.float64(0.25)))
    read = list(stored.as_sequence())
    assert read == [
        Annotation(pair_id="a", p_a=1.0, margin=2.5, detail={"score": 0.5}),
        Annotation(pair_id="b", p_a=0.25),
    ]
    assert [type(read[0].margin), type(read[1].p_a)] == [float, float]
