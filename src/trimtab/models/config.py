"""Which weights a setting names: from a name to a folder of safetensors and the identity of what is in it."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, Self

from pydantic import Field, model_validator

from trimtab.core.component import Settings
from trimtab.errors import ModelError
from trimtab.models.default_chat_template import DEFAULT_CHAT_TEMPLATE, template_hash
from trimtab.models.sources.gguf import LocalGguf, Notify, read_license
from trimtab.models.sources.hub import HUB_ID_PATTERN, HubModel
from trimtab.models.sources.local_dir import LocalDir
from trimtab.models.sources.pypi import PYPI_PREFIX, PyPIWeights
from trimtab.models.sources.registry import REGISTERED_MODELS
from trimtab.types import text_hash

BUILTIN_TEMPLATE = "trimtab"
Dtype = Literal["auto", "bfloat16", "float32", "float16"]


class Model(Settings):
    """A language model: where its weights come from and how they are loaded. In YAML, a plain name is its `base`.

    `base` is a short name (see `KNOWN`), `pypi:DIST==VERSION/FILE.gguf`, the path of a folder of safetensors or of a
    .gguf file, or a hub id, `org/name` or `org/name@revision`. `sha256` pins a .gguf file. `layers` keeps the first N
    decoder layers: a weaker model at no cost. `dtype: auto` is bfloat16 where the processor multiplies it fast, else
    float32. `chat_template` is the path of a Jinja file, or `trimtab` for the one that ships; without it the model's
    own is used, and ours if it has none.
    """

    base: str = Field(min_length=1)
    revision: str | None = None
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    layers: int | None = Field(default=None, ge=1)
    dtype: Dtype = "auto"
    chat_template: str | None = None
    system: str | None = None
    trust_remote_code: bool = False

    @model_validator(mode="before")
    @classmethod
    def _accept_plain_name(cls, value: Any) -> Any:
        return {"base": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _validate_revision(self) -> Self:
        if self.revision is not None and "@" in self.base:
            raise ValueError(f"revision: {self.base!r} names one already; give {self.revision!r} there or here")
        if self.revision is not None and (self.base in REGISTERED_MODELS or self.base.startswith(PYPI_PREFIX)):
            raise ValueError(f"revision: only a hub id has one, and {self.base!r} is pinned by its hash")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedWeights:
    """A whole model on this disk: safetensors, configuration and tokenizer in `folder`.

    `identity` is the same for the same bytes loaded in the same way, wherever they lie; `license` is as stated by their
    publisher.
    """

    folder: Path
    content_hash: str
    name: str
    license: str


class WeightSource(Protocol):
    """One place that weights come from."""

    @property
    def name(self) -> str: ...

    def content_hash(self) -> str | None:
        """The hash of the bytes, None if they would have to be fetched first. Never downloads."""
        ...

    def fetch(self, notify: Notify, /) -> Path:
        """The folder of safetensors, fetched and converted if it is not there."""
        ...


def resolve_weights(model: Model, notify: Notify) -> ResolvedWeights:
    """The weights on this disk, fetched and converted once if they are not. `notify` hears of terms and long waits.

    Raises `ModelError` when they cannot be found, fetched, trusted or stored.
    """
    origin = _select_source(model)
    folder = origin.fetch(notify)
    found = compute_model_hash(model)
    if found is None:
        raise ModelError(f"{model.base!r}: {folder} disappeared while it was being read")
    return ResolvedWeights(folder=folder, content_hash=found, name=origin.name, license=read_license(folder))


def compute_model_hash(model: Model) -> str | None:
    """What results depend on: the bytes of the weights, then the settings that change how they are loaded.

    Downloads nothing; None where the weights must be fetched before they can be identified. Raises `ModelError` for a
    name that can never be found.
    """
    weights = _select_source(model).content_hash()
    if weights is None:
        return None
    parts = [weights, f"template={_template_hash(model)}"]
    parts += [f"layers={model.layers}"] if model.layers is not None else []
    parts += [f"system={text_hash(model.system)}"] if model.system is not None else []
    parts += [f"dtype={model.dtype}"] if model.dtype != "auto" else []
    return ";".join(parts)


def load_template_source(model: Model) -> str | None:
    """The Jinja source of the template that the settings name, None where it is left to the model."""
    if model.chat_template is None:
        return None
    if model.chat_template == BUILTIN_TEMPLATE:
        return DEFAULT_CHAT_TEMPLATE
    path = Path(model.chat_template).expanduser()
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(
            f"chat_template: cannot read {path}: {error}; a Jinja file, or {BUILTIN_TEMPLATE!r}, is expected"
        ) from error


def _template_hash(model: Model) -> str:
    source = load_template_source(model)
    return f"own|{template_hash(DEFAULT_CHAT_TEMPLATE)}" if source is None else template_hash(source)


def _select_source(model: Model) -> WeightSource:
    named = _select_pypi_source(model)
    if named is not None:
        return named
    path = Path(model.base).expanduser()
    if path.exists():
        return _select_local_source(model, path)
    hub = HUB_ID_PATTERN.fullmatch(model.base)
    if hub is None:
        raise ModelError(_not_found_message(model.base))
    _reject_setting(model, "sha256", f"only a .gguf file has one; pin {model.base!r} with a commit as `revision`")
    return HubModel(
        repo=hub["repo"], revision=model.revision or hub["revision"], trust_remote_code=model.trust_remote_code
    )


def _select_pypi_source(model: Model) -> PyPIWeights | None:
    if model.base in REGISTERED_MODELS:
        packaged = PyPIWeights.from_registered(REGISTERED_MODELS[model.base])
    elif model.base.startswith(PYPI_PREFIX):
        packaged = PyPIWeights.parse(model.base, model.sha256)
    else:
        return None
    if model.sha256 not in {None, packaged.sha256}:
        raise ModelError(f"sha256: {model.base!r} is pinned to {packaged.sha256}, and the setting says {model.sha256}")
    return packaged


def _select_local_source(model: Model, path: Path) -> WeightSource:
    _reject_setting(model, "revision", f"only a hub id has one, and {path} is on this disk")
    if path.is_file() and path.suffix == ".gguf":
        return LocalGguf(file=path, sha256=model.sha256)
    if path.is_file():
        raise ModelError(f"{path} is a file; a folder of safetensors or a .gguf file is expected")
    _reject_setting(model, "sha256", f"only a .gguf file has one, and {path} is a folder")
    return LocalDir(path=path, trust_remote_code=model.trust_remote_code)


def _reject_setting(model: Model, setting: Literal["revision", "sha256"], why: str) -> None:
    if getattr(model, setting) is not None:
        raise ModelError(f"{setting}: {why}")


def _not_found_message(base: str) -> str:
    near = difflib.get_close_matches(base.lower(), REGISTERED_MODELS, n=2, cutoff=0.5)
    hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
    return (
        f"no model {base!r}: it is no short name (there are: {', '.join(REGISTERED_MODELS)}), no folder or .gguf file, and not "
        f"of the form org/name or pypi:DIST==VERSION/FILE.gguf{hint}"
    )
