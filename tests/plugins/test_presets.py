"""Presets: what plugins contribute to them, and what becomes of names that are not installed."""

import pytest

from fusionlab import FusionlabError, Preset
from fusionlab.evaluation.metric import Metric
from fusionlab.plugins.factory import build_backbone, build_strategy
from fusionlab.plugins.host import installed
from fusionlab.plugins.method_names import split_method
from fusionlab.plugins.presets import (
    package_to_install,
    preset_methods,
    preset_metrics,
    preset_settings,
    published_table,
)

ADDING = """
    from fusionlab import Preset, hookimpl

    @hookimpl
    def fusionlab_presets():
        return [
            Preset(
                "paper",
                "one more row",
                methods=("nowhere,variant=authors", "identity/mean"),
                packages={"nowhere": "lab-nowhere", "mean": "lab-mean"},
                metrics=("SD", "Qabf@vifb"),
                published={"Nowhere": {"SD": 1.0}},
                published_methods={"Nowhere": "nowhere,variant=authors"},
                notes={"Nowhere": "it is nowhere."},
            )
        ]
"""


def test_several_plugins_contribute_to_one_preset(install):
    install("lab-rows", ADDING)
    methods = preset_methods("paper", installed())
    assert "nowhere,variant=authors" in methods
    assert "densefuse@1e2/l1norm" in methods
    assert preset_metrics("paper", installed())[-2:] == ["SD", "Qabf@vifb"]
    table = published_table("paper", installed())
    assert table.rows["Nowhere"] == {"SD": 1}
    assert table.methods["Nowhere"] == "nowhere,variant=authors"
    assert table.methods["densefuse@1e2/addition"] == "densefuse@1e2/addition"
    assert table.notes["Nowhere"] == "it is nowhere."
    assert table.images == 20


def test_methods_are_not_combined_with_backbones(install):
    install("lab-rows", ADDING)
    assert not any("/nowhere" in method for method in preset_methods("paper", installed()))


def test_a_preset_names_the_package_of_a_method_that_is_not_installed(install):
    install("lab-rows", ADDING)
    packages = [
        package_to_install("paper", method, installed())
        for method in ("nowhere,variant=authors", "densefuse@1e2/nowhere", "identity/mean")
    ]
    assert packages == ["lab-nowhere", "lab-nowhere", None]


@pytest.mark.parametrize("argument", ["notes", "published_methods"])
def test_what_is_said_about_a_row_that_is_not_published_is_refused(argument):
    with pytest.raises(ValueError, match="'there', which is not a published row"):
        Preset("mine", "", published={"here": {"EN": 1.0}}, **{argument: {"there": "x"}})


def check_presets(plugins):
    """Build every method of every preset unless a package has to be installed for it."""
    for name in sorted({part.name for _, part in plugins.presets}):
        assert preset_settings(name, plugins).get("range_policy") in ("clip", "minmax", "own")
        for metric in preset_metrics(name, plugins):
            assert Metric.find(metric, plugins)
        for method in preset_methods(name, plugins):
            if not package_to_install(name, method, plugins):
                backbone, strategy = split_method(method, plugins)
                assert build_backbone(backbone, plugins)
                assert build_strategy(strategy, plugins)


@pytest.mark.usefixtures("only_what_ships")
def test_presets_need_no_package_that_they_do_not_name():
    check_presets(installed())


def test_presets_fit_the_packages_that_are_installed():
    check_presets(installed())


@pytest.mark.parametrize("find", [preset_methods, preset_metrics, preset_settings, published_table])
def test_an_unknown_preset_is_refused(find):
    with pytest.raises(FusionlabError) as refused:
        find("newspaper", installed())
    assert refused.value.code == "unknown-name"


@pytest.mark.parametrize("name", ["ivif", "focus", "exposure", "medical"])
def test_every_task_is_compared_with_what_needs_no_network(name):
    methods = preset_methods(name, installed())
    assert {"identity/mean", "identity/max", "laplacian_pyramid"} <= set(methods)
    assert ("mertens" in methods) == (name in ("focus", "exposure"))
    assert len(set(methods)) == len(methods)
