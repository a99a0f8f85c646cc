"""The lists of what is installed, one line each."""

import json

import pytest
from click.testing import CliRunner

from fusionlab import FusionlabError, list_strategies, load_strategy
from fusionlab.cli import main
from fusionlab.plugins.host import installed
from fusionlab.plugins.loading import strategy_class


def lines(command):
    result = CliRunner().invoke(main, [command])
    assert result.exit_code == 0
    return result.stdout.splitlines()


def shipped(command):
    """Return the lines of what ships; a developer may have installed other plugins, too."""
    return [line for line in lines(command) if line.endswith("[fusionlab-imaging]")]


def test_strategies():
    names = [line.split()[0] for line in shipped("strategies")]
    assert names == sorted(names)
    assert {"addition", "l1norm", "max", "mean"} < set(names)


def test_the_parameters_of_a_strategy_or_backbone_are_shown():
    def facts(*command):
        return json.loads(CliRunner().invoke(main, [*command, "--json"]).stdout)

    first = facts("strategies", "l1norm")["parameters"][0]
    assert first.startswith("r=1  Half-width of the averaging window")
    assert facts("strategies", "l1norm")["parameters"][1].endswith("(inside, reflect)")
    assert facts("backbones", "densefuse")["weights"][:2] == ["@1e3-long", "@1e0"]
    result = CliRunner().invoke(main, ["strategies", "l1nrm"])
    assert (result.exit_code, "did you mean 'l1norm'" in result.stderr) == (2, True)


@pytest.mark.parametrize(
    "command", [*main.commands, *(f"study {name}" for name in main.commands["study"].commands)]
)
def test_help_shows_examples_on_lines_of_their_own(command):
    text = CliRunner().invoke(main, [*command.split(), "--help"]).stdout
    assert "\\b" not in text
    assert "\\x08" not in text  # what marks lines that are not wrapped, where it is misplaced
    lines = [line.strip().removeprefix("Example:").strip() for line in text.splitlines()]
    assert any(line.startswith(f"fusionlab {command}") for line in lines)


@pytest.mark.parametrize(
    ("args", "shown"),
    [
        (["fuse", "--no-plugin", "X"], "fusionlab --no-plugin NAME fuse ..."),
        (["fuse", "--strategy", "mean", "--no-plugin=X"], "fusionlab --no-plugin NAME fuse ..."),
        (["study", "run", "--no-plugin", "X"], "fusionlab --no-plugin NAME study ..."),
        (["metrics", "--version"], "fusionlab --version metrics ..."),
    ],
)
def test_options_of_the_main_command_go_before_the_command(args, shown):
    result = CliRunner().invoke(main, args, prog_name="fusionlab")
    option = shown.split()[1]
    assert result.exit_code == 2
    assert f"Error: {option} goes before the command: {shown}\n" in result.stderr


def test_the_commands_of_a_study_are_listed_in_the_order_of_their_use():
    text = CliRunner().invoke(main, ["study", "--help"]).stdout
    listed = [line.split()[0] for line in text.partition("Commands:")[2].splitlines() if line][:4]
    assert listed == ["validate", "run", "status", "report"]


ROLES = """
    from dataclasses import dataclass
    from fusionlab import Strategy, StrategyRef, hookimpl

    @hookimpl
    def fusionlab_strategies():
        roles = ("infrared", "visible")
        return [StrategyRef("ordered", __name__ + ":Ordered", "Ordered.", roles=roles)]

    @dataclass(frozen=True)
    class Ordered(Strategy):
        roles = ("infrared", "visible")
        def fuse(self, features, scene): return features[0]
"""


def test_strategies_show_the_roles_of_their_sources(install):
    install("lab-roles", ROLES)
    (line,) = [line for line in lines("strategies") if line.startswith("ordered")]
    assert "infrared, visible" in line


def test_roles_that_differ_from_those_of_the_class_are_refused(install):
    install("lab-other", ROLES.replace('("infrared", "visible")', '("visible",)', 1))
    with pytest.raises(
        FusionlabError, match="lab-other:ordered cannot be used: TypeError: its desc"
    ):
        load_strategy("lab-other:ordered")


@pytest.mark.parametrize("name", list_strategies())
def test_what_ships_lists_the_roles_of_its_classes(name):
    registration = installed().strategies.find(name)
    assert registration.ref.roles == strategy_class(registration).roles


def test_backbones_with_their_weights():
    rows = {row.split()[0]: row for row in shipped("backbones")}
    assert [*rows] == ["densefuse", "deepfuse", "identity", "nestfuse"]
    assert "@1e2" in rows["densefuse"]
    assert "no weights" in rows["identity"]


def test_engines_with_their_summaries():
    eager = next(line for line in lines("engines") if line.startswith("eager"))
    assert "PyTorch" in eager
    assert eager.endswith("[fusionlab-imaging]")


def test_tasks_with_their_methods_and_the_evidence():
    result = CliRunner().invoke(main, ["tasks", "--json"])
    rows = {row["name"]: row for row in json.loads(result.stdout)}
    assert {"infrared", "focus", "exposure", "medical"} <= rows.keys()
    for registration in installed().tasks.registrations:
        task = registration.ref
        row = rows[task.name]
        assert (row["method"], row["evidence"]) == (task.method, task.evidence)
        assert (row["color"], row["range"]) == (task.color, task.range_policy)


def test_presets_say_what_they_mean():
    text = "\n".join(lines("presets"))
    assert "range_policy=own" in text
    assert "l1norm:r=0" in text


def test_one_preset_is_described_completely():
    result = CliRunner().invoke(main, ["presets", "paper", "--json"])
    facts = json.loads(result.stdout)
    assert "densefuse@1e2/addition" in facts["methods"]
    assert "cbf,variant=authors" in facts["methods"]
    assert "Qabf@paper" in facts["metrics"]
    assert "fusionlab-classics" in facts["packages"]
    assert CliRunner().invoke(main, ["presets", "newspaper"]).exit_code == 2


def test_plugins_say_what_became_of_them(install):
    install("lab-broken", "import nowhere_at_all")
    rows = lines("plugins")
    (broken,) = [row for row in rows if row.startswith("lab-broken")]
    assert "broken" in broken
    assert "nowhere_at_all" in broken
    shipped = [row.split() for row in rows if row.startswith("fusionlab-imaging ")]
    targets = {words[-1] for words in shipped}  # of six entry points
    assert targets == {
        "fusionlab.engine",
        "fusionlab.imaging.formats",
        "fusionlab.metrics",
        "fusionlab.sequences.formats",
        "fusionlab_encoders",
        "fusionlab_strategies",
    }
    assert {words[2] for words in shipped} == {"ok"}


@pytest.mark.parametrize(
    "command",
    [
        "strategies",
        "backbones",
        "engines",
        "readers",
        "registrations",
        "tasks",
        "presets",
        "plugins",
    ],
)
def test_as_json_it_is_the_same_table(command):
    result = CliRunner().invoke(main, [command, "--json"])
    assert result.exit_code == 0
    rows = json.loads(result.stdout)
    assert len(rows) == len(lines(command))
    assert [row["name"] for row in rows] == [line.split()[0] for line in lines(command)]
    # the same columns in every row; nothing that registers images may be installed
    assert len({tuple(row) for row in rows}) == min(1, len(rows))


@pytest.mark.usefixtures("only_what_ships")
def test_as_json_a_table_without_rows_is_empty():
    result = CliRunner().invoke(main, ["--no-plugin", "fusionlab-imaging", "strategies", "--json"])
    assert (result.exit_code, json.loads(result.stdout)) == (0, [])
    result = CliRunner().invoke(main, ["--no-plugin", "fusionlab-imaging", "strategies"])
    assert (result.exit_code, result.stdout) == (0, "")
