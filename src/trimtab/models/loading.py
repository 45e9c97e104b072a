"""From weights on disk to a model and a tokenizer in memory, in evaluation mode, with nothing printed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trimtab.errors import ModelError
from trimtab.models.config import BUILTIN_TEMPLATE, Model, ResolvedWeights, load_template_source
from trimtab.models.default_chat_template import build_default_template
from trimtab.models.silence_transformers import silence_transformers

if TYPE_CHECKING:
    from torch.nn import Module
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def load_model(model: Model, weights: ResolvedWeights, *, device: str = "cpu") -> PreTrainedModel:
    """The model on its device, in evaluation mode, cut to its first `layers` decoder layers where the settings say so.

    The final norm and the output head stay, so a cut model still predicts tokens. Raises `ModelError` where the folder
    holds no causal language model, leaves weights out, or has fewer layers than are to be kept.
    """
    import torch
    from transformers import AutoModelForCausalLM

    try:
        with silence_transformers():
            loaded, found = AutoModelForCausalLM.from_pretrained(
                weights.folder,
                dtype=getattr(torch, resolve_dtype_name(model, device)),
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=model.trust_remote_code,
                output_loading_info=True,
            )
    except (ValueError, KeyError, OSError) as error:
        raise ModelError(f"{weights.name}: cannot load {weights.folder}: {error}") from error
    if found["missing_keys"]:
        names = ", ".join(sorted(found["missing_keys"])[:3])
        raise ModelError(
            f"{weights.name}: {weights.folder} leaves out {len(found['missing_keys'])} weights that "
            f"{type(loaded).__name__} needs ({names}, …); it is not a whole causal language model"
        )
    if model.layers is not None:
        _keep_first_layers(loaded, model.layers, weights.name)
    return loaded.to(device).eval()


def load_tokenizer(
    model: Model, weights: ResolvedWeights, *, allow_default_template: bool = True
) -> PreTrainedTokenizerBase:
    """The tokenizer, with a pad token (its end token if it has none) and the chat template of the settings.

    Without `lend`, a tokenizer that has no template and is given none is refused instead of lent ours.
    """
    from transformers import AutoTokenizer

    try:
        with silence_transformers():
            tokenizer = AutoTokenizer.from_pretrained(
                weights.folder, local_files_only=True, trust_remote_code=model.trust_remote_code
            )
    except (ValueError, KeyError, OSError) as error:
        raise ModelError(f"{weights.name}: cannot load a tokenizer from {weights.folder}: {error}") from error
    if tokenizer.eos_token is None:
        raise ModelError(f"{weights.name}: its tokenizer has no end token, so no answer could end")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if not allow_default_template and model.chat_template is None and not tokenizer.chat_template:
        raise ModelError(
            f"{weights.name}: its tokenizer has no chat template, and what the model says of texts in a form that it was not "
            f"trained on means little; set `chat_template` to a Jinja file of its form, or to {BUILTIN_TEMPLATE!r} for the one that ships"
        )
    if model.chat_template == BUILTIN_TEMPLATE or (model.chat_template is None and not tokenizer.chat_template):
        tokenizer.chat_template = build_default_template(add_bos=_adds_bos_token(tokenizer))
    elif model.chat_template is not None:
        tokenizer.chat_template = load_template_source(model)
    return tokenizer


def resolve_dtype_name(model: Model, device: str) -> str:
    """The name of the torch dtype that the weights are loaded in: bfloat16, float32 or float16."""
    if model.dtype != "auto":
        return model.dtype
    return "bfloat16" if _has_fast_bf16(device) else "float32"


def _has_fast_bf16(device: str) -> bool:
    import torch

    kind = torch.device(device).type
    if kind == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if kind == "cpu":
        # Every x86 processor accepts bfloat16; those without these instructions are many times slower in it.
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return False


def _adds_bos_token(tokenizer: PreTrainedTokenizerBase) -> bool:
    return tokenizer.bos_token_id is not None and tokenizer("x")["input_ids"][0] == tokenizer.bos_token_id


def _keep_first_layers(model: PreTrainedModel, keep: int, name: str) -> None:
    holder, attribute = find_decoder_layers(model, name)
    layers: Any = getattr(holder, attribute)
    total = len(layers)
    if keep > total:
        raise ModelError(f"layers: {name} has {total} decoder layers, and {keep} are to be kept")
    setattr(holder, attribute, layers[:keep])
    config = model.config.get_text_config()
    config.num_hidden_layers = keep
    for key, value in config.to_dict().items():
        if "layer" in key and isinstance(value, list) and len(value) == total:
            setattr(config, key, value[:keep])


def find_decoder_layers(model: PreTrainedModel, name: str = "the model") -> tuple[Module, str]:
    """The module that holds the decoder layers, and under which name. Raises `ModelError` where they are not found."""
    import torch

    total = model.config.get_text_config().num_hidden_layers
    for holder in (model.get_decoder(), model.base_model):
        for attribute in ("layers", "h", "blocks", "block"):
            layers = getattr(holder, attribute, None)
            if isinstance(layers, torch.nn.ModuleList) and len(layers) == total:
                return holder, attribute
    raise ModelError(f"layers: cannot tell where {name} ({type(model).__name__}) keeps its {total} decoder layers")
