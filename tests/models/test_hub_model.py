"""What a model on the Hub would download, asked of a server on loopback."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from trimtab.errors import ModelError
from trimtab.models.sources.hub import HubModel

FILES = {"model-1.safetensors": 40, "model-2.safetensors": 2, "pytorch_model.bin": 100, "README.md": 7}


@contextmanager
def serve(status: int, body: bytes) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            del format, args

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def use_hub(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def answer_with_files(names: list[str]) -> bytes:
    siblings = [{"rfilename": name, "size": FILES[name]} for name in names]
    return json.dumps({"id": "org/name", "siblings": siblings}).encode()


def test_the_size_is_that_of_the_safetensors_or_else_of_the_bin_files(monkeypatch: pytest.MonkeyPatch) -> None:
    for names, size in ((list(FILES), 42), (["pytorch_model.bin", "README.md"], 100)):
        with serve(200, answer_with_files(names)) as url:
            use_hub(monkeypatch, url)
            assert HubModel("org/name").compute_download_size() == size


@pytest.mark.parametrize(
    ("status", "body", "cause"),
    [(404, b"{}", "HfHubHTTPError"), (500, b"{}", "HfHubHTTPError"), (200, b"<html>", "JSONDecodeError")],
)
def test_a_model_that_the_hub_does_not_show_is_an_error(
    status: int, body: bytes, cause: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(status, body) as url:
        use_hub(monkeypatch, url)
        with pytest.raises(
            ModelError, match=rf"'org/name' is not on this disk and the Hub does not show it \({cause}\)"
        ):
            HubModel("org/name").compute_download_size()


def test_a_hub_without_an_answer_is_not_a_wrong_name(monkeypatch: pytest.MonkeyPatch) -> None:
    use_hub(monkeypatch, "http://127.0.0.1:1")
    with pytest.raises(ModelError, match="is not on this disk and the Hub cannot be reached"):
        HubModel("org/name").compute_download_size()


def test_a_hub_that_is_switched_off_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="is not on this disk and the Hub cannot be reached"):
        HubModel("org/name").compute_download_size()
