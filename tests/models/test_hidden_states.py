"""What is read of a model's layers is what the model's own forward pass leaves there."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from trimtab.errors import ModelError
from trimtab.models.config import Model
from trimtab.models.packing.pair_batch import TokenizedPair
from trimtab.models.references import ModelRef
from trimtab.models.scoring.hidden_states import HiddenStateReader

ROWS = [
    TokenizedPair(prompt=(5, 6, 7, 8), first=(9, 10, 11), second=(12, 13)),
    TokenizedPair(prompt=(5, 6), first=(20,), second=(30, 31, 32, 33, 34)),
]


@torch.inference_mode()
def plain(model: torch.nn.Module, ids: tuple[int, ...], start: int, layer: int) -> torch.Tensor:
    states = model(torch.tensor([ids]), output_hidden_states=True).hidden_states[layer][0]
    return torch.cat([states[-1], states[start:].mean(0)])


def test_the_last_and_the_mean_state_of_a_response_are_those_of_a_plain_forward_pass(tiny_model: Path) -> None:
    loaded = ModelRef(Model(base=str(tiny_model), dtype="float32")).load(lambda _: None, "cpu")
    found = HiddenStateReader(loaded, (1,)).compute_differences(ROWS, token_budget=64)
    for place, row in enumerate(ROWS):
        first, second = (plain(loaded.model, row.prompt + each, len(row.prompt), 1) for each in (row.first, row.second))
        assert found[place] == pytest.approx((first - second).numpy(), abs=1e-5)


def test_rows_do_not_depend_on_their_batch_and_layers_stand_side_by_side(tiny_model: Path) -> None:
    loaded = ModelRef(Model(base=str(tiny_model), dtype="float32")).load(lambda _: None, "cpu")
    both = HiddenStateReader(loaded, (1, 2))
    whole = both.compute_differences(ROWS, token_budget=64)
    alone = torch.cat([both.compute_differences([row], token_budget=64) for row in ROWS])
    assert torch.allclose(whole, alone, atol=1e-5)
    second = HiddenStateReader(loaded, (2,)).compute_differences(ROWS, token_budget=64)
    assert torch.allclose(whole[:, whole.shape[1] // 2 :], second, atol=1e-5)


def test_a_layer_about_half_way_up_is_read_unless_others_are_named(tiny_model: Path) -> None:
    loaded = ModelRef(Model(base=str(tiny_model), dtype="float32")).load(lambda _: None, "cpu")
    assert HiddenStateReader(loaded).layers == (1,)
    with pytest.raises(ModelError, match=r"layers: 3 is not one of the model's layers 1 to 2"):
        HiddenStateReader(loaded, (1, 3))
