"""A stream of frames: each is decoded, fused and encoded, and those of a sequence as it does it."""

import numpy as np
import pytest

from fusionlab import Fusion, FusionlabError
from fusionlab.bench.cases import Case
from fusionlab.bench.streams import DIFFERENT, MadeUpFrames, StreamTimings, time_stream
from fusionlab.plugins.host import installed
from fusionlab.runs.file_fusion import FileFusion

CASE = Case("identity/mean", width=24, height=20)


@pytest.mark.parametrize("channels", [1, 3])
def test_every_frame_is_decoded_fused_and_encoded_alone_and_in_a_sequence(monkeypatch, channels):
    case = Case("identity/mean", width=24, height=20, sources=3, channels=channels)
    encode, encoded = FileFusion.encode, []

    def counted(self, product):
        encoded.append(np.asarray(product.fused.image))
        return encode(self, product)

    monkeypatch.setattr(FileFusion, "encode", counted)
    count = DIFFERENT + 2
    stream = time_stream(Fusion("identity", "mean"), case, installed(), count)
    assert stream.frames == len(stream.latencies) == count
    assert 0 < stream.latency <= stream.slow_latency
    assert stream.per_second > 0
    assert len(encoded) == 2 * count
    assert np.array_equal(encoded[:count], encoded[count:])
    assert np.array_equal(encoded[0], encoded[DIFFERENT])
    assert not np.array_equal(encoded[0], encoded[1])


def test_frames_are_the_images_of_the_case_which_move():
    frames = MadeUpFrames(CASE, 3)
    first, second, _ = [[image.pixels for image in each.images] for each in frames.sets()]
    assert np.array_equal(first, CASE.images())
    assert np.array_equal(np.roll(first, 8, axis=2), second)
    assert [each.number for each in frames.sets(2)] == [2]


def test_a_frame_that_cannot_be_fused_is_an_error():
    fusion = Fusion("identity", "mean")
    frames_of_three = Case("identity/gtf", width=24, height=20, sources=3)
    with pytest.raises(FusionlabError, match="2"):
        time_stream(Fusion("identity", "gtf"), frames_of_three, installed(), 2)
    assert time_stream(fusion, CASE, installed(), 1).frames == 1


def test_latencies_are_median_and_what_95_percent_do_not_exceed():
    stream = StreamTimings(101, 3.0, tuple(float(n) for n in range(101)))
    assert (stream.latency, stream.slow_latency) == (50, 95)
