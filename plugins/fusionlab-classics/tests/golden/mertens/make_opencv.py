"""Fuse three exposures by OpenCV's program; writes opencv.npz. Made with OpenCV 5.0.0:

python make_opencv.py

The edges are powers of two: OpenCV doubles images of odd edges with another border.
"""

from pathlib import Path

import numpy as np

HERE = Path(__file__).parent


def exposures(height, width, channels):
    """Three exposures `(3, h, w, channels)`, 8 bits, of a noisy scene with a window.

    No region is flat, and no gradient constant: OpenCV's weights would be the rounding of single
    precision there.
    """
    random = np.random.default_rng(height + channels)
    scene = random.integers(20, 200, (height, width, channels))
    scene[height // 3 : 2 * height // 3, width // 2 :] += 50
    return np.stack([scene * gain // 4 for gain in (1, 2, 4)]).astype(np.uint8)


def main():
    import cv2

    fused = {}
    for channels in (1, 3):
        for height, width in ((64, 64), (32, 128)):
            # in the order red, green, blue, which its luminance assumes
            images = list(exposures(height, width, channels).squeeze())
            result = cv2.createMergeMertens(1.0, 1.0, 1.0).process(images)
            fused[f"{height}x{width}x{channels}"] = result.astype(np.float32)
    np.savez_compressed(HERE / "opencv.npz", **fused)


if __name__ == "__main__":
    main()
