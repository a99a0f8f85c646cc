"""Make the image of the README: three sources of one street, and the fused image."""

from pathlib import Path

import numpy as np

import fusionlab

HERE = Path(__file__).parent
GAP = 4


def main() -> None:
    """Fuse the street, and write sources and result as one image, two by two."""
    files = [HERE / "images" / "street" / f"{name}.png" for name in "abc"]
    sources = [fusionlab.read_image(file).pixels for file in files]
    fused = fusionlab.Fusion("densefuse", "l1norm,r=1")(sources)
    framed = [np.pad(image, GAP, constant_values=255) for image in [*sources, fused]]
    output = HERE.parent / "docs" / "images" / "street.png"
    fusionlab.write_image(output, np.vstack([np.hstack(framed[:2]), np.hstack(framed[2:])]))
    print(output)


if __name__ == "__main__":
    main()
