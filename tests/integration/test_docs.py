"""The documentation says only what is there: links, files, error codes, commands, routes, variables, examples."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from docs import flows
from docs.generate import API_PAGE, TARGET, TYPES_PAGE, api_page, configuration_page, types_page
from splitcore.errors import CATALOGUE
from webapp.api import api
from webapp.fleet.worker_urls import urlpatterns as worker_routes
from workers.cli import app as cutlayer

REPO = Path(__file__).resolve().parents[2]
ROOT_PAGES = [REPO / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")]
PAGES = sorted((REPO / "docs").rglob("*.md")) + ROOT_PAGES
CODE_FOLDERS = (
    "splitcore",
    "workers",
    "webapp",
    "processes",
    "interface",
    "demo",
    "docs",
    "tests",
    "templates",
    "static",
    "deploy",
)
SOURCES = ("*.py", "*.yml", "Dockerfile", "Caddyfile", "*.conf", "*.html")


def name_of(page: Path) -> str:
    return str(page.relative_to(REPO))


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def spans(text: str) -> Iterator[str]:
    """What stands in backticks, and every line of a fenced block."""
    fences = re.findall(r"```.*?\n(.*?)```", text, flags=re.DOTALL)
    for fence in fences:
        yield from fence.splitlines()
    yield from re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as code hosts make them."""
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(<?([^)\s>]+)>?\)", text_of(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path) if path else page
        if not found.exists() or (anchor and anchor not in anchors(text_of(found))):
            broken.append(target)
    assert not broken


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_file_and_test_named_in_backticks_exists(page: Path) -> None:
    missing = []
    for span in spans(text_of(page)):
        for word in re.findall(rf"(?<![\w/.<-])(?:{'|'.join(CODE_FOLDERS)})/[\w./-]*(?:::\w+)?", span):
            path, _, test = word.partition("::")
            found = REPO / path.rstrip("/.")
            found = found if found.exists() else found.with_name(f"{found.name}.py")
            if not found.exists() or (test and f"def {test}(" not in text_of(found)):
                missing.append(word)
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_dotted_name_of_our_code_exists(page: Path) -> None:
    missing = []
    for span in spans(text_of(page)):
        for name in re.findall(r"(?<![\w./-])(?:splitcore|workers|webapp|processes)(?:\.\w+)+", span):
            if not _is_there(name.split(".")):
                missing.append(name)
    assert not missing


def _is_there(parts: list[str]) -> bool:
    """Whether a dotted name is a module, or a name that its module defines. Nothing is imported."""
    for end in range(len(parts), 0, -1):
        stem = REPO.joinpath(*parts[:end])
        module = stem.with_suffix(".py") if stem.with_suffix(".py").is_file() else stem / "__init__.py"
        if module.is_file() or stem.is_dir():
            rest = parts[end:]
            return not rest or (module.is_file() and re.search(rf"\b{rest[0]}\b", text_of(module)) is not None)
    return False


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_error_code_is_in_the_catalogue(page: Path) -> None:
    assert not set(re.findall(r"CL-\d{4}", text_of(page))) - CATALOGUE.keys()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_and_option_of_cutlayer_exists(page: Path) -> None:
    root = typer.main.get_command(cutlayer)
    wrong = []
    for span in spans(text_of(page)):
        for line in re.findall(r"\bcutlayer ((?:worker|runs|adapters)\b[^#|]*)", span):
            if not _is_command(root, line.split()):
                wrong.append(line)
    assert not wrong


def _is_command(command: Any, words: list[str]) -> bool:
    """Follow the words into the command's groups; what is left are arguments and options of the last one."""
    while words and not words[0].startswith("-") and (inner := getattr(command, "commands", None)):
        if words[0] not in inner:
            return False
        command, words = inner[words[0]], words[1:]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    return {word.partition("=")[0] for word in words if word.startswith("-")} <= known | {"--help"}


def test_every_command_of_cutlayer_is_in_its_page() -> None:
    page = text_of(REPO / "docs" / "cli.md")
    root = typer.main.get_command(cutlayer)
    assert not [path for path in _leaves(root, "cutlayer") if path not in page]


def _leaves(command: Any, path: str) -> Iterator[str]:
    if not hasattr(command, "commands"):
        yield path
        return
    for name, inner in command.commands.items():
        yield from _leaves(inner, f"{path} {name}")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_make_target_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", text_of(REPO / "Makefile"), flags=re.MULTILINE))
    named = {name for span in spans(text_of(page)) for name in re.findall(r"(?:^|\s)make ([a-z-]+)", span)}
    assert not named - targets


def test_every_variable_named_in_the_docs_is_read_somewhere() -> None:
    code = "".join(text_of(path) for folder in ("workers", "webapp", "demo") for path in (REPO / folder).rglob("*.py"))
    code += text_of(REPO / "docker-compose.yml")
    named = {name for page in PAGES for name in re.findall(r"CUTLAYER_[A-Z_]+\b", text_of(page))}
    # pydantic-settings makes CUTLAYER_X of the field x
    assert not [n for n in named if n not in code and f"{n.removeprefix('CUTLAYER_').lower()}:" not in code]


def test_the_operations_in_the_api_page_are_what_the_code_says() -> None:
    assert text_of(API_PAGE) == api_page(), "run: make docs"


def test_every_operation_that_the_docs_speak_of_exists() -> None:
    there = {
        (method.upper(), _shape(path))
        for path, operations in api.get_openapi_schema()["paths"].items()
        for method in operations
    }
    assert not [named for page in ("api.md", "audit.md") for named in _operations(page) if named not in there]


def test_every_worker_route_in_the_protocol_page_exists_and_none_is_left_out() -> None:
    there = {_shape(str(route.pattern)) for route in worker_routes}
    named = set(re.findall(r"^\| `(?:GET|POST|PUT) ([^`?]+)`", text_of(REPO / "docs" / "protocol.md"), re.MULTILINE))
    assert {_shape(path) for path in named if not path.startswith("/")} == there


def _operations(page: str) -> Iterator[tuple[str, str]]:
    """Method and path of every operation that a page names."""
    for method, path in re.findall(r"`(GET|POST|PUT|PATCH|DELETE) (/[^\s`?]+)", text_of(REPO / "docs" / page)):
        yield method, _shape(path if path.startswith("/api/v1") else f"/api/v1{path}")


def _shape(path: str) -> str:
    """A path with its parameters unnamed."""
    return re.sub(r"\{[^}]*\}|<[^>]*>", "*", path).rstrip("/")


def test_the_configuration_page_is_what_the_code_says() -> None:
    assert text_of(TARGET) == configuration_page(), "run: make docs"


def test_the_page_of_model_types_is_what_the_code_says() -> None:
    assert text_of(TYPES_PAGE) == types_page(), "run: make docs"


@pytest.mark.parametrize("path", flows.TABLES, ids=name_of)
def test_the_tables_of_what_leaves_are_what_the_flows_say(path: Path) -> None:
    assert text_of(path) == flows.page(path), "run: make docs"


def python_blocks() -> list[tuple[str, str]]:
    blocks = []
    for page in PAGES:
        for number, block in enumerate(re.findall(r"```python\n(.*?)```", text_of(page), flags=re.DOTALL), start=1):
            blocks.append((f"{name_of(page)}#{number}", block))
    return blocks


@pytest.mark.parametrize(("where", "block"), python_blocks(), ids=[where for where, _ in python_blocks()])
def test_every_python_example_is_python(where: str, block: str) -> None:
    compile(block, where, "exec")


@pytest.mark.integration
def test_the_example_of_the_library_runs_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    (tmp_path / "demo").symlink_to(REPO / "demo")  # what it writes goes into a folder of this test
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    page = text_of(REPO / "docs" / "library.md")
    example = re.search(r"<!-- example: runs -->\n```python\n(.*?)```", page, flags=re.DOTALL)
    assert example is not None
    names: dict[str, Any] = {}
    exec(compile(example.group(1), "docs/library.md", "exec"), names)
    losses = names["split"].eval_losses
    assert losses[-1][1] < losses[0][1]
    differences = [abs(a - b) for a, b in names["pairs"]]
    assert len(differences) == 8
    assert max(differences) < 1e-4
    assert "adapter_model.safetensors" in capsys.readouterr().out


MEASUREMENTS = {"README.md", "measured.md", "schedules-compared.md"}


@pytest.mark.parametrize(
    "page",
    [page for page in sorted((REPO / "docs" / "methods").glob("*.md")) if page.name not in MEASUREMENTS],
    ids=name_of,
)
def test_the_page_of_a_method_has_its_parts_and_its_place_in_the_index(page: Path) -> None:
    text = text_of(page)
    assert "**Source.**" in text
    assert re.search(r"\*\*(Exact|Approximate|Not exact)\.\*\*", text)
    assert "**Shown by**" in text
    assert f"]({page.name})" in text_of(page.parent / "README.md")
