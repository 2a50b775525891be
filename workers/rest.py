"""The hub's REST API as a person's command uses it: CUTLAYER_HUB, CUTLAYER_TOKEN."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import httpx

from splitcore.bounds import json_read
from splitcore.errors import AppError
from workers.hub import CHUNK, HubError, read_answer
from workers.network import http_client, hub_address, network_error

PREFIX = "/api/v1"


class RestClient:
    """Calls with a person's token."""

    def __init__(self, url: str, token: str) -> None:
        self._url = hub_address(url)
        self._http = http_client(self._url)
        self._headers = {"Authorization": f"Bearer {token}"}

    @classmethod
    def from_environment(cls) -> RestClient:
        """The client that the environment describes. Raises AppError CL-1444."""
        url, token = os.environ.get("CUTLAYER_HUB"), os.environ.get("CUTLAYER_TOKEN")
        if not url or not token:
            missing = [name for name, value in (("CUTLAYER_HUB", url), ("CUTLAYER_TOKEN", token)) if not value]
            raise AppError("CL-1444", f"{' and '.join(missing)} {'are' if len(missing) > 1 else 'is'} not set.")
        return cls(url, token)

    def get(self, path: str, *, patience: float = 0.0, **query: Any) -> Any:
        """GET JSON. `patience`: seconds of retrying while the hub is away."""
        deadline, pause = time.monotonic() + patience, 0.5
        while True:
            try:
                return self._call("GET", path, params={k: v for k, v in query.items() if v not in (None, "")})
            except HubError as error:
                if not error.transient or time.monotonic() > deadline:
                    raise
            time.sleep(pause)
            pause = min(pause * 2, 10.0)

    def post(self, path: str, body: Any = None, *, idempotency_key: str) -> Any:
        """POST JSON; the same key does nothing twice."""
        return self._call("POST", path, json=body or {}, headers={"Idempotency-Key": idempotency_key})

    def download(self, path: str, out: Path) -> int:
        """GET a file into `out`, whole or not at all; returns its size."""
        partial = out.with_name(f".{out.name}.partial")
        try:
            with self._http.stream("GET", PREFIX + path, headers=self._headers, timeout=300.0) as response:
                if not response.is_success:
                    response.read()
                    self._read(response)
                with partial.open("wb") as file:
                    for chunk in response.iter_bytes(CHUNK):
                        file.write(chunk)
        except httpx.HTTPError as error:
            raise HubError(network_error(error, self._url)) from None
        partial.replace(out)
        return out.stat().st_size

    def _call(self, method: str, path: str, *, headers: dict[str, str] | None = None, **options: Any) -> Any:
        try:
            response = self._http.request(
                method, PREFIX + path, headers={**self._headers, **(headers or {})}, **options
            )
        except httpx.HTTPError as error:
            raise HubError(network_error(error, self._url)) from None
        if response.is_success and response.headers.get("content-type", "").startswith("application/json"):
            try:
                return json_read(response.content)
            except ValueError:
                raise HubError(AppError("CL-1433", f"{self._url} responded with something other than JSON.")) from None
        return self._read(response)

    def _read(self, response: httpx.Response) -> dict[str, Any]:
        """The answer's JSON. Raises HubError; of a token that the hub does not take it says what to type."""
        try:
            return read_answer(response, self._url, words=True)
        except HubError as error:
            if error.code not in ("CL-1610", "CL-1604"):
                raise
            remedy = f"Create a token at {self._url}/org/tokens, then run: export CUTLAYER_TOKEN=clt_…"
            refused = "The hub rejected this token. It is unknown, expired or revoked."
            message = refused if error.code == "CL-1610" else error.message
            raise HubError(AppError(error.code, message, remedy), status=error.status) from None
