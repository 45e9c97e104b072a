"""Metrics with confidence intervals. All functions are pure and deterministic.

Intervals are 95%. They describe sampling of rows; only those of `summarize_seeds`, `mean_over_seeds_and_rows` and
`estimate_label_worth` cover the variation between training runs. Pass `clusters` if rows are grouped, as pairs are by their
prompt: rows of one cluster are not independent, and intervals that ignore this are too narrow.
"""

from trimtab.stats.calibration_error import expected_calibration_error
from trimtab.stats.correlation import pearson, pearson_difference
from trimtab.stats.group_difference import group_difference
from trimtab.stats.label_worth import LabelWorth, estimate_label_worth
from trimtab.stats.length_controlled import length_controlled_win_rate
from trimtab.stats.mcnemar import McNemarResult, mcnemar_test
from trimtab.stats.means import bounded_mean, mean, proportion
from trimtab.stats.paired import paired_difference
from trimtab.stats.pgr import performance_gap_recovered
from trimtab.stats.prediction_powered import ppi_mean
from trimtab.stats.rater_agreement import agreement_rate, cohen_kappa, krippendorff_alpha
from trimtab.stats.sample_size import required_sample_size
from trimtab.stats.seeds import SeedSummary, mean_over_seeds_and_rows, summarize_seeds
from trimtab.stats.self_consistency import VoteConsistency, expected_majority_of_coin_flips, vote_consistency
from trimtab.stats.win_rate import win_rate

__all__ = [
    "LabelWorth",
    "McNemarResult",
    "SeedSummary",
    "VoteConsistency",
    "agreement_rate",
    "bounded_mean",
    "cohen_kappa",
    "estimate_label_worth",
    "expected_calibration_error",
    "expected_majority_of_coin_flips",
    "group_difference",
    "krippendorff_alpha",
    "length_controlled_win_rate",
    "mcnemar_test",
    "mean",
    "mean_over_seeds_and_rows",
    "paired_difference",
    "pearson",
    "pearson_difference",
    "performance_gap_recovered",
    "ppi_mean",
    "proportion",
    "required_sample_size",
    "summarize_seeds",
    "vote_consistency",
    "win_rate",
]
