"""The starter set: prompts written by a deterministic generator, each with a checker that scores any answer to it."""

from trimtab.starter.generation import FAMILIES, VERSION, gold, items
from trimtab.starter.item import Family, Item
from trimtab.starter.pairing import NOISE, p_first

__all__ = ["FAMILIES", "NOISE", "VERSION", "Family", "Item", "gold", "items", "p_first"]
