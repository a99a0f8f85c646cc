"""Known warps of image pairs, found again: how often, how closely, and what is refused.

    python benchmarks/registration.py SETS -o DIR [--sets vifb lytro] [--json FILE]

SETS holds a folder for each set, with the sources of a pair under one name in `a`, `b` (`c` ...).
The source `a` is warped and cropped to where it has pixels, so that no border tells the answer;
`b` is cropped to the same part of the scene, and stays. The sets are not registered exactly: the
truth of a warp is the known matrix composed with the registration of the pair as it is, which
counts as known when independent estimates of it agree to a pixel. DIR keeps a line for each
case and method, so that a run that was stopped continues.
"""

from __future__ import annotations

import argparse
import json
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import imageio.v3 as iio
import numpy as np
from numpy.typing import NDArray

from fusionlab.registration.contract import EstimatorFunction
from fusionlab_registration import geometry
from fusionlab_registration.ecc import ecc
from fusionlab_registration.estimators import both_ways
from fusionlab_registration.fields import level
from fusionlab_registration.fit import Images, Stage, fit
from fusionlab_registration.geometry import Matrix, Model
from fusionlab_registration.mutual_information import mutual_information
from fusionlab_registration.phase import phase

Image = NDArray[np.float32]

BETWEEN = ("vifb", "tno20", "roadscene", "harvard_ct_mri", "harvard_pet_mri")
WITHIN = ("lytro", "mef_brackets")
BLACK = ("harvard_ct_mri", "harvard_pet_mri")
"""Sets whose images end in black on all sides, and may be warped beyond their borders."""
WARPS: dict[str, tuple[Model, float, float, float, float]] = {
    "mild translation": ("translation", 0.03, 0, 0, 0),
    "mild similarity": ("similarity", 0.03, 2, 0.03, 0),
    "mild affine": ("affine", 0.03, 2, 0.03, 0),
    "mild homography": ("homography", 0.03, 2, 0.03, 0.03),
    "hard translation": ("translation", 0.15, 0, 0, 0),
    "hard similarity": ("similarity", 0.15, 15, 0.20, 0),
    "hard affine": ("affine", 0.15, 15, 0.20, 0),
    "hard homography": ("homography", 0.15, 15, 0.20, 0.10),
}
"""Name -> model, and the most of: shift (share of the size), degrees, scale, perspective."""


class Case(NamedTuple):
    """A pair with a known answer; `truth` None: it must be refused."""

    name: str
    model: Model
    moving: Image
    fixed: Image
    truth: Matrix | None


def gray(path: Path) -> Image:
    """Return the luma of an image, in 0..1."""
    image = iio.imread(path)
    top = np.iinfo(image.dtype).max
    image = image.astype(np.float32) / top
    if image.ndim == 3:
        image = image[..., :3] @ np.array([0.299, 0.587, 0.114], np.float32)
    return np.ascontiguousarray(image)


def pairs(root: Path, name: str) -> Iterator[tuple[str, Image, Image]]:
    """Yield the name, the moving and the fixed image of each pair of a set."""
    for path in sorted((root / name / "a").iterdir()):
        for slot in "bcdef":
            for other in sorted((root / name / slot).glob(f"{path.stem}.*")):
                suffix = f"/{slot}" if name == "mef_brackets" else ""
                yield f"{name}/{path.stem}{suffix}", gray(path), gray(other)


def seeded(text: str) -> np.random.Generator:
    """Return the generator that belongs to a text."""
    return np.random.default_rng(zlib.crc32(text.encode()))


def warp(kind: str, size: tuple[int, int], rng: np.random.Generator) -> Matrix:
    """Return a random matrix from the grid of an image to the same grid, about its center."""
    model, shift, degrees, scaling, perspective = WARPS[kind]
    signs = rng.choice([-1, 1], 6)
    u = rng.uniform(0.5, 1, 6) * signs
    height, width = size
    center = ((width - 1) / 2, (height - 1) / 2)
    onto = (center[0] + u[0] * shift * width, center[1] + u[1] * shift * height)
    matrix = geometry.turned(np.radians(u[2] * degrees), (1 + scaling) ** u[3], center, onto)
    if model in {"affine", "homography"}:
        stretch, slant = 1 + 0.3 * scaling * u[4], 0.3 * scaling * u[5]
        local = np.array([[stretch, slant, 0], [0, 1 / stretch, 0], [0, 0, 1.0]])
        to_center = np.array([[1, 0, -center[0]], [0, 1, -center[1]], [0, 0, 1.0]])
        matrix = matrix @ np.linalg.inv(to_center) @ local @ to_center
    if model == "homography":
        bend = np.eye(3)
        bend[2, :2] = perspective * u[4:6] / np.array([width, height])
        to_center = np.array([[1, 0, -center[0]], [0, 1, -center[1]], [0, 0, 1.0]])
        matrix = matrix @ np.linalg.inv(to_center) @ bend @ to_center
    return geometry.unit(matrix)


def warped(image: Image, matrix: Matrix, size: tuple[int, int]) -> Image:
    """Return the image on a grid of `size`, which the matrix maps to the image; black outside."""
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    out = cv2.warpPerspective(image, matrix, size[::-1], flags=flags)
    return np.clip(out, 0, 1)


def offset(x: float, y: float) -> Matrix:
    """Return the matrix that shifts by (x, y)."""
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1.0]])


def cropped(known: Matrix, size: tuple[int, int]) -> tuple[tuple[int, int], Matrix, Matrix]:
    """Return a size, and where windows of that size lie in the fixed and in the warped image.

    The largest windows, one in the same place of both, of which the warped one shows nothing from
    beyond the border. `known` maps the fixed image to the warped one.
    """
    back = np.linalg.inv(known)
    limits = np.array([size[1] - 1, size[0] - 1])
    for share in np.arange(1, 0.4, -0.025):
        window = (int(size[0] * share), int(size[1] * share))
        slack = (size[0] - window[0], size[1] - window[1])
        for place_y in (0.5, 0.25, 0.75, 0, 1):
            for place_x in (0.5, 0.25, 0.75, 0, 1):
                move = offset(int(slack[1] * place_x), int(slack[0] * place_y))
                seen = geometry.apply(back @ move, geometry.corners(window))
                if (seen >= 0).all() and (seen <= limits).all():
                    return window, move, move
    message = "no window is left"
    raise ValueError(message)


def case(name: str, kind: str, moving: Image, fixed: Image, own: Matrix, *, black: bool) -> Case:
    """Return a pair warped by a random matrix of `kind`; `own` maps fixed to moving as they are."""
    size = fixed.shape
    known = warp(kind, size, seeded(f"{name} {kind}"))  # fixed -> warped moving
    if black:
        window, move = size, offset(0, 0)
    else:
        window, move, _ = cropped(known, size)
    # grid of the warped window -> warped moving -> moving
    image = warped(moving, np.linalg.inv(known) @ move, window)
    part = fixed[
        int(move[1, 2]) : int(move[1, 2]) + window[0], int(move[0, 2]) : int(move[0, 2]) + window[1]
    ]
    # fixed window -> fixed -> (own) moving -> warped -> its window
    truth = np.linalg.inv(move) @ known @ own @ move
    return Case(f"{name} {kind}", WARPS[kind][0], image, np.ascontiguousarray(part), truth)


def other_sizes(base: Case) -> Case:
    """Return a case with a moving image of 640x512 beside a fixed one of 1920x1080."""

    def fitted(image: Image, width: int, height: int) -> tuple[Image, Matrix]:
        rows, columns = image.shape
        ratio = width / height
        w, h = (columns, columns / ratio) if columns / rows < ratio else (rows * ratio, rows)
        w, h = int(w), int(h)
        x, y = (columns - w) // 2, (rows - h) // 2
        part = image[y : y + h, x : x + w]
        method = cv2.INTER_AREA if width < w else cv2.INTER_CUBIC
        out = np.clip(cv2.resize(part, (width, height), interpolation=method), 0, 1)
        return out, geometry.resized((h, w), (height, width)) @ offset(-x, -y)

    moving, to_moving = fitted(base.moving, 640, 512)
    fixed, to_fixed = fitted(base.fixed, 1920, 1080)
    assert base.truth is not None
    truth = to_moving @ base.truth @ np.linalg.inv(to_fixed)
    return Case(f"{base.name} sizes", base.model, moving, fixed, geometry.unit(truth))


def error(matrix: Matrix, case: Case) -> float:
    """Return the largest error at the corners of the overlap, in pixels of the moving image."""
    assert case.truth is not None
    points = geometry.overlap_polygon(case.truth, case.fixed.shape, case.moving.shape)
    return geometry.distance(matrix, case.truth, points)


def scaled(image: Image) -> Image:
    """Return the image as the program hands it over: 0.5th percentile 0, 99.5th 1."""
    low, high = np.percentile(image, (0.5, 99.5))
    return np.clip((image - low) / max(high - low, 1e-6), 0, 1).astype(np.float32)


# What an estimate is measured against


def own(moving: Image, fixed: Image, model: Model, *, doubled: bool) -> tuple[Matrix, float]:
    """Return how a pair lies as it is, and how uncertain that is: pixels at the corners.

    Started from the identity, as all of these sets are registered by those who made them. The
    uncertainty is the largest difference among estimates in both directions, with other sizes, and
    with other shares of the gray values.
    """
    images = Images(moving, fixed, doubled=doubled)
    start = geometry.resized(fixed.shape, moving.shape)
    base, _, _ = both_ways(images, start, model)
    others = [
        fit(images, start, model, (Stage(224, 1.6), Stage(448, 1.6))).matrix,
        fit(replace(images, share=0.3), base, model, (Stage(320, 1.2), Stage(448, 1.0))).matrix,
        fit(replace(images, share=0.0), start, model, (Stage(160, 1.2), Stage(448, 1.0))).matrix,
        np.linalg.inv(fit(images.swapped(), np.linalg.inv(base), model, (Stage(448, 1.3),)).matrix),
    ]
    points = geometry.corners(fixed.shape)
    return base, max(geometry.distance(base, other, points) for other in others)


# The methods


class Answer(NamedTuple):
    """What a method says; a matrix of None: it refuses."""

    matrix: Matrix | None
    confidence: float
    reason: str


def ours(estimator: EstimatorFunction) -> Callable[[Case], Answer]:
    def run(case: Case) -> Answer:
        found = estimator(case.moving, case.fixed, model=case.model)
        return Answer(found.matrix, found.confidence, found.reason or "")

    return run


def bytes_of(image: Image) -> NDArray[np.uint8]:
    return (image * 255 + 0.5).astype(np.uint8)


def sift(case: Case) -> Answer:
    """SIFT, ratio test, RANSAC: refused below 10 inliers."""
    detector = cv2.SIFT_create(4000)
    points_f, words_f = detector.detectAndCompute(bytes_of(case.fixed), None)
    points_m, words_m = detector.detectAndCompute(bytes_of(case.moving), None)
    if words_f is None or words_m is None or min(len(words_f), len(words_m)) < 4:
        return Answer(None, 0, "few points")
    matches = cv2.BFMatcher().knnMatch(words_f, words_m, k=2)
    good = [m[0] for m in matches if len(m) == 2 and m[0].distance < 0.8 * m[1].distance]
    if len(good) < 4:
        return Answer(None, 0, "few matches")
    f = np.float32([points_f[m.queryIdx].pt for m in good])
    m = np.float32([points_m[m.trainIdx].pt for m in good])
    cv2.setRNGSeed(0)
    if case.model == "homography":
        matrix, inside = cv2.findHomography(f, m, cv2.RANSAC, 3.0)
    elif case.model == "affine":
        matrix, inside = cv2.estimateAffine2D(f, m, ransacReprojThreshold=3.0)
    else:
        matrix, inside = cv2.estimateAffinePartial2D(f, m, ransacReprojThreshold=3.0)
    if matrix is None or int(inside.sum()) < 10:
        return Answer(None, 0, "few inliers")
    full = np.eye(3)
    full[: len(matrix)] = matrix
    return Answer(geometry.restricted(full, case.model, case.fixed.shape), 1, "")


def ecc_of_opencv(case: Case) -> Answer:
    """`cv2.findTransformECC` from the identity, in three sizes; refused where it gives up."""
    kinds = {
        "translation": cv2.MOTION_TRANSLATION,
        "similarity": cv2.MOTION_AFFINE,  # it has no similarity
        "affine": cv2.MOTION_AFFINE,
        "homography": cv2.MOTION_HOMOGRAPHY,
    }
    full = geometry.resized(case.fixed.shape, case.moving.shape)
    try:
        for side in (112, 224, 448):
            f = level(case.fixed, None, side / np.sqrt(case.fixed.size))
            m = level(case.moving, None, side / np.sqrt(case.moving.size))
            now = geometry.unit(m.to_level @ full @ np.linalg.inv(f.to_level)).astype(np.float32)
            kind = kinds[case.model]
            now = now if kind == cv2.MOTION_HOMOGRAPHY else now[:2]
            criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 100, 1e-5)
            _, now = cv2.findTransformECC(f.image, m.image, now, kind, criteria, None, 5)
            whole = np.eye(3)
            whole[: len(now)] = now
            full = np.linalg.inv(m.to_level) @ whole @ f.to_level
    except cv2.error:
        return Answer(None, 0, "does not converge")
    return Answer(geometry.restricted(full, case.model, case.fixed.shape), 1, "")


def mattes(case: Case) -> Answer:
    """Mattes mutual information of SimpleITK from the identity; never refused.

    It has no homography: an affine is taken. On images of up to 640 pixels, for the time.
    """
    import SimpleITK as sitk  # noqa: N813  # its documentation calls it so

    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    small = level(case.fixed, None, 640 / max(case.fixed.shape))
    to_small, case = small.to_level, case._replace(fixed=small.image)
    size_f, size_m = case.fixed.shape, case.moving.shape
    fixed, moving = sitk.GetImageFromArray(case.fixed), sitk.GetImageFromArray(case.moving)
    # both in units of the fixed image
    moving.SetSpacing((size_f[1] / size_m[1], size_f[0] / size_m[0]))
    moving.SetOrigin(tuple(0.5 * s - 0.5 for s in moving.GetSpacing()))
    first = {
        "translation": sitk.TranslationTransform(2),
        "similarity": sitk.Similarity2DTransform(),
    }.get(case.model, sitk.AffineTransform(2))
    if case.model != "translation":
        first.SetCenter(((size_f[1] - 1) / 2, (size_f[0] - 1) / 2))
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(32)
    method.SetMetricSamplingStrategy(method.NONE)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(2.0, 1e-3, 100, 0.6)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([4, 2, 1])
    method.SetSmoothingSigmasPerLevel([2, 1, 0])
    method.SetInitialTransform(first, inPlace=False)
    try:
        result = method.Execute(fixed, moving)
    except RuntimeError:
        return Answer(None, 0, "fails")
    points = geometry.corners(size_f)
    there = np.array([result.TransformPoint(p) for p in points.tolist()])
    there = (there - np.array(moving.GetOrigin())) / np.array(moving.GetSpacing())
    matrix = cv2.getPerspectiveTransform(points.astype(np.float32), there.astype(np.float32))
    return Answer(np.asarray(matrix, np.float64) @ to_small, 1, "")


METHODS: dict[str, Callable[[Case], Answer]] = {
    "mutual-information": ours(mutual_information),
    "ecc": ours(ecc),
    "phase": ours(phase),
    "SIFT + RANSAC": sift,
    "ECC (OpenCV)": ecc_of_opencv,
    "Mattes MI (SimpleITK)": mattes,
}
COMPARATORS = ("SIFT + RANSAC", "ECC (OpenCV)", "Mattes MI (SimpleITK)")


# The run


def unrelated(name: str, moving: Image, fixed: Image, other: tuple[str, Image]) -> Iterator[Case]:
    """Yield cases that must be refused."""
    turned = np.ascontiguousarray(moving[::-1, ::-1])
    mirrored = np.ascontiguousarray(moving[:, ::-1])
    model: Model = seeded(name).choice(["similarity", "homography"]).item()
    yield Case(f"{name} unrelated to {other[0]}", model, moving, other[1], None)
    yield Case(f"{name} turned", model, turned, fixed, None)
    yield Case(f"{name} mirrored", model, mirrored, fixed, None)


def featureless() -> Iterator[Case]:
    """Yield cases of images without structure against one another."""
    noise = seeded("noise").normal(0.5, 0.1, (3, 240, 320)).clip(0, 1).astype(np.float32)
    ramp = np.linspace(0, 1, 320, dtype=np.float32)[None].repeat(240, 0)
    flat = np.full((240, 320), 0.5, np.float32)
    smooth = [cv2.GaussianBlur(n, (0, 0), 2.0) for n in noise]
    stripes = (0.5 + 0.5 * np.sin(ramp * 120)).astype(np.float32)
    for model in geometry.MODELS:
        yield Case(f"featureless/noise {model}", model, noise[0], noise[1], None)
        yield Case(f"featureless/blurred noise {model}", model, smooth[0], smooth[1], None)
        yield Case(f"featureless/flat {model}", model, flat, scaled(noise[0]), None)
        yield Case(f"featureless/ramp {model}", model, ramp + 0.05 * noise[0], ramp, None)
        yield Case(f"featureless/stripes {model}", model, stripes, 1 - stripes, None)


def cases(
    root: Path, names: list[str], every: int, kinds: list[str], owns: dict[str, list[float]]
) -> Iterator[tuple[str, Case, float]]:
    """Yield the set, the case and the uncertainty of its truth, kinds in turn over the pairs."""
    if "refusals" in kinds:
        for case in featureless():
            yield "featureless", case, 0.0
    sets = {name: list(pairs(root, name))[::every] for name in names}
    for kind in kinds:
        for name, chosen in sets.items():
            for index, (pair, moving, fixed) in enumerate(chosen):
                if kind == "refusals":
                    if len(chosen) > 1:
                        other = chosen[(index + len(chosen) // 2) % len(chosen)]
                        for case in unrelated(pair, scaled(moving), scaled(fixed), other[::2]):
                            yield name, case, 0.0
                    continue
                model = WARPS[kind.removesuffix(" sizes")][0]
                key = f"{pair} {model}"
                if key not in owns:
                    matrix, spread = own(
                        scaled(moving), scaled(fixed), model, doubled=name not in WITHIN
                    )
                    owns[key] = [*matrix.ravel().tolist(), spread]
                matrix = np.array(owns[key][:9]).reshape(3, 3)
                made = case_of(pair, kind, moving, fixed, matrix, black=name in BLACK)
                yield name, made, owns[key][9]


def case_of(pair: str, kind: str, a: Image, b: Image, own: Matrix, *, black: bool) -> Case:
    base = case(pair, kind.removesuffix(" sizes"), a, b, own, black=black)
    if kind.endswith(" sizes"):
        base = other_sizes(base)
    return base._replace(moving=scaled(base.moving), fixed=scaled(base.fixed))


HEAD = (
    "| images | warp | method | cases | 0.5 px | 2 px | 5 px | sure | 2 px | refused | wrong | s |"
)
"""`sure`: cases whose own registration is known to a pixel, and the share of them within 2."""


def table(rows: list[dict[str, Any]]) -> str:
    """Return the results as text: by kind of images, by set, and what had to be refused."""

    def whole(row: dict[str, Any]) -> tuple[str, str, str]:
        hardness = row["kind"].split()[0] + (" sizes" if row["kind"].endswith("sizes") else "")
        return ("between" if row["between"] else "within", hardness, row["method"])

    def single(row: dict[str, Any]) -> tuple[str, str, str]:
        return row["set"], row["kind"], row["method"]

    lines = []
    known = [row for row in rows if row["kind"] != "refusals"]
    for key in (whole, single):
        lines += [HEAD, "|" + "---|" * 12]
        for group in sorted({key(row) for row in known}):
            lines.append(_line(*group, [row for row in known if key(row) == group]))
        lines.append("")
    lines += ["| to be refused | method | cases | accepted |", "|---|---|---|---|"]
    refusals = [row for row in rows if row["kind"] == "refusals"]
    for method in sorted({row["method"] for row in refusals}):
        for what in ("featureless", "unrelated", "turned", "mirrored"):
            some = [r for r in refusals if what in r["case"] and r["method"] == method]
            accepted = sum(row["accepted"] for row in some)
            lines.append(f"| {what} | {method} | {len(some)} | {accepted} |")
    return "\n".join(lines)


def _line(first: str, second: str, method: str, rows: list[dict[str, Any]]) -> str:
    certain = [r for r in rows if r["uncertain"] <= 1]

    def share(some: list[dict[str, Any]], limit: float) -> str:
        good = sum(r["accepted"] and r["error"] <= limit for r in some)
        return f"{100 * good / len(some):.0f} %" if some else "-"

    refused = sum(not r["accepted"] for r in rows)
    wrong = sum(r["accepted"] and r["error"] > WRONG * r["side"] for r in rows)
    seconds = np.mean([r["seconds"] for r in rows])
    cells = [first, second, method, len(rows), *(share(rows, n) for n in (0.5, 2, 5))]
    cells += [len(certain), share(certain, 2), refused, wrong, f"{seconds:.2f}"]
    return "| " + " | ".join(map(str, cells)) + " |"


WRONG = 0.05
"""An accepted error above this share of the size is a wrong acceptance."""


def main() -> None:
    """Run what is missing, and print the table of all."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("root", type=Path, metavar="SETS")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--sets", nargs="+", default=[*BETWEEN, *WITHIN])
    parser.add_argument("--kinds", nargs="+", default=[*WARPS, "refusals"])
    parser.add_argument("--methods", nargs="+", default=[])
    parser.add_argument("--every", type=int, default=1, help="take each Nth pair of a set")
    parser.add_argument("--table", action="store_true", help="only print what is there")
    parser.add_argument("--json", type=Path, help="write the rows here, too")
    options = parser.parse_args()
    known = {*WARPS, *(f"{warp} sizes" for warp in WARPS), "refusals"}
    if unknown := set(options.kinds) - known:
        parser.error(f"there is no kind {min(unknown)!r}; there are: {', '.join(sorted(known))}")
    options.out.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(1)
    log, own_file = options.out / "rows.jsonl", options.out / "own.json"
    rows = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    owns = json.loads(own_file.read_text()) if own_file.exists() else {}
    done = {(r["case"], r["method"]) for r in rows}
    count = len(owns)
    if options.table:
        print(table(rows))
        return
    with log.open("a") as file:
        for name, made, uncertain in cases(
            options.root, options.sets, options.every, options.kinds, owns
        ):
            if len(owns) > count:
                count = len(owns)
                own_file.write_text(json.dumps(owns))
            usual = ["ecc" if name in WITHIN else "mutual-information", *COMPARATORS]
            for method in options.methods or usual:
                if (made.name, method) in done:
                    continue
                began = time.process_time()
                answer = METHODS[method](made)
                seconds = time.process_time() - began
                accepted = answer.matrix is not None
                kind = "refusals" if made.truth is None else made.name.split(" ", 1)[1]
                row = {
                    "set": name,
                    "case": made.name,
                    "kind": kind,
                    "method": method,
                    "between": name not in WITHIN,
                    "accepted": accepted,
                    "confidence": round(answer.confidence, 4),
                    "reason": answer.reason,
                    "error": None,
                    "uncertain": min(uncertain, 1e6),
                    "side": float(np.sqrt(made.moving.size)),
                    "seconds": round(seconds, 3),
                }
                if accepted and made.truth is not None:
                    assert answer.matrix is not None
                    row["error"] = min(error(answer.matrix, made), 1e6)
                rows.append(row)
                file.write(json.dumps(row) + "\n")
                file.flush()
    print(table(rows))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
