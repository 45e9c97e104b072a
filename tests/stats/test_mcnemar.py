"""McNemar's test compared with scipy and with values computed by hand."""

from __future__ import annotations

import pytest
from scipy.stats import binomtest

from trimtab.stats import McNemarResult, mcnemar_test


def outcomes(wins: int, losses: int, ties: int) -> tuple[dict[str, float], dict[str, float]]:
    candidate = [1.0] * wins + [0.0] * losses + [1.0] * ties
    baseline = [0.0] * wins + [1.0] * losses + [1.0] * ties
    return {str(i): value for i, value in enumerate(candidate)}, {str(i): value for i, value in enumerate(baseline)}


@pytest.mark.parametrize(("wins", "losses"), [(9, 1), (1, 9), (5, 5), (0, 6), (230, 170), (9000, 9200)])
def test_the_p_value_matches_scipys_binomial_test(wins: int, losses: int) -> None:
    result = mcnemar_test(*outcomes(wins, losses, 20))
    assert result.p_value == pytest.approx(binomtest(wins, wins + losses).pvalue, rel=1e-9)
    assert (result.wins, result.losses, result.n) == (wins, losses, wins + losses + 20)


def test_nine_to_one_matches_the_value_computed_by_hand() -> None:
    # 2 · (1 + 10) / 2¹⁰
    assert mcnemar_test(*outcomes(9, 1, 0)).p_value == pytest.approx(22 / 1024)


def test_ties_have_no_p_value_and_ids_of_one_side_are_counted() -> None:
    assert mcnemar_test({"x": 1.0, "y": 1.0}, {"x": 1.0, "z": 0.0}) == McNemarResult(
        wins=0, losses=0, p_value=None, n=1, n_failed=2
    )
