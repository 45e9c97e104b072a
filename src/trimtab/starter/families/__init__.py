"""The task families of the starter set, by name."""

from trimtab.starter.families.calm import CALM
from trimtab.starter.families.caution import CAUTION
from trimtab.starter.families.declining import DECLINING
from trimtab.starter.families.fairness import FAIRNESS
from trimtab.starter.families.forms import FORMS
from trimtab.starter.families.honesty import HONESTY
from trimtab.starter.families.knowledge import KNOWLEDGE
from trimtab.starter.families.language import LANGUAGE
from trimtab.starter.families.lists import LISTS
from trimtab.starter.families.lookalikes import LOOKALIKES
from trimtab.starter.families.numbers import NUMBERS
from trimtab.starter.families.tones import TONE_FAMILIES
from trimtab.starter.item import TaskFamily

HELPFUL = (*KNOWLEDGE, *NUMBERS, *LANGUAGE, *FORMS, *LISTS, *TONE_FAMILIES, *HONESTY)
HARMLESS = (*DECLINING, *LOOKALIKES, CALM, CAUTION, FAIRNESS)
FAMILIES: dict[str, TaskFamily] = {family.name: family for family in (*HELPFUL, *HARMLESS)}

__all__ = ["FAMILIES"]
