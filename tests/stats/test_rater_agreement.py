"""Agreement metrics compared with published examples, scikit-learn, and values computed by hand."""

from __future__ import annotations

import random

import pytest
from scipy.stats import binomtest
from sklearn.metrics import cohen_kappa_score

from trimtab.stats import agreement_rate, bounded_mean, cohen_kappa, krippendorff_alpha
from trimtab.types import Choice, Metric

# Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability", section C: 12 units, four observers, data missing.
OBSERVERS = (
    (1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None),
    (1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3),
    (None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None),
    (1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None),
)
RATERS = [{f"unit{index:02}": value for index, value in enumerate(values)} for values in OBSERVERS]


def sample_verdicts(seed: int, similar_to: dict[str, str] | None = None) -> dict[str, str]:
    rng = random.Random(seed)
    random_verdicts = {str(i): rng.choice(["win", "win", "tie", "loss"]) for i in range(300)}
    if similar_to is None:
        return random_verdicts
    return {key: similar_to[key] if rng.random() < 0.6 else value for key, value in random_verdicts.items()}


def test_alpha_matches_krippendorffs_example() -> None:
    nominal, interval = krippendorff_alpha(RATERS), krippendorff_alpha(RATERS, "interval")
    assert nominal.value == pytest.approx(0.743, abs=5e-4)
    assert interval.value == pytest.approx(0.849, abs=5e-4)
    # the last unit has one value, so 40 values of 11 units can be compared
    assert (nominal.n, nominal.n_failed) == (11, 1)
    for metric in (nominal, interval):
        assert metric.low is not None and metric.high is not None and metric.value is not None
        assert metric.low < metric.value < metric.high <= 1


def test_alpha_of_two_raters_matches_the_value_computed_by_hand() -> None:
    # Units (a,a) (a,b) (b,b): observed 2/6; expected 1 - (3·2 + 3·2) / (6·5) = 0.6; alpha = 1 - (1/3) / 0.6 = 4/9.
    raters = [{"1": "a", "2": "a", "3": "b"}, {"1": "a", "2": "b", "3": "b"}]
    assert krippendorff_alpha(raters).value == pytest.approx(4 / 9)
    # for 0 and 1 the squared difference is the same
    numbers = [{key: float(value == "b") for key, value in rater.items()} for rater in raters]
    assert krippendorff_alpha(numbers, "interval").value == pytest.approx(4 / 9)


def test_interval_alpha_is_invariant_to_origin_and_unit() -> None:
    rescaled = [{key: None if value is None else 1e6 + 0.1 * value for key, value in rater.items()} for rater in RATERS]
    assert krippendorff_alpha(rescaled, "interval").value == pytest.approx(0.849, abs=5e-4)


def test_perfect_agreement_is_one_and_a_single_value_is_undefined() -> None:
    assert krippendorff_alpha([{"1": 3, "2": 5}, {"1": 3, "2": 5}], "interval").value == 1.0
    assert krippendorff_alpha([{"1": 3, "2": 3}, {"1": 3, "2": 3}]) == Metric(value=None, low=None, high=None, n=2)
    assert krippendorff_alpha([{"1": 0.1, "2": 0.1}] * 3, "interval").value is None
    assert krippendorff_alpha([{"1": 3}, {"2": 3}]) == Metric(value=None, low=None, high=None, n=0, n_failed=2)


def test_random_raters_have_an_alpha_and_a_kappa_near_zero() -> None:
    first, second = sample_verdicts(1), sample_verdicts(2)
    for metric in (krippendorff_alpha([first, second]), cohen_kappa(first, second)):
        assert metric.low is not None and metric.high is not None
        assert metric.low < 0 < metric.high


def test_alpha_rejects_invalid_ratings() -> None:
    with pytest.raises(ValueError, match="alpha compares two or more, got 1"):
        krippendorff_alpha([{"1": 3}])
    with pytest.raises(ValueError, match="must be numbers if level is interval, got 'a'"):
        krippendorff_alpha([{"1": "a"}, {"1": "b"}], "interval")


def test_kappa_of_three_categories_matches_scikit_learn() -> None:
    first = sample_verdicts(1)
    second = sample_verdicts(2, similar_to=first)
    expected = cohen_kappa_score(list(first.values()), [second[key] for key in first])
    metric = cohen_kappa(first, {**second, "reference only": "tie"})
    assert metric.value == pytest.approx(expected)
    assert (metric.n, metric.n_failed) == (300, 1)


def test_repeated_judgments_of_a_prompt_do_not_narrow_kappa_or_alpha() -> None:
    first = sample_verdicts(1)
    second = sample_verdicts(2, similar_to=first)
    first_repeated, second_repeated = (
        {f"{key}.{copy}": value for key, value in side.items() for copy in range(4)} for side in (first, second)
    )
    clusters = {key: key.partition(".")[0] for key in first_repeated}
    for once, repeated in (
        (cohen_kappa(first, second), cohen_kappa(first_repeated, second_repeated, clusters=clusters)),
        (krippendorff_alpha([first, second]), krippendorff_alpha([first_repeated, second_repeated], clusters=clusters)),
    ):
        assert repeated.value == pytest.approx(once.value, abs=0.002)
        assert (repeated.low, repeated.high) == pytest.approx((once.low, once.high), abs=0.01)


def test_repeated_pairs_of_a_prompt_do_not_narrow_the_agreement_rate() -> None:
    human: dict[str, Choice | None] = {str(i): "a" for i in range(240)}
    labels: dict[str, Choice | None] = {str(i): "a" if i // 4 % 3 else "b" for i in range(240)}
    prompts = agreement_rate(labels, human, clusters={key: int(key) // 4 for key in human})
    first = {key: value for key, value in human.items() if int(key) % 4 == 0}
    assert prompts.value == pytest.approx(2 / 3)
    assert (prompts.low, prompts.high) == pytest.approx(
        (agreement_rate(labels, first).low, agreement_rate(labels, first).high), abs=0.004
    )


def test_the_agreement_rate_excludes_chance_only_if_the_exact_test_is_significant() -> None:
    # of 100 prompts, 60 correct give p = 0.057 and 61 give p = 0.035 in scipy's exact binomial test
    human: dict[str, Choice | None] = {str(i): "a" for i in range(100)}
    for n_correct, significant in ((60, False), (61, True), (40, False), (39, True)):
        labels: dict[str, Choice | None] = {str(i): "a" if i < n_correct else "b" for i in range(100)}
        metric = agreement_rate(labels, human, clusters={key: key for key in human})
        assert metric.low is not None and metric.high is not None
        assert bool(binomtest(n_correct, 100).pvalue < 0.05) is significant
        assert (metric.low > 0.5 or metric.high < 0.5) is significant
    without_null = bounded_mean([1.0] * 60 + [0.0] * 40).low
    assert without_null is not None and without_null > 0.5
