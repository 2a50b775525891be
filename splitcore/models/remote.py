"""One weight file of a model repository, read in ranges of bytes over HTTP (torch-free).

Addresses, token, endpoint (HF_ENDPOINT), proxy and certificates are those of the hub's own client.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from time import sleep

import httpx2
from huggingface_hub import constants, hf_hub_url
from huggingface_hub.utils import (  # type: ignore[attr-defined]
    build_hf_headers,
    hf_raise_for_status,
    http_stream_backoff,
)

from splitcore.errors import AppError
from splitcore.models.files import TensorEntry, header_length, read_header

TRIES = 5  # in a row without one new byte
log = logging.getLogger(__name__)


class NoRangesError(Exception):
    """The server answers a request for a part with the whole file."""


class RemoteFile:
    """A file of the repository `model` at `commit`."""

    def __init__(self, model: str, commit: str, name: str) -> None:
        self.name = name
        self._url = hf_hub_url(model, name, revision=commit)
        self._size = 0

    def tensors(self) -> list[TensorEntry]:
        """The tensors of this safetensors file: its header alone is read.

        Raises AppError CL-1103 where it is damaged, NoRangesError, httpx2.HTTPError.
        """
        path = Path(self.name)
        first = b"".join(self.stream(0, 8))
        length = header_length(first, self._size, path)
        return read_header(b"".join(self.stream(8, 8 + length)), self._size, path)

    def stream(self, begin: int, end: int) -> Iterator[bytes]:
        """The bytes [begin, end), in pieces; a connection that breaks is resumed where it broke.

        Raises NoRangesError before anything is read, and httpx2.HTTPError after five tries without a new byte.
        """
        tries = 0
        while begin < end:
            try:
                for piece in self._once(begin, end):
                    begin, tries = begin + len(piece), 0
                    yield piece
                if begin < end:
                    raise httpx2.ReadError("The response ended early.")
            except (httpx2.NetworkError, httpx2.TimeoutException, httpx2.RemoteProtocolError) as error:
                tries += 1
                if tries >= TRIES:
                    raise
                log.warning("the download of %s was interrupted (%s) and resumes", self.name, type(error).__name__)
                sleep(min(8.0, 0.25 * 2**tries))

    def _once(self, begin: int, end: int) -> Iterator[bytes]:
        """One request."""
        headers = {**build_hf_headers(), "Range": f"bytes={begin}-{end - 1}", "Accept-Encoding": "identity"}
        with http_stream_backoff(
            "GET", self._url, headers=headers, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT, retry_on_exceptions=()
        ) as answer:
            hf_raise_for_status(answer)
            if answer.status_code != httpx2.codes.PARTIAL_CONTENT:
                raise NoRangesError
            self._size = _total(answer.headers.get("Content-Range", ""), begin, end)
            left = end - begin
            for piece in answer.iter_bytes():  # as they come: a piece that is still being filled would be lost
                yield piece[:left]
                left -= len(piece)
                if left <= 0:
                    return


def _total(content_range: str, begin: int, end: int) -> int:
    """The file's size from `bytes begin-last/size`. Raises AppError CL-1103 where the server sends another part."""
    span, _, size = content_range.removeprefix("bytes ").partition("/")
    if span.partition("-")[0] != str(begin) or not size.isdecimal() or int(size) < end:
        raise AppError("CL-1103", "The model hub sent a different part of a weight file from the one requested.")
    return int(size)
