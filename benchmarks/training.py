"""Time of a training step, and of loading its images, against a loop written by hand.

Steps of DenseFuse (batch 2, MSE + 100 (1 - SSIM), Adam), in turns, so that other load affects all
of them; medians, and ratios to `plain`:

* plain: float32, default memory layout, eager;
* channels last: the same in channels-last layout;
* bf16: convolutions in bfloat16, default layout;
* bf16, channels last: what `fusionlab train --precision bf16` does;
* ... compiled: the same through `torch.compile` (on CUDA with CUDA graphs), with --compile.

SSIM: value and gradient of a batch, against `pytorch-msssim` and `torchmetrics`, if installed.

Images: a batch of two crops, decoded from PNG files each time, and from the memory-mapped array.

    python benchmarks/training.py
    python benchmarks/training.py --device cuda --compile
    MALLOC_MMAP_THRESHOLD_=4000000000 MALLOC_TRIM_THRESHOLD_=8000000000 \\
        python benchmarks/training.py
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import torch
from torch import Tensor

from fusionlab.engine.precision import convolutions
from fusionlab.plugins.host import installed
from fusionlab.plugins.loading import backbone_class
from fusionlab.training.data.batches import Batches
from fusionlab.training.data.image_cache import load_images
from fusionlab.training.data.image_files import find_images
from fusionlab.training.losses import DATA_RANGE, mean_square, ssim_loss

BATCH = 2
FORMATS = {"default": torch.contiguous_format, "channels last": torch.channels_last}


def step_of(
    device: torch.device, size: int, order: str, *, bf16: bool, compiled: bool
) -> Callable[[], None]:
    """Return a function that trains one step."""
    backbone = backbone_class(installed().backbones.find("densefuse"))()
    backbone.to(device).to(memory_format=FORMATS[order])
    model = torch.compile(backbone, mode="reduce-overhead") if compiled else backbone
    optimizer = torch.optim.Adam(backbone.parameters(), lr=1e-4)
    images = torch.rand(BATCH, 1, size, size).to(device, memory_format=FORMATS[order])

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            output = model(images)
        output, target = output.float() * DATA_RANGE, images * DATA_RANGE
        loss = mean_square(output, target) + 100 * ssim_loss(output, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return step


def in_turns(functions: dict[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """Return the median seconds of each."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for function in functions.values():
        function()  # compiles, chooses algorithms, fills caches
    for _ in range(rounds):
        for name, function in functions.items():
            started = time.perf_counter()
            function()
            times[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in times.items()}


def show(title: str, times: dict[str, float]) -> None:
    first = next(iter(times.values()))
    print(f"\n{title}")
    for name, seconds in times.items():
        print(f"  {name:<32}{1000 * seconds:10.2f} ms{first / seconds:8.2f} x")


def steps(device: torch.device, size: int, rounds: int, *, compiled: bool) -> None:
    variants = {
        "plain": ("default", False, False),
        "channels last": ("channels last", False, False),
        "bf16": ("default", True, False),
        "bf16, channels last": ("channels last", True, False),
    }
    if compiled:
        variants["channels last, compiled"] = ("channels last", False, True)
        variants["bf16, channels last, compiled"] = ("channels last", True, True)
    functions = {
        name: step_of(device, size, order, bf16=bf16, compiled=made)
        for name, (order, bf16, made) in variants.items()
    }
    title = f"a step of {BATCH} x {size}x{size} on {device}, {torch.get_num_threads()} threads"
    with convolutions(device, allow_tf32=False):
        show(title, in_turns(functions, rounds))


def structure(device: torch.device, size: int, rounds: int) -> None:
    target = torch.rand(BATCH, 1, size, size, device=device) * DATA_RANGE
    output = (target + torch.randn_like(target)).requires_grad_()
    losses = {"ours": lambda: ssim_loss(output, target)}
    try:
        from pytorch_msssim import ssim as msssim

        losses["pytorch-msssim"] = lambda: 1 - msssim(output, target, data_range=DATA_RANGE)
    except ImportError:
        pass
    try:
        from torchmetrics.functional.image import structural_similarity_index_measure as theirs

        losses["torchmetrics"] = lambda: 1 - theirs(output, target, data_range=DATA_RANGE)
    except ImportError:
        pass

    def gradient_of(loss: Callable[[], Tensor]) -> Callable[[], None]:
        def gradient() -> None:
            loss().backward()
            if device.type == "cuda":
                torch.cuda.synchronize(device)

        return gradient

    functions = {name: gradient_of(loss) for name, loss in losses.items()}
    show(f"SSIM of {BATCH} x {size}x{size} on {device}", in_turns(functions, rounds))


def images(size: int, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, rng = Path(name), np.random.default_rng(0)
        for number in range(64):
            noise = rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)
            image = PIL.Image.fromarray(noise).resize((640, 480), PIL.Image.BICUBIC)
            image.save(folder / f"{number:03}.jpg", quality=90)
        paths = sorted(folder.iterdir())
        batches = Batches(load_images(find_images([folder]), folder), BATCH, 0)
        count = iter(range(10**9))

        def by_file() -> None:
            crops = []
            for index in rng.integers(0, len(paths), BATCH):
                with PIL.Image.open(paths[index]) as image:
                    gray = image.convert("L").resize((256, 256), PIL.Image.BICUBIC)
                crops.append(np.asarray(gray)[:size, :size])
            torch.from_numpy(np.stack(crops))[:, None].float().div(255)

        def mapped() -> None:
            batches(next(count), size)

        show(
            f"a batch of {BATCH} x {size}x{size} from 640x480 JPEG",
            in_turns({"decoded each time": by_file, "mapped": mapped}, 10 * rounds),
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 256])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--compile", action="store_true")
    args = parser.parse_args()
    for size in args.sizes:
        steps(torch.device(args.device), size, args.rounds, compiled=args.compile)
        structure(torch.device(args.device), size, args.rounds)
    images(args.sizes[0], args.rounds)


if __name__ == "__main__":
    main()
