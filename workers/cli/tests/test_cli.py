"""The command: what it prints, and how it explains what went wrong."""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from typer.testing import CliRunner, Result

from processes.redis_server import free_port
from splitcore.errors import AppError
from splitcore.models.tests.model_hub import MODEL, serve_models
from splitcore.models.tests.tiny import save_model
from workers.agent import service
from workers.cli import app, main
from workers.hub import HubClient
from workers.model_register import register_pending
from workers.models_registry import ModelRegistry
from workers.policy import SitePolicy
from workers.settings import WorkerConfig, WorkerHome
from workers.tests.support import HUB_KEY_PEM, FakeHub, enrolled_home, fake_hub


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def code_of(result: Result) -> str:
    assert isinstance(result.exception, AppError), (result.output, result.exception)
    return result.exception.code


class EnrollingHub(FakeHub):
    """A hub that enrols whoever asks, as a worker of whatever kind."""

    kind = "data"
    key = HUB_KEY_PEM

    def answer(self, method: str, path: str, body: Any) -> tuple[int, dict[str, Any]]:
        """Accept the certificate; everything else as before."""
        if not path.endswith("/enrol") or "/enrol" in self.refusals:
            return super().answer(method, path, body)
        from splitcore.wire.transport.certificates import fingerprint

        self.calls.append((method, path, body))
        return 200, {
            "worker_id": "wrk_1",
            "worker_name": "worker-a",
            "kind": self.kind,
            "organisation_id": "org_1",
            "organisation_name": "Hospital A",
            "fingerprint": fingerprint(body["certificate_pem"]),
            "hub_public_key_pem": self.key,
            "beat_seconds": 5,
            "hub_time": datetime.now(UTC).isoformat(),
        }


@pytest.fixture
def hub():  # type: ignore[no-untyped-def]
    with fake_hub(EnrollingHub()) as made:
        yield made


def test_join_makes_the_key_here_and_shows_its_fingerprint(hub: FakeHub, tmp_path: Path) -> None:
    home = tmp_path / "home"
    result = run("worker", "join", hub.url, "--token", "clw_x", "--home", str(home))
    assert result.exit_code == 0, result.output
    fingerprint = WorkerConfig.load(WorkerHome(home)).enrolment.fingerprint
    assert fingerprint in result.output.replace(" ", "").replace("\n", "")
    [request] = hub.bodies("/enrol")
    assert "PRIVATE KEY" not in json.dumps(request)
    assert (home / "keys" / "worker.key.pem").stat().st_mode & 0o077 == 0
    assert SitePolicy.load(home / "policy.yaml").peer_trust == "listed"


@pytest.mark.parametrize(("options", "trust"), [((), "listed"), (("--kind", "compute"), "first_use")])
def test_the_operator_and_not_the_hub_says_what_the_worker_is_for(
    tmp_path: Path, options: tuple[str, ...], trust: str
) -> None:
    lying = EnrollingHub()
    lying.kind = "data" if options else "compute"
    with fake_hub(lying) as hub:
        result = run("worker", "join", hub.url, "--token", "clw_x", "--home", str(tmp_path), *options)
    assert result.exit_code == 0, result.output
    assert SitePolicy.load(tmp_path / "policy.yaml").peer_trust == trust
    other = "listed" if options else "first_use"
    assert f"write `peer_trust: {other}` into {tmp_path / 'policy.yaml'}" in result.output, "and what that is up to"
    assert ("If this machine holds data" if options else "only computes and holds no data") in result.output


def test_a_hub_with_a_key_with_which_everybody_can_sign_is_not_joined(tmp_path: Path) -> None:
    lying = EnrollingHub()
    zeros = Ed25519PublicKey.from_public_bytes(bytes(32))
    lying.key = zeros.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    with fake_hub(lying) as hub:
        result = run("worker", "join", hub.url, "--token", "clw_x", "--home", str(tmp_path))
    assert code_of(result) == "CL-1433"
    assert not WorkerHome(tmp_path).config_file.exists()


def test_join_again_changes_the_options_and_nothing_else(hub: FakeHub, tmp_path: Path) -> None:
    home = str(tmp_path / "home")
    run("worker", "join", hub.url, "--token", "clw_x", "--home", home)
    before = (tmp_path / "home" / "keys" / "worker.key.pem").read_bytes()
    result = run("worker", "join", hub.url, "--token", "clw_x", "--home", home, "--console-port", "8801")
    assert "Already joined" in result.output
    assert (tmp_path / "home" / "keys" / "worker.key.pem").read_bytes() == before
    assert WorkerConfig.load(WorkerHome(tmp_path / "home")).console_port == 8801
    assert len(hub.bodies("/enrol")) == 1


def test_join_with_a_second_token_is_refused_and_moves_nothing(hub: FakeHub, tmp_path: Path) -> None:
    home = str(tmp_path / "home")
    run("worker", "join", hub.url, "--token", "clw_x", "--home", home, "--console-port", "8801")
    before = (tmp_path / "home" / "config.json").read_bytes()
    result = run("worker", "join", hub.url, "--token", "clw_another", "--home", home, "--console-port", "8849")
    assert result.exit_code != 0
    assert code_of(result) == "CL-1421"
    assert isinstance(result.exception, AppError)
    assert "--home" in result.exception.remedy
    assert (tmp_path / "home" / "config.json").read_bytes() == before
    assert b"clw_x" not in before, "the token itself is not kept"
    assert len(hub.bodies("/enrol")) == 1


def test_a_folder_of_another_hub_is_not_taken_over(hub: FakeHub, tmp_path: Path) -> None:
    run("worker", "join", hub.url, "--token", "clw_x", "--home", str(tmp_path))
    assert code_of(run("worker", "join", "https://other.example", "--token", "x", "--home", str(tmp_path))) == "CL-1421"


@pytest.mark.parametrize(
    ("status", "code"), [(400, "CL-1401"), (400, "CL-1402"), (400, "CL-1403"), (400, "CL-1406"), (400, "CL-1407")]
)
def test_the_hub_s_refusal_is_told_in_its_own_words(hub: FakeHub, tmp_path: Path, status: int, code: str) -> None:
    hub.refusals = {"/enrol": (status, {"code": code, "message": "The hub says why.", "remedy": "Do this."})}
    result = run("worker", "join", hub.url, "--token", "clw_x", "--home", str(tmp_path))
    assert code_of(result) == code
    assert isinstance(result.exception, AppError)
    assert (result.exception.message, result.exception.remedy) == ("The hub says why.", "Do this.")
    assert not (tmp_path / "config.json").exists()


def test_a_refused_join_can_be_repeated_with_the_same_key(hub: FakeHub, tmp_path: Path) -> None:
    hub.refusals = {"/enrol": (503, {})}
    assert code_of(run("worker", "join", hub.url, "--token", "clw_x", "--home", str(tmp_path))) == "CL-1434"
    key = (tmp_path / "keys" / "worker.key.pem").read_bytes()
    hub.refusals = {}
    assert run("worker", "join", hub.url, "--token", "clw_x", "--home", str(tmp_path)).exit_code == 0
    assert (tmp_path / "keys" / "worker.key.pem").read_bytes() == key


@pytest.mark.parametrize(
    ("url", "code"),
    [("http://127.0.0.1:9", "CL-1430"), ("http://hub.example", "CL-1433"), ("hub", "CL-1433")],
)
def test_an_address_that_is_no_hub_is_explained(url: str, code: str, tmp_path: Path) -> None:
    assert code_of(run("worker", "join", url, "--token", "clw_x", "--home", str(tmp_path))) == code


def test_a_page_that_is_no_hub_is_explained(hub: FakeHub, tmp_path: Path) -> None:
    hub.refusals = {"/enrol": (200, {"hello": "world"})}
    assert code_of(run("worker", "join", hub.url, "--token", "clw_x", "--home", str(tmp_path))) == "CL-1433"


@pytest.mark.parametrize("command", ["status", "start", "rotate-key", "leave"])
def test_a_command_before_joining_says_so(command: str, tmp_path: Path) -> None:
    assert code_of(run("worker", command, "--home", str(tmp_path))) == "CL-1420"


@pytest.mark.parametrize("ports", ["abc", "9110-9100", "0", "1-70000"])
def test_a_bad_port_range_is_refused(ports: str, hub: FakeHub, tmp_path: Path) -> None:
    result = run("worker", "join", hub.url, "--token", "t", "--home", str(tmp_path), "--tensor-ports", ports)
    assert result.exit_code == 2


def test_the_doctor_tells_what_is_wrong_and_ends_with_1(tmp_path: Path) -> None:
    home = enrolled_home(tmp_path / "home")
    home.models_file.touch()
    home.models_file.chmod(0o644)
    result = run("worker", "doctor", "--json", "--home", str(home.root))
    assert result.exit_code == 1
    checks = {check["name"]: check for check in json.loads(result.output)}
    assert checks["Hub and clock"]["code"] == "CL-1430"
    assert checks["Key and certificate"]["status"] == "ok"
    assert checks["Folder"]["status"] == "warning"
    assert all(check["remedy"] for check in checks.values() if check["status"] == "failed")


def test_leaving_works_without_the_hub_and_keeps_the_rows(tmp_path: Path) -> None:
    home = enrolled_home(tmp_path / "home")
    (home.datasets / "rows.jsonl").write_text("{}")
    result = run("worker", "leave", "--yes", "--home", str(home.root))
    assert result.exit_code == 0, result.output
    assert not home.config_file.exists()
    assert not list(home.keys.glob("*.pem"))
    assert (home.datasets / "rows.jsonl").exists()


def test_a_folder_without_a_public_name_or_with_pickled_weights_is_refused(tmp_path: Path) -> None:
    home = enrolled_home(tmp_path / "home")
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "pytorch_model.bin").write_bytes(b"\x80")
    for name, words in (("", "--as owner/"), ("a b", "'a b' isn't a public id")):
        unnamed = run(
            "worker", "model", "add", str(folder), *(["--as", name] if name else []), "--home", str(home.root)
        )
        assert code_of(unnamed) == "CL-1122"
        assert words in f"{unnamed.exception.message} {unnamed.exception.remedy}"
    wrong = run("worker", "model", "add", str(folder / "tinny"), "--as", "acme/tiny", "--home", str(home.root))
    assert code_of(wrong) == "CL-1121"
    assert "a folder here, or the id of a model" in wrong.exception.message
    assert "path" in wrong.exception.remedy
    result = run("worker", "model", "add", str(folder), "--as", "acme/tiny", "--home", str(home.root))
    assert code_of(result) == "CL-1103"


def test_a_base_model_is_told_later_where_the_hub_does_not_take_it_yet(tmp_path: Path) -> None:
    source = save_model(tmp_path / "source", "llama")
    with fake_hub() as hub:
        home = enrolled_home(tmp_path / "home", hub.url)
        registry = ModelRegistry(home)
        hub.refusals = {"/models": (403, AppError("CL-1414").to_dict())}
        result = run("worker", "model", "add", str(source), "--as", "acme/tiny", "--home", str(home.root))
        assert result.exit_code == 0, result.output
        assert "The hub doesn't have it yet. CL-1414" in result.output
        [waiting] = registry.untold(None)
        with closing(HubClient.of(home)) as client:
            with pytest.raises(AppError, match="CL-1414"):
                register_pending(registry, client)
            hub.refusals = {}
            register_pending(registry, client)
            register_pending(registry, client)
        [told] = hub.bodies("/models")
        assert told["manifest_hash"] == waiting.manifest_hash == registry.all()[0].manifest_hash
        assert told["config"]["model_type"] == "llama"


def test_a_base_model_that_the_hub_refuses_for_good_keeps_no_other_one_back(tmp_path: Path) -> None:
    with fake_hub() as hub:
        home = enrolled_home(tmp_path / "home", hub.url)
        registry = ModelRegistry(home)
        for name in ("first", "second", "gone"):
            registry.add(save_model(tmp_path / name, "llama"), model_id=f"acme/{name}")
        shutil.rmtree(tmp_path / "gone")
        answer = hub.answer

        def refuse_first(method: str, path: str, body: Any) -> Any:
            if path.endswith("/models") and body["model_id"] == "acme/first":
                return 400, AppError("CL-1415").to_dict()
            return answer(method, path, body)

        hub.answer = refuse_first  # type: ignore[method-assign]
        with closing(HubClient.of(home)) as client:
            register_pending(registry, client)
        assert [body["model_id"] for body in hub.bodies("/models")] == ["acme/second"]
        assert [one.model_id for one in registry.untold(None)] == ["acme/first"]


def test_a_site_without_a_base_model_is_told_how_to_register_one(tmp_path: Path) -> None:
    home = enrolled_home(tmp_path / "home")
    assert "cutlayer worker model add" in run("worker", "model", "list", "--home", str(home.root)).output


def test_a_site_with_anothers_manifest_fetches_its_own_layers_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = save_model(tmp_path / "source", "llama")
    homes = [enrolled_home(tmp_path / name) for name in ("first", "second")]
    pinned = tmp_path / "manifest.json"
    with fake_hub() as hub:
        monkeypatch.setattr(HubClient, "post", lambda _self, path, body, **_: hub.calls.append(("POST", path, body)))
        with serve_models(source, tmp_path / "cache-1", monkeypatch):
            assert run("worker", "model", "add", MODEL, "--home", str(homes[0].root)).exit_code == 0
            written = run("worker", "model", "manifest", MODEL, "-o", str(pinned), "--home", str(homes[0].root))
            assert written.exit_code == 0, written.output
        with serve_models(source, tmp_path / "cache-2", monkeypatch) as models:
            add = ("worker", "model", "add", MODEL, "--manifest", str(pinned), "--home", str(homes[1].root))
            assert run(*add).exit_code == 0
            assert models.weight_bytes == 0
            result = run(*add, "--head-layers", "1", "--tail-layers", "1")
            assert result.exit_code == 0, result.output
            assert 0 < models.weight_bytes < 0.75 * (source / "model.safetensors").stat().st_size
    first, *others = [body for _, path, body in hub.calls if path == "/models"]
    assert all(body == first for body in others)
    known = ModelRegistry(homes[1]).get(first.manifest_hash)
    assert known.source == MODEL
    assert ModelRegistry(homes[0]).get(first.manifest_hash).source == ModelRegistry(homes[0]).all()[0].folder
    changed = json.loads(pinned.read_text())
    changed["files"]["config.json"] = "0" * 64
    pinned.write_text(json.dumps(changed))
    with serve_models(source, tmp_path / "cache-3", monkeypatch):
        assert code_of(run(*add)) == "CL-1104"


def test_runs_need_a_hub_and_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUTLAYER_TOKEN", raising=False)
    assert code_of(run("runs", "list")) == "CL-1444"


def test_runs_of_a_project_that_does_not_exist_are_an_error_that_names_those_that_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = {"id": "run_1", "name": "Together", "state": "done", "step": 3, "total_steps": 3}
    with fake_hub() as hub:
        hub.refusals["/runs"] = (200, {"items": [told]})  # type: ignore[dict-item]
        hub.refusals["/projects"] = (200, [{"id": "prj_1", "name": "Letters"}])  # type: ignore[dict-item]
        monkeypatch.setenv("CUTLAYER_HUB", hub.url)
        monkeypatch.setenv("CUTLAYER_TOKEN", "clt_x")
        wrong = run("runs", "list", "--project", "nope")
        by_name, by_id = (run("runs", "list", "--project", one).output for one in ("Letters", "prj_1"))
    assert code_of(wrong) == "CL-1404"
    assert isinstance(wrong.exception, AppError)
    assert "Letters (prj_1)" in wrong.exception.remedy
    assert "Together" in by_name
    assert by_id == by_name


def test_the_parties_of_a_project_are_listed_with_their_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {
        "data": [
            {
                "organisation_name": "Clinic", "dataset": "notes", "version": 2, "dataset_version": "dsv_1",
                "train_rows": 90, "heldout_rows": 10, "worker": "wrk_1", "online": True,
            }
        ],
        "compute": [
            {
                "worker": "wrk_2", "worker_name": "gpu-1", "organisation_name": "GPU", "hardware": "8 CPU cores",
                "online": False,
            }
        ],
        "models": [{"model": "acme/tiny", "manifest": "ab" * 32, "workers": ["wrk_1", "wrk_2"]}],
    }  # fmt: skip
    with fake_hub() as hub:
        hub.refusals["/runs/parties"] = (200, told)
        monkeypatch.setenv("CUTLAYER_HUB", hub.url)
        monkeypatch.setenv("CUTLAYER_TOKEN", "clt_x")
        printed = run("runs", "parties", "--project", "prj_1").output
        assert json.loads(run("runs", "parties", "--project", "prj_1", "--json").output) == told
    for word in ("notes:2", "dsv_1", "90 + 10", "gpu-1", "wrk_2", "acme/tiny", "ab" * 6):
        assert word in printed


def test_an_error_is_printed_as_code_sentence_and_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.argv", ["cutlayer", "worker", "status", "--home", str(tmp_path)])
    with pytest.raises(SystemExit) as raised:
        main()
    assert raised.value.code == 1
    printed = capsys.readouterr().err
    assert "CL-1420" in printed
    assert "cutlayer worker join" in printed


def test_a_worker_that_no_terminal_started_prints_no_pin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = enrolled_home(tmp_path)
    monkeypatch.setattr("workers.agent.service.serve", lambda home: None)
    said = run("worker", "start", "--home", str(home.root)).output
    pin = (home.keys / "console.pin").read_text()
    assert pin not in said
    assert "cutlayer worker pin" in said
    assert run("worker", "pin", "--home", str(home.root)).output.strip() == pin


def test_another_port_for_the_own_page_is_kept_without_a_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = enrolled_home(tmp_path, "http://127.0.0.1:9")
    monkeypatch.setattr("workers.cli.worker.run", lambda folder: None)
    assert run("worker", "start", "--home", str(home.root), "--console-port", "8734").exit_code == 0
    assert WorkerConfig.load(home).console_port == 8734


def test_of_two_workers_that_begin_on_one_port_the_second_is_told_what_to_do(tmp_path: Path) -> None:
    config = WorkerConfig.load(enrolled_home(tmp_path, "http://127.0.0.1:9"))
    config = config.model_copy(update={"console_port": free_port()})
    with closing(service._listen(config)):  # bound, and no page served yet
        with pytest.raises(AppError) as caught:
            service._listen(config)
        assert caught.value.code == "CL-1443"
        assert "--console-port" in caught.value.remedy
