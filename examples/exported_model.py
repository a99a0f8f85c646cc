"""A camera loop without torch: fuse pairs of frames with an exported model, and time each of them.

    fusionlab export l1norm --depth 8 -o l1norm.onnx         # once, where fusionlab is installed
    python exported_model.py l1norm.onnx -o fused.png        # where only onnxruntime is

It needs numpy, onnxruntime and imageio. The frames are parts of the two images, which move like
those of a camera; read yours in `frames` instead.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

import imageio.v3 as iio
import numpy as np
import onnxruntime

STREET = Path(__file__).parent / "images" / "street"


def frames(
    paths: list[Path], count: int, width: int, height: int
) -> Iterator[list[np.ndarray]]:  # one 8-bit gray frame (H, W) for each source
    """Yield what the cameras see, frame by frame."""
    images = [iio.imread(path) for path in paths]
    grays = [image if image.ndim == 2 else image[..., 1] for image in images]
    rows, columns = grays[0].shape[0] - height, grays[0].shape[1] - width
    for number in range(count):
        top, left = number % (rows + 1), 2 * number % (columns + 1)
        yield [gray[top : top + height, left : left + width] for gray in grays]


class Model:
    """An exported model that fuses 8-bit gray frames."""

    def __init__(self, path: Path, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"]
        )
        self.facts = json.loads(self.session.get_modelmeta().custom_metadata_map["fusionlab"])
        self.names = [entry.name for entry in self.session.get_inputs()]
        if self.facts["depths"] not in (None, [8] * len(self.names)):
            raise SystemExit(f"{path} takes images of {self.facts['depths']} bits, not 8")

    def __call__(self, sources: list[np.ndarray]) -> np.ndarray:
        """Fuse frames `(H, W)` of 8 bits into one."""
        batch = [source[None, None] for source in sources]  # one image, one channel
        if self.facts["depths"]:  # scale and range policy are in the graph
            return self._run(batch)
        fused = 255 * self._run([source.astype(np.float32) / 255 for source in batch])
        if self.facts["range"] == "minmax":
            low, high = fused.min(), fused.max()
            fused = 255 * (fused - low) / max(high - low, 1e-9)
        return np.floor(fused.clip(0, 255) + 0.5).astype(np.uint8)

    def _run(self, batch: list[np.ndarray]) -> np.ndarray:
        fused = self.session.run(None, dict(zip(self.names, batch, strict=True)))[0]
        return fused[0, 0]


def main() -> None:
    """Fuse frames, and print how long they took."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("sources", nargs="*", type=Path, help="as many images as the model takes")
    parser.add_argument("--frames", type=int, default=30)
    parser.add_argument("--width", type=int, default=320)
    parser.add_argument("--height", type=int, default=240)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("-o", "--output", type=Path, default=Path("fused.png"))
    arguments = parser.parse_args()
    begin = perf_counter()
    model = Model(arguments.model, arguments.threads)
    loaded = perf_counter() - begin
    paths = arguments.sources or sorted(STREET.glob("?.png"))[: len(model.names)]
    milliseconds = []
    for sources in frames(paths, arguments.frames, arguments.width, arguments.height):
        begin = perf_counter()
        fused = model(sources)
        milliseconds.append(1000 * (perf_counter() - begin))
    iio.imwrite(arguments.output, fused)
    print(f"{model.facts['method']}, {arguments.width}x{arguments.height}")
    print(f"loading the model: {1000 * loaded:.0f} ms, the first frame: {milliseconds[0]:.0f} ms")
    median, slow = np.percentile(milliseconds, [50, 95])
    print(f"a frame: {median:.1f} ms (median), {slow:.1f} ms (95th percentile)")
    print(f"{1000 / np.mean(milliseconds):.1f} frames a second")


if __name__ == "__main__":
    main()
