"""Full-text search over one folder, for agents: SQLite's FTS5 in memory, brought up to date before each answer."""

from __future__ import annotations

import os
import re
import sqlite3
import stat
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from interlock.errors import ToolFailed, UsageError
from interlock.tools.folders import walk
from interlock.tools.function import FunctionTool
from interlock.tools.protected import Guard
from interlock.tools.result import clean

#: Larger files are not looked into, in bytes.
MAX_FILE = 1_000_000
#: Most files that are looked into; of a larger folder the first so many, by name.
MAX_FILES = 20_000
#: Folders that hold what programs made, not what people wrote.
SKIPPED = frozenset({".git", ".interlock", ".venv", "node_modules", "__pycache__", ".mypy_cache", ".ruff_cache"})
#: Words of a question that are looked for, at most.
MAX_WORDS = 32

_SCHEMA = """
CREATE TABLE files (path TEXT PRIMARY KEY, stamp TEXT NOT NULL);
CREATE VIRTUAL TABLE texts USING fts5 (path, body, tokenize = 'unicode61 remove_diacritics 2');
"""
_FIND = """
SELECT path, snippet(texts, 1, '', '', ' … ', 48), body FROM texts
 WHERE texts MATCH ? ORDER BY bm25(texts, 2.0, 1.0), path LIMIT ?
"""


def file_search_tool(folder: str | Path, protected: Iterable[str | Path] = ()) -> FunctionTool[..., Any]:
    """The tool `file_search` for one folder.

    Args:
        folder: What is searched, with all folders below it; nothing outside it is read.
        protected: Files and directories that are not read, by whatever name.

    Raises:
        UsageError: code `usage.files`: it is no directory.
    """
    index = FolderIndex(folder, protected)
    return FunctionTool(index.search, name="file_search", repeatable=True, cwd=str(index.root))


class FolderIndex:
    """The words of a folder's text files.

    Args:
        folder: The folder.
        protected: What is not read.

    Raises:
        UsageError: code `usage.files`: it is no directory.
    """

    def __init__(self, folder: str | Path, protected: Iterable[str | Path] = ()) -> None:
        self.root = Path(folder).expanduser().resolve()
        if not self.root.is_dir():
            raise UsageError(f"The folder {folder} is no directory.", code="usage.files")
        self._guard = Guard(protected)
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None

    def search(self, query: str, limit: int = 8) -> dict[str, Any]:
        """Search the text files of the folder and get the passages that fit best, with file and line.

        Args:
            query: Words to look for; those in "double quotes" as a phrase.
            limit: How many files to return at most, 1 to 50.
        """
        if not 1 <= limit <= 50:
            raise ToolFailed("`limit` must be 1 to 50.", code="tool.arguments")
        wanted = _words(query)
        if not wanted:
            raise ToolFailed("`query` holds no words to look for.", code="tool.arguments")
        with self._lock:
            db = self._refreshed()
            for match in (" ".join(wanted), " OR ".join(wanted)):  # all words, or else any of them
                rows = db.execute(_FIND, (match, limit)).fetchall()
                if rows:
                    break
        results = [{"path": path, "line": _line(body, part), "text": clean(part)} for path, part, body in rows]
        return {"query": query, "results": results}

    def _refreshed(self) -> sqlite3.Connection:
        """The index as the folder is now: only what has changed is read again."""
        db = self._db
        if db is None:
            db = self._db = sqlite3.connect(":memory:", check_same_thread=False)
            db.executescript(_SCHEMA)
        known = dict(db.execute("SELECT path, stamp FROM files").fetchall())
        seen: set[str] = set()
        with db:
            for path, stamp in self._files():
                seen.add(path)
                if known.get(path) != stamp:
                    self._take_in(db, path, stamp)
            for gone in known.keys() - seen:
                db.execute("DELETE FROM texts WHERE path = ?", (gone,))
                db.execute("DELETE FROM files WHERE path = ?", (gone,))
        return db

    def _files(self) -> Iterator[tuple[str, str]]:
        """Files worth a look, with what tells whether they have changed. No symbolic link is followed."""
        count = 0
        for folder, names, files in walk(self.root):
            names[:] = sorted(name for name in names if name not in SKIPPED)
            for name in sorted(files):
                found = os.lstat(os.path.join(folder, name))
                if not stat.S_ISREG(found.st_mode) or found.st_size > MAX_FILE or self._guard.holds(found):
                    continue
                count += 1
                if count > MAX_FILES:
                    return
                path = os.path.relpath(os.path.join(folder, name), self.root)
                yield path, f"{found.st_ino}:{found.st_size}:{found.st_mtime_ns}"

    def _take_in(self, db: sqlite3.Connection, path: str, stamp: str) -> None:
        body = self._text(path)
        db.execute("DELETE FROM texts WHERE path = ?", (path,))
        db.execute("INSERT OR REPLACE INTO files VALUES (?, ?)", (path, stamp))
        if body:
            db.execute("INSERT INTO texts VALUES (?, ?)", (path, body))

    def _text(self, path: str) -> str:
        """A file's text; nothing where it is binary, a PDF, or has just gone."""
        try:
            descriptor = os.open(self.root / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return ""
        with open(descriptor, "rb") as file:
            if self._guard.holds(os.fstat(descriptor)):
                return ""
            content = file.read(MAX_FILE)
        is_text = b"\0" not in content and not content.startswith(b"%PDF-")
        return content.decode(errors="replace") if is_text else ""


def _words(query: str) -> list[str]:
    """A question as FTS5 terms, each quoted, so that nothing in it is taken for an operator."""
    found = [phrase or word for phrase, word in re.findall(r'"([^"]+)"|(\w+)', query)]
    terms = [" ".join(re.findall(r"\w+", one)) for one in found]
    return [f'"{term}"' for term in terms if term][:MAX_WORDS]


def _line(body: str, part: str) -> int:
    """On which line a passage begins, from 1."""
    start = part.removeprefix(" … ").split(" … ")[0]
    place = body.find(start)
    return body.count("\n", 0, max(0, place)) + 1
