"""The files around the code: workflows, hooks, templates, constraints, words."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import check_words
import constraints_oldest
import draw_architecture
import pytest
import yaml

import fusionlab

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
YAML_FILES = [
    ROOT / "CITATION.cff",
    ROOT / ".pre-commit-config.yaml",
    ROOT / "mkdocs.yml",
    *sorted((ROOT / ".github").rglob("*.yml")),
]


def load_yaml(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def ci(*arguments, check=True, **options):
    command = [ROOT / ".ci" / "run", *arguments]
    return subprocess.run(command, check=check, capture_output=True, text=True, **options)


def run_steps(workflow):
    for job in load_yaml(workflow)["jobs"].values():
        yield from (step["run"] for step in job["steps"] if "run" in step)


@pytest.mark.parametrize("path", YAML_FILES, ids=lambda path: path.name)
def test_each_yaml_file_can_be_parsed(path):
    assert isinstance(load_yaml(path), dict)


def test_ci_runs_exactly_the_two_commands_of_the_readme():
    """By a dry run, which prints each command line instead of running it."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    fuse, test = [line for line in readme.splitlines() if line.startswith("python3 -m venv ")]
    commands = [line.removeprefix("+ ") for line in ci("--dry-run").stdout.splitlines()]
    assert "/fusionlab fuse " in fuse
    assert fuse in commands
    assert commands[commands.index(fuse) + 1] == "test -s fused.png"
    assert test.endswith("/pytest")
    assert commands[-1] == test


def test_ci_without_arguments_also_checks_style_types_imports_words_and_docs():
    commands = ci("--dry-run").stdout
    for tool in ("ruff check", "ruff format --check", "mypy", "lint-imports", "codespell"):
        assert f"+ .venv/bin/{tool}" in commands
    assert "+ .venv/bin/python tools/check_words.py" in commands
    assert "+ .venv/bin/pytest -m docs" in commands


def test_ci_refuses_a_step_that_it_does_not_have():
    refused = ci("nonsense", check=False)
    assert refused.returncode == 2
    assert "nonsense" in refused.stderr


def test_ci_says_which_tests_are_skipped_because_a_program_is_not_installed(tmp_path):
    for program in ("bash", "dirname", "grep"):
        (tmp_path / program).symlink_to(shutil.which(program))
    environment = {"PATH": str(tmp_path)}
    browser, latex = ci("--dry-run", "tests", env=environment).stderr.splitlines()
    assert "apt-get install chromium" in browser
    assert "apt-get install texlive-latex-recommended" in latex
    for program in ("chromium", "pdflatex"):
        (tmp_path / program).write_text("#!/bin/sh")
        (tmp_path / program).chmod(0o755)
    assert ci("--dry-run", "tests", env=environment).stderr == ""


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_each_job_runs_nothing_but_steps_of_ci(workflow):
    steps = set(ci("--list").stdout.split())
    commands = list(run_steps(workflow))
    assert commands
    for command in commands:
        script, *names = command.split()
        assert script == ".ci/run"
        assert names
        assert set(names) <= steps


def test_the_workflows_run_every_step_of_ci():
    called = {name for path in WORKFLOWS for run in run_steps(path) for name in run.split()[1:]}
    assert called == set(ci("--list").stdout.split())


def test_the_tests_run_on_every_supported_python():
    jobs = load_yaml(ROOT / ".github" / "workflows" / "ci.yml")["jobs"]
    versions = jobs["tests"]["strategy"]["matrix"]["python-version"]
    classifier = re.compile(r"Programming Language :: Python :: (3\.\d+)")
    assert versions == [match[1] for c in PROJECT["classifiers"] if (match := classifier.match(c))]
    assert PROJECT["requires-python"] == f">={versions[0]}"


def test_the_oldest_dependencies_are_the_lower_bounds_of_the_project():
    written = (ROOT / "constraints-oldest.txt").read_text(encoding="utf-8")
    assert written == constraints_oldest.constraints(), "run: python tools/constraints_oldest.py"


def test_the_drawing_of_the_architecture_is_that_of_the_imports():
    drawn = draw_architecture.TARGET.read_text(encoding="utf-8")
    assert drawn == draw_architecture.draw(), "run: python tools/draw_architecture.py"


def test_the_page_of_the_architecture_describes_every_room():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([^`]+)` \|.*\| (?:`([^`]+)`)? ?\|$", page, re.MULTILINE))
    assert set(rows) == {label for layer in draw_architecture.layers() for _, label in layer}
    assert all((ROOT / "fusionlab" / room / first).exists() for room, first in rows.items())


def test_each_file_that_the_page_of_the_architecture_names_exists():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    folders = "cli|runs|plugins|imaging|engine|storage|metrics|tests|fusionlab|benchmarks|tools"
    names = set(re.findall(rf"`(?:python )?((?:{folders})/[\w/]+\.py)`", page))
    assert len(names) > 20
    for name in names:
        if not re.search("NAME|FAMILY", name):
            assert (ROOT / name).is_file() or (ROOT / "fusionlab" / name).is_file(), name


def test_the_hooks_before_a_commit_use_tools_that_the_project_installs():
    (repository,) = load_yaml(ROOT / ".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"
    for hook in repository["hooks"]:
        assert hook["language"] == "system"
        program, *arguments = hook["entry"].split()
        assert shutil.which(program, path=Path(sys.executable).parent), program
        if program == "python":
            assert (ROOT / arguments[0]).is_file()


@pytest.mark.parametrize("name", ["bug", "metric", "strategy"])
def test_each_issue_template_names_its_fields_once(name):
    template = load_yaml(ROOT / ".github" / "ISSUE_TEMPLATE" / f"{name}.yml")
    assert {"name", "description", "body"} <= set(template)
    fields = [field["id"] for field in template["body"] if field["type"] != "markdown"]
    assert fields
    assert len(set(fields)) == len(fields)
    assert any(field.get("validations", {}).get("required") for field in template["body"])


def test_the_citation_has_the_version_of_the_package():
    assert load_yaml(ROOT / "CITATION.cff")["version"] == fusionlab.__version__


def test_spelling_is_american_and_replaced_words_stay_away():
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("needs a git checkout, which says which files belong to the project")
    findings = [
        str(finding)
        for name in check_words.tracked_files()
        for finding in check_words.check_file(name, (ROOT / name).read_text(encoding="utf-8"))
    ]
    assert not findings, "\n".join(findings)


@pytest.mark.parametrize(
    ("code", "kind", "better"),
    [
        ("grey_levels = 256\n", "spelling", "gray"),
        ("def set_colour(): ...\n", "spelling", "color"),
        ('"""Normalises the weights."""\n', "spelling", "-ize"),
        ("class Catalogue: ...\n", "name", "Registry"),
        ("# the picture is written\n", "prose", "image"),
    ],
)
def test_the_word_check_finds_what_it_is_for(code, kind, better):
    findings = check_words.check_file("fusionlab/some.py", code)
    assert (kind, better) in {(finding.kind, finding.better) for finding in findings}


@pytest.mark.parametrize(
    "code", ["color = gray\n", "exercise = precise + promise\n", "future.cancelled()\n"]
)
def test_the_word_check_leaves_american_words_and_names_of_others_alone(code):
    assert not list(check_words.check_file("fusionlab/some.py", code))


def test_each_exception_of_the_word_check_has_a_reason():
    assert all(entry.reason for entry in check_words.ALLOWED)
