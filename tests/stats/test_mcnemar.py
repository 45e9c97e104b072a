import pytest
from scipy.stats import binomtest

from trimtab.stats import McNemarResult, mcnemar_test


def sides(above: int, below: int, same: int) -> tuple[dict[str, float], dict[str, float]]:
    ours = [1.0] * above + [0.0] * below + [1.0] * same
    theirs = [0.0] * above + [1.0] * below + [1.0] * same
    return {str(i): value for i, value in enumerate(ours)}, {str(i): value for i, value in enumerate(theirs)}


@pytest.mark.parametrize(("above", "below"), [(9, 1), (1, 9), (5, 5), (0, 6), (230, 170), (9000, 9200)])
def test_the_p_value_is_that_of_scipys_binomial_test(above: int, below: int) -> None:
    found = mcnemar_test(*sides(above, below, 20))
    assert found.p_value == pytest.approx(binomtest(above, above + below).pvalue, rel=1e-9)
    assert (found.wins, found.losses, found.n) == (above, below, above + below + 20)


def test_nine_to_one_is_worked_by_hand() -> None:
    # 2 · (1 + 10) / 2¹⁰
    assert mcnemar_test(*sides(9, 1, 0)).p_value == pytest.approx(22 / 1024)


def test_rows_that_do_not_differ_say_nothing_and_rows_of_one_side_are_counted() -> None:
    assert mcnemar_test({"x": 1.0, "y": 1.0}, {"x": 1.0, "z": 0.0}) == McNemarResult(
        wins=0, losses=0, p_value=None, n=1, n_failed=2
    )
