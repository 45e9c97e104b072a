"""The sections of the page in tab order, and their tables in the terminal.

A section builder returns None if it has nothing to show. To add a section, write a module with a builder and list it here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from trimtab.report.model import Report
from trimtab.report.page.sections.certificates import build_certificate_tables, build_certificates_section
from trimtab.report.page.sections.comparisons import build_comparison_tables, build_comparisons_section
from trimtab.report.page.sections.cost import build_cost_section
from trimtab.report.page.sections.criteria import build_criteria_section, build_criteria_tables
from trimtab.report.page.sections.data import build_data_section
from trimtab.report.page.sections.headline import build_headline_section
from trimtab.report.page.sections.judges import build_judge_tables, build_judges_section
from trimtab.report.page.sections.label_worth import build_label_worth_section, build_label_worth_tables
from trimtab.report.page.sections.labels import (
    build_inference_cost_section,
    build_label_tables,
    build_labels_section,
)
from trimtab.report.page.sections.pairs import build_pairs_section
from trimtab.report.page.sections.response_models import build_response_model_tables, build_response_models_section
from trimtab.report.page.sections.results import build_results_section, build_results_tables
from trimtab.report.page.sections.rewards import build_reward_tables, build_rewards_section
from trimtab.report.page.sections.rounds import build_round_tables, build_rounds_section
from trimtab.report.page.sections.samples import build_samples_section
from trimtab.report.page.sections.searches import build_searches_section
from trimtab.report.page.sections.section import PageContents, Section
from trimtab.report.page.sections.settings import build_settings_section
from trimtab.report.page.sections.side_effects import build_side_effect_tables, build_side_effects_section
from trimtab.report.page.sections.similarities import build_similarities_section, build_similarity_tables
from trimtab.report.page.sections.training import build_training_section
from trimtab.report.table import Table

SECTIONS: tuple[Callable[[PageContents], Section | None], ...] = (
    build_headline_section,
    build_results_section,
    build_comparisons_section,
    build_rounds_section,
    build_label_worth_section,
    build_rewards_section,
    build_side_effects_section,
    build_similarities_section,
    build_labels_section,
    build_criteria_section,
    build_response_models_section,
    build_certificates_section,
    build_inference_cost_section,
    build_searches_section,
    build_training_section,
    build_judges_section,
    build_samples_section,
    build_pairs_section,
    build_cost_section,
    build_data_section,
    build_settings_section,
)

# These build tables only, without drawing figures.
TERMINAL_TABLES: tuple[Callable[[Report], Sequence[Table]], ...] = (
    build_results_tables,
    build_comparison_tables,
    build_round_tables,
    build_label_worth_tables,
    build_side_effect_tables,
    build_similarity_tables,
    build_reward_tables,
    build_label_tables,
    build_criteria_tables,
    build_response_model_tables,
    build_certificate_tables,
    build_judge_tables,
)
