"""The process of the command: its streams, its signals, its working folder."""

import os
import shlex
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="shells and signals of POSIX")


@pytest.fixture
def pair(tmp_path, monkeypatch):
    """Two images in the working folder."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.png"):
        iio.imwrite(name, rng.integers(0, 256, (20, 30), dtype=np.uint8))
    return tmp_path


def shell(python, command, **options):
    """Run a command of a shell, in which `fusionlab` is the program."""
    program = f"{shlex.quote(python)} -m fusionlab"
    command = command.replace("fusionlab ", f"{program} ")
    return subprocess.run(
        ["sh", "-c", command], capture_output=True, text=True, check=False, **options
    )


FUSE = "fusionlab fuse --backbone identity a.png b.png"
FULL = "Error: cannot write to the standard output: No space left on device\n"


needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a full device")


@pytest.mark.parametrize(
    ("streams", "code", "says"),
    [
        (">&-", 0, ""),
        ("<&- >&- 2>&-", 0, ""),
        pytest.param(">/dev/full", 1, FULL, marks=needs_full),
        pytest.param(">/dev/full 2>&1", 1, "", marks=[needs_full, pytest.mark.slow]),
    ],
)
def test_the_image_is_written_whatever_becomes_of_stdout(streams, code, says, pair, python):
    result = shell(python, f"{FUSE} {streams}")
    assert (result.returncode, result.stdout, result.stderr) == (code, "", says)
    assert iio.imread("fused.png").shape == (20, 30)


@pytest.mark.parametrize("words", ["--help", "fuse --help", "strategies"])
@needs_full
def test_text_that_cannot_be_printed_is_said_to_be_lost(words, python):
    result = shell(python, f"fusionlab {words} >/dev/full")
    assert (result.returncode, result.stderr) == (1, FULL)


def test_a_reader_that_has_seen_enough_costs_no_word(python):
    result = shell(python, "{ fusionlab metrics Qabf; echo $? >&2; } | true")
    assert result.stderr in ("1\n", "0\n")  # 0: printed before the reader ended


@pytest.mark.parametrize(
    "encoding", [pytest.param("utf-8:strict", marks=pytest.mark.slow), "ascii:strict"]
)
@pytest.mark.skipif(sys.platform != "linux", reason="needs names that are bytes")
def test_names_that_stdout_cannot_hold_do_not_end_a_folder_run(encoding, pair, python):
    for place in ("ir", "vis"):
        Path(place).mkdir()
        for stem in ("1", "w\u00e4rme\u71b1", "\udcff"):
            Path(place, f"{stem}.png").write_bytes(Path("a.png").read_bytes())
    Path("vis", "1.png").write_bytes(Path("b.png").read_bytes())
    result = shell(
        python,
        "fusionlab fuse --backbone identity ir vis -o out",
        env={**os.environ, "PYTHONIOENCODING": encoding},
        encoding=encoding.partition(":")[0],
    )
    assert result.returncode == 0, result.stderr
    assert len([*Path("out").glob("*.png")]) == 3
    assert r"fused    out/\udcff.png" in result.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="a folder that is in use can be removed")
def test_a_working_folder_that_is_gone_costs_a_sentence(pair, python):
    gone = f"mkdir gone && cd gone && rmdir {shlex.quote(str(pair / 'gone'))} && "
    result = shell(
        sys.executable, f"{gone}fusionlab fuse {pair}/a.png {pair}/b.png -o {pair}/c.png"
    )
    assert result.returncode == 2
    assert result.stderr == (
        "Error: the working folder does not exist any more; change to one that does\n"
    )
    assert shell(sys.executable, f"{gone}fusionlab --version").returncode == 0


def run(python, code):
    """Run the process of the command with a `main` of ours, or with what else `code` sets."""
    program = "import atexit, os, signal, sys\nimport fusionlab.__main__ as process\n"
    program += "def interrupt(number=signal.SIGINT): os.kill(os.getpid(), number)\n"
    program += textwrap.dedent(code) + "\nprocess.run()\n"
    command = (python, "-c", program)
    return subprocess.run(command, capture_output=True, text=True, check=False)


def with_main(body):
    return (
        "import fusionlab.cli\ndef main():\n"
        + textwrap.indent(textwrap.dedent(body), "    ")
        + "\nfusionlab.cli.main = main"
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_before_there_is_a_command_leaves_no_traceback(number, python):
    result = run(
        python,
        f"""
        class Interrupting:
            def find_spec(self, name, path=None, target=None):
                if name == "click":
                    interrupt({int(number)})

        sys.modules.pop("click", None)
        sys.meta_path.insert(0, Interrupting())
        """,
    )
    assert (result.returncode, result.stderr) == (128 + number, "stopped\n")


def test_an_interrupt_that_becomes_another_exception_on_its_way_is_still_one(python):
    body = """
    try:
        interrupt()
    except KeyboardInterrupt:
        raise ImportError("numpy._core.multiarray failed to import")
    """
    result = run(python, with_main(body))
    assert (result.returncode, result.stderr) == (130, "stopped\n")


def test_the_second_interrupt_lets_what_the_first_began_end_and_the_third_does_not(python):
    body = """
    try:
        interrupt()
    finally:
        interrupt()
        print("put away", file=sys.stderr)
        {third}
        print("ended", file=sys.stderr, flush=True)
    """
    says = "stopping; once more ends it at once\nput away\n"
    result = run(python, with_main(body.format(third="")))
    assert (result.returncode, result.stderr) == (130, f"{says}ended\nstopped\n")
    result = run(python, with_main(body.format(third="interrupt()")))
    assert (result.returncode, result.stderr) == (-signal.SIGINT, says)


def test_an_interrupt_at_exit_leaves_no_traceback(python):
    result = run(python, with_main("atexit.register(interrupt)"))
    assert (result.returncode, result.stderr) == (1, "stopping; once more ends it at once\n")


def test_a_process_with_torch_ends_at_once_but_not_before_what_was_left_for_its_end(python):
    """Taking torch apart takes half a second."""
    body = """
    import threading, torch
    class Slow:
        def __del__(self):
            print("taken apart", file=sys.stderr)
    process.slow = Slow()
    atexit.register(lambda: print("left for the end", file=sys.stderr))
    {also}
    raise SystemExit(3)
    """
    result = run(python, with_main(body.format(also="")))
    assert (result.returncode, result.stderr) == (3, "left for the end\n")
    late = "threading.Thread(target=lambda: (time.sleep(0.2), os.write(2, b'thread\\n'))).start()"
    result = run(python, "import time\n" + with_main(body.format(also=late)))
    assert (result.returncode, result.stderr) == (3, "thread\nleft for the end\ntaken apart\n")


def test_an_ignored_interrupt_stays_ignored(python):
    """As behind the & of a shell."""
    code = "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    result = run(python, code + with_main("interrupt()\nraise SystemExit(7)"))
    assert (result.returncode, result.stderr) == (7, "")


def test_what_libraries_and_children_print_to_stdout_goes_to_stderr(python):
    body = r"""
    from fusionlab.cli.output import echo
    os.write(1, b"library\n")
    os.system("echo child")
    echo("ours")
    """
    result = run(python, with_main(body))
    assert (result.stdout, result.stderr) == ("ours\n", "library\nchild\n")


def test_the_traceback_of_a_defect_cannot_obey_a_terminal(python):
    result = run(python, with_main(r"raise RuntimeError('\x1b[2J')"))
    assert result.returncode == 1
    assert result.stderr.endswith("RuntimeError: \\x1b[2J\n")
