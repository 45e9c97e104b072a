import pytest
from scipy import stats

from trimtab.stats.quantiles import chi_square_quantile, normal_cdf, student_t_quantile


@pytest.mark.parametrize("df", [1, 2, 3, 4, 5, 10, 29, 30, 199, 200, 201, 5000])
def test_quantiles_are_those_of_scipy(df: int) -> None:
    assert student_t_quantile(df) == pytest.approx(stats.t.ppf(0.975, df), rel=1e-9)
    for probability in (0.025, 0.5, 0.975):
        assert chi_square_quantile(probability, df) == pytest.approx(stats.chi2.ppf(probability, df), rel=1e-8)


@pytest.mark.parametrize("z", [-8.0, -1.96, 0.0, 0.5, 4.0])
def test_the_normal_distribution_is_that_of_scipy(z: float) -> None:
    assert normal_cdf(z) == pytest.approx(stats.norm.cdf(z), rel=1e-12)
