"""How long each metric takes, and the seven of the paper together.

For a pair of 270x360 (what the authors' MATLAB code, run under GNU Octave, takes some 1,480 seconds
for) and one of 640x480; growth with the number of pixels; and, where a GPU is at hand, a
batch of sixteen on it. Each figure is the fastest of several runs.

    python benchmarks/metrics.py --threads 2
    python benchmarks/metrics.py --device cuda --batch 16
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from time import perf_counter

import torch
from torch import Tensor

from fusionlab.evaluation.metric import Metric
from fusionlab.plugins.host import installed
from fusionlab.plugins.presets import preset_metrics

OCTAVE = {
    "EN": 0.009,
    "SCD": 0.007,
    "SSIM_a": 0.066,
    "Qabf@paper": 5.965,
    "MS_SSIM": 16.6,
    "FMI_dct": 523.1,
    "FMI_w": 918.9,
}
"""CPU seconds of the authors' programs for 270x360; FMI extrapolated from a part of the windows."""


def images(height: int, width: int, batch: int, device: str) -> tuple[Tensor, Tensor]:
    """Return a synthetic scene: waves, a step and noise; the fused image is the mean."""
    generator = torch.Generator().manual_seed(0)
    y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    noise = torch.randn(2, batch, height, width, generator=generator)
    waves = torch.stack([(20 * x).sin() + (9 * y).cos(), (13 * x + 17 * y).sin()])[:, None]
    sources = (110 + 40 * waves + 50 * (x > y) + 6 * noise).clamp(0, 255).round()
    return sources.mean(dim=0).round().to(device), sources.to(device)


def seconds(work: Callable[[], object], device: str, runs: int) -> float:
    """Return the time of the fastest of several runs, after a warm-up."""
    times = []
    for _ in range(runs + 1):
        if device != "cpu":
            torch.cuda.synchronize()
        started = perf_counter()
        work()
        if device != "cpu":
            torch.cuda.synchronize()
        times.append(perf_counter() - started)
    return min(times[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    plugins = installed()

    def time(names: list[str], height: int, width: int) -> float:
        measures = [Metric.find(name, plugins) for name in names]
        pair = images(height, width, args.batch, args.device)
        in_color = tuple(gray.unsqueeze(-3).expand(*gray.shape[:-2], 3, -1, -1) for gray in pair)

        def compute() -> None:
            for measure in measures:
                measure(*(in_color if measure.ref.color else pair))

        return seconds(compute, args.device, args.runs) / args.batch

    where = f"{args.threads} threads" if args.device == "cpu" else torch.cuda.get_device_name()
    print(f"{where}, torch {torch.__version__}, batch {args.batch}; seconds per pair\n")
    paper = [Metric.find(name, plugins).name for name in preset_metrics("paper", plugins)]
    print("| 270x360 | ours, s | the authors' code, s | ratio |\n|---|---|---|---|")
    for name in paper:
        ours = time([name], 270, 360)
        theirs = OCTAVE[name]
        print(f"| `{name}` | {ours:.4f} | {theirs:g} | {theirs / ours:,.0f} |")
    ours, theirs = time(paper, 270, 360), sum(OCTAVE.values())
    print(f"| all seven | {ours:.3f} | {theirs:,.0f} | {theirs / ours:,.0f} |\n")

    print("| seven of the paper | seconds | per megapixel |\n|---|---|---|")
    for height, width in ((135, 180), (270, 360), (540, 720), (1080, 1440)):
        spent = time(paper, height, width)
        print(f"| {width}x{height} | {spent:.3f} | {spent / (height * width / 1e6):.2f} |")

    print("\n| 640x480 | seconds |\n|---|---|")
    for registration in plugins.metrics.registrations:
        print(f"| `{registration.ref.name}` | {time([registration.ref.name], 480, 640):.4f} |")


if __name__ == "__main__":
    main()
