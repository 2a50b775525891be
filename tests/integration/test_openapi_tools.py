"""The API and its document, judged by tools that this project did not write: redocly and schemathesis."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.integration.test_worker_socket import Server, queue, redis_url, server  # noqa: F401
from webapp.api import api
from webapp.orgs.tests.factories import OrganisationFactory, api_token, member

pytestmark = pytest.mark.integration
REPO = Path(__file__).resolve().parents[2]
QUIET = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
# It takes ids from answers, so it finds its own token and its own membership.
ENDS_ACCESS = r"/tokens/\{|/people/\{"


def test_redocly_has_no_complaint(tmp_path: Path) -> None:
    document = tmp_path / "openapi.json"
    document.write_text(json.dumps(api.get_openapi_schema()))
    command = [str(REPO / "node_modules/.bin/redocly"), "lint", str(document), "--config", str(REPO / "redocly.yaml")]
    done = subprocess.run(
        [*command, "--format", "json"], capture_output=True, text=True, timeout=120, env=os.environ | QUIET
    )
    found = json.loads(done.stdout[done.stdout.index("{") :])
    problems = [f"{one['ruleId']}: {one['message']} ({one['location'][0]['pointer']})" for one in found["problems"]]
    assert problems == []
    assert done.returncode == 0


@pytest.mark.timeout(400)
@pytest.mark.django_db(transaction=True)
def test_schemathesis_finds_no_answer_that_the_document_does_not_describe(
    server: Server,  # noqa: F811
    tmp_path: Path,
) -> None:
    """Operations that can end the caller's own access come last, with a token of their own."""
    api_url = f"http://127.0.0.1:{server.port}/api/v1"
    organisation = OrganisationFactory()
    token, ending = (api_token(member(organisation), organisation) for _ in range(2))
    assert me(api_url, token) == 200
    feed(api_url, token, ["--exclude-path-regex", ENDS_ACCESS], tmp_path)
    assert me(api_url, token) == 200, "the token was good to the end"
    feed(api_url, ending, ["--include-path-regex", ENDS_ACCESS], tmp_path)
    assert httpx.get(f"{api_url}/openapi.json", trust_env=False).status_code == 200, "the hub still stands"


def me(api_url: str, token: str) -> int:
    """The status that a token gets."""
    return httpx.get(f"{api_url}/me", headers={"Authorization": f"Bearer {token}"}, trust_env=False).status_code


def feed(api_url: str, token: str, paths: list[str], folder: Path) -> None:
    """Let schemathesis send what it can think of."""
    command = [str(Path(sys.executable).with_name("schemathesis")), "--no-color", "run", f"{api_url}/openapi.json"]
    command += ["--header", f"Authorization: Bearer {token}", "--checks", CHECKS, "--seed", "1", "-n", "5", *paths]
    command += ["--phases", "examples,coverage,fuzzing", "--max-failures", "20", "--continue-on-failure"]
    command += ["--request-timeout", "20", "--suppress-health-check", "all", "--generation-database", "none"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=360, cwd=folder)
    assert done.returncode == 0, done.stdout[-6000:]
