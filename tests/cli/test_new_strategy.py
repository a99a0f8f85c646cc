"""`fusionlab new-strategy`: a package that works as it is, or nothing."""

import importlib
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from zipfile import ZipFile

import pytest
from click.testing import CliRunner

from fusionlab.cli import main

ROOT = Path(__file__).parents[2]
FILES = [".gitignore", "README.md", "{module}.py", "pyproject.toml", "tests/test_{own}.py"]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run the command in an empty folder: its exit code and what it printed."""
    monkeypatch.chdir(tmp_path)

    def run_one(*args):
        result = CliRunner().invoke(main, ["new-strategy", *args])
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result.exit_code, result.output

    known = set(sys.modules)
    yield run_one
    for module in set(sys.modules) - known:
        if Path(getattr(sys.modules[module], "__file__", None) or "/").is_relative_to(tmp_path):
            del sys.modules[module]


def written(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


# ---------------------------------------------------------------- what it writes


@pytest.mark.parametrize(
    ("name", "folder", "module", "own", "cls"),
    [
        ("mine", "fusionlab-mine", "fusionlab_mine", "mine", "Mine"),
        (
            "my_strategy",
            "fusionlab-my-strategy",
            "fusionlab_my_strategy",
            "my_strategy",
            "MyStrategy",
        ),
        ("My-own__2nd", "fusionlab-my-own-2nd", "fusionlab_my_own_2nd", "my_own_2nd", "MyOwn2nd"),
        ("l0Norm", "fusionlab-l0norm", "fusionlab_l0norm", "l0norm", "L0Norm"),
    ],
)
def test_every_name_follows_from_that_of_the_strategy(
    run, tmp_path, monkeypatch, name, folder, module, own, cls
):
    code, output = run(name)
    assert code == 0
    assert f"wrote {folder}: the strategy is in {module}.py" in output
    package = tmp_path / folder
    expected = [file.format(module=module, own=own) for file in FILES]
    assert written(tmp_path) == sorted(
        [folder, f"{folder}/tests"] + [f"{folder}/{f}" for f in expected]
    )
    project = tomllib.loads((package / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["name"] == folder
    assert project["project"]["entry-points"]["fusionlab.v1"] == {name: module}
    assert project["project"]["dependencies"] == ["fusionlab-imaging"]
    assert not {"license", "authors"} & project["project"].keys()  # a matter of the author
    monkeypatch.syspath_prepend(str(package))
    imported = importlib.import_module(module)
    (ref,) = imported.fusionlab_strategies()
    assert (ref.name, ref.load()) == (name, getattr(imported, cls))
    assert ref.summary == ref.load().__doc__


def test_no_name_of_the_template_is_left(run, tmp_path):
    names = ("my_strategy", "my-strategy", "MyStrategy", "AUTHOR")
    assert run("mine")[0] == 0
    for path in (tmp_path / "fusionlab-mine").rglob("*.*"):
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        assert not [name for name in names if name in text + path.name]


def test_its_own_tests_pass(run, tmp_path, python):
    assert run("mine")[0] == 0
    package = tmp_path / "fusionlab-mine"
    paths = [str(package), *filter(None, sys.path)]
    tested = subprocess.run(
        [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-rs"],
        cwd=package,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert tested.returncode == 0, tested.stdout
    assert "26 passed, 1 skipped" in tested.stdout
    assert "DUPLICATES is not declared, and does not hold" in tested.stdout


def test_the_test_of_the_formula_fails_for_another_formula(run, tmp_path, monkeypatch):
    assert run("mine")[0] == 0
    package = tmp_path / "fusionlab-mine"
    for folder in (package, package / "tests"):
        monkeypatch.syspath_prepend(str(folder))
    import fusionlab_mine
    import test_mine

    test_mine.test_the_formula_by_hand()
    test_mine.test_the_window_by_hand()
    test_mine.test_a_source_without_activity_contributes_nothing()
    monkeypatch.setattr(fusionlab_mine, "normalize", lambda maps: 0 * maps + 1 / len(maps))
    for test in (
        test_mine.test_the_formula_by_hand,
        test_mine.test_the_window_by_hand,
        test_mine.test_a_source_without_activity_contributes_nothing,
    ):
        with pytest.raises(AssertionError, match="not close"):
            test()


@pytest.mark.parametrize("arguments", [["check"], ["format", "--check"]])
def test_ruff_finds_nothing_with_the_settings_it_comes_with(run, tmp_path, arguments):
    assert run("mine")[0] == 0
    ruff = [sys.executable, "-m", "ruff", *arguments, "--isolated", "--no-cache", "."]
    completed = subprocess.run(
        ruff, cwd=tmp_path / "fusionlab-mine", capture_output=True, text=True, check=False
    )
    assert completed.returncode == 0, completed.stdout + completed.stderr


def test_it_goes_where_it_is_told_and_says_how_to_install_it(run, tmp_path):
    (tmp_path / "my plugins").mkdir()
    code, output = run("mine", "--directory", "my plugins")
    assert code == 0
    assert output.splitlines()[1:] == [
        "  pip install -e 'my plugins/fusionlab-mine'",
        "  fusionlab check mine",
        "  fusionlab evaluate SET --method densefuse/mine",
    ]
    assert (tmp_path / "my plugins" / "fusionlab-mine" / "fusionlab_mine.py").is_file()


@pytest.mark.parametrize("author", ["Ada Lovelace", 'Ö. "the \\ pen" MyStrategy'])
def test_the_author_is_named(run, tmp_path, author):
    assert run("mine", "--author", author)[0] == 0
    text = (tmp_path / "fusionlab-mine" / "pyproject.toml").read_text(encoding="utf-8")
    assert tomllib.loads(text)["project"]["authors"] == [{"name": author}]


def test_the_wheel_has_the_template(tmp_path):
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = [n for n in ZipFile(wheel).namelist() if n.startswith("fusionlab/scaffold/fusionlab-")]
    expected = [file.format(module="fusionlab_my_strategy", own="my_strategy") for file in FILES]
    assert sorted(names) == [
        f"fusionlab/scaffold/fusionlab-my-strategy/{file}" for file in expected
    ]


# ---------------------------------------------------------------- what it refuses


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("", "the name of a strategy may contain letters, digits"),
        ("3d", "must begin with a letter, and must end with a letter or digit, got '3d'"),
        ("mine-", "must end with a letter or digit, got 'mine-'"),
        ("a.b", "got 'a.b'"),
        ("a/b", "got 'a/b'"),
        ("größe", "got 'größe'"),
        ("mine\n", "got 'mine\\n'"),
        ("class", "'class' is a keyword of Python; choose another name"),
        ("none", "'none' is a keyword of Python; choose another name"),
        ("exception", "the class would be called Exception, like a built-in of Python"),
        ("law", "the class would be called Law, like a name of fusionlab;"),
        (
            "strategy-laws",
            "called StrategyLaws, like the one that it imports from fusionlab",
        ),
        ("fusion", "the class would be called Fusion, like a name of fusionlab;"),
        ("torch", "'torch' is the name of a module of Python or of an installed package"),
        ("wave", "'wave' is the name of a module of Python or of an installed package"),
        ("CON", "Windows has no file or folder called 'CON'"),
        ("lpt1", "Windows has no file or folder called 'lpt1'"),
        (
            "l1norm",
            "fusionlab-imaging already offers a strategy 'l1norm', and the name would be ambiguous",
        ),
        ("imaging", "the package would be called fusionlab-imaging, and would replace"),
        ("strategies", "the package would be called fusionlab-strategies, and would replace"),
    ],
)
def test_a_name_that_will_not_do(run, tmp_path, name, sentence):
    code, output = run(name)
    assert (code, output.count("\n")) == (2, 1)
    assert output.startswith("Error: ")
    assert sentence in output
    assert written(tmp_path) == []


def test_a_name_that_an_installed_plugin_has_even_if_it_is_left_out(run, install):
    install("fusionlab-my-strategy", "")
    code, output = run("my_strategy")
    assert code == 2
    assert "the package would be called fusionlab-my-strategy, and would replace" in output


@pytest.mark.parametrize("author", ["", " ", "Ada\nLovelace"])
def test_an_author_that_is_not_a_line_of_text(run, tmp_path, author):
    code, output = run("mine", "--author", author)
    assert code == 2
    assert "the name of the author must be one line of text" in output
    assert written(tmp_path) == []


@pytest.mark.parametrize("there", ["folder", "file", "link"])
def test_what_is_there_already_stays_as_it_is(run, tmp_path, there):
    path = tmp_path / "fusionlab-mine"
    match there:
        case "folder":
            path.mkdir()
        case "file":
            path.write_text("mine")
        case "link":
            path.symlink_to("nowhere")
    code, output = run("mine")
    assert code == 2
    assert (
        output == "Error: fusionlab-mine already exists; choose another name or remove it first\n"
    )
    assert written(tmp_path) == ["fusionlab-mine"]


def test_a_folder_that_is_not_there(run, tmp_path):
    code, output = run("mine", "--directory", "nowhere")
    assert code == 2
    assert "Directory 'nowhere' does not exist" in output
    assert written(tmp_path) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write into read-only folders")
def test_a_folder_that_is_read_only(run, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    code, output = run("mine", "--directory", "locked")
    assert (code, output) == (2, "Error: cannot write locked/fusionlab-mine: Permission denied\n")
    assert written(tmp_path) == ["locked"]


def test_a_name_that_is_too_long_for_the_file_system(run, tmp_path):
    code, output = run("x" * 300)
    assert (code, output.count("\n")) == (2, 1)
    assert output.endswith("File name too long\n")
    assert written(tmp_path) == []


@pytest.mark.parametrize(
    ("problem", "expected"),
    [
        (OSError(28, "No space left on device"), (2, "cannot write fusionlab-mine: No space left")),
        (PermissionError(13, "Permission denied"), (2, "cannot write fusionlab-mine: Permission")),
        (KeyboardInterrupt(), (130, "stopped; nothing has been written")),
    ],
)
def test_whatever_happens_half_way_leaves_nothing(run, tmp_path, monkeypatch, problem, expected):
    write = Path.write_text

    def failing(self, text, **options):
        if self.name == "test_mine.py":
            write(self, text[:9], **options)
            raise problem
        return write(self, text, **options)

    monkeypatch.setattr(Path, "write_text", failing)
    code, output = run("mine")
    assert (code, expected[1] in output) == (expected[0], True)
    assert written(tmp_path) == []
