"""Built-in studies."""

from importlib.resources import files


def load_preset(name: str) -> str:
    """The YAML text of a built-in study."""
    return files(__package__).joinpath(f"{name}.yaml").read_text(encoding="utf-8")
