"""From a run's folders to a report: a pure reading, made anywhere and at any time, without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from trimtab import statistics
from trimtab.report.comparisons import comparisons
from trimtab.report.folder import SIDES, Run
from trimtab.report.judged import judged
from trimtab.report.labels import label_info
from trimtab.report.logs import curves_of
from trimtab.report.model import Arm, LabelInfo, Report, Sample, SplitInfo, StageCost, StudyInfo
from trimtab.report.rewards import GOLD, RewardInfo, metric_of, note_of, reward_infos
from trimtab.report.searches import SearchInfo, search_info
from trimtab.report.side_effects import beliefs, of_answers, of_policy
from trimtab.report.similarities import similarity_infos
from trimtab.stages.tables import completions_of, logprobs_of, scores_of
from trimtab.types import Annotation, Metric, Pair, conversation

REFERENCE_ROWS = ("base", "sft", "weak_model")
# What is told by rights and wrongs, also where it is `accuracy.DOMAIN`.
_SHARES = ("accuracy", "ended", "refusals", "surer_and_wrong", "order_flips")
# How many missing stages a note names.
_NAMED = 6


@dataclass(frozen=True)
class Rows:
    """One arm's figures a row, by prompt or pair id, before they are averaged; `failed` counts rows without a figure."""

    values: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    failed: Mapping[str, int] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)


def _rows(run: Run, arm: Mapping[str, Any], weak: Mapping[str, float]) -> Rows:
    """What an arm's figures are averaged from; `weak` is what the weak model says of the test pairs."""
    completions = completions_of(run.artifact(arm["completions"])) if arm["completions"] else []
    values: dict[str, Mapping[str, float]] = {}
    failed: dict[str, int] = {}
    for name, stage in arm["scores"].items():
        metric = metric_of(name, len(run.study.evaluation))
        values[metric] = scores_of(run.artifact(stage))
        failed[metric] = len(completions) - len(values[metric])
    if arm["policy"] and arm["reference"]:
        values["accuracy"] = _accuracies(run, arm, run.test)
    elif arm.get("predictions"):
        predicted = run.annotations(arm["predictions"])
        values["accuracy"] = _right(run.test, predicted)
        failed["accuracy"] = sum(each.status == "failed" for each in predicted.values())
        flips = {key: float(each.detail["flipped"]) for key, each in predicted.items() if "flipped" in each.detail}
        if flips:
            values["order_flips"], failed["order_flips"] = flips, len(predicted) - len(flips)
    for domain, parts in run.elsewhere(arm["name"]).items():
        values[f"accuracy.{domain}"] = _choices(run, parts)
    if completions:
        values["length"] = {each.prompt_id: float(each.n_tokens) for each in completions}
        values["ended"] = {each.prompt_id: float(each.stop == "end") for each in completions}
        values |= of_answers(completions)
        failed["distinct"] = len(completions) - len(values["distinct"])
    values |= of_policy(run, arm, weak)
    texts = {each.prompt_id: each.text for each in completions}
    return Rows(values=values, failed=failed, texts=texts)


def _right(test: Sequence[Pair], predicted: Mapping[str, Annotation]) -> dict[str, float]:
    """1 where the prediction is what people preferred, 0 where not, a half where it is a tie; none where it failed."""
    return {
        pair.id: 0.5 if predicted[pair.id].choice is None else float(predicted[pair.id].choice == pair.human)
        for pair in test
        if pair.human is not None and predicted[pair.id].status != "failed"
    }


def _choices(run: Run, parts: Mapping[str, str]) -> dict[str, float]:
    """The same on the pairs of another domain."""
    there = run.pairs_beneath(next(iter(parts.values())))
    if "predictions" in parts:
        return _right(there, run.annotations(parts["predictions"]))
    return _accuracies(run, parts, there)


def _accuracies(run: Run, arm: Mapping[str, Any], test: Sequence[Pair]) -> dict[str, float]:
    """1 where the implicit reward prefers what people preferred, 0 where not, a half on an exact tie."""
    policy = logprobs_of(run.artifact(arm["policy"]))
    reference = logprobs_of(run.artifact(arm["reference"]))
    found = {}
    for pair in test:
        if pair.human is not None:
            ours, base = policy[pair.id], reference[pair.id]
            margin = (ours.a - base.a) - (ours.b - base.b)
            signed = margin if pair.human == "a" else -margin
            found[pair.id] = 0.5 if signed == 0 else float(signed > 0)
    return found


def collect(folder: Path) -> Report:
    """The report of a run, of what there is where it is not finished. Raises `StoreError` where there is no run."""
    return collected(Run(folder))


def rows_by_arm(run: Run) -> dict[str, Rows]:
    """What the figures of every arm that was not left out are averaged from."""
    weak = next((beliefs(run, arm) for arm in run.arms if arm["name"] == "weak_model"), {})
    return {arm["name"]: _rows(run, arm, weak) for arm in run.arms if not arm["skipped"]}


def collected(run: Run) -> Report:
    """The report of a run."""
    arms, judging = run.arms, judged(run)
    rows = rows_by_arm(run)
    rewards = reward_infos(run)
    return Report(
        study=_study(run),
        arms=tuple(_recovered(_arm(arm, rows.get(arm["name"]), run), rows, run) for arm in arms),
        comparisons=tuple(comparisons({name: each.values for name, each in rows.items()}, run.prompts, _asked(run))),
        labels=tuple(_labels(run, arm) for arm in arms if arm["labels"]),
        searches=tuple(_searches(run)),
        data=tuple(_data(run)),
        costs=tuple(_costs(run)),
        samples=tuple(_samples(run, rows, rewards)),
        rewards=tuple(rewards),
        similarities=tuple(similarity_infos(run)),
        judges=judging.judges,
        rater_agreements=judging.agreements,
        notes=(*_notes(run, rewards), *(warning for judge in judging.judges for warning in judge.warnings)),
        missing=run.missing,
        curves=curves_of(run),
    )


def _study(run: Run) -> StudyInfo:
    study = run.study
    models = (study.models.weak, study.models.student)
    weak, student = (f"{m.base} (first {m.layers} layers)" if m.layers else m.base for m in models)
    return StudyInfo(
        name=study.name,
        seed=study.seed,
        weak=weak,
        student=student,
        description=study.description,
        version=run.index["trimtab"],
        fingerprint=str(run.split.record["fingerprint"]) if run.has_split else "",
        yaml=study.to_yaml(),
    )


def _arm(arm: Mapping[str, Any], rows: Rows | None, run: Run) -> Arm:
    metrics: dict[str, Metric] = {}
    if rows is not None:
        for name, values in rows.values.items():
            metrics[name] = averaged(name, values, rows.failed.get(name, 0), run.prompts)
    role = "reference" if arm["name"] in REFERENCE_ROWS else "arm"
    return Arm(
        name=arm["name"],
        role=role,  # type: ignore[arg-type]
        description=arm["description"],
        metrics=metrics,
        skipped=arm["skipped"],
        pending=arm["pending"],
        against=_asked(run).get(arm["name"], ()),
    )


def averaged(name: str, values: Mapping[str, float], failed: int, prompts: Mapping[str, str]) -> Metric:
    """The mean of a row's figures by prompt or pair id. Pairs of one prompt are not independent: intervals are over prompts."""
    figure = statistics.share if name.partition(".")[0] in _SHARES else statistics.mean
    return figure(list(values.values()), n_failed=failed, clusters=[prompts.get(key, key) for key in values])


def _recovered(arm: Arm, rows: Mapping[str, Rows], run: Run) -> Arm:
    """The arm with the gap that its student recovers between the weak model and human labels, where students choose."""
    if run.study.training.student != "preference" or arm.role != "arm" or not {"weak_model", "human"} <= set(rows):
        return arm
    weak, ceiling = (rows[name].values.get("accuracy") for name in ("weak_model", "human"))
    ours = rows[arm.name].values.get("accuracy") if arm.name in rows else None
    if weak is None or ours is None or ceiling is None or arm.name == "human":
        return arm
    return replace(arm, metrics={**arm.metrics, "pgr": statistics.pgr(weak, ours, ceiling, clusters=run.prompts)})


def _asked(run: Run) -> dict[str, tuple[str, ...]]:
    """The rows that the study has each arm compared with."""
    return {name: arm.against for name, arm in run.study.arms.items()}


def _labels(run: Run, arm: Mapping[str, Any]) -> LabelInfo:
    labels, source = arm["labels"], run.source(arm["labels"])
    return label_info(
        arm["name"],
        arm["annotator"],
        run.annotations(labels),
        run.unlabeled,
        float(run.artifact(source).record["seconds"]),
        source,
        before=None if source == labels else run.annotations(source),
    )


def _searches(run: Run) -> list[SearchInfo]:
    """One for each asking that left trees; arms that differ in their filters alone share theirs."""
    arms: dict[str, list[str]] = {}
    for arm in run.arms:
        if arm["labels"]:
            arms.setdefault(run.source(arm["labels"]), []).append(arm["name"])
    found = (
        search_info(names, run.annotations(source), run.unlabeled, run.study.samples) for source, names in arms.items()
    )
    return [each for each in found if each is not None]


def _data(run: Run) -> list[SplitInfo]:
    if not run.has_split:
        return []
    facts = run.split.record["facts"]
    reasons = ", ".join(f"{count} {reason}" for reason, count in facts["reasons"].items())
    layout = "; ".join(dict.fromkeys(facts["layout"].values()))
    return [
        SplitInfo(
            name=side,
            pairs=facts["pairs"][side],
            prompts=facts["prompts"][side],
            failures=facts["failures"] if place == 0 else 0,
            note=". ".join(part for part in (layout, f"left out: {reasons}" if reasons else "") if part)
            if place == 0
            else "",
        )
        for place, side in enumerate(SIDES)
    ]


def _costs(run: Run) -> list[StageCost]:
    made = set(run.index["made"])
    return [
        StageCost(
            name=record["name"],
            seconds=record["seconds"],
            cached=name not in made,
            tokens=record["facts"].get("tokens", 0),
            detail=_detail(record["facts"]),
        )
        for name in run.index["stages"]
        if run.finished(name)
        for record in [run.artifact(name).record]
    ]


def _detail(facts: Mapping[str, Any]) -> str:
    if "steps" in facts:
        last = ", ".join(f"{key} {value:g}" for key, value in facts.get("last", {}).items())
        return f"{facts['examples']} examples, {facts['steps']} steps; last: {last}"
    for unit in ("pairs", "prompts"):
        if isinstance(facts.get(unit), int):
            return f"{facts[unit]} {unit}"
    return ""


def _samples(run: Run, rows: Mapping[str, Rows], rewards: Sequence[RewardInfo]) -> list[Sample]:
    prompts = {pair.prompt_id: pair.prompt for pair in run.test}
    rows = {name: each for name, each in rows.items() if each.texts}
    answered = [key for key in prompts if rows and all(key in each.texts for each in rows.values())]
    proxies = {each.metric for each in rewards if each.proxy}
    scored = dict.fromkeys(name for each in rows.values() for name in each.values if name.startswith(GOLD))
    # a reward that the study did not train is shown before one that it did
    gold = min(scored, key=lambda name: name in proxies, default=None)
    return [
        Sample(
            prompt=conversation(prompts[key]),
            completions={name: each.texts[key] for name, each in rows.items()},
            scores={name: each.values.get(gold, {}).get(key) for name, each in rows.items()} if gold else {},
            metric=gold or GOLD,
        )
        for key in answered[: run.study.samples]
    ]


def _notes(run: Run, rewards: Sequence[RewardInfo]) -> list[str]:
    notes = [_unfinished(run)] if run.missing else []
    if not run.has_split:
        return notes
    facts = run.split.record["facts"]
    if any("synthetic" in layout for layout in facts["layout"].values()):
        notes.append(
            "The pairs are Trimtab's starter set: synthetic prompts, responses and labels. The figures show that the "
            "machinery works and how the arms compare on it; they say nothing of real people's preferences."
        )
    proxies = (note_of(each) for each in rewards if each.proxy)
    return [*notes, *proxies, *(warning for each in rewards for warning in each.warnings)]


def _unfinished(run: Run) -> str:
    names = [name.rpartition("-")[0] for name in run.missing]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    verb = "is" if len(names) == 1 else "are"
    return (
        f"This study is not finished: {len(names)} of its {len(run.index['stages'])} stages {verb} missing "
        f"({', '.join(names[:_NAMED])}{more}). What is there is shown; run the study again to go on with it."
    )
