"""The starter set: synthetic prompts from a deterministic generator, each with a checker that scores any response."""

from trimtab.starter.generator import FAMILIES, GENERATOR_VERSION, compute_gold_reward, generate_items
from trimtab.starter.item import StarterItem, TaskFamily
from trimtab.starter.pair_sampling import LABEL_NOISE, preference_probability

__all__ = [
    "FAMILIES",
    "GENERATOR_VERSION",
    "LABEL_NOISE",
    "StarterItem",
    "TaskFamily",
    "compute_gold_reward",
    "generate_items",
    "preference_probability",
]
