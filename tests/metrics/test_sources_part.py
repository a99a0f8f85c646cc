"""What depends on the sources alone: computed once, with the same values, and not kept too long."""

import gc
import weakref

import numpy as np
import pytest
import torch

from fusionlab.metrics import edges, qabf, sources_part
from fusionlab.metrics.catalog import CATALOG
from fusionlab.metrics.sources_part import keep_parts, once_per_sources

COLUMNS = [(ref, convention) for ref in CATALOG for convention in ("default", *ref.conventions)]


def images(ref, count):
    """Return three pairs of fused images, and their sources, which have flat areas."""
    generator = torch.Generator().manual_seed(0)
    edge = max(ref.min_size, 24)
    shape = (count, 2, 3, edge, edge + 3) if ref.color else (count, 2, edge, edge + 3)
    sources = torch.round(255 * torch.rand(shape, generator=generator, dtype=torch.float64))
    sources[0, ..., :12, :14] = 90
    return [sources.mean(dim=0), sources.amax(dim=0), sources[1].clone()], sources


@pytest.mark.parametrize(
    ("ref", "convention"), COLUMNS, ids=lambda item: getattr(item, "name", item)
)
def test_values_are_the_same_to_the_bit(ref, convention):
    fused, sources = images(ref, 2 if ref.sources == "pair" else 3)
    metric = ref.load()
    expected = [metric(image, sources, convention) for image in fused]
    kept = keep_parts(sources.clone())
    found = [metric(image, kept, convention) for image in fused]
    for one, other in zip(expected, found, strict=True):
        assert torch.equal(one.nan_to_num(-9), other.nan_to_num(-9))


def test_edges_of_the_sources_are_computed_once(monkeypatch):
    counted = []
    compute = edges._edges_by_conv2

    def count(images, columns):
        counted.append(len(images.shape))
        return compute(images, columns)

    monkeypatch.setattr(edges, "_edges_by_conv2", count)
    sources = keep_parts(torch.rand(2, 1, 9, 9, dtype=torch.float64))
    for _ in range(3):
        qabf(torch.rand(1, 9, 9), sources)
    assert sorted(counted) == [3, 3, 3, 4]  # three fused images (N, H, W), the sources once


def test_other_arguments_are_other_parts():
    calls = []

    @once_per_sources
    def power(sources, exponent):
        calls.append(exponent)
        return sources**exponent

    sources = keep_parts(torch.full((2, 1, 3, 3), 3.0))
    assert [power(sources, n).amax().item() for n in (2, 3, 2, 3)] == [9, 27, 9, 27]
    assert calls == [2, 3]
    assert power(keep_parts(torch.ones(2, 1, 3, 3)), 2).amax() == 1


def test_nothing_is_kept_unless_asked_for():
    """Memory that a tensor shares with an array may change without notice."""
    array = np.random.default_rng(0).uniform(0, 255, (2, 1, 9, 9))
    sources, fused = torch.from_numpy(array), torch.from_numpy(array[0].copy())
    before = qabf(fused, sources)
    array[:] = array[:, :, ::-1].copy()
    assert qabf(fused, sources) != before


def test_parts_go_with_their_sources():
    @once_per_sources
    def doubled(sources):
        return 2 * sources

    sources = keep_parts(torch.rand(2, 1, 9, 9, dtype=torch.float64))
    for metric in (ref.load() for ref in CATALOG if not ref.color and ref.min_size <= 9):
        metric(sources[0], sources)
    part, held = weakref.ref(doubled(sources)), weakref.ref(sources)
    assert part() is not None
    del sources
    gc.collect()
    assert part() is None
    assert held() is None


def test_a_view_of_the_sources_is_not_kept():
    """It would keep the sources, and they would keep it."""
    calls = []

    @once_per_sources
    def first(sources):
        calls.append(sources)
        return (sources[0],)

    sources = keep_parts(torch.rand(2, 1, 3, 3))
    assert torch.equal(first(sources)[0], first(sources)[0])
    assert len(calls) == 2


def test_memory_has_a_limit(monkeypatch):
    calls = []

    @once_per_sources
    def copy(sources, index):
        calls.append(index)
        return {"copies": [sources.clone()]}

    sources = keep_parts(torch.zeros(2, 1, 4, 4))  # 128 bytes
    monkeypatch.setattr(sources_part, "MAX_BYTES", 300)
    for index in (0, 1, 2, 0, 1, 2):
        copy(sources, index)
    assert calls == [0, 1, 2, 2]
