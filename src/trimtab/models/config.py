"""Model settings, and how they resolve to a folder of safetensors and a content hash."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, Self

from pydantic import ConfigDict, Field, model_validator

from trimtab.core.component import TEXT_MARK, Settings
from trimtab.errors import ModelError
from trimtab.models.default_chat_template import DEFAULT_CHAT_TEMPLATE, template_hash
from trimtab.models.sources.adapter_dir import open_adapter_dir
from trimtab.models.sources.bin_weights import BinWeights
from trimtab.models.sources.gguf import LocalGguf, Notify
from trimtab.models.sources.hub import HUB_ID_PATTERN, HubModel
from trimtab.models.sources.local_dir import LocalDir, has_only_bin_weights, is_adapter_dir
from trimtab.models.sources.origin import read_license
from trimtab.models.sources.pypi import PYPI_PREFIX, PyPIWeights
from trimtab.models.sources.registry import REGISTERED_MODELS
from trimtab.types import text_hash

# The value of `chat_template` that selects the built-in template.
BUILTIN_TEMPLATE = "trimtab"
_NAME_WITH_LAYERS = re.compile(r"(.+)\[:([1-9]\d{0,5})\]")
Dtype = Literal["auto", "bfloat16", "float32", "float16"]


class Model(Settings):
    """A language model: the source of its weights and how they are loaded. A plain string is its `base`, or `BASE[:LAYERS]`.

    `base` is a registered short name, `pypi:DIST==VERSION/FILE.gguf`, the path of a folder of safetensors or of a .gguf
    file, or a Hub ID: `org/name` or `org/name@revision`. `sha256` pins a .gguf file. `layers` keeps the first N decoder
    layers, which gives a weaker model at no cost. `dtype: auto` is bfloat16 on hardware with fast bfloat16, otherwise
    float32. `load_in_4bit` quantizes the linear layers while they are loaded (`models.quantization`). `chat_template` is the
    path of a Jinja file, or `trimtab` for the built-in template. By default the model's own template is used, or the built-in
    one if it has none.
    """

    model_config = ConfigDict(json_schema_extra={TEXT_MARK: True})

    base: str = Field(min_length=1)
    revision: str | None = None
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    layers: int | None = Field(default=None, ge=1)
    dtype: Dtype = "auto"
    load_in_4bit: bool = False
    chat_template: str | None = None
    system: str | None = None
    trust_remote_code: bool = False

    @model_validator(mode="before")
    @classmethod
    def _accept_plain_name(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        match = _NAME_WITH_LAYERS.fullmatch(value)
        return {"base": value} if match is None else {"base": match[1], "layers": int(match[2])}

    @model_validator(mode="after")
    def _validate_revision(self) -> Self:
        if self.revision is not None and "@" in self.base:
            raise ValueError(f"revision: {self.base!r} already names one; give {self.revision!r} in one place only")
        if self.revision is not None and (self.base in REGISTERED_MODELS or self.base.startswith(PYPI_PREFIX)):
            raise ValueError(f"revision: only a Hub ID has a revision; {self.base!r} is pinned by its hash")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedWeights:
    """A complete model on this disk: `folder` contains safetensors, configuration and tokenizer.

    `content_hash` depends on the bytes and on how they are loaded, but not on the location. `license` is as stated by the
    publisher.
    """

    folder: Path
    content_hash: str
    name: str
    license: str


class WeightSource(Protocol):
    """A place that weights come from."""

    @property
    def name(self) -> str: ...

    def content_hash(self) -> str | None:
        """The hash of the bytes, or None if they would have to be downloaded first. Never downloads."""
        ...

    def find_folder(self) -> Path | None:
        """The folder of safetensors, which may not exist yet, or None if it cannot be known without a download."""
        ...

    def fetch(self, notify: Notify, /) -> Path:
        """The folder of safetensors, downloaded and converted if necessary."""
        ...


def resolve_weights(model: Model, notify: Notify) -> ResolvedWeights:
    """Find the weights on this disk, or download and convert them once. `notify` receives license terms and long waits.

    Raises `ModelError` if they cannot be found, downloaded, verified or stored.
    """
    source = select_source(model)
    folder = source.fetch(notify)
    content_hash = compute_model_hash(model)
    if content_hash is None:
        raise ModelError(f"{model.base!r}: {folder} was deleted while it was being read")
    return ResolvedWeights(folder=folder, content_hash=content_hash, name=source.name, license=read_license(folder))


def compute_model_hash(model: Model) -> str | None:
    """The content hash: everything that results depend on. It covers the bytes of the weights and the loading settings.

    Never downloads. None if the weights must be downloaded before they can be hashed. Raises `ModelError` for a name that
    no source can provide.
    """
    weights_hash = select_source(model).content_hash()
    if weights_hash is None:
        return None
    parts = [weights_hash, f"template={_template_hash(model)}"]
    parts += [f"layers={model.layers}"] if model.layers is not None else []
    parts += [f"system={text_hash(model.system)}"] if model.system is not None else []
    parts += [f"dtype={model.dtype}"] if model.dtype != "auto" else []
    parts += ["quantized=nf4"] if model.load_in_4bit else []
    return ";".join(parts)


def load_template_source(model: Model) -> str | None:
    """The Jinja source of the chat template in the settings. None if the model's own template is used."""
    if model.chat_template is None:
        return None
    if model.chat_template == BUILTIN_TEMPLATE:
        return DEFAULT_CHAT_TEMPLATE
    path = Path(model.chat_template).expanduser()
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(
            f"chat_template: cannot read {path}: {error}; expected a Jinja file or {BUILTIN_TEMPLATE!r}"
        ) from error


def _template_hash(model: Model) -> str:
    source = load_template_source(model)
    return f"own|{template_hash(DEFAULT_CHAT_TEMPLATE)}" if source is None else template_hash(source)


def _path_exists(path: Path) -> bool:
    """Whether a path exists; a name that is too long for a file does not."""
    try:
        return path.exists()
    except OSError:
        return False


def select_source(model: Model) -> WeightSource:
    """The source of the weights. Raises `ModelError` for a name that no source can provide."""
    pypi_source = _select_pypi_source(model)
    if pypi_source is not None:
        return pypi_source
    path = Path(model.base).expanduser()
    if _path_exists(path):
        return _select_local_source(model, path)
    hub_id = HUB_ID_PATTERN.fullmatch(model.base)
    if hub_id is None:
        raise ModelError(_not_found_message(model.base))
    _reject_setting(model, "sha256", f"only a .gguf file has one; pin {model.base!r} by setting `revision` to a commit")
    return HubModel(
        repo=hub_id["repo"],
        revision=model.revision or hub_id["revision"],
        trust_remote_code=model.trust_remote_code,
    )


def _select_pypi_source(model: Model) -> PyPIWeights | None:
    if model.base in REGISTERED_MODELS:
        source = PyPIWeights.from_registered(REGISTERED_MODELS[model.base])
    elif model.base.startswith(PYPI_PREFIX):
        source = PyPIWeights.parse(model.base, model.sha256)
    else:
        return None
    if model.sha256 not in {None, source.sha256}:
        raise ModelError(f"sha256: {model.base!r} is pinned to {source.sha256}, but the setting is {model.sha256}")
    return source


def _select_local_source(model: Model, path: Path) -> WeightSource:
    _reject_setting(model, "revision", f"only a Hub ID has a revision; {path} is a local path")
    if path.is_file() and path.suffix == ".gguf":
        return LocalGguf(file=path, sha256=model.sha256)
    if path.is_file():
        raise ModelError(f"{path} is a file; expected a folder of safetensors or a .gguf file")
    _reject_setting(model, "sha256", f"only a .gguf file has one; {path} is a folder")
    if is_adapter_dir(path):
        return open_adapter_dir(path, _select_base)
    if has_only_bin_weights(path):
        return BinWeights(path=path.resolve(), name=path.resolve().name)
    return LocalDir(path=path, trust_remote_code=model.trust_remote_code)


def _select_base(name: str, revision: str | None) -> WeightSource:
    """The source of an adapter's base. A revision means something only for a Hub ID."""
    path = Path(name).expanduser()
    if path.is_dir() and is_adapter_dir(path):
        raise ModelError(f"{name} is an adapter itself; merge the two in peft, and give the folder of the merged model")
    is_hub_id = not _path_exists(path) and HUB_ID_PATTERN.fullmatch(name) is not None
    return select_source(Model(base=name, revision=revision if is_hub_id else None))


def _reject_setting(model: Model, setting: Literal["revision", "sha256"], reason: str) -> None:
    if getattr(model, setting) is not None:
        raise ModelError(f"{setting}: {reason}")


def _not_found_message(base: str) -> str:
    base = base if len(base) <= 200 else f"{base[:199]}…"
    matches = difflib.get_close_matches(base.lower(), REGISTERED_MODELS, n=2, cutoff=0.5)
    hint = f"; did you mean {' or '.join(map(repr, matches))}?" if matches else ""
    return (
        f"no model {base!r}: it is not a short name (available: {', '.join(REGISTERED_MODELS)}), a folder or a .gguf file, "
        f"and it is not of the form org/name or pypi:DIST==VERSION/FILE.gguf{hint}"
    )
