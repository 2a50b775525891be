"""A hub goes into one file and comes out of it as it was, on SQLite and on PostgreSQL; nothing is overwritten."""

from __future__ import annotations

import hashlib
import io
import json
import os
import resource
import shutil
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from django.conf import settings

from processes.postgres_server import find_tool, postgres_url, tool_environment
from processes.redis_server import free_port
from splitcore.errors import AppError
from webapp.backups import archive as backups
from webapp.backups.archive import backup_read
from webapp.backups.databases import NAMES, engine
from webapp.backups.standstill import LOCK
from webapp.core.folder import only_one
from workers.contracts import ChainHead

pytestmark = pytest.mark.skipif(
    "CUTLAYER_TEST_DATABASE_URL" in os.environ, reason="processes of their own, on both databases, run once"
)
LOOK = """
import io
import json
from django.contrib.sessions.models import Session
from webapp.audit.models import AuditEntry
from webapp.audit.selectors import verify_chain
from webapp.audit.witness import chain_head
from webapp.orgs.models import Organisation
from webapp.fleet.hub_key import hub_public_key_pem
restored = AuditEntry.objects.filter(action="hub.restored").first()
print(json.dumps({
    "names": sorted(Organisation.objects.values_list("name", flat=True)), "ok": verify_chain().ok,
    "chain": chain_head().model_dump(), "key": hub_public_key_pem(), "sessions": Session.objects.count(),
    "restored": restored and restored.details,
}))
"""
LATER = """
from django.contrib.sessions.backends.db import SessionStore
from webapp.accounts.models import User
from webapp.orgs.services import organisation_create
organisation_create(actor=User.objects.first(), name="Came later", kind="data")
SessionStore().create()
"""

SIGNED_IN = """
from django.contrib.sessions.backends.db import SessionStore
store = SessionStore()
store.create()
print(store.session_key)
"""

# A restore that gets signals when the backup stands in the hub's place, and more while it puts the hub back.
INTERRUPTED = """
import os, threading, time
from django.core.management import call_command
from webapp.backups.management.commands import restore
def tell():
    while True:
        for number in {signals}:
            os.kill(os.getpid(), number)
        time.sleep(0.01)
def midway(*_):
    print("midway", flush=True)
    threading.Thread(target=tell, daemon=True).start()
    time.sleep(60)
restore.after_restore = midway
call_command("restore", {file!r}, "--replace")
"""


@dataclass
class Hub:
    """A hub's folder, and its command line in processes of their own."""

    folder: Path
    database: str = ""
    most_file_bytes: int = resource.RLIM_INFINITY  # no file grows beyond it: a disk that is full

    def manage(self, *arguments: str, ok: bool = True) -> str:
        keep = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
        environment = {**keep, "CUTLAYER_VAR_DIR": str(self.folder), "CUTLAYER_LOG_LEVEL": "ERROR"}
        if self.database:
            environment["DATABASE_URL"] = self.database
        command = [sys.executable, str(settings.BASE_DIR / "manage.py"), *arguments]
        limits = (self.most_file_bytes, resource.RLIM_INFINITY)
        done = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            text=True,
            cwd=settings.BASE_DIR,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limits),
        )
        assert (done.returncode == 0) == ok, done.stdout + done.stderr
        return done.stdout + done.stderr

    def look(self, first: str = "") -> dict:
        """What the hub holds, after the code `first` has run in it."""
        return json.loads(self.manage("shell", "--no-imports", "-c", first + LOOK).strip().splitlines()[-1])


@pytest.fixture(scope="module")
def pattern(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a hub on SQLite, of which each test of one takes a copy."""
    return filled(Hub(tmp_path_factory.mktemp("pattern") / "hub")).folder


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def hub(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, pattern: Path) -> Iterator[Hub]:
    """A hub with the demo's organisations and a file of media, not running; the second test gets a restored one."""
    folder = tmp_path_factory.mktemp("backup") / "hub"
    if request.param == "sqlite":
        yield Hub(shutil.copytree(pattern, folder, symlinks=True))
        return
    with postgres_url() as url:
        yield filled(Hub(folder, url))


def filled(hub: Hub) -> Hub:
    hub.manage("migrate", "-v", "0")
    hub.manage("demo_seed")
    media = hub.folder / "media" / "adapters" / "run_1"
    media.mkdir(parents=True)
    (media / "joint.zip").write_bytes(b"adapter" * 1000)
    return hub


def plain_text(hub: Hub, file: Path, folder: Path) -> str:
    """What the database in a backup holds, as text that its reader could search."""
    with tarfile.open(file) as archive:
        [name] = [name for name in archive.getnames() if name in NAMES.values()]
        archive.extract(name, folder, filter="data")
    dumped = folder / name
    if not hub.database:
        return dumped.read_bytes().decode("latin-1")
    tool = find_tool("pg_restore")
    done = subprocess.run(
        [str(tool), "--file=-", str(dumped)], capture_output=True, check=True, env=tool_environment(tool)
    )
    assert b"Lakeside Clinic" in done.stdout
    return done.stdout.decode()


def test_a_hub_comes_back_as_it_was_and_says_so(hub: Hub, tmp_path: Path) -> None:
    file = tmp_path / "hub.backup"
    key = hub.manage("shell", "--no-imports", "-c", SIGNED_IN).strip().splitlines()[-1]
    hub.manage("backup", str(file))
    assert file.stat().st_mode & 0o777 == 0o600
    assert key not in plain_text(hub, file, tmp_path), "a stolen backup opens no session"
    before = hub.look()
    assert before["sessions"] >= 1
    lost = hub.look(LATER)
    assert "Came later" in lost["names"]
    (hub.folder / "media" / "adapters" / "run_1" / "joint.zip").write_bytes(b"other")
    assert "CL-1921" in hub.manage("restore", str(file), ok=False)
    assert hub.look()["names"] == lost["names"]

    told = hub.manage("restore", str(file), "--replace")
    after = hub.look()
    assert after["names"] == before["names"]
    assert (after["ok"], after["sessions"]) == (True, 0)
    assert after["key"] == before["key"]
    assert after["chain"]["epoch"] != before["chain"]["epoch"]
    assert after["restored"]["sequence"] == before["chain"]["sequence"]
    assert after["restored"]["lost_sequence"] == lost["chain"]["sequence"]
    assert after["restored"]["lost_head"] == lost["chain"]["head"]
    assert (hub.folder / "media" / "adapters" / "run_1" / "joint.zip").read_bytes() == b"adapter" * 1000
    aside = hub.folder / "replaced-hub"
    assert str(aside) in told
    assert (aside / "media" / "adapters" / "run_1" / "joint.zip").read_bytes() == b"other"
    assert "CL-1921" in hub.manage("backup", str(file), ok=False)  # it would overwrite the first


def test_a_restore_that_fails_midway_leaves_the_hub_as_it_was(hub: Hub, tmp_path: Path) -> None:
    file, bad = tmp_path / "later.backup", tmp_path / "bad.backup"
    hub.manage("backup", str(file))
    rewrite(file, bad, {"database.sqlite3": b"no database", "database.dump": b"no dump"})
    before = hub.look()
    assert hub.manage("restore", str(bad), "--replace", ok=False)
    assert hub.look() == before
    assert (hub.folder / "media" / "adapters" / "run_1" / "joint.zip").read_bytes() == b"adapter" * 1000
    assert not (hub.folder / "replaced-bad").exists()
    assert "Restored the hub" in hub.manage("restore", str(file), "--replace"), "the failed one is in nobody's way"


def test_a_restore_that_is_told_to_end_midway_leaves_the_hub_as_it_was(hub: Hub, tmp_path: Path) -> None:
    file = tmp_path / "ended.backup"
    hub.manage("backup", str(file))
    before = hub.look(LATER)
    code = INTERRUPTED.format(file=str(file), signals=[15, 2, 1])
    assert "midway" in hub.manage("shell", "--no-imports", "-c", code, ok=False)
    assert hub.look() == before
    assert (hub.folder / "media" / "adapters" / "run_1" / "joint.zip").read_bytes() == b"adapter" * 1000
    assert not (hub.folder / "replaced-ended").exists()
    assert not (hub.folder / ".restore").exists()


def test_a_restore_that_was_killed_is_undone_by_one_command(hub: Hub, tmp_path: Path) -> None:
    file = tmp_path / "killed.backup"
    hub.manage("backup", str(file))
    (hub.folder / "media" / "adapters" / "run_1" / "joint.zip").write_bytes(b"newer")
    before = hub.look()
    assert "nothing to undo" in hub.manage("restore", "--undo", ok=False)
    code = INTERRUPTED.format(file=str(file), signals=[9])
    assert "midway" in hub.manage("shell", "--no-imports", "-c", code, ok=False)
    for command in (["serve"], ["migrate"], ["restore", str(file), "--replace"]):
        assert "restore --undo" in hub.manage(*command, ok=False)
    hub.manage("restore", "--undo")
    assert hub.look() == before
    joint = hub.folder / "media" / "adapters" / "run_1" / "joint.zip"
    assert joint.read_bytes() == b"newer"
    hub.manage("restore", str(file), "--replace")
    assert joint.read_bytes() == b"adapter" * 1000


@contextmanager
def running(hub: Hub) -> Iterator[None]:
    """What shows that the hub runs: its lock on SQLite; on PostgreSQL a session now and then, wherever it runs."""
    if not hub.database:
        with only_one(hub.folder):
            yield
        return
    folder, _, database = hub.database.removeprefix("postgres://cutlayer@/").rpartition("/")
    ended = threading.Event()

    def sweep() -> None:
        while not ended.wait(2):
            psycopg.connect(host=folder, user="cutlayer", dbname=database).close()

    thread = threading.Thread(target=sweep)
    thread.start()
    yield
    ended.set()
    thread.join()


def test_a_running_hub_is_not_restored(hub: Hub, tmp_path: Path) -> None:
    file = tmp_path / "running.backup"
    hub.manage("backup", str(file))
    with running(hub):
        told = hub.manage("restore", str(file), "--replace", ok=False)
    assert ("Other processes are using" if hub.database else "CL-1902") in told


@pytest.mark.parametrize("hub", ["postgresql"], indirect=True)
def test_while_a_restore_goes_on_elsewhere_no_backup_is_written_and_no_hub_starts(hub: Hub, tmp_path: Path) -> None:
    """Two machines may share a database of PostgreSQL's; a hub on SQLite is alone with its folder."""
    folder, _, database = hub.database.removeprefix("postgres://cutlayer@/").rpartition("/")
    with psycopg.connect(host=folder, user="cutlayer", dbname=database) as restore:
        restore.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        for command in (("backup", str(tmp_path / "half.backup")), ("serve", "--port", str(free_port()))):
            told = hub.manage(*command, ok=False)
            assert "A restore replaces this database" in told
            assert "Traceback" not in told
    assert hub.manage("backup", str(tmp_path / "whole.backup"))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, pattern: Path) -> tuple[Hub, Path]:
    """A hub on SQLite, and its backup."""
    folder = tmp_path_factory.mktemp("small")
    hub = Hub(shutil.copytree(pattern, folder / "hub", symlinks=True))
    hub.manage("backup", str(folder / "good.backup"))
    return hub, folder / "good.backup"


def test_a_new_folder_takes_a_backup_with_its_keys(small: tuple[Hub, Path], tmp_path: Path) -> None:
    hub, file = small
    other = Hub(tmp_path / "other")
    other.manage("restore", str(file))
    assert other.look()["key"] == hub.look()["key"]
    assert (other.folder / "secret_key").read_text() == (hub.folder / "secret_key").read_text()
    lax = [path for path in other.folder.rglob("*") if not path.is_symlink() and path.stat().st_mode & 0o077]
    assert not lax


@pytest.mark.parametrize("harm", ["byte", "cut", "name", "text"])
def test_a_backup_that_is_not_whole_is_refused_while_it_is_read(
    small: tuple[Hub, Path], tmp_path: Path, harm: str
) -> None:
    _, file = small
    bad = tmp_path / "bad.backup"
    content = bytearray(file.read_bytes())
    if harm == "byte":
        content[content.index(b"adapteradapter")] ^= 1
        bad.write_bytes(content)
    elif harm == "cut":
        bad.write_bytes(content[: len(content) // 2])
    elif harm == "text":
        bad.write_text("no backup")
    else:
        rename(file, bad, "media/adapters/run_1/joint.zip", "../../outside")
    with pytest.raises(AppError) as raised:
        backup_read(bad, tmp_path / "staged")
    assert raised.value.code == "CL-1922"
    assert not (tmp_path.parent / "outside").exists()


def test_a_backup_of_a_newer_version_is_refused(small: tuple[Hub, Path], tmp_path: Path) -> None:
    newer = tmp_path / "newer.backup"
    rewrite(small[1], newer, {}, version="999.0.0")
    with pytest.raises(AppError) as raised:
        backup_read(newer, tmp_path / "staged")
    assert (raised.value.code, "999.0.0" in raised.value.message) == ("CL-1922", True)


@pytest.mark.parametrize("harm", ["no database", "a page"])
def test_a_database_that_cannot_be_read_is_moved_aside_as_it_is(
    small: tuple[Hub, Path], tmp_path: Path, harm: str
) -> None:
    other = Hub(tmp_path / "other")
    other.manage("restore", str(small[1]))
    rows = other.folder / "hub.sqlite3"
    content = bytearray(rows.read_bytes())
    content[: 100 if harm == "no database" else 0] = b"x" * (100 if harm == "no database" else 0)
    if harm == "a page":
        content[100:8192] = b"x" * 8092
    rows.write_bytes(content)
    assert "CL-1921" in other.manage("restore", str(small[1]), ok=False)
    other.manage("restore", str(small[1]), "--replace")
    assert other.look()["names"] == small[0].look()["names"]
    assert (other.folder / "replaced-good-2" / "database.sqlite3").read_bytes() == content


def test_a_full_disk_is_not_the_backups_fault(small: tuple[Hub, Path], tmp_path: Path) -> None:
    other = Hub(tmp_path / "other", most_file_bytes=200_000)
    assert "CL-1904" in other.manage("restore", str(small[1]), ok=False)
    full = Hub(small[0].folder, most_file_bytes=200_000)
    assert "CL-1923" in full.manage("backup", str(tmp_path / "new.backup"), ok=False)
    assert not (tmp_path / "new.backup").exists()


def test_a_backup_in_a_shared_folder_goes_into_no_file_that_another_account_has_ready(
    small: tuple[Hub, Path], tmp_path: Path
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir(mode=0o777)
    ready = shared / ".hub.backup.partial"
    ready.touch(mode=0o666)
    small[0].manage("backup", str(shared / "hub.backup"))
    assert ready.read_bytes() == b""
    assert (shared / "hub.backup").stat().st_ino != ready.stat().st_ino
    assert (shared / "hub.backup").stat().st_mode & 0o777 == 0o600
    assert {path.name for path in shared.iterdir()} == {"hub.backup", ".hub.backup.partial"}


def test_the_draft_of_a_backup_that_was_killed_goes_with_a_later_one(settings, tmp_path: Path, monkeypatch) -> None:
    """It may hold the hub's keys, and lies where nobody looks."""
    settings.VAR_DIR = tmp_path / "hub"
    (settings.VAR_DIR / "keys").mkdir(parents=True)
    monkeypatch.setattr(backups, "database_dump", lambda path: path.touch() or ChainHead())
    old, fresh = tmp_path / ".mon.backup.12ab.backup-partial", tmp_path / ".tue.backup.34cd.backup-partial"
    for draft in (old, fresh):
        draft.write_bytes(b"keys")
    os.utime(old, (1, 1))
    backups.backup_write(tmp_path / "wed.backup")
    assert {path.name for path in tmp_path.iterdir()} == {"hub", "wed.backup", fresh.name}


def test_two_backups_at_once_do_not_meet_nor_does_one_meet_a_restore(small: tuple[Hub, Path], tmp_path: Path) -> None:
    hub, file = small
    with only_one(hub.folder, "backup"):
        assert "CL-1921" in hub.manage("backup", str(tmp_path / "second.backup"), ok=False)
        assert "CL-1921" in hub.manage("restore", str(file), "--replace", ok=False)
    hub.manage("backup", str(tmp_path / "second.backup"))


def test_a_file_that_goes_while_the_backup_is_written_is_named(tmp_path: Path, settings, monkeypatch) -> None:
    settings.VAR_DIR = tmp_path / "hub"
    (tmp_path / "hub" / "media").mkdir(parents=True)
    for name in ("a", "b"):
        (tmp_path / "hub" / "media" / name).write_text(name)

    def dump(path: Path) -> ChainHead:
        path.write_text("rows")
        return ChainHead(sequence=7, head="ab" * 32)

    add = backups._add

    def add_late(archive: tarfile.TarFile, name: str, path: Path) -> str:
        (tmp_path / "hub" / "media" / "b").unlink(missing_ok=True)
        return add(archive, name, path)

    monkeypatch.setattr(backups, "database_dump", dump)
    monkeypatch.setattr(backups, "_add", add_late)
    monkeypatch.setattr(backups, "_files", lambda folder: [(f"media/{n}", folder / "media" / n) for n in ("a", "b")])
    manifest = backups.backup_write(tmp_path / "out.backup")
    assert (manifest.missing, manifest.sequence) == (["media/b"], 7)
    assert backup_read(tmp_path / "out.backup", tmp_path / "staged").files.keys() == {manifest_database(), "media/a"}


def manifest_database() -> str:
    return NAMES[engine()]


def rewrite(source: Path, target: Path, contents: dict[str, bytes], **manifest: str) -> None:
    """A backup with other contents for some files, and hashes to fit."""
    with tarfile.open(source) as read, tarfile.open(target, "w") as write:
        files = {m.name: (m, file.read()) for m in read.getmembers() if (file := read.extractfile(m))}
        found = json.loads(files["manifest.json"][1]) | manifest
        for name, (member, old) in files.items():
            content = contents.get(name, old)
            if name != "manifest.json":
                found["files"][name] = hashlib.sha256(content).hexdigest()
                member.size = len(content)
                write.addfile(member, io.BytesIO(content))
        last = json.dumps(found).encode()
        files["manifest.json"][0].size = len(last)
        write.addfile(files["manifest.json"][0], io.BytesIO(last))


def rename(source: Path, target: Path, old: str, new: str) -> None:
    """A backup with another name for one of its files, in the manifest too."""
    with tarfile.open(source) as read, tarfile.open(target, "w") as write:
        for member in read.getmembers():
            file = read.extractfile(member)
            content = file.read() if file else b""
            if member.name == "manifest.json":
                content = content.replace(old.encode(), new.encode())
            member.name, member.size = (new if member.name == old else member.name), len(content)
            write.addfile(member, io.BytesIO(content))
