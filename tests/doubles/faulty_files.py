"""A file system that fails on request: at the n-th call of open, write, fsync, rename, close, ...

    with FaultyFiles(folder) as files:             # counts the calls that write below the folder
        work()
    for number in range(len(files.calls)):
        with FaultyFiles(folder, number, errno.ENOSPC):
            work()                                 # its call of this number fails

What a write gets to the disk before it fails is half of its bytes, and a file whose `close` fails
is closed. Calls count that make or change something: those that read do not, nor does unlinking,
which is how a program cleans up. Only this process is concerned, and only what Python writes.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import threading
from pathlib import Path
from unittest.mock import patch

WRITING_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class FaultyFiles:
    """Counts calls, and lets one of them fail, or all that need space from one on.

    Args:
        folder: what lies below it is concerned.
        number: the call that fails, from 0; None: none.
        code: with which `errno`.
        stays: whether all later calls that need space fail as well, as on a full disk.
    """

    def __init__(self, folder, number=None, code=errno.ENOSPC, *, stays=False):
        self.folder = os.path.realpath(folder)
        self.number, self.code, self.stays = number, code, stays
        self.calls = []
        """(kind, name of the file) of each call."""
        self._lock = threading.Lock()
        self._patches = []

    def __enter__(self):
        self._real = {name: getattr(os, name) for name in ("open", "fsync", "close", "mkdir")}
        self._renames = {name: getattr(os, name) for name in ("rename", "replace")}
        self._open = io.open
        replaced = {"open": self._os_open, "fsync": self._fsync, "close": self._close}
        self._patches = [patch.object(os, name, new) for name, new in replaced.items()]
        self._patches += [
            patch.object(os, "mkdir", self._mkdir),
            patch.object(os, "rename", self._renaming("rename")),
            patch.object(os, "replace", self._renaming("replace")),
            patch.object(io, "open", self._io_open),
            patch.object(builtins, "open", self._io_open),
        ]
        for one in self._patches:
            one.start()
        return self

    def __exit__(self, *_):
        for one in reversed(self._patches):
            one.stop()

    def fails(self, kind, path):
        """Count a call, and return whether it fails."""
        with self._lock:
            number = len(self.calls)
            self.calls.append((kind, Path(os.fsdecode(path)).name))
        if self.number is None or number < self.number:
            return False
        return number == self.number or (self.stays and kind in ("open", "write", "mkdir"))

    def error(self, path):
        return OSError(self.code, os.strerror(self.code), os.fsdecode(path))

    def _check(self, kind, path):
        if self.fails(kind, path):
            raise self.error(path)

    def _concerns(self, path):
        if isinstance(path, int):
            return False
        folder = os.path.realpath(Path(os.fsdecode(path)).parent)
        return (folder + os.sep).startswith(self.folder + os.sep)

    def _path_of(self, descriptor):
        """Return the path of an open file below the folder; None for others."""
        try:
            path = str(Path(f"/proc/self/fd/{descriptor}").readlink())
        except OSError:
            return None
        return path if (path + os.sep).startswith(self.folder + os.sep) else None

    def _os_open(self, path, flags, *args, **kwargs):
        if flags & WRITING_FLAGS and self._concerns(path):
            self._check("open", path)
        return self._real["open"](path, flags, *args, **kwargs)

    def _fsync(self, descriptor):
        number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
        if path := self._path_of(number):
            self._check("fsync", path)
        return self._real["fsync"](descriptor)

    def _close(self, descriptor):
        path = self._path_of(descriptor)
        self._real["close"](descriptor)
        if path:
            self._check("close", path)

    def _mkdir(self, path, *args, **kwargs):
        if self._concerns(path) and not Path(path).is_dir():
            self._check("mkdir", path)
        return self._real["mkdir"](path, *args, **kwargs)

    def _renaming(self, name):
        def rename(source, target, **kwargs):
            if self._concerns(target):
                self._check("rename", target)
            return self._renames[name](source, target, **kwargs)

        return rename

    def _io_open(
        self, file, mode="r", buffering=-1, encoding=None, errors=None, newline=None, **more
    ):
        if not set(mode) & set("wax+") or not self._concerns(file):
            return self._open(file, mode, buffering, encoding, errors, newline, **more)
        self._check("open", file)
        raw = _Raw(self, file, mode.replace("b", "").replace("t", ""))
        if buffering == 0:
            return raw
        binary = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        if "b" in mode:
            return binary
        return io.TextIOWrapper(binary, encoding or "utf-8", errors, newline)


class _Raw(io.FileIO):
    """A file that fails in its writes, or when it is closed."""

    def __init__(self, files, path, mode):
        super().__init__(path, mode)
        self._files, self._path = files, path

    def write(self, content):
        if self._files.fails("write", self._path):
            super().write(memoryview(content).cast("B")[: len(content) // 2])
            raise self._files.error(self._path)
        return super().write(content)

    def close(self):
        if not self.closed:
            super().close()
            if self._files.fails("close", self._path):
                raise self._files.error(self._path)


def whole(folder):
    """Return {path within a folder: content} of all files."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file() and not path.is_symlink()
    }
