"""The scores of sequences over time, as CSV and as a plot."""

import csv
import math
from fractions import Fraction

import pytest

from fusionlab.evaluation.reporting.sequence_report import draw_over_time, frames_csv
from fusionlab.evaluation.sequence_scores import FrameScores, SequenceScores
from fusionlab.evaluation.temporal_metric import choose_sequence_metrics
from fusionlab.imaging.figures import encode_figure
from fusionlab.plugins.host import installed


def scores(*values, rate=None):
    """Return scores of frames with these values of flicker; None: a frame with a problem."""
    columns = tuple(choose_sequence_metrics("PSNR,flicker", None, installed()))
    frames = [
        FrameScores(
            number,
            f"f{number}",
            None if rate is None else Fraction(number, rate),
            {} if value is None else {"PSNR": math.inf, "flicker": value},
            "damaged, alas" if value is None else "",
        )
        for number, value in enumerate(values)
    ]
    return SequenceScores(columns, tuple(frames))


def test_the_csv_has_a_line_for_each_result_and_frame():
    results = {"one, two": scores(math.nan, 0.5, rate=25), "other": scores(math.nan, None)}
    first, second, third, fourth = csv.DictReader("".join(frames_csv(results)).splitlines())
    assert list(first) == ["result", "frame", "name", "seconds", "PSNR", "flicker", "problem"]
    assert (first["result"], first["flicker"], first["seconds"]) == ("one, two", "", "0")
    assert (second["flicker"], second["seconds"]) == ("0.5", "0.04")
    assert third["seconds"] == ""
    assert (fourth["name"], fourth["flicker"]) == ("f1", "")
    assert fourth["problem"] == "damaged, alas"


def test_the_plot_has_a_panel_for_each_metric_and_a_line_for_each_result():
    pytest.importorskip("matplotlib")
    results = {"plain": scores(math.nan, 3.0, None, 1.0, rate=25), "b": scores(math.nan, 2.0)}
    figure = draw_over_time(results)
    psnr, flicker = figure.axes
    assert flicker.get_title(loc="left") == "flicker (lower is better)"
    assert flicker.get_xlabel() == "frame"  # one of the results states no times
    line, other = flicker.get_lines()
    assert [y for y in line.get_ydata() if not math.isnan(y)] == [3, 1]  # with a gap
    assert [*other.get_xdata()] == [0, 1]
    assert all(math.isnan(y) for y in psnr.get_lines()[0].get_ydata())  # infinite
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["plain", "b"]
    timed = draw_over_time({"plain": results["plain"]})
    assert timed.axes[1].get_xlabel() == "seconds"
    assert [*timed.axes[1].get_lines()[0].get_xdata()] == [0, 0.04, 0.08, 0.12]
    assert not timed.legends
    first, second = (encode_figure(draw_over_time(results), ".svg") for _ in range(2))
    assert first == second
