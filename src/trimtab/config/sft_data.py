"""The setting `training.sft_data`: what the student is fine-tuned on before DPO."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import PlainSerializer, PlainValidator

from trimtab.core.component import Component, SourceField, build_component, dump_component, get_kind
from trimtab.data.instructions import InstructionSource

# Whose preferred responses, of the study's own pairs.
PreferredResponses = Literal["human_chosen", "arm_chosen"]
# Settings of sources that are about pairs.
_PAIR_SETTINGS = ("layout", "turns", "rating_column", "label_values")


def _parse_sft_data(value: Any) -> PreferredResponses | Component:
    if value in get_args(PreferredResponses):
        return value  # type: ignore[no-any-return]
    if isinstance(value, str):
        raise ValueError(f"must be human_chosen, arm_chosen or a source of prompts and responses, got {value!r}")
    source = build_component("sources", value)
    if not isinstance(source, InstructionSource):
        raise ValueError(
            f"{get_kind(source)} has pairs of responses; expected a source of prompts and responses: file or hub"
        )
    for name in _PAIR_SETTINGS:
        field = type(source).model_fields.get(name)
        if field is not None and getattr(source, name) != field.get_default(call_default_factory=True):
            raise ValueError(f"{name}: unused, since each row has one response")
    return source


def _dump_sft_data(value: PreferredResponses | Component) -> Any:
    return dump_component(value) if isinstance(value, Component) else value


_Accepted = PreferredResponses | SourceField
SftData = Annotated[
    _Accepted,
    PlainValidator(_parse_sft_data, _Accepted),
    PlainSerializer(_dump_sft_data),
]
