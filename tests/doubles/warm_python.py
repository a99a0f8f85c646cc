"""A stand-in for `sys.executable` that has imported torch already, which takes seconds of CPU time.

A server imports LIBRARIES once; it starts no threads and computes nothing, so that it can fork. The
stand-in, `warm_client.py`, sends it its arguments, folder, variables and open files. The server
forks a process that runs them as `python` would; of options before `-c CODE`, `-m MODULE` or FILE
only `-S` counts. The stand-in passes SIGINT, SIGTERM and SIGHUP on, and ends as that process ends;
if it is killed itself, so is that process, a moment later. Nothing of ours is imported beforehand.

What tests how an interpreter starts, whose child it is, or an installation needs the true one.
"""

import fcntl
import gc
import importlib
import json
import os
import runpy
import select
import shlex
import signal
import site
import socket
import subprocess
import sys
import tempfile
import types
from contextlib import contextmanager, suppress
from pathlib import Path

LIBRARIES = ("torch", "scipy.ndimage", "scipy.signal", "imageio.v3", "imagecodecs", "PIL.Image")
MAX_FILES = 200
"""How many files a command may inherit; their numbers are below this, too."""


@contextmanager
def warm_python():
    """Start a server for the length of the block; return the path of its stand-in."""
    with tempfile.TemporaryDirectory() as folder:  # a short path, as sockets need
        address = f"{folder}/socket"
        client = shlex.join(
            [sys.executable, "-IS", str(Path(__file__).with_name("warm_client.py"))]
        )
        stand_in = Path(folder, "python")
        stand_in.write_text(f'#!/bin/sh\nexec {client} {address} "$@"\n')
        stand_in.chmod(0o755)
        with subprocess.Popen(
            [sys.executable, "-S", __file__, address],
            stdin=subprocess.PIPE,  # which ends when this process does
            stdout=subprocess.PIPE,
            env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        ) as server:
            assert server.stdout.readline() == b"ready\n"
            yield str(stand_in)


def serve(address):
    """Answer until stdin ends; return a command, in a process that was forked for it."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        os.write(1, b"ready\n")
        keepers = []
        while 0 not in select.select([listener, 0], [], [])[0]:
            connection, _ = listener.accept()
            keepers = [keeper for keeper in keepers if not os.waitpid(keeper, os.WNOHANG)[0]]
            keepers.append(os.fork())
            if not keepers[-1]:
                break
            connection.close()
        else:
            os._exit(0)
    received = socket.recv_fds(connection, 1, MAX_FILES)[1]
    numbers, *command = json.loads(connection.makefile().readline())
    if process := os.fork():
        keep(process, connection, received)
    high = [fcntl.fcntl(file, fcntl.F_DUPFD, MAX_FILES) for file in received]
    os.closerange(0, MAX_FILES)
    for file, number in zip(high, numbers, strict=True):
        os.dup2(file, number)
    os.closerange(MAX_FILES, 2 * MAX_FILES)
    return command


def keep(process, connection, files):
    """Tell the stand-in the process and its exit code; kill it when the stand-in is gone."""
    os.closerange(0, 3)
    for file in files:  # their other ends wait for the end of the process
        os.close(file)
    ended = os.pidfd_open(process)
    with suppress(BrokenPipeError):
        connection.sendall(b"%d\n" % process)
        if ended not in select.select([ended, connection], [], [])[0]:
            os.kill(process, signal.SIGKILL)
        connection.sendall(b"%d\n" % os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))
    os._exit(0)


def run(words, folder, environment, bare, installed):
    """Run what `python` with these words would; `bare` is its path with `-S`."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    encoding, _, errors = environment.get("PYTHONIOENCODING", "").partition(":")
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            file = open(  # noqa: PTH123, SIM115 - stays open
                number, "w" if number else "r", encoding=encoding or None, errors=errors or None
            )
        except OSError:  # it is closed
            file = None
        if number == 2 and file:
            file.reconfigure(line_buffering=True, errors="backslashreplace")
        setattr(sys, name, file)
        setattr(sys, f"__{name}__", file)
    paths = installed
    while words[0].startswith("-") and words[0] not in ("-c", "-m"):
        paths = bare if words.pop(0) == "-S" else paths
    kind = words.pop(0) if words[0] in ("-c", "-m") else "file"
    first = {"-c": "", "-m": folder, "file": str(Path(words[0]).parent)}[kind]
    here = [] if environment.get("PYTHONSAFEPATH") else [first]
    sys.path = [*here, *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep)), *paths]
    sys.argv = ["-c" if kind == "-c" else words[0], *words[1:]]
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    if kind == "-c":
        exec(compile(words[0], "<string>", "exec"), vars(main))
    elif kind == "-m":
        runpy.run_module(words[0], run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(words[0], run_name="__main__")


if __name__ == "__main__":
    without_site = sys.path[1:]
    site.main()
    with_site = sys.path[1:]
    for library in LIBRARIES:
        importlib.import_module(library)
    gc.freeze()
    run(*serve(sys.argv[1]), without_site, with_site)
