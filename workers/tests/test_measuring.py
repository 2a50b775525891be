"""A base model's layout: measured where the model is, told to a hub that reads it, and once only."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from splitcore.models.tests.tiny import save_model
from splitcore.planning.measure import measure_folder
from workers.cli import app
from workers.contracts import SHAPE_SINCE
from workers.hub import HubClient
from workers.measuring import measure_apart, measure_here, measure_missing
from workers.model_register import register_pending
from workers.models_registry import Measured, ModelRegistry
from workers.settings import WorkerHome
from workers.tests.support import FakeHub, enrolled_home, fake_hub


def tell(home: WorkerHome) -> None:
    """What the agent does at each look: it asks for its list, then tells what the hub has not taken."""
    with closing(HubClient.of(home)) as client:
        client.assignments()
        register_pending(ModelRegistry(home), client)


def shapes(hub: FakeHub) -> list[object]:
    """The layout in each registration that came."""
    return [body.get("shape", "untold") for body in hub.bodies("/models")]


def added(home: WorkerHome, folder: Path) -> Result:
    """`model add` at a site."""
    add = ["worker", "model", "add", str(folder), "--as", "acme/tiny", "--home", str(home.root)]
    result = CliRunner().invoke(app, add)
    assert result.exit_code == 0, result.output
    return result


def test_model_add_measures_and_tells_the_layout(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "model", "llama")
    with fake_hub() as hub:
        hub.protocol = SHAPE_SINCE
        home = enrolled_home(tmp_path / "home", hub.url)
        result = added(home, folder)
        assert "layout" not in result.output
        tell(home)
        assert shapes(hub) == [measure_folder(folder).model_dump(mode="json")]


def test_a_model_is_measured_before_an_agent_that_looks_for_unmeasured_ones_can_see_it(tmp_path: Path) -> None:
    registry = ModelRegistry(enrolled_home(tmp_path / "home"))
    seen = []

    def measure(folder: Path) -> Measured:
        seen.append(registry.all())
        return measure_here(folder)

    registry.add(save_model(tmp_path / "model", "llama"), model_id="acme/tiny", measure=measure)
    assert seen == [[]]
    assert len(registry.all()) == 1
    assert not measure_missing(registry)


def test_a_model_whose_layout_cannot_be_measured_is_registered_and_says_so(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "model", "llama")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "of_tomorrow"}))
    with fake_hub() as hub:
        hub.protocol = SHAPE_SINCE
        home = enrolled_home(tmp_path / "home", hub.url)
        result = added(home, folder)
        assert "Its layout could not be measured" in result.output
        tell(home)
        assert shapes(hub) == [None]
    assert not measure_missing(ModelRegistry(home)), "this version has tried"


def test_a_model_that_an_older_worker_registered_is_measured_and_told_again(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "model", "gpt2")
    with fake_hub() as hub:
        home = enrolled_home(tmp_path / "home", hub.url)
        registry = ModelRegistry(home)
        added = registry.add(folder, model_id="acme/tiny")
        (home.root / "manifests" / f"{added.manifest_hash}.told").touch()  # as that worker left it
        hub.protocol = SHAPE_SINCE
        tell(home)
        assert shapes(hub) == []
        assert measure_missing(registry)
        for _ in range(2):
            tell(home)
        assert shapes(hub) == [measure_folder(folder).model_dump(mode="json")]
        assert not measure_missing(registry), "once is enough"


def test_an_older_hub_is_told_no_layout_until_it_is_upgraded(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "model", "llama")
    with fake_hub() as hub:
        hub.protocol = SHAPE_SINCE - 1
        home = enrolled_home(tmp_path / "home", hub.url)
        registry = ModelRegistry(home)
        registry.add(folder, model_id="acme/tiny")
        assert measure_missing(registry, measure=measure_here)
        for _ in range(2):
            tell(home)
        assert shapes(hub) == ["untold"]
        hub.protocol = SHAPE_SINCE
        for _ in range(2):
            tell(home)
        assert shapes(hub) == ["untold", measure_folder(folder).model_dump(mode="json")]


def test_another_version_measures_again_and_tells_what_has_changed(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "model", "llama")
    with fake_hub() as hub:
        hub.protocol = SHAPE_SINCE
        home = enrolled_home(tmp_path / "home", hub.url)
        registry = ModelRegistry(home)
        manifest = registry.add(folder, model_id="acme/tiny").manifest_hash
        shape = measure_folder(folder)
        registry.keep_measured(manifest, Measured(by="older", shape=shape.model_copy(update={"body_ends": 7})))
        tell(home)
        assert measure_missing(registry, measure=measure_here)
        tell(home)
        assert [told["body_ends"] for told in shapes(hub) if isinstance(told, dict)] == [7, 0]


@pytest.mark.parametrize("content", ["{", "null", '{"model_type": "llama", "num_attention_heads": 0}'])
def test_a_configuration_that_breaks_the_library_harms_nobody(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content)
    measured = measure_here(tmp_path)
    assert measured.shape is None
    assert measured.reason


def test_a_process_that_ends_without_an_answer_leaves_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.measuring.sys.executable", "/bin/false")
    measured = measure_apart(tmp_path)
    assert measured.shape is None
    assert "did not end well" in measured.reason
