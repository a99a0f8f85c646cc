"""Plugins, sound and broken: fusionlab names a broken plugin and keeps working."""

import re

import pytest
from click.testing import CliRunner

from fusionlab import Fusion, FusionlabError, hookspecs
from fusionlab.cli import main
from fusionlab.cli.session import Session
from fusionlab.errors import PluginWarning
from fusionlab.hookspecs import GROUP
from fusionlab.plugins import host
from fusionlab.plugins.host import installed, load_plugins
from fusionlab.plugins.presets import preset_values

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
        "fusionlab_presets must return a list or a mapping, got None",
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
        "def fusionlab_metrics():\n    return [MetricRef('a', 'x:y', '', higher_is_better='up')]",
        "higher_is_better of a must be True, False or None, got 'up'",
    ),
    "joined": (
        "from fusionlab import hookimpl\nfrom fusionlab import MetricRef\n@hookimpl\n"
        "def fusionlab_metrics():\n    return [MetricRef('a', 'x:y', '', joined_channels=['b'])]",
        "joined_channels of a must name some of its conventions, got 'b'",
    ),
    "frames": (
        "from fusionlab import TemporalMetricRef, hookimpl\n@hookimpl\n"
        "def fusionlab_metrics():\n    return [TemporalMetricRef('a', 'x:y', '', frames=1)]",
        "a must compare at least 2 frames, got 1",
    ),
    "both": (
        "from fusionlab import MetricRef, TemporalMetricRef, hookimpl\n@hookimpl\n"
        "def fusionlab_metrics():\n"
        "    return [MetricRef('a', 'x:y', ''), TemporalMetricRef('a', 'x:y', '')]",
        "it offers the metric 'a' twice",
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
    assert status("lab-future") == ("outdated", f"it is written for fusionlab.v99, not for {GROUP}")
    assert (
        "plugin lab-future 1.0 is ignored: it is written for fusionlab.v99" in run("plugins").stderr
    )


def test_a_blocked_plugin_is_never_imported(install, monkeypatch):
    install("lab-blocked", "raise AssertionError('imported')")
    result = run("--no-plugin", "Lab_Blocked", "plugins")
    assert "blocked" in result.stdout
    assert "AssertionError" not in result.output
    monkeypatch.setenv("FUSIONLAB_NO_PLUGIN", "lab.blocked")
    assert "AssertionError" not in run("plugins").output
    assert not installed().warnings


def test_a_plugin_to_block_that_is_not_there_is_told_with_the_most_similar_one(
    install, monkeypatch
):
    install("lab-thermal", GOOD)
    text = "there is no plugin 'lab-termal' to leave out; did you mean 'lab-thermal'?"
    assert f"warning: {text}\n" in run("--no-plugin", "lab-termal", "strategies").stderr
    monkeypatch.setenv("FUSIONLAB_NO_PLUGIN", "lab-termal")
    assert f"warning: {text}\n" in run("strategies").stderr
    with pytest.warns(PluginWarning, match=re.escape(text)):
        installed()


@pytest.mark.parametrize("library_first", [True, False])
def test_a_command_tells_of_a_broken_plugin_once_whoever_loads_it(
    library_first, install, capsys, recwarn
):
    install("lab-import", BROKEN["import"][0])
    session = Session()
    with session.in_process():
        if library_first:
            installed()
        assert session.plugins.loaded
        installed()
    assert capsys.readouterr().err.count("warning: plugin lab-import 1.0 is ignored") == 1
    assert not recwarn.list  # which Python would print with the line of code


@pytest.mark.usefixtures("only_what_ships")
def test_what_ships_is_blocked_like_any_other():
    assert run("--no-plugin", "fusionlab-imaging", "strategies").stdout == ""


def test_two_plugins_may_offer_the_same_name_if_the_user_says_which(install):
    install("lab-one", GOOD)
    install("lab-two", GOOD)
    with pytest.raises(FusionlabError, match="choose one of: lab-one:mine, lab-two:mine"):
        installed().strategies.find("mine")
    assert installed().strategies.find("lab-two:mine").plugin == "lab-two"
    assert Fusion("identity", "lab-two:mine").method == "identity/lab-two:mine,level=2"
    result = run("fuse", "a.png", "b.png", "--strategy", "mine")
    assert result.exit_code == 2
    assert "lab-one:mine, lab-two:mine" in result.stderr


def test_one_distribution_may_have_several_entry_points(install):
    install("lab-many", GOOD, entries="first = lab_many\nsecond = fusionlab.errors")
    assert [p.status for p in load_plugins().loaded if p.name == "lab-many"] == ["ok", "ok"]


WRAPPER = """
    from fusionlab import StrategyRef, hookimpl

    @hookimpl
    def fusionlab_strategies():
        return [StrategyRef(name, "x:Y", "") for name in ("shown", "hidden")]

    @hookimpl(wrapper=True, specname="fusionlab_strategies")
    def hide():
        results = yield
        return [[ref for ref in refs if ref.name != "hidden"] for refs in results]
"""


def offered_by(name):
    registrations = load_plugins().strategies.registrations
    return [entry.ref.name for entry in registrations if entry.plugin == name]


def test_a_hook_wrapper_changes_what_its_own_module_offers(install):
    before = offered_by("fusionlab-imaging")
    install("lab-wrapper", WRAPPER)
    assert status("lab-wrapper") == ("ok", "")
    assert offered_by("lab-wrapper") == ["shown"]
    assert offered_by("fusionlab-imaging") == before


def test_a_hook_wrapper_without_an_implementation_is_called_with_no_results(install):
    install(
        "lab-wrapper",
        """
        from fusionlab import StrategyRef, hookimpl

        @hookimpl(wrapper=True)
        def fusionlab_strategies():
            results = yield
            assert results == []
            return [[StrategyRef("added", "x:Y", "")]]
        """,
    )
    assert status("lab-wrapper") == ("ok", "")
    assert offered_by("lab-wrapper") == ["added"]


def test_a_failing_hook_wrapper_breaks_its_own_plugin_only(install):
    install("lab-good", GOOD)
    install("lab-wrapper", WRAPPER.replace("yield", "yield; 1 / 0"))
    assert status("lab-wrapper") == ("broken", "ZeroDivisionError: division by zero")
    assert offered_by("lab-wrapper") == []
    assert offered_by("lab-good") == ["mine"]


def test_a_hook_wrapper_that_forgets_to_return_is_told_so(install):
    install("lab-wrapper", WRAPPER.replace("return [[ref", "[[ref"))
    state, problem = status("lab-wrapper")
    assert state == "broken"
    assert "fusionlab_strategies must return a list or a mapping" in problem


def test_a_hook_may_gain_an_argument_that_old_implementations_do_not_take(install, monkeypatch):
    @hookspecs.hookspec
    def fusionlab_strategies(detail): ...

    monkeypatch.setattr(hookspecs, "fusionlab_strategies", fusionlab_strategies)
    monkeypatch.setitem(host.HOOK_ARGUMENTS, "fusionlab_strategies", {"detail": "full"})
    install("lab-old", GOOD)
    takes_it = GOOD.replace("fusionlab_strategies()", "fusionlab_strategies(detail)")
    install("lab-new", takes_it.replace('"mine"', "detail"))
    assert [status(name) for name in ("lab-old", "lab-new")] == [("ok", "")] * 2
    assert offered_by("lab-old") == ["mine"]
    assert offered_by("lab-new") == ["full"]


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


NAMESAKES = """
    from fusionlab import BackboneRef, EngineRef, StrategyRef, hookimpl

    @hookimpl
    def fusionlab_strategies(): return [StrategyRef("l1norm", "x:Y", "")]

    @hookimpl
    def fusionlab_backbones(): return [BackboneRef(n, "x:Y", "") for n in ("densefuse", "identity")]

    @hookimpl
    def fusionlab_engines(): return [EngineRef("eager", "x:Y", "")]
"""


def test_a_namesake_of_a_default_does_not_take_its_place(install):
    """A default means what its own plugin offers; a stranger's package cannot stop every run."""
    plain = Fusion()
    install("lab-namesake", NAMESAKES)
    assert Fusion().engine == "fusionlab-imaging:eager"
    assert type(Fusion().backbone) is type(plain.backbone)
    assert Fusion().strategy == plain.strategy
    assert Fusion(strategy="laplacian_pyramid").backbone.domain == "pixels"


def test_presets_must_not_contradict_each_other_and_only_speak_of_their_own(install):
    registration = installed().strategies.find("l1norm")
    settings = {"range_policy": "own", "color": "per-channel", "shared_weights": False}
    assert preset_values("paper", registration, installed()) == {**settings, "r": 0}
    mean = installed().strategies.find("mean")
    assert preset_values("paper", mean, installed()) == settings
    with pytest.raises(FusionlabError, match="there is no preset 'papre'; known: .*paper"):
        preset_values("papre", registration, installed())
    install("lab-preset", DEFAULTS)
    with pytest.raises(FusionlabError, match="plugins disagree .* 'paper' means for range_policy"):
        preset_values("paper", registration, installed())
