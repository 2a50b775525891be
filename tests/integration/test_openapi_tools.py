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
    organisation = OrganisationFactory()
    token = api_token(member(organisation), organisation)
    me = f"http://127.0.0.1:{server.port}/api/v1/me"
    signed_in = {"Authorization": f"Bearer {token}"}
    assert httpx.get(me, headers=signed_in, trust_env=False).status_code == 200
    command = [str(Path(sys.executable).with_name("schemathesis")), "--no-color"]
    command = [*command, "run", f"http://127.0.0.1:{server.port}/api/v1/openapi.json"]
    command += ["--header", f"Authorization: Bearer {token}", "--checks", CHECKS, "--seed", "1", "-n", "5"]
    command += ["--phases", "examples,coverage,fuzzing", "--max-failures", "20", "--continue-on-failure"]
    command += ["--request-timeout", "20", "--suppress-health-check", "all", "--generation-database", "none"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=360, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-6000:]
    assert httpx.get(me, headers=signed_in, trust_env=False).status_code == 200, "the hub still stands"
