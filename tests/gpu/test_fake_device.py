"""On a GPU that is not there: nothing mixes devices, and little makes the host wait.

`tests/doubles/fake_cuda.py` says what such a device can show. Values are compared on a GPU, by the
tests with the mark `gpu`.
"""

import pytest
import torch
from fake_cuda import fake_cuda
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
)

from fusionlab import Fusion, TemporalConsistency, load_plugins
from fusionlab.errors import PluginError
from fusionlab.evaluation.metric import Metric
from fusionlab.evaluation.temporal_metric import TemporalMetric
from fusionlab.metrics.catalog import CATALOG, TEMPORAL_CATALOG
from fusionlab.metrics.optical_flow import Flows
from fusionlab.plugins.registry import Registration

STRATEGIES = [o.ref.name for o in load_plugins().strategies.registrations]
METRICS = [
    Metric(Registration(ref, "fusionlab-imaging"), convention)
    for ref in CATALOG
    for convention in ("default", *ref.conventions)
]

NEEDS_VALUES = DataDependentOutputException, DynamicOutputShapeException

WAITING_STRATEGIES = {
    "dchwt": "writes numbers into its table one by one, each a copy in torch 2.11",
    "dwt": "copies its filters to the device",
    "gtf": "iterates until it converges",
    "hmsd_gf": "copies the table of a cosine transform to the device",
    "hybrid_msd": "makes a grid as large as the range of the values",
    "ifevip": "divides blocks until they are even",
    "jsr": "takes atoms until the rest is small",
    "jsrsd": "as jsr",
    "mdlatlrr": "copies its projection to the device",
}
"""Strategies of plugins that wait on the way, and for what."""

WAITING_METRICS = {
    "FMI_pixel": "visits the windows that occur, once each",
    "FMI_dct": "as FMI_pixel",
    "FMI_w": "as FMI_pixel",
    "warm_contrast": "widens the surroundings until they are large enough",
}
"""Metrics that need a value on the way, and for what."""

ALWAYS = {"cuda to cpu": 1}
"""What making a fusion waits for: the device is tried."""


def test_a_fusion_waits_for_the_device_once_however_many_tiles_it_has():
    made = Fusion("densefuse", "l1norm")
    with fake_cuda() as device:
        fusion = Fusion(device.module(made.backbone), made.strategy, device="cuda", tile=64)
        assert device.waits == ALWAYS
        for width in (64, 64 * 4):
            device.waits.clear()
            fused, _ = fusion.fuse_planes(device.tensor(2, 1, 1, 64, width))
            assert fused.device.type == "cuda"
            assert device.waits == {"cuda to cpu": 1}  # all checks of values together


def test_sources_in_main_memory_reach_the_device_without_waiting():
    made = Fusion("identity", "l1norm")
    with fake_cuda() as device:
        fusion = Fusion(made.backbone, made.strategy, device="cuda", tile=64)
        device.waits.clear()
        fused, maps = fusion.fuse_planes(torch.zeros(2, 1, 1, 64, 256), weights=True)
        assert fused.device.type == maps.device.type == "cpu"
        # the checks, the image and the weight maps
        assert device.waits == {"cuda to cpu": 3}


@pytest.mark.parametrize(
    ("dtype", "scale", "waits"),
    [
        # the checks of values, and the share of pixels that were clipped
        (torch.uint8, "auto", {"cuda to cpu": 2}),
        # and for each source its extremes, and of floats whether one is NaN
        (torch.uint8, "minmax", {"cuda to cpu": 4}),
        (torch.float32, "auto", {"cuda to cpu": 4, "value": 2}),
    ],
)
def test_sources_on_the_device_are_waited_for_once_or_twice_each(dtype, scale, waits):
    with fake_cuda(believe=lambda _: 1.0) as device:
        fusion = Fusion("identity", "l1norm", device="cuda", tile=64, scale=scale)
        device.waits.clear()
        fused = fusion([device.tensor(64, 64 * 4, dtype=dtype) for _ in range(2)])
        assert fused.device.type == "cuda"
        assert device.waits == waits


def test_smoothed_frames_wait_no_more_than_single_ones():
    with fake_cuda(believe=lambda _: 1.0) as device:
        fusion = Fusion("identity", "l1norm", device="cuda", tile=64, color="gray")
        temporal = TemporalConsistency(smoothing=0.8)
        for _ in range(3):
            device.waits.clear()
            frame = [device.tensor(64, 64 * 4, dtype=torch.uint8) for _ in range(2)]
            assert fusion.fuse(frame, temporal=temporal).image.device.type == "cuda"
            assert device.waits == {"cuda to cpu": 2}  # as a frame alone, see above


def test_the_double_refuses_what_a_gpu_refuses_and_what_would_wait():
    with fake_cuda() as device:
        maps = device.tensor(3, 4)
        with pytest.raises(RuntimeError, match="devices"):
            maps + torch.zeros(4)
        for read in (lambda: maps.sum().item(), lambda: bool(maps.any()), maps.tolist):
            with pytest.raises(DataDependentOutputException):
                read()
        with pytest.raises(DynamicOutputShapeException):
            maps[maps > 0]
        assert maps[1, None, ..., 1:].shape == (1, 3)
        assert maps[[0, 2], :2].device.type == maps.half().to("cuda").device.type == "cuda"


@pytest.mark.parametrize("name", ["EN", "SSIM"])
def test_a_metric_waits_once_for_each_check_of_its_images(name):
    metric = next(metric for metric in METRICS if metric.name == name)
    with fake_cuda() as device:
        value = metric(device.tensor(2, 64, 64), device.tensor(2, 2, 64, 64))
        assert value.device.type == "cuda"
        assert device.waits == {"cuda to cpu": 2}  # by `Metric`, and by the function itself


@pytest.mark.parametrize("ref", TEMPORAL_CATALOG, ids=lambda ref: ref.name)
def test_a_metric_over_time_waits_once_for_each_check_of_its_frames(ref):
    metric = TemporalMetric(Registration(ref, "fusionlab-imaging"))
    with fake_cuda() as device:
        flow, flows = device.tensor(2, 2, 16, 16), device.tensor(2, 2, 2, 16, 16)
        frames = device.tensor(3, 16, 16), device.tensor(2, 3, 16, 16)
        value = metric(*frames, Flows(flow, flow, flows, flows))
        assert value.device.type == "cuda"
        assert device.waits == {"cuda to cpu": 2}  # by `TemporalMetric`, and by the function


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")  # by a deepcopy
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_strategy_stays_on_the_device_and_does_not_wait(strategy, precision):
    made, waits = Fusion(None, strategy), strategy in WAITING_STRATEGIES
    if waits:
        made.fuse_planes(torch.rand(2, 1, 1, 64, 64))  # what it reads from files is kept
    with fake_cuda(believe=(lambda _: 1.0) if waits else None) as device:
        fusion = Fusion(
            device.module(made.backbone),
            made.strategy,
            device="cuda",
            precision=precision,
            networks=device.module(made.networks) if len(made.networks) else None,
        )
        device.waits.clear()
        fused, _ = fusion.fuse_planes(device.tensor(2, 1, 1, 64, 64))
        assert fused.device.type == "cuda"
        assert waits or device.waits == {"cuda to cpu": 1}


@pytest.mark.slow
@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_metric_stays_on_the_device_and_needs_no_value(metric):
    edge = max(64, metric.ref.min_size)
    color = (3,) if metric.ref.color else ()
    with fake_cuda() as device:
        images = device.tensor(1, *color, edge, edge), device.tensor(2, 1, *color, edge, edge)
        if metric.ref.name not in WAITING_METRICS:
            assert metric(*images).device.type == "cuda"
            return
        with pytest.raises(PluginError) as caught:
            metric(*images)
    assert isinstance(caught.value.__cause__, NEEDS_VALUES)
