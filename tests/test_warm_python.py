"""The stand-in for the interpreter behaves as the interpreter does."""

import signal
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there is no stand-in")
ECHO = "import os, sys; print(os.getcwd(), sys.argv, os.environ['WORD'], input()); sys.exit(3)"


@pytest.mark.parametrize(
    "words",
    [
        ["-c", ECHO, "one", "-m"],
        ["-B", "-c", "import sys; sys.exit('a sentence')"],
        ["-c", "import sys; print(__name__, sys.path, sys.modules['__main__'].__name__)"],
        ["-S", "-c", "import sys; print(sys.path)"],
        ["echo.py", "one"],
        ["-m", "echo", "one"],
        ["-c", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"],
        ["-c", "import atexit; atexit.register(print, 'late'); print('early')"],
    ],
)
def test_it_prints_and_ends_like_the_interpreter(python, tmp_path, words):
    (tmp_path / "echo.py").write_text(ECHO)
    theirs, ours = (
        subprocess.run(
            [executable, *words],
            cwd=tmp_path,
            env={"WORD": "ä", "PYTHONPATH": "/one:/two", "PYTHONIOENCODING": "utf-8"},
            input=b"line\n",
            capture_output=True,
            check=False,
        )
        for executable in (sys.executable, python)
    )
    assert (ours.returncode, ours.stdout, ours.stderr) == (
        theirs.returncode,
        theirs.stdout,
        theirs.stderr,
    )


def test_torch_is_there_and_ours_is_not(python):
    code = "import sys; sys.exit(('torch' in sys.modules) + 2 * ('fusionlab' in sys.modules))"
    assert subprocess.run([python, "-c", code], check=False).returncode == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_signals_reach_the_process(python, number):
    code = "import time; print(flush=True); time.sleep(600)"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([python, "-c", code], **pipes) as running:
        running.stdout.readline()
        running.send_signal(number)
        assert running.stdout.read() == b""  # its end closes the pipe
    assert running.returncode == -number
