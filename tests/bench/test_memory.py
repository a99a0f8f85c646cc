"""The memory of a fusion, in a process of its own."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from fusionlab import FusionlabError
from fusionlab.bench.cases import Case
from fusionlab.bench.memory import peak_on_cpu

pytestmark = pytest.mark.usefixtures("warm_spawn")
RESETTABLE = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="the peak can be reset on Linux only"
)


@RESETTABLE
def test_it_grows_with_what_the_fusion_holds():
    small, large = (
        peak_on_cpu(Case("identity/mean", edge, edge), threads=1) for edge in (256, 2048)
    )
    assert large >= 2048**2  # the result, a byte a pixel
    assert small < large < 2**30


@RESETTABLE
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="freed memory is kept by glibc")
def test_what_was_freed_before_does_not_hide_what_comes(python):
    """Small blocks below one that stays: the C library keeps them until it is told."""
    code = """if True:
        from fusionlab.bench.memory import _reset_peak, _peak
        start = _peak()
        blocks = [bytearray(60_000) for _ in range(6_000)]
        last = bytearray(60_000)
        del blocks
        assert _peak() > start + 300e6
        _reset_peak()
        assert _peak() < start + 30e6
    """
    subprocess.run([python, "-c", code], check=True)


@pytest.mark.skipif(sys.platform == "win32", reason="no peak is kept there")
def test_plugins_that_are_left_out_are_left_out_there_too():
    with pytest.raises(FusionlabError, match="identity"):
        peak_on_cpu(Case("identity/mean", 32, 32), threads=1, blocked=["fusionlab-imaging"])


@pytest.mark.skipif(sys.platform == "win32", reason="no peak is kept there")
def test_a_process_that_is_ended_costs_a_sentence(install):
    install(
        "lab-killer",
        """
        import os
        from dataclasses import dataclass
        from fusionlab import Strategy, StrategyRef, hookimpl

        @dataclass(frozen=True)
        class Killer(Strategy):
            def fuse(self, features, scene):
                os._exit(9)

        @hookimpl
        def fusionlab_strategies():
            return [StrategyRef("killer", "lab_killer:Killer", "Ends it.")]
        """,
    )
    with pytest.raises(FusionlabError, match="was killed"):
        peak_on_cpu(Case("identity/killer", 32, 32), threads=1)
