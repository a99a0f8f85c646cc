"""The rows of a preset: what is not installed is left out, and published rows find ours."""

import pytest

import fusionlab
from fusionlab.evaluation.studies.file import parse_study
from fusionlab.evaluation.studies.plan import plan_study
from fusionlab.evaluation.studies.study import run_study
from fusionlab.plugins.host import installed

PRESET = """
    from fusionlab import Preset, hookimpl

    @hookimpl
    def fusionlab_presets():
        return [
            Preset(
                "small",
                "two rows",
                {"range_policy": "own", "scale": "0,128"},
                methods=("nowhere,variant=authors", "identity/mean", "laplacian_pyramid",
                         "identity/addition", "identity/mean,odd=1"),
                packages={"nowhere": "lab-nowhere"},
                metrics=("brightness",),
                published={"Mean": {"brightness": 100.0}, "Pyramid": {"brightness": 90.0},
                           "Nowhere": {"brightness": 80.0}},
                published_images=3,
                published_methods={"Mean": "identity/mean", "Pyramid": "laplacian_pyramid",
                                   "Nowhere": "nowhere,variant=authors"},
                notes={"Nowhere": "it is nowhere."},
            )
        ]
"""


@pytest.fixture(autouse=True)
def _preset(metrics, install):
    install("lab-small", PRESET)


def test_a_preset_gives_methods_metrics_range_and_scale(image_set):
    report = fusionlab.evaluate(image_set, preset="small")
    assert report.range_policies == {
        "identity/mean": "clip",
        "identity/laplacian_pyramid": "clip",
        "identity/addition": "minmax",
    }
    assert report.settings["scale"] == "0,128"
    assert list(report.means["identity/mean"]) == ["brightness"]


def test_explicit_settings_win_over_those_of_a_preset(image_set):
    report = fusionlab.evaluate(image_set, preset="small", range_policy="clip", scale="full")
    assert set(report.range_policies.values()) == {"clip"}
    assert report.settings["scale"] == "full"
    assert "range policy" in report.published_note


def test_a_method_that_is_not_installed_has_no_row_and_a_note_names_its_package(image_set):
    report = fusionlab.evaluate(image_set, preset="small")
    assert report.left_out["nowhere,variant=authors"] == "install lab-nowhere, which offers it"
    assert "no parameter 'odd'" in report.left_out["identity/mean,odd=1"]
    notes = report.tables[0].notes
    assert "nowhere,variant=authors is left out: install lab-nowhere, which offers it." in notes


def test_a_package_that_is_installed_is_not_to_be_installed_again(image_set, install):
    install("lab-nowhere", "")
    report = fusionlab.evaluate(image_set, preset="small")
    assert report.left_out["nowhere,variant=authors"] == (
        "the installed lab-nowhere does not offer it"
    )


def test_a_method_that_was_asked_for_must_be_installed(image_set):
    with pytest.raises(fusionlab.FusionlabError, match="no strategy 'nowhere'"):
        fusionlab.evaluate(image_set, "nowhere,variant=authors", preset="small")


def test_published_rows_stand_beside_the_rows_of_their_methods(image_set, tmp_path):
    report = fusionlab.evaluate(image_set, preset="small", output=tmp_path / "out")
    assert report.published_labels == {
        "Mean": "identity/mean",
        "Pyramid": "identity/laplacian_pyramid",
    }
    table = report.tables[-1]
    assert table.heads == ("method", "published as", "brightness")
    rows = [[cell.text for cell in row] for row in table.rows]
    distances = [mean["brightness"] - 100 for mean in report.means.values()]
    assert rows[0] == ["identity/mean", "Mean", f"{distances[0]:+.4f}"]
    assert table.notes == ("Nowhere: it is nowhere.",)
    lines = (tmp_path / "out" / "published.csv").read_text().splitlines()
    assert lines[1] == f"set,Mean,identity/mean,brightness,100,{distances[0]:.10g},"
    assert lines[3] == "set,Nowhere,,brightness,80,,it is nowhere."


def test_a_published_row_finds_the_method_however_it_was_asked_for(image_set):
    report = fusionlab.evaluate(image_set, "identity/laplacian_pyramid,levels=4", preset="small")
    assert report.published_labels == {"Pyramid": "identity/laplacian_pyramid"}


def test_rows_that_do_not_compare_are_not_explained(image_set, tmp_path):
    (image_set / "a" / "one.png").unlink()
    (image_set / "b" / "one.png").unlink()
    report = fusionlab.evaluate(image_set, preset="small", output=tmp_path / "out")
    assert report.tables[-1].notes == (report.published_note,)
    assert "identity/mean,brightness" not in (tmp_path / "out" / "published.csv").read_text()


def test_a_study_of_a_preset_is_its_evaluation(image_set, tmp_path):
    text = f"[study]\npreset = 'small'\nexecutor = 'threads:1'\n[sets]\nset = '{image_set}'"
    plan = plan_study(parse_study(text, tmp_path, "x.toml"), installed())
    report = run_study(plan, tmp_path / "out").reports["set"]
    evaluated = fusionlab.evaluate(image_set, preset="small")
    assert report.values == evaluated.values
    assert report.range_policies == evaluated.range_policies
    for name in ("left_out", "published", "published_labels", "published_note", "explanations"):
        assert getattr(report, name) == getattr(evaluated, name)
    assert (tmp_path / "out" / "published.csv").is_file()


def test_a_study_that_names_methods_or_settings_has_these(image_set, tmp_path):
    text = f"""
        [study]
        preset = "small"
        range = {{ grid = ["clip", "minmax"] }}
        scale = "full"
        [sets]
        set = '{image_set}'
        [[methods]]
        method = "identity/max"
    """
    (plan,) = plan_study(parse_study(text, tmp_path, "x.toml"), installed()).sets
    assert [row.label for row in plan.methods] == ["identity/max [clip]", "identity/max [minmax]"]
    assert [str(scale) for scale in plan.settings.scale] == ["full"]
    assert not plan.left_out
    assert plan.published_note.endswith("the range policy own, ours with clip, minmax.")
