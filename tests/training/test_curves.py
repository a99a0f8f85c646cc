"""Curves: what a log holds is what is drawn."""

import json

import numpy as np
import pytest

from fusionlab import FusionlabError
from fusionlab.imaging.figures import encode_figure
from fusionlab.training.curves import Curves, draw_training, draw_validation

pytest.importorskip("matplotlib")


@pytest.fixture
def write_log(tmp_path):
    def write(name, weight, factor=1.0):
        folder = tmp_path / name
        folder.mkdir()
        lines = [{"iteration": 0, "settings": {"ssim_weight": weight}}]
        for n in range(1, 201):
            lines.append({"iteration": 50 * n, "pixel": factor / n, "structure": 0.1 / n})
            lines[-1]["total"] = lines[-1]["pixel"] + weight * lines[-1]["structure"]
        lines += [
            {"iteration": 1000 * n, "loss": 1.0, "validation": {"pixel": 2 / n, "ssim": 1 - 0.1**n}}
            for n in range(1, 4)
        ]
        (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        return folder

    return write


def test_the_first_iterations_of_every_run_are_drawn(write_log):
    runs = [Curves.read(write_log(name, w)) for name, w in (("a", 1.0), ("b", 1000.0))]
    panels = draw_training(runs).axes
    assert [axis.get_title() for axis in panels] == ["pixel loss", "SSIM loss", "total loss"]
    for axis, value in zip(panels, (0.5, 0.05, 0.5 + 1000 * 0.05), strict=True):
        _, line = axis.lines
        assert line.get_xdata()[[0, 1, -1]].tolist() == [50, 100, 5000]
        assert line.get_ydata()[1] == pytest.approx(value)
    labels = [text.get_text() for text in panels[0].get_legend().get_texts()]
    assert labels == ["λ = 1", "λ = 1000"]
    assert draw_training(runs, 200).axes[0].lines[0].get_xdata().tolist() == [50, 100, 150, 200]


def test_validation_shows_the_distance_of_ssim_from_1(write_log):
    pixel, structure = draw_validation([Curves.read(write_log("a", 1.0))]).axes
    assert pixel.lines[0].get_ydata().tolist() == [2, 1, 2 / 3]
    assert structure.lines[0].get_xdata().tolist() == [1000, 2000, 3000]
    assert np.allclose(structure.lines[0].get_ydata(), [0.1, 0.01, 0.001])


def test_runs_of_one_lambda_are_told_apart_by_their_names(write_log):
    runs = [Curves.read(write_log(name, 100.0)) for name in ("plain", "longer")]
    legend = draw_training(runs).axes[0].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["plain", "longer"]


@pytest.mark.parametrize(("suffix", "start"), [(".png", b"\x89PNG"), (".svg", b"<?xml")])
def test_the_same_log_gives_the_same_bytes(write_log, suffix, start):
    run = Curves.read(write_log("a", 1.0))
    first, second = (encode_figure(draw_training([run]), suffix) for _ in range(2))
    assert first == second
    assert first.startswith(start)


def test_a_folder_without_losses_is_refused(tmp_path):
    with pytest.raises(FusionlabError) as caught:
        Curves.read(tmp_path)
    assert caught.value.code == "no-losses"


@pytest.mark.parametrize(
    "line",
    [
        '{"a": 1}',
        "garbage}",
        '{"iteration": "x"}',
        '{"iteration": 1, "pixel": "x", "structure": 1, "total": 1}',
        '{"iteration": 1, "settings": 5}',
        '{"iteration": 1, "settings": {"ssim_weight": "a"}}',
        '{"iteration": 1, "validation": {"pixel": "x"}}',
    ],
)
def test_a_damaged_log_is_refused_in_a_sentence(tmp_path, line):
    (tmp_path / "log.jsonl").write_text(line + "\n")
    with pytest.raises(FusionlabError) as caught:
        Curves.read(tmp_path / "log.jsonl")
    assert caught.value.code == "damaged-log"
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("line", ['{"iteration": 1, "detail": 2, "total": 2}', '{"iteration": 1}'])
def test_a_log_of_other_losses_is_refused_in_a_sentence(tmp_path, line):
    (tmp_path / "log.jsonl").write_text(line + "\n")
    with pytest.raises(FusionlabError) as caught:
        Curves.read(tmp_path / "log.jsonl")
    assert caught.value.code == "no-losses"


def test_nothing_to_draw_is_refused(write_log):
    with pytest.raises(FusionlabError, match="nothing to draw up to iteration 10; the first .* 50"):
        draw_training([Curves.read(write_log("a", 1.0))], 10)
