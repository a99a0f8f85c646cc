"""What is printed: plain in a pipe, columns and a bar on a terminal, JSON for scripts."""

import io
import json
import os
import re
import subprocess
import sys
import textwrap
from contextlib import redirect_stdout
from pathlib import Path
from threading import Thread

import click
import imageio.v3 as iio
import numpy as np
import pytest
from click.testing import CliRunner

from fusionlab import cli
from fusionlab.cli import main
from fusionlab.cli.command import Command
from fusionlab.cli.output import show_facts, show_progress, show_table, warn

pty = pytest.importorskip("pty")

RNG = np.random.default_rng(0)
ROWS = [("mean", "Average."), ("l1norm", "Weight each [source]. :dog:")]


class Terminal(io.StringIO):
    """Where text is printed as if to a terminal."""

    def isatty(self):
        return True


@pytest.fixture
def shown(monkeypatch):
    """Return what a function prints on a terminal of 40 columns, without its colors."""
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")

    def call(function, *args, **kwargs):
        with redirect_stdout(Terminal()) as terminal:
            function(*args, **kwargs)
        return re.sub(r"\x1b\[[0-9;]*m", "", terminal.getvalue())

    return call


def on_pty(*command, both=True):
    """Run a command with a terminal for stderr, and for stdout too unless not `both`.

    Returns (exit code, what the terminal got, what the pipe got).
    """
    ours, theirs = pty.openpty()
    heard = []

    def listen():
        while True:
            try:
                chunk = os.read(ours, 65536)
            except OSError:  # Linux: all others have hung up
                return
            if not chunk:
                return
            heard.append(chunk)

    listener = Thread(target=listen)
    listener.start()
    env = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "NO_COLOR": ""}
    process = subprocess.Popen(
        command, stdout=theirs if both else subprocess.PIPE, stderr=theirs, stdin=theirs, env=env
    )
    os.close(theirs)
    piped, _ = process.communicate()
    listener.join()
    os.close(ours)
    return process.returncode, b"".join(heard).decode(), (piped or b"").decode()


# --- in a pipe


def test_facts_are_columns_without_the_empty_ones(capsys):
    show_facts(
        {"method": "x/y", "preset": None, "weights": ["1", "2"], "zero": 0, "none": [], "e": ""},
        as_json=False,
    )
    assert capsys.readouterr().out == "method   x/y\nweights  1\nweights  2\nzero     0\n"


def test_facts_without_any_are_nothing(capsys):
    show_facts({"preset": None}, as_json=False)
    show_table(("name",), [], as_json=False)
    assert capsys.readouterr().out == ""


def test_a_table_in_a_pipe_has_rows_only(capsys):
    show_table(("name", "summary"), iter(ROWS), as_json=False)
    assert capsys.readouterr().out == "mean    Average.\nl1norm  Weight each [source]. :dog:\n"


def test_as_json_the_names_are_keys(capsys):
    show_table(("name", "summary"), iter(ROWS), as_json=True)
    rows = json.loads(capsys.readouterr().out)
    assert rows == [{"name": name, "summary": summary} for name, summary in ROWS]
    show_facts({"a": None, "b": [1], "Ü": "日本"}, as_json=True)
    out = capsys.readouterr().out
    assert json.loads(out) == {"a": None, "b": [1], "Ü": "日本"}
    assert out.count("\n") == 1


def test_a_warning_is_a_line_on_stderr(capsys):
    warn("too small")
    assert capsys.readouterr() == ("", "warning: too small\n")


def test_there_is_no_bar_in_a_pipe(capsys):
    with show_progress("fusing") as show:
        for done in range(1, 4):
            show(done, 3)
            print(done)  # noqa: T201
        warn("late")
    assert capsys.readouterr() == ("1\n2\n3\n", "warning: late\n")


def test_long_work_in_a_pipe_prints_a_line_now_and_then(capsys, monkeypatch):
    clock = iter([0.0, 5.0, 12.0, 15.0, 24.0])
    monkeypatch.setattr("fusionlab.cli.output.time.monotonic", lambda: next(clock))
    with show_progress("fusing") as show:
        for done in (1, 2, 3, 4):
            show(done, 40, "1 failed")
    assert capsys.readouterr().err.splitlines() == [
        "fusing: 2 of 40, 0.167 per second, 0:03:48 left, 1 failed",
        "fusing: 4 of 40, 0.167 per second, 0:03:36 left, 1 failed",
    ]


def test_lines_count_what_is_reused_but_not_into_the_rate(capsys, monkeypatch):
    clock = iter([0.0, 10.0, 20.0, 30.0])
    monkeypatch.setattr("fusionlab.cli.output.time.monotonic", lambda: next(clock))
    with show_progress("rows", enough=10) as show:
        for done in (101, 109, 130):
            show(done, 160, reused=100)
    assert capsys.readouterr().err.splitlines() == [
        "rows: 101 of 160, 100 from earlier runs",
        "rows: 109 of 160, 100 from earlier runs",
        "rows: 130 of 160, 100 from earlier runs, 1 per second, 0:00:30 left",
    ]


# --- on a terminal


def test_a_table_on_a_terminal_has_its_names_above(shown):
    text = shown(show_table, ("name", "summary"), ROWS, as_json=False)
    assert [line.split() for line in text.splitlines()] == [
        ["name", "summary"],
        ["mean", "Average."],
        ["l1norm", "Weight", "each", "[source].", ":dog:"],
    ]


@pytest.mark.parametrize(
    "text",
    ["[bold]x[/bold]", "[/x]", ":dog:.png", "a\\[b", "https://x.y/z", "'quoted' 1.5", "日本"],
)
def test_text_on_a_terminal_is_what_it_is(shown, text):
    assert shown(show_facts, {"output": text}, as_json=False).split() == ["output", *text.split()]


def test_nothing_is_cut_off_on_a_narrow_terminal(shown):
    long = "x" * 100
    text = shown(show_facts, {"output": long}, as_json=False)
    text += shown(show_table, ("name", "module"), [("a", long)], as_json=False)
    assert text.count("x") == 200
    assert max(map(len, text.splitlines())) <= 40


def test_no_color_leaves_out_all_styles(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    for value, styled in (("", True), ("1", False)):
        monkeypatch.setenv("NO_COLOR", value)
        with redirect_stdout(Terminal()) as terminal:
            show_facts({"output": "x.png"}, as_json=False)
        assert ("\x1b[" in terminal.getvalue()) == styled


@pytest.mark.parametrize(("columns", "width"), [("40", 40), ("0", 80), ("wide", 80)])
def test_a_dumb_terminal_is_as_wide_as_it_says(columns, width, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", columns)
    with redirect_stdout(Terminal()) as terminal:
        show_facts({"output": "x" * 200}, as_json=False)
    assert max(map(len, terminal.getvalue().splitlines())) == width


def test_json_on_a_terminal_is_json(shown):
    text = shown(show_facts, {"output": "[x] :dog:" * 20}, as_json=True)
    assert json.loads(text) == {"output": "[x] :dog:" * 20}
    assert text.count("\n") == 1


BAR = """
    import sys, time
    import click
    from fusionlab.cli.output import show_progress, warn

    with show_progress("fusing") as show:
        show(1, 3)
        time.sleep(0.3)  # the bar is drawn ten times a second
        click.echo("by click")
        sys.stdout.write("by hand\\n")
        sys.stdout.flush()
        warn("a [source] :dog:")
        show(2, 3)
        time.sleep(0.3)
"""


def test_a_bar_is_drawn_on_stderr_and_leaves_stdout_to_the_pipe():
    code, shown, piped = on_pty(sys.executable, "-c", textwrap.dedent(BAR), both=False)
    assert code == 0
    assert piped == "by click\nby hand\n"
    assert "fusing" in shown
    assert "2/3" in shown
    assert "\x1b[2Kwarning: a [source] :dog:\r\n" in shown  # above the bar, not into it
    assert shown.endswith("\x1b[2K")  # the bar is erased
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h")  # and the cursor is back


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Three pairs, of which one is the same image twice and one is damaged."""
    monkeypatch.chdir(tmp_path)
    for folder in ("ir", "vis"):
        Path(folder).mkdir()
        for stem in "xyz":
            iio.imwrite(f"{folder}/{stem}.png", RNG.integers(0, 256, (20, 30), dtype=np.uint8))
    Path("vis/x.png").write_bytes(Path("ir/x.png").read_bytes())
    Path("vis/y.png").write_bytes(b"damaged")
    return tmp_path


FUSE = ("-m", "fusionlab", "fuse", "--backbone", "identity", "ir", "vis")


def test_a_folder_run_on_a_terminal_is_rich_and_whole(folders, python):
    code, shown, _ = on_pty(python, *FUSE)
    assert code == 1
    assert "Traceback" not in shown
    assert "\x1b[1m" in shown  # bold names
    assert "\x1b[?25l" in shown  # a bar
    assert "warning: vis/x.png is the same image as ir/x.png" in shown
    assert "failed: y: cannot read vis/y.png" in shown
    assert "2 fused, 0 skipped, 1 failed, of 3" in shown
    assert sorted(path.name for path in Path("fused").glob("*.png")) == ["x.png", "z.png"]


def test_json_goes_through_the_pipe_while_the_terminal_has_the_bar(folders, python):
    code, shown, piped = on_pty(python, *FUSE, "--json", both=False)
    assert code == 1
    assert "\x1b[?25l" in shown
    rows = [json.loads(line) for line in piped.splitlines()]
    assert [row.get("stem") for row in rows] == ["x", "y", "z", None]


# --- text of others


HOSTILE = "\x1b]0;owned\x07\x1b[2J\u202egnp\nError: run rm -rf"
SHOWN = r"\x1b]0;owned\x07\x1b[2J\u202egnp\nError: run rm -rf"
NEVER_PRINTED = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


@pytest.fixture
def hostile_plugin(install):
    """A plugin whose strategy has a name, a docstring and an error that a terminal would obey."""
    install(
        "hostile",
        f"""
        import fusionlab

        @fusionlab.hookimpl
        def fusionlab_strategies():
            from fusionlab import StrategyRef
            return [StrategyRef("hostile", "hostile:Hostile", {HOSTILE!r})]

        from dataclasses import dataclass

        @dataclass(frozen=True)
        class Hostile(fusionlab.Strategy):
            def fuse(self, features, scene):
                raise fusionlab.FusionlabError({HOSTILE!r})
        """,
    )


@pytest.mark.parametrize(
    "args",
    [
        [f"{HOSTILE}.png", "b.png"],
        ["a.png", "b.png", f"--{HOSTILE}"],
        ["a.png", "b.png", "--strategy", HOSTILE],
        ["a.png", "b.png", "--strategy", f"l1norm,{HOSTILE}=1"],
        ["a.png", "b.png", "--strategy", "l1norm", "--r", HOSTILE],
        ["a.png", "b.png", "--color", HOSTILE],
        ["a.png", "b.png", "--backbone", HOSTILE],
        ["a.png", "b.png", "--scale", HOSTILE],
        ["a.png", "b.png", "--strategy", "hostile"],
        ["a.png", "b.png", "-o", f"{HOSTILE}/x.png"],
    ],
    ids=lambda args: " ".join(args).replace(HOSTILE, "..."),
)
def test_no_error_has_what_a_terminal_obeys_or_forges_a_line(
    args, hostile_plugin, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "b.png"):
        iio.imwrite(name, RNG.integers(0, 256, (20, 30), dtype=np.uint8))
    result = CliRunner().invoke(main, ["fuse", "--backbone", "identity", *args])
    assert result.exit_code == 2
    assert r"\x1b]0;owned" in result.stderr
    assert not NEVER_PRINTED.search(result.output)
    assert not any(line.startswith("Error: run") for line in result.output.splitlines())


def test_tables_facts_and_help_show_escapes_and_json_the_text(hostile_plugin, shown):
    result = CliRunner().invoke(main, ["strategies"])
    assert SHOWN in result.stdout
    assert not NEVER_PRINTED.search(result.stdout)
    assert not NEVER_PRINTED.search(shown(show_facts, {"output": HOSTILE}, as_json=False))
    rows = json.loads(CliRunner().invoke(main, ["strategies", "--json"]).stdout)
    assert HOSTILE in [row["summary"] for row in rows]


@pytest.mark.filterwarnings("default")
def test_warnings_and_logs_of_libraries_are_lines_too(install, tmp_path, monkeypatch):
    install(
        "noisy",
        f"""
        import logging, warnings
        from dataclasses import dataclass
        import fusionlab

        @fusionlab.hookimpl
        def fusionlab_strategies():
            return [fusionlab.StrategyRef("noisy", "noisy:Noisy", "Noisy.")]

        @dataclass(frozen=True)
        class Noisy(fusionlab.Strategy):
            def fuse(self, features, scene):
                warnings.warn({HOSTILE!r})
                logging.getLogger("noisy").warning({HOSTILE!r})
                return features[0]
        """,
    )
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "b.png"):
        iio.imwrite(name, RNG.integers(0, 256, (20, 30), dtype=np.uint8))
    words = ["fuse", "--backbone", "identity", "--strategy", "noisy", "a.png", "b.png"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    assert result.stderr.count(SHOWN) == 2
    assert not NEVER_PRINTED.search(result.output)


def test_only_one_function_prints_in_the_commands():
    folder = Path(cli.__file__).parent
    for path in folder.glob("*.py"):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if path.name != "output.py":
                assert not re.search(
                    r"(?<![\w.])print\(|echo\(.*file=|click\.s?echo\(|(?<!\.)Console\(", line
                ), f"{path.name}, line {number}"


def _commands(group):
    for command in group.commands.values():
        yield command
        if isinstance(command, click.Group):
            yield from _commands(command)


def test_the_help_of_every_command_goes_through_it_too():
    assert all(isinstance(command, Command) for command in (main, *_commands(main)))


# --- stdout


def test_what_plugins_print_does_not_get_into_the_output(install):
    install("loud", "print('loud at its import')")
    result = CliRunner().invoke(main, ["strategies", "--json"])
    assert json.loads(result.stdout)
    assert "loud at its import" in result.stderr
