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
RATERS = [{f"unit{place:02}": value for place, value in enumerate(values)} for values in OBSERVERS]


def verdicts(seed: int, like: dict[str, str] | None = None) -> dict[str, str]:
    rng = random.Random(seed)
    drawn = {str(i): rng.choice(["win", "win", "tie", "loss"]) for i in range(300)}
    return drawn if like is None else {key: like[key] if rng.random() < 0.6 else value for key, value in drawn.items()}


def test_alpha_of_krippendorffs_own_example() -> None:
    nominal, interval = krippendorff_alpha(RATERS), krippendorff_alpha(RATERS, "interval")
    assert nominal.value == pytest.approx(0.743, abs=5e-4)
    assert interval.value == pytest.approx(0.849, abs=5e-4)
    # the last unit has one value, so 40 values of 11 units can be compared
    assert (nominal.n, nominal.n_failed) == (11, 1)
    for metric in (nominal, interval):
        assert metric.low is not None and metric.high is not None and metric.value is not None
        assert metric.low < metric.value < metric.high <= 1


def test_alpha_of_two_raters_is_worked_by_hand() -> None:
    # Units (a,a) (a,b) (b,b): observed 2/6; expected 1 - (3·2 + 3·2) / (6·5) = 0.6; alpha = 1 - (1/3) / 0.6 = 4/9.
    raters = [{"1": "a", "2": "a", "3": "b"}, {"1": "a", "2": "b", "3": "b"}]
    assert krippendorff_alpha(raters).value == pytest.approx(4 / 9)
    # As 0 and 1 the squared difference says the same.
    numbers = [{key: float(value == "b") for key, value in rater.items()} for rater in raters]
    assert krippendorff_alpha(numbers, "interval").value == pytest.approx(4 / 9)


def test_alpha_on_an_interval_scale_does_not_change_with_its_origin_or_unit() -> None:
    moved = [{key: None if value is None else 1e6 + 0.1 * value for key, value in each.items()} for each in RATERS]
    assert krippendorff_alpha(moved, "interval").value == pytest.approx(0.849, abs=5e-4)


def test_full_agreement_is_one_and_one_and_the_same_value_is_undefined() -> None:
    assert krippendorff_alpha([{"1": 3, "2": 5}, {"1": 3, "2": 5}], "interval").value == 1.0
    assert krippendorff_alpha([{"1": 3, "2": 3}, {"1": 3, "2": 3}]) == Metric(value=None, low=None, high=None, n=2)
    assert krippendorff_alpha([{"1": 0.1, "2": 0.1}] * 3, "interval").value is None
    assert krippendorff_alpha([{"1": 3}, {"2": 3}]) == Metric(value=None, low=None, high=None, n=0, n_failed=2)


def test_raters_that_toss_coins_have_an_alpha_and_a_kappa_about_zero() -> None:
    ours, theirs = verdicts(1), verdicts(2)
    for metric in (krippendorff_alpha([ours, theirs]), cohen_kappa(ours, theirs)):
        assert metric.low is not None and metric.high is not None
        assert metric.low < 0 < metric.high


def test_alpha_says_what_it_cannot_read() -> None:
    with pytest.raises(ValueError, match="alpha compares two or more, got 1"):
        krippendorff_alpha([{"1": 3}])
    with pytest.raises(ValueError, match="must be numbers where level is interval, got 'a'"):
        krippendorff_alpha([{"1": "a"}, {"1": "b"}], "interval")


def test_kappa_of_three_categories_is_that_of_scikit_learn() -> None:
    ours = verdicts(1)
    theirs = verdicts(2, like=ours)
    wanted = cohen_kappa_score(list(ours.values()), [theirs[key] for key in ours])
    metric = cohen_kappa(ours, {**theirs, "only theirs": "tie"})
    assert metric.value == pytest.approx(wanted)
    assert (metric.n, metric.n_failed) == (300, 1)


def test_judgments_repeated_within_a_prompt_do_not_narrow_kappa_or_alpha() -> None:
    ours = verdicts(1)
    theirs = verdicts(2, like=ours)
    mine, other = (
        {f"{key}.{time}": value for key, value in side.items() for time in range(4)} for side in (ours, theirs)
    )
    clusters = {key: key.partition(".")[0] for key in mine}
    for once, repeated in (
        (cohen_kappa(ours, theirs), cohen_kappa(mine, other, clusters=clusters)),
        (krippendorff_alpha([ours, theirs]), krippendorff_alpha([mine, other], clusters=clusters)),
    ):
        assert repeated.value == pytest.approx(once.value, abs=0.002)
        assert (repeated.low, repeated.high) == pytest.approx((once.low, once.high), abs=0.01)


def test_agreement_over_prompts_is_as_wide_as_over_one_pair_of_each() -> None:
    human: dict[str, Choice | None] = {str(i): "a" for i in range(240)}
    labels: dict[str, Choice | None] = {str(i): "a" if i // 4 % 3 else "b" for i in range(240)}
    prompts = agreement_rate(labels, human, clusters={key: int(key) // 4 for key in human})
    first = {key: value for key, value in human.items() if int(key) % 4 == 0}
    assert prompts.value == pytest.approx(2 / 3)
    assert (prompts.low, prompts.high) == pytest.approx(
        (agreement_rate(labels, first).low, agreement_rate(labels, first).high), abs=0.004
    )


def test_agreement_over_prompts_is_called_better_than_a_coin_only_where_the_exact_test_says_so() -> None:
    # Of 100 prompts, 60 right have p = 0.057 and 61 have p = 0.035, by scipy's exact binomial test.
    human: dict[str, Choice | None] = {str(i): "a" for i in range(100)}
    for right, told in ((60, False), (61, True), (40, False), (39, True)):
        labels: dict[str, Choice | None] = {str(i): "a" if i < right else "b" for i in range(100)}
        found = agreement_rate(labels, human, clusters={key: key for key in human})
        assert found.low is not None and found.high is not None
        assert bool(binomtest(right, 100).pvalue < 0.05) is told
        assert (found.low > 0.5 or found.high < 0.5) is told
    bare = bounded_mean([1.0] * 60 + [0.0] * 40).low
    assert bare is not None and bare > 0.5
