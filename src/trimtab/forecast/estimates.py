"""About how long a stage will take: what this folder has measured comes first, and a rough rate where it has not.

Work is counted in tokens; a token costs in proportion to the model's parameters.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trimtab.components import Component
from trimtab.lm.sampling import Sampling
from trimtab.lm.size import parameters
from trimtab.plan import named_models
from trimtab.stages.split import SIDES
from trimtab.stages.stage import TABLES, TRAINING, Stage, model_identity
from trimtab.store import Artifact
from trimtab.study import GivenSides, Study
from trimtab.training.settings import Dpo

# Seconds a token and a parameter on two cores that multiply bfloat16 fast: measured with a model of 135 million parameters.
READ, TRAIN, WRITE = 7e-12, 3e-11, 4e-11
TYPICAL_PAIR = 150  # tokens of a prompt and two responses, where no pair has been read yet
TYPICAL_ANSWER = 200  # tokens of a prompt and its answer
ROUGH = {
    "logprobs": READ,
    "features": READ * 0.54,  # as deep as is read where nothing is said
    "read_rewards": READ,
    "sft": TRAIN,
    "dpo": TRAIN,
    "reward": TRAIN,
    "generate": WRITE,
    "score": READ * TYPICAL_ANSWER,
    "rewards": READ * TYPICAL_ANSWER * 2,
    "divergence": READ * TYPICAL_ANSWER * 2,
    # What all the questions begin with is read once, so that a pair costs its own tokens; asked twice, once in each order.
    "preference": TRAIN * TYPICAL_PAIR,
    "judge": READ * TYPICAL_PAIR * 2,
    "annotate.prompted": READ * TYPICAL_PAIR * 2,
    "annotate.self_reward": READ * TYPICAL_PAIR * 2,
}
CHARACTERS_A_TOKEN = 4
TEMPLATE_TOKENS = 20  # what a chat template and the ends of two responses add to a pair
SFT_SHARE = 0.7  # of a pair's tokens: the prompt and one response
AT_ONCE = 0.1  # seconds for what only goes over tables


@dataclass(frozen=True, slots=True)
class _Measured:
    kind: str
    root: str
    amount: float
    seconds: float


class Estimates:
    """Seconds of a study's stages. `split` is its finished split; `records` are those of everything in the folder."""

    def __init__(self, study: Study, split: Artifact | None, records: Sequence[Mapping[str, Any]]) -> None:
        self._sizes = {model_identity(model): parameters(model) for model in named_models(study)}
        self._pairs = _pairs(study) if split is None else split.record["facts"]["pairs"]
        self._prompts = self._pairs["test"] if split is None else split.record["facts"]["prompts"]["test"]
        self._a_pair = {side: TYPICAL_PAIR if split is None else _tokens_a_pair(split.rows(side)) for side in SIDES}
        by_fingerprint = {record["fingerprint"]: record for record in records}
        self._measured = [
            _Measured(_work(record), _record_root(record, by_fingerprint), amount, float(record["seconds"]))
            for record in records
            if (amount := _amount_of(record))
        ]

    def seconds(self, stage: Stage) -> float | None:
        """About how long, None where there is too little to tell from."""
        if _is_quick(stage):
            return AT_ONCE
        amount = self._amount(stage)
        rate = self._rate(_work({"stage": stage.kind, "settings": stage.settings}), _root(stage))
        return None if amount is None or rate is None else amount * rate

    def _rate(self, kind: str, root: str) -> float | None:
        """Seconds a unit of work: as measured with the same model, else with others in proportion to size, else rough."""
        measured = [each for each in self._measured if each.kind == kind]
        same = [each for each in measured if each.root == root]
        if same:
            return sum(each.seconds for each in same) / sum(each.amount for each in same)
        size = self._sizes.get(root)
        if size is None:
            return None
        work = sum(each.amount * (self._sizes.get(each.root) or 0) for each in measured)
        if work:
            return size * sum(each.seconds for each in measured if self._sizes.get(each.root)) / work
        return size * ROUGH[kind] if kind in ROUGH else None

    def _amount(self, stage: Stage) -> float | None:
        """How much there is to do, in the unit of `_amount_of`."""
        settings = stage.settings
        if stage.kind == "reward" and "scorer" in settings:
            limit = settings["scorer"]["data"].get("limit")
            epochs = _epochs(settings["scorer"].get("recipe", {}))
            return None if limit is None else limit * self._a_pair["labeled"] * epochs
        if stage.kind == "generate":
            prompts = self._asked(settings["prompts"])
            return None if prompts is None else prompts * _longest_answer(settings)
        if stage.kind in ("score", "divergence"):
            return self._asked(stage.needs["completions"].settings["prompts"])
        if stage.kind == "judge":
            return (
                self._asked(stage.needs["ours"].settings["prompts"])
                if "ours" in stage.needs
                else stage.settings["pairs"]
            )
        return 1 if stage.kind == "split" else self._of_pairs(stage)

    def _of_pairs(self, stage: Stage) -> float | None:
        """The same, of a stage that goes over the pairs of one side or more."""
        settings = stage.settings
        if stage.kind in TABLES:
            tokens = [self._tokens(stage, side) for side in settings["sides"]]
            return None if None in tokens else sum(each or 0 for each in tokens)
        if stage.kind in ("annotate", "rewards"):
            return self._count(stage, settings.get("side", "unlabeled"))
        if stage.kind not in TRAINING:
            return None
        side = "unlabeled" if "labels" in stage.needs else "labeled"
        once = self._count(stage, side) if stage.kind == "preference" else self._tokens(stage, side)
        share = SFT_SHARE if stage.kind == "sft" else 1
        return None if once is None else once * share * _epochs(settings["recipe"])

    def _tokens(self, stage: Stage, side: str) -> float | None:
        count = self._count(stage, side)
        return None if count is None else count * self._a_pair["labeled" if _fold(stage) else side]

    def _count(self, stage: Stage, side: str) -> float | None:
        """Pairs of a side of the stage's own split, which can be a fold of the labeled pairs."""
        fold, split = _fold(stage), stage.needs.get("split")
        if split is not None and split.kind == "elsewhere":
            return split.settings["source"].get("limit") if side == "test" else 0
        if fold is None:
            return self._pairs[side]
        labeled, folds = self._pairs["labeled"], fold.settings["folds"]
        inside = {"labeled": 1 - 1 / folds, "unlabeled": 1 / folds, "test": 0.0}[side]
        return None if labeled is None else labeled * inside

    def _asked(self, wanted: int | None) -> int | None:
        known = [count for count in (wanted, self._prompts) if count is not None]
        return min(known) if known else None


def _amount_of(record: Mapping[str, Any]) -> float:
    """What a finished stage did, by its kind: tokens, tokens or pairs times epochs, pairs, the most tokens it could write,
    answers; 0 if not told."""
    facts, settings, kind = record["facts"], record["settings"], record["stage"]
    if kind in TRAINING:
        recipe = settings["scorer"].get("recipe", {}) if "scorer" in settings else settings["recipe"]
        return float(facts["examples" if kind == "preference" else "tokens"]) * _epochs(recipe)
    if kind == "generate":
        return float(facts["prompts"]) * _longest_answer(settings)
    counted = {
        "logprobs": "tokens",
        "features": "tokens",
        "read_rewards": "tokens",
        "annotate": "pairs",
        "rewards": "pairs",
        "score": "prompts",
        "divergence": "prompts",
        "judge": "contests",
    }
    if kind in counted:
        return float(facts[counted[kind]])
    return 1.0 if kind == "split" else 0.0


def _work(record: Mapping[str, Any]) -> str:
    """Stages whose rates are alike: those of a kind and, where models are asked, of an annotator; one that reasons is
    another."""
    if record["stage"] != "annotate":
        return str(record["stage"])
    annotator = record["settings"]["annotator"]
    return f"annotate.{annotator['kind']}" + (".reasoned" if annotator.get("reasoning_tokens") else "")


def _fold(stage: Stage) -> Stage | None:
    split = stage.needs.get("split")
    return split if split is not None and split.kind == "fold" else None


def _epochs(recipe: Mapping[str, Any]) -> float:
    return float(recipe.get("epochs", Dpo().epochs))


def _longest_answer(settings: Mapping[str, Any]) -> int:
    return int(settings["sampling"].get("max_new_tokens", Sampling().max_new_tokens))


def _is_quick(stage: Stage) -> bool:
    """What labels from tables and checks answers by rule; asking models and someone's own annotator may take their time."""
    if stage.kind == "annotate":
        asks = any(name.startswith("engine.") for name in (*stage.needs, *stage.identities))
        return ":" not in stage.settings["annotator"]["kind"] and not asks
    if stage.kind in ("filter", "fold", "part", "held_out", "calibrate"):
        return True
    return stage.kind in ("score", "rewards") and stage.settings["scorer"]["kind"] == "checker"


def _root(stage: Stage) -> str:
    """The identity of the published model that a stage works with, by way of what was trained from it."""
    if stage.kind in ("score", "rewards", "read_rewards"):
        return _root(stage.needs["reward"]) if "reward" in stage.needs else stage.identities["scorer"]
    engine = _engine([*stage.needs, *stage.identities])
    if engine:
        return _root(stage.needs[engine]) if engine in stage.needs else stage.identities[engine]
    if "policy" in stage.needs:
        return _root(stage.needs["policy"])
    while "model" in stage.needs:
        stage = stage.needs["model"]
    return stage.identities.get("model", "")


def _engine(inputs: Iterable[str]) -> str:
    """Of the models that are asked the one that writes most: `engine.strong` where there is one, else `engine.weak`."""
    return min((name for name in inputs if name.startswith("engine.")), default="")


def _record_root(record: Mapping[str, Any], by_fingerprint: Mapping[str, Mapping[str, Any]]) -> str:
    """The same as `_root`, of a finished stage."""
    inputs = record["inputs"]
    named = (
        inputs.get(_engine(inputs))
        or inputs.get("model")
        or inputs.get("policy")
        or inputs.get("reward")
        or inputs.get("scorer")
        or ""
    )
    beneath = by_fingerprint.get(named)
    return str(named) if beneath is None else _record_root(beneath, by_fingerprint)


def _pairs(study: Study) -> dict[str, int | None]:
    """The most pairs that each side can hold, None where nothing limits it."""
    if isinstance(study.data, GivenSides):
        return {side: _limit(getattr(study.data, side)) for side in SIDES}
    return {side: getattr(study.split, f"max_{side}") for side in SIDES}


def _limit(source: Component) -> int | None:
    limit = getattr(source, "limit", None)
    return limit if isinstance(limit, int) else None


def _tokens_a_pair(rows: Sequence[Mapping[str, Any]]) -> float:
    characters = sum(len(row["prompt"]) + len(row["a"]) + len(row["b"]) for row in rows)
    return characters / CHARACTERS_A_TOKEN / len(rows) + TEMPLATE_TOKENS
