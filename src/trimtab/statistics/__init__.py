"""Figures with their uncertainty: pure, and the same input always gives the same bytes.

Intervals are 95 %. They speak of the rows at hand: how much another training run would differ is in none of them but those
of `across_seeds` and `across_seeds_and_rows`. Where rows come in clusters, as pairs do by their prompt, say so: rows of one
cluster are not independent, and intervals that ignore it are too narrow.
"""

from trimtab.statistics.calibrated import calibration_error
from trimtab.statistics.correlation import pearson
from trimtab.statistics.lengths import length_controlled_win_rate
from trimtab.statistics.mcnemar import McNemar, mcnemar
from trimtab.statistics.means import mean, proportion, share
from trimtab.statistics.paired import paired_difference
from trimtab.statistics.power import rows_to_settle
from trimtab.statistics.prediction_powered import ppi_mean
from trimtab.statistics.raters import agreement, cohen_kappa, krippendorff_alpha
from trimtab.statistics.recovered import pgr
from trimtab.statistics.seeds import Seeds, across_seeds, across_seeds_and_rows
from trimtab.statistics.votes import Consistency, coin_majority, consistency
from trimtab.statistics.wins import Outcome, win_rate

__all__ = [
    "Consistency",
    "McNemar",
    "Outcome",
    "Seeds",
    "across_seeds",
    "across_seeds_and_rows",
    "agreement",
    "calibration_error",
    "cohen_kappa",
    "coin_majority",
    "consistency",
    "krippendorff_alpha",
    "length_controlled_win_rate",
    "mcnemar",
    "mean",
    "paired_difference",
    "pearson",
    "pgr",
    "ppi_mean",
    "proportion",
    "rows_to_settle",
    "share",
    "win_rate",
]
