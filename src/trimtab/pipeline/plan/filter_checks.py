"""Checks from settings alone that a filter can rank the labels of an annotator."""

from __future__ import annotations

from trimtab.core.annotator_inputs import LabelField
from trimtab.core.component import Component, build_component, get_kind
from trimtab.core.component_loading import list_kinds
from trimtab.core.engine_configs import get_requirements
from trimtab.core.interfaces import HasLabelFields
from trimtab.errors import StudyError

_DESCRIPTIONS: dict[LabelField, str] = {
    "confidence": "probabilities other than 0 and 1",
    "margin": "margins",
    "tree_score": "scores of search trees",
    "order_consistency": "verdicts in both presentation orders (`presentation_order: both`)",
}


def require_suitable_filter(setting: str, label_filter: Component, annotator: Component) -> None:
    """Raises `StudyError` if the filter needs something that the annotator's labels never have.

    Custom annotators that do not declare the fields of their labels are not checked.
    """
    if not isinstance(annotator, HasLabelFields):
        return
    for name in sorted(get_requirements(label_filter).label_fields - annotator.label_fields()):
        raise StudyError(
            f"{setting}: {get_kind(label_filter)} needs {_DESCRIPTIONS[name]}, which labels by {get_kind(annotator)} do not "
            f"have; use it with {_list_annotators_with(name)}, or use `subset` or no filter"
        )


def _list_annotators_with(name: LabelField) -> str:
    """The built-in kinds whose labels have the field with the default settings; those that need settings are left out."""
    kinds = []
    for kind in list_kinds("annotators"):
        try:
            annotator = build_component("annotators", kind)
        except StudyError:
            continue
        if isinstance(annotator, HasLabelFields) and name in annotator.label_fields():
            kinds.append(kind)
    return " or ".join((", ".join(kinds[:-1]), kinds[-1]) if len(kinds) > 1 else kinds)
