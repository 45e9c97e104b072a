"""What is read of a model's layers is what the model's own forward pass leaves there."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from trimtab.errors import ModelError
from trimtab.lm.features import FeatureReader
from trimtab.lm.models import open_base
from trimtab.lm.rows import Row
from trimtab.lm.weights import Model

ROWS = [
    Row(prompt=(5, 6, 7, 8), first=(9, 10, 11), second=(12, 13)),
    Row(prompt=(5, 6), first=(20,), second=(30, 31, 32, 33, 34)),
]


@torch.inference_mode()
def plain(model: torch.nn.Module, ids: tuple[int, ...], start: int, layer: int) -> torch.Tensor:
    states = model(torch.tensor([ids]), output_hidden_states=True).hidden_states[layer][0]
    return torch.cat([states[-1], states[start:].mean(0)])


def test_the_last_and_the_mean_state_of_a_response_are_those_of_a_plain_forward_pass(tiny_model: Path) -> None:
    loaded = open_base(Model(base=str(tiny_model), dtype="float32"), lambda _: None, "cpu")
    found = FeatureReader(loaded, (1,)).differences(ROWS, token_budget=64)
    for place, row in enumerate(ROWS):
        first, second = (plain(loaded.model, row.prompt + each, len(row.prompt), 1) for each in (row.first, row.second))
        assert found[place] == pytest.approx((first - second).numpy(), abs=1e-5)


def test_rows_do_not_depend_on_their_batch_and_layers_stand_side_by_side(tiny_model: Path) -> None:
    loaded = open_base(Model(base=str(tiny_model), dtype="float32"), lambda _: None, "cpu")
    both = FeatureReader(loaded, (1, 2))
    whole = both.differences(ROWS, token_budget=64)
    alone = torch.cat([both.differences([row], token_budget=64) for row in ROWS])
    assert torch.allclose(whole, alone, atol=1e-5)
    second = FeatureReader(loaded, (2,)).differences(ROWS, token_budget=64)
    assert torch.allclose(whole[:, whole.shape[1] // 2 :], second, atol=1e-5)


def test_a_layer_about_half_way_up_is_read_unless_others_are_named(tiny_model: Path) -> None:
    loaded = open_base(Model(base=str(tiny_model), dtype="float32"), lambda _: None, "cpu")
    assert FeatureReader(loaded).layers == (1,)
    with pytest.raises(ModelError, match=r"layers: 3, and the model has the layers 1 to 2"):
        FeatureReader(loaded, (1, 3))
