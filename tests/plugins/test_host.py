"""A plugin may be broken in many ways; fusionlab must name it and go on."""

import pytest
from click.testing import CliRunner

from fusionlab import Fusion, FusionlabError
from fusionlab.cli import main
from fusionlab.hookspecs import GROUP
from fusionlab.plugins.host import installed, load_plugins

GOOD = """
    from dataclasses import dataclass
    from fusionlab import Strategy, StrategyRef, hookimpl

    @hookimpl
    def fusionlab_strategies():
        return [StrategyRef("mine", __name__ + ":Mine", "Mine.")]

    @dataclass(frozen=True)
    class Mine(Strategy):
        "Mine."
        level: int = 2
        def fuse(self, features, scene): return features[0]
"""

BROKEN = {
    "import": ("import nowhere_to_be_found", "ModuleNotFoundError: No module named"),
    "syntax": ("def (", "SyntaxError: invalid syntax"),
    "exit": ("raise SystemExit(3)", "SystemExit: 3"),
    "typo": (
        "from fusionlab import hookimpl\n@hookimpl\ndef fusionlab_stratgies(): ...",
        "unknown hook 'fusionlab_stratgies'",
    ),
    "argument": (
        "from fusionlab import hookimpl\n@hookimpl\ndef fusionlab_strategies(color): ...",
        "PluginValidationError",
    ),
    "raises": (
        "from fusionlab import hookimpl\n@hookimpl\ndef fusionlab_strategies(): 1 / 0",
        "ZeroDivisionError: division by zero",
    ),
    "answer": (
        "from fusionlab import hookimpl\n@hookimpl\ndef fusionlab_strategies(): return ['l1norm']",
        "must list StrategyRef, got 'l1norm'",
    ),
    "nothing": (
        "from fusionlab import hookimpl\n@hookimpl\ndef fusionlab_presets(): ...",
        "TypeError: 'NoneType' object is not iterable",
    ),
    "halfway": (
        "from fusionlab import StrategyRef, hookimpl\n@hookimpl\ndef fusionlab_strategies():\n"
        "    yield StrategyRef('half', 'x:Y', '')\n    raise KeyError('way')",
        "KeyError: 'way'",
    ),
    "name": (
        "from fusionlab import StrategyRef, hookimpl\n@hookimpl\ndef fusionlab_strategies():\n"
        "    return [StrategyRef('a,b', 'x:Y', '')]",
        "a name consists of letters",
    ),
    "target": (
        "from fusionlab import StrategyRef, hookimpl\n@hookimpl\ndef fusionlab_strategies():\n"
        "    return [StrategyRef('a', 'x.Y', '')]",
        "a target is written 'package.module:Class', got 'x.Y'",
    ),
    "base": ("raise BaseException('of all')", "BaseException: of all"),
    "metric": (
        "from fusionlab import hookimpl\nfrom fusionlab import MetricRef\n@hookimpl\n"
        "def fusionlab_metrics():\n    return [MetricRef('a', 'x:y', '', better='up')]",
        "a must say one of higher, lower, neither, got 'up'",
    ),
    "twice": (
        "from fusionlab import StrategyRef, hookimpl\n@hookimpl\ndef fusionlab_strategies():\n"
        "    return [StrategyRef('same', 'x:Y', '')] * 2",
        "it offers the strategy 'same' twice",
    ),
}


def run(*args):
    return CliRunner().invoke(main, args)


def status(name):
    (plugin,) = [p for p in load_plugins().loaded if p.name == name]
    return plugin.status, plugin.problem


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_plugin_costs_one_warning_and_the_others_still_work(install, kind):
    code, message = BROKEN[kind]
    name = install(f"lab-{kind}", code)
    install("lab-good", GOOD)
    assert status("lab-good") == ("ok", "")
    state, problem = status(name)
    assert state == "broken"
    assert message in problem
    result = run("strategies")
    assert result.exit_code == 0
    assert "mine" in result.stdout
    assert "half" not in result.stdout
    assert result.stderr.count("warning") == 1
    assert f"warning: plugin {name} 1.0 is ignored: " in result.stderr


def test_a_plugin_of_another_api_is_reported_and_never_imported(install):
    install("lab-future", "raise AssertionError('imported')", group="fusionlab.v99")
    assert status("lab-future") == ("outdated", f"it speaks fusionlab.v99, this fusionlab {GROUP}")
    assert "plugin lab-future 1.0 is ignored: it speaks fusionlab.v99" in run("plugins").stderr


def test_a_blocked_plugin_is_never_imported(install, monkeypatch):
    install("lab-blocked", "raise AssertionError('imported')")
    result = run("--no-plugin", "Lab_Blocked", "plugins")
    assert "blocked" in result.stdout
    assert "AssertionError" not in result.output
    monkeypatch.setenv("FUSIONLAB_NO_PLUGIN", "something lab.blocked")
    assert "AssertionError" not in run("plugins").output
    assert not installed().warnings


def test_what_ships_is_blocked_like_any_other():
    assert run("--no-plugin", "fusionlab-imaging", "strategies").stdout == ""


def test_two_plugins_may_offer_the_same_name_if_the_user_says_which(install):
    install("lab-one", GOOD)
    install("lab-two", GOOD)
    with pytest.raises(FusionlabError, match="say which: lab-one:mine, lab-two:mine"):
        installed().strategies.find("mine")
    assert installed().strategies.find("lab-two:mine").plugin == "lab-two"
    assert Fusion("identity", "lab-two:mine").method == "identity/lab-two:mine,level=2"
    result = run("fuse", "a.png", "b.png", "--strategy", "mine")
    assert result.exit_code == 2
    assert "lab-one:mine, lab-two:mine" in result.stderr


def test_one_distribution_may_have_several_entry_points(install):
    install("lab-many", GOOD, entries="first = lab_many\nsecond = fusionlab.errors")
    assert [p.status for p in load_plugins().loaded if p.name == "lab-many"] == ["ok", "ok"]


def test_a_class_is_found_by_name_wherever_it_was_defined(install):
    """A reference may point at a re-export."""
    install("lab-real", GOOD.replace("__name__ +", "'lab_reexport' +"))
    install("lab-reexport", "from lab_real import Mine")
    assert Fusion("identity", "mine").method == "identity/mine,level=2"


def test_an_unknown_name_brings_the_nearest_one():
    with pytest.raises(FusionlabError, match="there is no strategy 'l1nrm'; did you mean 'l1norm'"):
        installed().strategies.find("l1nrm")


def test_a_strategy_that_is_not_where_its_plugin_says_is_one_sentence(install):
    install("lab-lost", GOOD.replace(":Mine", ":Theirs"))
    result = run("fuse", "a.png", "b.png", "--strategy", "mine")
    assert result.exit_code == 2
    assert "lab-lost:mine cannot be used: AttributeError" in result.stderr
    assert "Traceback" not in result.output


def test_python_users_get_a_warning_for_a_broken_plugin(install):
    install("lab-import", BROKEN["import"][0])
    with pytest.warns(RuntimeWarning, match="plugin lab-import 1.0 is ignored"):
        installed()


DEFAULTS = """
    from fusionlab import Preset, hookimpl

    @hookimpl
    def fusionlab_defaults(): return {"strategy": "mean"}

    @hookimpl
    def fusionlab_presets():
        return [Preset("paper", "theirs", {"range_policy": "clip"}, {"l1norm": {"r": 5}})]
"""


def test_two_defaults_are_a_question_to_the_user(install):
    install("lab-default", DEFAULTS)
    with pytest.raises(FusionlabError, match=r"several plugins offer a default strategy.*lab-defa"):
        installed().default("strategy")
    with pytest.raises(FusionlabError, match="no installed plugin offers a default metric"):
        installed().default("metric")


def test_presets_must_not_contradict_each_other_and_only_speak_of_their_own(install):
    registration = installed().strategies.find("l1norm")
    assert installed().preset("paper", registration) == {"range_policy": "minmax", "r": 0}
    mean = installed().strategies.find("mean")
    assert installed().preset("paper", mean) == {"range_policy": "minmax"}
    with pytest.raises(FusionlabError, match="there is no preset 'papre'; known: paper"):
        installed().preset("papre", registration)
    install("lab-preset", DEFAULTS)
    with pytest.raises(FusionlabError, match="plugins disagree .* 'paper' means for range_policy"):
        installed().preset("paper", registration)
