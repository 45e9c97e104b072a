from dataclasses import replace

import pytest
from sample_report import REPORT

from trimtab.metrics.judge_quality import JudgedArm
from trimtab.report.model import ArmComparison, ArmResult, JudgeInfo, Report
from trimtab.report.page.sections.headline import build_headline_section, select_figure_metric
from trimtab.report.page.sections.section import PageContents
from trimtab.report.text.verdict import build_question, build_verdict
from trimtab.stats import paired_difference, required_sample_size
from trimtab.types import Metric

PLAIN = replace(REPORT, arms=tuple(ArmResult(name=name, role="arm") for name in ("weak",)), comparisons=())


def difference(value: float | None, low: float | None, high: float | None, n: int = 192, n_failed: int = 0) -> Metric:
    return Metric(value=value, low=low, high=high, n=n, n_failed=n_failed)


def compared(metric: Metric, *, against: str = "sft", name: str = "gold_reward", arm: str = "weak") -> Report:
    return replace(PLAIN, comparisons=(ArmComparison(arm=arm, baseline=against, metric=name, difference=metric),))


def test_the_whole_verdict_of_a_study() -> None:
    assert build_verdict(REPORT) == (
        "Weak labels beat SFT alone by 0.082 [0.042, 0.122] gold reward (n = 192 prompts).",
        "Weak labels against human labels: a difference of −0.010 [−0.045, 0.025] gold reward (n = 192 prompts), "
        "no significant difference on these prompts; about 4,900 would be needed to detect one of this size.",
        "Of the other arms, seam is above SFT alone.",
    )


def test_an_interval_below_zero_is_a_shortfall_without_minus_signs() -> None:
    assert build_verdict(compared(difference(-0.08, -0.12, -0.04))) == (
        "Weak labels fall short of SFT alone by 0.080 [0.040, 0.120] gold reward (n = 192 prompts).",
    )


@pytest.mark.parametrize("low", [0.0, -0.001])
def test_an_interval_that_touches_zero_is_never_called_better(low: float) -> None:
    (sentence,) = build_verdict(compared(difference(0.2, low, 0.4)))
    assert "no significant difference on these prompts; about " in sentence
    assert "beat" not in sentence


def test_a_difference_of_zero_has_no_required_sample_size() -> None:
    (sentence,) = build_verdict(compared(difference(0.0, -0.1, 0.1)))
    assert sentence.endswith("(n = 192 prompts), no significant difference on these prompts.")


def test_one_prompt_is_too_few_for_an_interval() -> None:
    (sentence,) = build_verdict(compared(difference(0.2, None, None, n=1)))
    assert sentence == (
        "Weak labels against SFT alone: a difference of +0.200 gold reward (n = 1 prompt), too few for an interval."
    )


def test_arms_without_common_prompts_cannot_be_compared() -> None:
    (sentence,) = build_verdict(compared(difference(None, None, None, n=0, n_failed=4)))
    assert sentence == (
        "Weak labels and SFT alone could not be compared: they share no prompts (n = 0 prompts, 4 left out)."
    )


def test_accuracy_replaces_a_missing_gold_reward() -> None:
    (sentence,) = build_verdict(compared(difference(0.1, 0.05, 0.15, n=512), name="accuracy"))
    assert sentence == "Weak labels beat SFT alone by 0.100 [0.050, 0.150] accuracy (n = 512 pairs)."


def test_without_other_arms_the_third_sentence_is_about_flipped_labels() -> None:
    report = compared(difference(0.05, 0.01, 0.09), against="flipped")
    assert build_verdict(report) == (
        "Weak labels beat randomly flipped labels by 0.050 [0.010, 0.090] gold reward (n = 192 prompts).",
    )


def test_other_arms_are_grouped_by_direction() -> None:
    arms = tuple(ArmResult(name=name, role="arm") for name in ("weak", "up", "up2", "down", "level"))
    sides = {"up": (0.1, 0.3), "up2": (0.1, 0.3), "down": (-0.3, -0.1), "level": (-0.1, 0.1)}
    comparisons = tuple(
        ArmComparison(arm=arm, baseline="sft", metric="gold_reward", difference=difference((low + high) / 2, low, high))
        for arm, (low, high) in sides.items()
    )
    assert build_verdict(replace(PLAIN, arms=arms, comparisons=comparisons)) == (
        "Of the other arms, up and up2 are above SFT alone; down is below it; "
        "level is not significantly different from SFT alone.",
    )


def test_an_arm_of_another_name_can_be_the_main_one() -> None:
    report = replace(compared(difference(0.1, 0.05, 0.15), arm="seam"), arms=(ArmResult(name="seam", role="arm"),))
    assert build_verdict(report)[0].startswith("“seam” labels beat SFT alone by 0.100")


def test_a_skipped_main_arm_has_its_reason() -> None:
    report = replace(PLAIN, arms=(ArmResult(name="weak", role="arm", skipped="all pairs abstained."),))
    assert build_verdict(report) == ("Weak labels were not evaluated: all pairs abstained.",)


def test_without_comparisons_nothing_is_claimed() -> None:
    assert build_verdict(PLAIN) == ("No two arms were compared on the same test set, so there is no result.",)


def rate(value: float, low: float, high: float, n: int = 192) -> JudgedArm:
    return JudgedArm(counts={}, metrics={"win_rate": Metric(value=value, low=low, high=high, n=n)})


def judge(name: str, against: str = "sft", flips: Metric | None = None, **rows: JudgedArm) -> JudgeInfo:
    figures = {"order_inconsistency": flips or difference(0.2, 0.15, 0.25)}
    return JudgeInfo(name=name, engine="scripted", baseline=against, arms=rows, metrics=figures)


ABOVE, BELOW, LEVEL = rate(0.612, 0.56, 0.661), rate(0.4, 0.35, 0.45), rate(0.52, 0.47, 0.57)


def accuracy_and(*judges: JudgeInfo) -> Report:
    """A study as one with judges and no gold reward is: SFT alone has no accuracy, and length was compared with it."""
    length = compared(difference(9.0, 8.0, 10.0), name="length").comparisons
    accuracy = compared(difference(-0.01, -0.05, 0.03, n=512), name="accuracy", against="human").comparisons
    study = replace(PLAIN.study, description="")
    return replace(PLAIN, study=study, comparisons=(*length, *accuracy), judges=judges)


def test_without_a_reward_the_headline_is_by_the_first_usable_judge() -> None:
    coin = judge("coin", flips=difference(0.9, 0.85, 0.95), weak=BELOW)
    report = accuracy_and(coin, judge("small", weak=ABOVE))
    assert build_verdict(report)[:2] == (
        "Weak labels beat SFT alone: judge small gives them a win rate of 0.612 [0.560, 0.661] (n = 192 prompts).",
        "Weak labels against human labels: a difference of −0.010 [−0.050, 0.030] accuracy (n = 512 pairs), "
        "no significant difference on these pairs; about 17,000 would be needed to detect one of this size.",
    )
    assert build_question(report) == "Is the student better after weak labels than after SFT alone?"
    assert not any("coin" in sentence for sentence in build_verdict(report))


def test_a_sample_size_that_nobody_could_collect_is_left_out() -> None:
    sentences = [
        build_verdict(compared(difference(value, value - 0.05, value + 0.05, n=112), name="accuracy", against="human"))
        for value in (0.003, 0.002)  # 567 and 1,276 times as many
    ]
    assert ["would be needed" in str(each) for each in sentences] == [True, False]


def test_a_win_rate_whose_interval_contains_one_half_is_inconclusive() -> None:
    (sentence, *_) = build_verdict(accuracy_and(judge("small", weak=LEVEL)))
    assert sentence == (
        "Weak labels against SFT alone: judge small gives them a win rate of 0.520 [0.470, 0.570] (n = 192 prompts), "
        "no significant difference on these prompts; about 2,500 would be needed to detect one of this size."
    )
    (sentence, *_) = build_verdict(accuracy_and(judge("small", weak=BELOW)))
    assert sentence.startswith("Weak labels fall short of SFT alone: judge small gives them a win rate of 0.400")


def test_a_judge_that_contradicts_human_labels_is_not_used() -> None:
    contrary = judge("small", weak=ABOVE)
    contrary = replace(contrary, metrics={**contrary.metrics, "human_agreement": difference(0.3, 0.2, 0.4)})
    assert build_verdict(accuracy_and(contrary))[0].startswith("Weak labels against human labels: ")


def test_without_a_comparison_with_sft_the_question_is_about_human_labels() -> None:
    assert build_question(accuracy_and()).endswith(" than after human labels?")


def test_other_arms_are_grouped_by_the_headline_judge() -> None:
    arms = tuple(ArmResult(name=name, role="arm") for name in ("weak", "up", "down", "level"))
    rows = {"weak": ABOVE, "up": ABOVE, "down": BELOW, "level": LEVEL}
    report = replace(PLAIN, arms=arms, judges=(replace(judge("small", against="human"), arms=rows),))
    assert build_verdict(report)[1] == (
        "Of the other arms, up is above human labels; down is below human labels; "
        "level is not significantly different from human labels."
    )


def test_a_judge_that_contradicts_the_reward_is_reported_as_such() -> None:
    report = compared(difference(0.08, 0.04, 0.12))
    with_judges = replace(
        report, judges=(judge("one", weak=ABOVE), judge("two", weak=BELOW), judge("three", weak=LEVEL))
    )
    assert build_verdict(with_judges) == (
        "Weak labels beat SFT alone by 0.080 [0.040, 0.120] gold reward (n = 192 prompts).",
        "Judge one prefers weak labels to SFT alone: a win rate of 0.612 [0.560, 0.661] (n = 192 prompts).",
        "Judge two prefers SFT alone to weak labels, which have a win rate of 0.400 [0.350, 0.450] (n = 192 prompts), "
        "contradicting the gold reward.",
        "Judge three finds no significant difference between weak labels and SFT alone: a win rate of "
        "0.520 [0.470, 0.570] (n = 192 prompts).",
    )


def test_a_second_judge_is_compared_with_the_first() -> None:
    sentences = build_verdict(accuracy_and(judge("one", weak=ABOVE), judge("two", weak=BELOW)))
    assert sentences[-1].endswith(", contradicting judge one.")


def test_the_first_screen_draws_the_win_rates_of_the_headline() -> None:
    report = accuracy_and(judge("small", weak=ABOVE))
    section = build_headline_section(PageContents(report=report))
    assert [each.name for each in section.figures] == ["win-rates-small"]
    assert "0.612" in section.figures[0].svg
    assert select_figure_metric(compared(difference(0.1, 0.0, 0.2))) == "gold_reward"


def unfinished(arm: ArmResult, *comparisons: ArmComparison) -> Report:
    """SFT alone and human labels are scored, and stages are missing."""
    scored = ArmComparison(arm="human", baseline="sft", metric="gold_reward", difference=difference(0.1, 0.05, 0.15))
    human = ArmResult(name="human", role="arm", metrics={"gold_reward": difference(0.6, 0.5, 0.7)})
    return replace(PLAIN, arms=(human, arm), comparisons=(scored, *comparisons), missing_stages=("score.weak-1f",))


def test_while_the_main_arm_is_pending_there_is_no_result_for_other_arms() -> None:
    coming = ArmResult(name="weak", role="arm", pending=("student", "responses", "gold rewards"))
    assert build_verdict(unfinished(coming)) == (
        "No result yet for weak labels: student, responses and gold rewards not finished.",
    )


def test_a_pending_gold_reward_is_not_replaced_by_accuracy() -> None:
    accuracy = ArmComparison(arm="weak", baseline="human", metric="accuracy", difference=difference(0.1, 0.05, 0.15))
    coming = ArmResult(name="weak", role="arm", pending=("gold rewards",))
    assert build_verdict(unfinished(coming, accuracy)) == ("No result yet for weak labels: gold rewards not finished.",)


def test_the_baselines_of_the_main_arm_may_be_pending() -> None:
    made = ArmResult(name="weak", role="arm", metrics={"gold_reward": difference(0.6, 0.5, 0.7)})
    assert build_verdict(unfinished(made)) == ("No result yet for weak labels: its baselines are not finished.",)


def test_a_main_arm_without_the_metric_is_not_pending() -> None:
    assert build_verdict(unfinished(ArmResult(name="weak", role="arm"))) == (
        "Of the other arms, human is above SFT alone.",
    )


def test_a_finished_comparison_is_reported_although_other_stages_are_missing() -> None:
    made = ArmComparison(arm="weak", baseline="sft", metric="gold_reward", difference=difference(0.08, 0.04, 0.12))
    sentences = build_verdict(unfinished(ArmResult(name="weak", role="arm"), made))
    assert sentences[0] == "Weak labels beat SFT alone by 0.080 [0.040, 0.120] gold reward (n = 192 prompts)."


def test_a_required_sample_size_below_the_actual_one_is_not_reported() -> None:
    # Right on 5 of 5 where SFT alone is wrong on all: p = 2 · (1/2)⁵ = 0.0625, and required_sample_size is 4.
    ours, theirs = (dict.fromkeys("abcde", value) for value in (1.0, 0.0))
    five = paired_difference(ours, theirs)
    assert required_sample_size(five) == 4
    (sentence,) = build_verdict(compared(five, name="accuracy"))
    assert sentence.endswith("accuracy (n = 5 pairs), no significant difference on these pairs.")
