"""Estimates how long a stage will take: from earlier stages in the same folder, else from rough default rates.

A stage declares its amount of work (`Work`). The cost of a unit of work is proportional to the model's parameter count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trimtab.config.study import Study
from trimtab.models.parameter_count import count_parameters
from trimtab.models.references import ModelRef
from trimtab.pipeline.dry_run.split_sizes import TYPICAL_PAIR_TOKENS, measure_split, predict_split
from trimtab.pipeline.plan import required_models
from trimtab.pipeline.stage import Stage, Work
from trimtab.storage.artifacts import Artifact

# Seconds per token and parameter on two CPU cores with fast bfloat16, measured with a model of 135 million parameters.
READ_RATE, TRAIN_RATE, GENERATE_RATE = 7e-12, 3e-11, 4e-11
TYPICAL_RESPONSE_TOKENS = 200  # a prompt and its response
DEFAULT_RATES = {
    "logprobs": READ_RATE,
    "hidden_states": READ_RATE * 0.54,  # the default relative depth of the layers
    "reward_table": READ_RATE,
    "sft": TRAIN_RATE,
    "dpo": TRAIN_RATE,
    "reward_model": TRAIN_RATE,
    "generate": GENERATE_RATE,
    "score": READ_RATE * TYPICAL_RESPONSE_TOKENS,
    "pair_scores": READ_RATE * TYPICAL_RESPONSE_TOKENS * 2,
    "kl": READ_RATE * TYPICAL_RESPONSE_TOKENS,
    # The common prefix of all requests is computed once, so a pair costs its own tokens, in each presentation order.
    "preference_model": TRAIN_RATE * TYPICAL_PAIR_TOKENS,
    "judge": READ_RATE * TYPICAL_PAIR_TOKENS * 2,
    "annotate.prompted": READ_RATE * TYPICAL_PAIR_TOKENS * 2,
    "annotate.self_reward": READ_RATE * TYPICAL_PAIR_TOKENS * 2,
}
INSTANT_SECONDS = 0.1  # for a stage without `Work`


@dataclass(frozen=True, slots=True)
class _MeasuredStage:
    """A finished stage: its work, the model that did it, and the seconds it took."""

    rate_key: str
    model: str
    amount: float
    seconds: float


class TimeEstimator:
    """Estimates the seconds of a study's stages. `split` is its finished split; `records` are all records in the folder."""

    def __init__(self, study: Study, split: Artifact | None, records: Sequence[Mapping[str, Any]]) -> None:
        self._parameters = {ModelRef(model).content_hash: count_parameters(model) for model in required_models(study)}
        sizes = predict_split(study) if split is None else measure_split(split)
        self._num_pairs, self._num_prompts = sizes.pairs, sizes.test_prompts
        self._tokens_per_pair = sizes.tokens_per_pair
        self._measured = [
            _MeasuredStage(work["rate_key"], work["model"], work["amount"], float(record["seconds"]))
            for record in records
            if (work := record["facts"].get("work")) and work["amount"]
        ]

    def estimate_seconds(self, stage: Stage) -> float | None:
        """The estimated seconds; None if there is too little to estimate from."""
        if stage.work is None:
            return INSTANT_SECONDS
        amount = self._estimate_amount(stage, stage.work)
        rate = self._seconds_per_unit(stage.work.rate_key, stage.model_hash)
        return None if amount is None or rate is None else amount * rate

    def _seconds_per_unit(self, rate_key: str, model: str) -> float | None:
        """As measured with the same model, else scaled by parameters from other models, else a default rate."""
        measured = [stage for stage in self._measured if stage.rate_key == rate_key]
        same_model = [stage for stage in measured if stage.model == model]
        if same_model:
            return sum(stage.seconds for stage in same_model) / sum(stage.amount for stage in same_model)
        parameters = self._parameters.get(model)
        if parameters is None:
            return None
        sized = [stage for stage in measured if self._parameters.get(stage.model)]
        scaled_work = sum(stage.amount * (self._parameters.get(stage.model) or 0) for stage in sized)
        if scaled_work:
            return parameters * sum(stage.seconds for stage in sized) / scaled_work
        return parameters * DEFAULT_RATES[rate_key] if rate_key in DEFAULT_RATES else None

    def _estimate_amount(self, stage: Stage, work: Work) -> float | None:
        """The amount of work, as `Work.measure` gives it after execution."""
        units = self._count_units(stage, work)
        return None if units is None else work.factor * work.epochs * units

    def _count_units(self, stage: Stage, work: Work) -> float | None:
        if work.unit == "once":
            return 1
        if work.unit == "prompts":
            counts = [count for count in (work.limit, self._num_prompts) if count is not None]
            return min(counts) if counts else None
        if work.num_pairs is not None:
            return self._to_units(work, work.splits[0] if work.splits else "labeled", work.num_pairs)
        if not work.splits:
            return self._to_units(work, "labeled", work.limit)
        units = [self._to_units(work, *self._count_pairs(stage, name)) for name in work.splits]
        return None if None in units else sum(count or 0 for count in units)

    def _to_units(self, work: Work, typical_split: str, pairs: float | None) -> float | None:
        if pairs is None or work.unit == "pairs":
            return pairs
        return pairs * self._tokens_per_pair[typical_split] * work.token_fraction

    def _count_pairs(self, stage: Stage, split_name: str) -> tuple[str, float | None]:
        """The split of the study that the pairs are like, and the number of pairs in the stage's own split.

        The stage's own split can be a fold of the labeled pairs, the pairs of a round, or pairs of another domain.
        """
        split = stage.input_stages.get("split")
        if split is not None and split.kind == "ood_pairs":
            return split_name, split.settings["source"].get("limit") if split_name == "test" else 0
        if split is not None and split.kind == "sample_pairs" and split.work is not None and split_name == "unlabeled":
            return split_name, self._count_units(split, split.work)  # a pair per prompt
        if split is None or split.kind != "cv_fold":
            return split_name, self._num_pairs[split_name]
        labeled, folds = self._num_pairs["labeled"], split.settings["folds"]
        share = {"labeled": 1 - 1 / folds, "unlabeled": 1 / folds, "test": 0.0}[split_name]
        return "labeled", None if labeled is None else labeled * share
