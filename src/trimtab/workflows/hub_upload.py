"""Uploads exported files to a repository on the Hugging Face Hub.

The token is read by the Hub's client, and is in no file and no message of Trimtab.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from trimtab.errors import HubError, StudyError
from trimtab.models.sources.hub_errors import list_request_errors

RepoType = Literal["dataset", "model"]
CARD_NAME = "README.md"
_OPTION = "--push-to-hub"
_UNAUTHORIZED, _FORBIDDEN = 401, 403


@dataclass(frozen=True, slots=True, kw_only=True)
class HubRepo:
    """A repository to upload to. `exists` is whether it is on the Hub already, and `private` how it is or will be."""

    id: str
    type: RepoType
    private: bool
    exists: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadFile:
    """A file to upload: its path in the repository, its place on this disk, and its bytes."""

    name: str
    path: Path
    size: int


def require_repo_id(repo: str) -> None:
    """Raises `StudyError` unless the text can be the ID of a repository: NAME, or ACCOUNT/NAME."""
    from huggingface_hub.errors import HFValidationError  # noqa: PLC0415 - takes time to import
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined] # noqa: PLC0415

    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise StudyError(f"{_OPTION} {repo!r}: not the ID of a repository, such as account/name ({error})") from error


def open_repo(repo: str, repo_type: RepoType, *, public: bool) -> HubRepo:
    """Checks that there is a valid token, and what is known about the repository. Creates nothing.

    An ID without an account is in that of the token. Raises `HubError` without a token, if the Hub rejects it or does not
    answer, and if the repository is public but `public` is false.
    """
    from huggingface_hub import HfApi, get_token  # noqa: PLC0415 - takes time to import
    from huggingface_hub.errors import RepositoryNotFoundError  # noqa: PLC0415

    require_repo_id(repo)
    if get_token() is None:
        raise HubError(
            f"{_OPTION} {repo}: no token; log in with `hf auth login`, or set HF_TOKEN to a token with write access"
        )
    with _translate_errors(repo, "checking the token"):
        account = str(HfApi().whoami()["name"])
    repo = repo if "/" in repo else f"{account}/{repo}"
    with _translate_errors(repo, "looking up the repository"):
        try:
            is_private = bool(HfApi().repo_info(repo, repo_type=repo_type).private)
        except RepositoryNotFoundError:
            return HubRepo(id=repo, type=repo_type, private=not public, exists=False)
    if not is_private and not public:
        raise HubError(
            f"{_OPTION} {repo}: this {repo_type} is public; add --public to upload to it, or choose another ID"
        )
    return HubRepo(id=repo, type=repo_type, private=is_private, exists=True)


def list_upload_files(folder: Path) -> list[UploadFile]:
    """The files of a folder, with their paths relative to it; the card first."""
    paths = sorted(
        (path for path in folder.rglob("*") if path.is_file()), key=lambda path: (path.name != CARD_NAME, path)
    )
    return [UploadFile(name=path.relative_to(folder).as_posix(), path=path, size=path.stat().st_size) for path in paths]


def upload_files(repo: HubRepo, files: list[UploadFile], message: str) -> str:
    """Creates the repository if necessary, and adds all files in one commit. Returns the address of the repository.

    Files of the same names are replaced, others stay. Raises `HubError` if the Hub refuses a request or does not answer.
    """
    from huggingface_hub import CommitOperationAdd, HfApi  # noqa: PLC0415 - takes time to import

    api = HfApi()
    if not repo.exists:
        with _translate_errors(repo.id, "creating the repository"):
            api.create_repo(repo.id, repo_type=repo.type, private=repo.private)
    with _translate_errors(repo.id, "uploading the files"):
        additions = [CommitOperationAdd(path_in_repo=file.name, path_or_fileobj=file.path) for file in files]
        api.create_commit(repo.id, additions, commit_message=message, repo_type=repo.type)
    return f"{api.endpoint}/{'datasets/' if repo.type == 'dataset' else ''}{repo.id}"


@contextmanager
def _translate_errors(repo: str, action: str) -> Iterator[None]:
    """Converts the errors of the Hub's client to `HubError`. It raises `ValueError` and `RuntimeError` for unusable answers and
    for uploads to the Hub's file storage."""
    expected: tuple[type[Exception], ...] = (*list_request_errors(), ValueError, RuntimeError)
    try:
        yield
    except expected as error:
        raise HubError(f"{_OPTION} {repo}: {action} failed: {_describe_cause(error)}") from error


def _describe_cause(error: Exception) -> str:
    from huggingface_hub.errors import HfHubHTTPError  # noqa: PLC0415

    if not isinstance(error, HfHubHTTPError):
        cause = error.__cause__ if isinstance(error, RuntimeError) and isinstance(error.__cause__, Exception) else None
        if cause is not None:
            return _describe_cause(cause)
        first_line = next(iter(str(error).strip().splitlines()), "")
        return f"{type(error).__name__}: {first_line}" if first_line else type(error).__name__
    status = error.response.status_code
    advice = {
        _UNAUTHORIZED: "; the token is invalid or expired: log in with `hf auth login`, or set HF_TOKEN",
        _FORBIDDEN: "; the token needs write access to this repository",
    }.get(status, "")
    return f"the Hub answered {status}{f' ({error.server_message})' if error.server_message else ''}{advice}"
