"""In what order a study's test pairs stand, which tells whether the first of them are as good as drawn."""

from __future__ import annotations

from trimtab.config.study import PredefinedSplits, Study


def test_pairs_in_file_order(study: Study) -> bool:
    """Whether the test pairs stand as their source has them.

    Sides that the study parts are in the order of a seed's hash, and so is what a source's `limit` takes.
    """
    return isinstance(study.data, PredefinedSplits) and getattr(study.data.test, "limit", None) is None
