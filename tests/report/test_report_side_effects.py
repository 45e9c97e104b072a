"""Side effects of training: refusals, repetition, the log-ratio to the reference, and overconfident errors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from rich.console import Console

from trimtab.config.study import Study
from trimtab.models.references import ModelRef
from trimtab.pipeline.stages.kl import load_log_ratios
from trimtab.report.collect.report import collect_report
from trimtab.report.collect.side_effects import (
    SIDE_EFFECTS,
    compute_distinct_2,
    compute_overconfident_errors,
    compute_preference_probabilities,
    is_refusal,
)
from trimtab.report.model import Report, report_from_json, report_to_json
from trimtab.report.page.html import render_html
from trimtab.report.run_reader import Run
from trimtab.report.terminal.tables import render_report_summary
from trimtab.storage.schemas import SAMPLED_TOKENS_SCHEMA, load_completions, load_logprobs
from trimtab.types import Pair, build_user_prompt


@pytest.fixture(scope="module")
def report(finished_run: Path) -> Report:
    return collect_report(finished_run)


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "I’m not able to say.",
        "Sorry. I will not assist you in this.",
        "As an AI model I do not feel and cannot tell.",
        "I don't think I can do this.",
        "I must decline.",
    ],
)
def test_a_response_that_starts_with_a_refusal_is_a_refusal(text: str) -> None:
    assert is_refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "You can't help but laugh.",
        "I can help with that: take two eggs.",
        "I cannot wait to tell you!",
        "Take two eggs. " * 20 + "I can't help with the rest.",
        "He said that he is unable to come.",
    ],
)
def test_other_responses_are_not_refusals(text: str) -> None:
    assert not is_refusal(text)


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("one two three", 1.0),
        ("Tea is good, tea is good.", 3 / 5),  # tea is, is good, good tea; then tea is and is good again
        ("no no no no", 1 / 3),
        ("don't do that", 1.0),
        ("one", None),
        ("", None),
    ],
)
def test_distinct_2_is_the_share_of_distinct_bigrams(text: str, share: float | None) -> None:
    assert compute_distinct_2(text) == (None if share is None else pytest.approx(share))


def test_an_overconfident_error_is_a_confident_disagreement_with_weak_model_and_human_label() -> None:
    test = [
        Pair(id=key, prompt=build_user_prompt(key), a="yes", b="no", human=human)  # type: ignore[arg-type]
        for key, human in zip("pqrstu", ("a", "a", "b", "a", "a", None), strict=True)
    ]
    weak = {"p": 0.7, "q": 0.9, "r": 0.7, "s": 0.8, "t": 0.5, "u": 0.9}
    student = {"p": 0.1, "q": 0.4, "r": 0.05, "s": 0.9, "t": 0.1, "u": 0.1}
    # p: more confident, wrong; q: less confident, wrong; r: more confident, right; s: agrees; t: tie; u: no human label
    assert compute_overconfident_errors(student, weak, test) == {"p": 1.0, "q": 0.0, "r": 0.0}


def test_preference_probabilities_use_the_implicit_reward_with_the_arms_beta(finished_run: Path) -> None:
    run = Run(finished_run)
    (arm,) = [arm for arm in run.arms if arm.name == "human"]
    assert arm.policy_logprobs is not None and arm.reference_logprobs is not None
    policy, reference = (load_logprobs(run.artifact(stage)) for stage in (arm.policy_logprobs, arm.reference_logprobs))
    key = run.test[0].id
    margin = (policy[key].a - reference[key].a) - (policy[key].b - reference[key].b)
    assert compute_preference_probabilities(run, arm)[key] == pytest.approx(
        torch.sigmoid(torch.tensor(0.1 * margin)).item(), abs=1e-6
    )


def test_kl_to_reference_is_the_log_ratio_of_the_responses_tokens(finished_run: Path) -> None:
    run = Run(finished_run)
    (arm,) = [arm for arm in run.arms if arm.name == "human"]
    assert arm.completions is not None and arm.training is not None
    log_ratios = load_log_ratios(run.artifact(run.index.kl_to_reference["human"]))
    completions = {row.prompt_id: row for row in load_completions(run.artifact(arm.completions))}
    assert log_ratios.keys() == completions.keys()
    sampled = run.artifact(arm.completions).read_rows("sampled_tokens", SAMPLED_TOKENS_SCHEMA)
    completion, response = completions[sampled[0]["id"]], sampled[0]["token_ids"]
    assert len(response) == completion.n_tokens
    reference = run.index.stage_with_fingerprint(run.artifact(arm.training).record["inputs"]["model"])
    sums = []
    for folder in (arm.training, reference):
        loaded = ModelRef(finished_run / "stages" / folder).load(lambda message: None, "cpu")
        prompt = loaded.chat.encode_prompt(completion.prompt)
        with torch.no_grad():
            logits = loaded.model(torch.tensor([[*prompt, *response]])).logits[0].log_softmax(-1)
        sums.append(sum(float(logits[len(prompt) - 1 + index, token]) for index, token in enumerate(response)))
    assert log_ratios[completion.prompt_id] == pytest.approx(sums[0] - sums[1], abs=1e-3)


def test_side_effects_have_their_own_table_and_are_in_the_json_report(report: Report) -> None:
    arms = {arm.name: arm for arm in report.arms}
    # the tiny students and their weak model may not disagree on any pair
    assert set(SIDE_EFFECTS) - {"overconfident_error_rate", "order_inconsistency"} <= set(arms["weak"].metrics)
    assert "kl_to_reference" not in arms["sft"].metrics
    assert "overconfident_error_rate" not in arms["weak_model"].metrics
    assert report.get_difference("weak", "sft", "refusal_rate") is not None
    assert report.get_difference("weak", "human", "refusal_rate") is None
    document = json.loads(json.dumps(report_to_json(report)))
    assert set(document["arms"]["weak"]["kl_to_reference"]) == {"value", "low", "high", "n", "n_failed"}
    assert report_from_json(document) == report
    console = Console(width=80, force_terminal=False)
    with console.capture() as capture:
        console.print(render_report_summary(report))
    for text in (capture.get(), render_html(report)):
        assert "Side effects" in text
        assert "KL to reference" in text


def test_a_study_can_skip_kl_to_reference(tiny_study: str) -> None:
    from trimtab.pipeline.plan import build_plan

    assert set(build_plan(Study.parse(tiny_study)).kl_to_reference) == {"human", "weak", "flipped", "weak_model"}
    assert build_plan(Study.parse(tiny_study + "kl_to_reference: false\n")).kl_to_reference == {}
