"""Metrics by other people's programs, or written out in numpy from the definition.

Nothing here calls fusionlab. Each function takes the fused image and both sources, `(H, W)`, or
`(H, W, 3)` for metrics of color, in float64 gray levels. `REFERENCES` maps a metric, with its
convention, to the program and function.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import cv2
import numpy as np
import pytorch_msssim
import pywt
import scipy.fft
import scipy.ndimage
import scipy.special
import scipy.stats
import sewar
import skimage.measure
import skimage.metrics
import sklearn.metrics
import torch
from numpy.lib.stride_tricks import sliding_window_view

Array = np.ndarray
C2 = (0.03 * 255) ** 2
EPS = np.finfo(float).eps


class Reference(NamedTuple):
    program: str
    value: Callable[[Array, Array, Array], float]
    sets: Sequence[str] = ()
    """The image sets it applies to; all of them if empty."""


# ------------------------------------------------------------------ information


def nats(a: Array, b: Array) -> float:
    return sklearn.metrics.mutual_info_score(a.astype(int).ravel(), b.astype(int).ravel())


def mutual_information(f: Array, a: Array, b: Array) -> float:
    return (nats(a, f) + nats(b, f)) / np.log(2)


def normalized_mutual_information(f: Array, a: Array, b: Array) -> float:
    of = sklearn.metrics.normalized_mutual_info_score
    return sum(of(s.astype(int).ravel(), f.astype(int).ravel()) for s in (a, b))


def histogram(image: Array) -> Array:
    return np.bincount(image.astype(int).ravel(), minlength=256) / image.size


def cross_entropy(f: Array, a: Array, b: Array) -> float:
    q, total = histogram(f), 0.0
    for p in (histogram(a), histogram(b)):
        common = (p > 0) & (q > 0)
        total += scipy.special.rel_entr(p[common], q[common]).sum() / np.log(2)
    return total / 2


def nonlinear_correlation(f: Array, a: Array, b: Array) -> float:
    images = (a, b, f)
    matrix = np.array([[1 if x is y else nats(x, y) / np.log(256) for x in images] for y in images])
    shares = np.linalg.eigvalsh(matrix) / 3
    return 1 - scipy.stats.entropy(shares, base=256)


def tsallis(f: Array, a: Array, b: Array) -> float:
    q = 0.43137

    def shared(x: Array, y: Array) -> float:
        joint = np.histogram2d(x.ravel(), y.ravel(), bins=256, range=[[0, 256]] * 2)[0] / x.size
        product = np.outer(histogram(x), histogram(y))
        return (1 - (joint**q * product ** (1 - q)).sum()) / (1 - q)

    def entropy(x: Array) -> float:
        p = histogram(x)
        return ((p[p > 0] ** q).sum() - 1) / (1 - q)

    return (shared(a, f) + shared(b, f)) / (entropy(a) + entropy(b) - shared(a, b))


# ------------------------------------------------------------------ contrast


def spatial_frequency(f: Array, *_: Array) -> float:
    return np.sqrt(
        (np.diff(f, axis=1) ** 2).sum() / f.size + (np.diff(f, axis=0) ** 2).sum() / f.size
    )


def spatial_frequency_per_step(f: Array, *_: Array) -> float:
    return np.sqrt((np.diff(f, axis=1) ** 2).mean() + (np.diff(f, axis=0) ** 2).mean())


def average_gradient(f: Array, *_: Array) -> float:
    down, right = np.gradient(f)
    return np.sqrt((down**2 + right**2) / 2).mean()


def average_gradient_of_inner_size(f: Array, *_: Array) -> float:
    height, width = f.shape
    return average_gradient(f) * height * width / ((height - 1) * (width - 1))


def sobel(image: Array, border: int) -> tuple[Array, Array]:
    """Return the gradients toward the right and downwards."""
    return tuple(
        cv2.Sobel(image, cv2.CV_64F, *axis, borderType=border) for axis in ((1, 0), (0, 1))
    )


def edge_intensity(f: Array, *_: Array) -> float:
    return np.hypot(*sobel(f, cv2.BORDER_REPLICATE)).mean()


def spatial_frequency_error(f: Array, a: Array, b: Array) -> float:
    def steps(x: Array) -> list[Array]:
        diagonal, antidiagonal = x[1:, 1:] - x[:-1, :-1], x[1:, :-1] - x[:-1, 1:]
        return [np.diff(x, axis=1), np.diff(x, axis=0), diagonal, antidiagonal]

    def frequency(x: list[Array]) -> float:
        right, down, *diagonals = [(step**2).sum() for step in x]
        return np.sqrt((right + down + sum(diagonals) / np.sqrt(2)) / f.size)

    largest = [np.maximum(abs(x), abs(y)) for x, y in zip(steps(a), steps(b), strict=True)]
    return frequency(steps(f)) / frequency(largest) - 1


# ------------------------------------------------------------------ differences


def mean_squared_error(f: Array, a: Array, b: Array) -> float:
    return np.mean([skimage.metrics.mean_squared_error(s, f) for s in (a, b)])


def psnr(f: Array, a: Array, b: Array, white: float = 1) -> float:
    both = np.stack([a, b]) / white, np.stack([f, f]) / white
    return skimage.metrics.peak_signal_noise_ratio(*both, data_range=255)


def vifb_rmse(f: Array, a: Array, b: Array) -> float:
    return np.mean([np.sqrt(((f - s) ** 2).sum()) / f.size for s in (a, b)])


def pearson(x: Array, y: Array) -> float:
    return scipy.stats.pearsonr(x.ravel(), y.ravel()).statistic


def correlation(f: Array, a: Array, b: Array) -> float:
    return (pearson(f, a) + pearson(f, b)) / 2


def sum_of_correlations(f: Array, a: Array, b: Array) -> float:
    return pearson(f - b, a) + pearson(f - a, b)


# ------------------------------------------------------------------ edges


def sigmoid(x: Array, top: float, slope: float, middle: float) -> Array:
    return top / (1 + np.exp(slope * (middle - x)))


def ratio(x: Array, y: Array) -> Array:
    larger = np.maximum(x, y)
    return np.divide(np.minimum(x, y), larger, out=np.zeros_like(larger), where=larger > 0)


def angle(rise: Array, run: Array) -> Array:
    with np.errstate(all="ignore"):
        return np.where(run == 0, np.pi / 2, np.arctan(rise / run))


def qabf(f: Array, a: Array, b: Array, unit: float = 0) -> float:
    """Return Qabf; with a unit, edges that are equal keep the strength of F in this unit."""

    def edges(image: Array) -> tuple[Array, Array]:
        right, down = sobel(image, cv2.BORDER_CONSTANT)
        return np.sqrt(right**2 + down**2), angle(down, -right)

    (strength_f, angle_f), kept, total = edges(f), 0.0, 0.0
    for strength, direction in map(edges, (a, b)):
        similar = np.where(
            strength == strength_f, strength_f / unit if unit else 1, ratio(strength, strength_f)
        )
        aligned = 1 - abs(direction - angle_f) / (np.pi / 2)
        quality = sigmoid(similar, 0.9994, 15, 0.5) * sigmoid(aligned, 0.9879, 22, 0.8)
        kept, total = kept + (quality * strength).sum(), total + strength.sum()
    return kept / total


def nabf(f: Array, a: Array, b: Array) -> float:
    def edges(image: Array) -> tuple[Array, Array]:
        right, down = sobel(image, cv2.BORDER_REFLECT_101)
        strength = np.sqrt(right**2 + down**2) / 8
        return strength, np.where(strength == 0, 0, angle(right, down))

    (strength_f, angle_f), *sources = map(edges, (f, a, b))
    invented = np.logical_and.reduce([strength_f > strength for strength, _ in sources])
    lost, total = 0.0, 0.0
    for strength, direction in sources:
        aligned = abs(abs(direction - angle_f) - np.pi / 2) / (np.pi / 2)
        kept = sigmoid(ratio(strength, strength_f), 0.9999, 19, 0.5)
        quality = np.sqrt(kept * sigmoid(aligned, 0.9995, 22, 0.5))
        weight = np.where(strength >= 2, strength**1.5, 0.001)
        lost, total = lost + (invented * (1 - quality) * weight).sum(), total + weight.sum()
    return lost / total


# ------------------------------------------------------------------ structure


def ssim_map(x: Array, y: Array, white: float = 255) -> Array:
    """Return the SSIM of each window inside the image."""
    _, full = skimage.metrics.structural_similarity(
        x,
        y,
        data_range=white,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )
    return full[5:-5, 5:-5]


def ssim(f: Array, a: Array, b: Array) -> float:
    return (ssim_map(a, f).mean() + ssim_map(b, f).mean()) / 2


def ssim_with_border(f: Array, a: Array, b: Array, white: float = 255) -> float:
    f, a, b = (np.pad(image, 5, mode="edge") for image in (f, a, b))
    return (ssim_map(a, f, white).mean() + ssim_map(b, f, white).mean()) / 2


def ms_ssim(f: Array, a: Array, b: Array) -> float:
    f, a, b = (torch.from_numpy(image)[None, None] for image in (f, a, b))
    bell = torch.exp(-((torch.arange(11, dtype=torch.float64) - 5) ** 2) / 4.5)
    window = (bell / bell.sum()).view(1, 1, 1, 11)  # its own is of float32
    values = [pytorch_msssim.ms_ssim(s, f, data_range=255, win=window) for s in (a, b)]
    return (sum(values) / 2).item()


def windows(image: Array, size: int, sigma: float = 0) -> Callable[[Array], Array]:
    """Return a function that averages images in all windows inside of them."""
    x = np.arange(size) - (size - 1) / 2
    bell = np.exp(-(x**2) / (2 * sigma**2)) if sigma else np.ones(size)
    weights = np.outer(bell, bell) / bell.sum() ** 2
    return lambda image: np.einsum("ijkl,kl", sliding_window_view(image, (size, size)), weights)


def q0(x: Array, y: Array, average: Callable[[Array], Array], constant: float = 0) -> Array:
    mx, my = average(x), average(y)
    vx, vy = average(x * x) - mx**2, average(y * y) - my**2
    covariance = average(x * y) - mx * my
    luminance = (2 * mx * my + constant) / (mx**2 + my**2 + constant)
    return luminance * (2 * covariance + constant) / (vx + vy + constant)


def variance(x: Array, average: Callable[[Array], Array]) -> Array:
    return average(x * x) - average(x) ** 2


def piella(f: Array, a: Array, b: Array, *, weighted: bool) -> float:
    average = windows(f, 8)
    va, vb = variance(a, average), variance(b, average)
    quality = (va * q0(a, f, average) + vb * q0(b, f, average)) / (va + vb)
    return np.average(quality, weights=np.maximum(va, vb) if weighted else None)


def piella_of_liu(f: Array, a: Array, b: Array, *, weighted: bool) -> float:
    average = windows(f, 11, 1.5)
    va, vb = variance(a, average), variance(b, average)
    quality = (va * ssim_map(a, f) + vb * ssim_map(b, f)) / (va + vb)
    return np.average(quality, weights=np.maximum(va, vb) if weighted else None)


def cvejic(f: Array, a: Array, b: Array) -> float:
    average = windows(f, 8)
    first, second = (average(s * f) - average(s) * average(f) for s in (a, b))
    share = np.clip(first / (first + second), 0, 1)
    return (share * q0(a, f, average) + (1 - share) * q0(b, f, average)).mean()


def yang(f: Array, a: Array, b: Array) -> float:
    average, constant = windows(f, 7, 1.5), 2e-16
    va, vb = variance(a, average), variance(b, average)
    with_a, with_b = q0(a, f, average, constant), q0(b, f, average, constant)
    common = (va * with_a + vb * with_b) / (va + vb)
    similar = q0(a, b, average, constant) >= 0.75
    return np.where(similar, common, np.maximum(with_a, with_b)).mean()


# ------------------------------------------------------------------ fidelity, perception, pyramids


def vif(f: Array, a: Array, b: Array) -> float:
    return sum(sewar.vifp(s, f, sigma_nsq=2) for s in (a, b))


def frequencies(image: Array, degrees: float) -> Array:
    height, width = image.shape
    return (
        np.hypot(np.fft.fftfreq(height, 1 / height)[:, None], np.fft.fftfreq(width, 1 / width))
        / degrees
    )


def filtered(image: Array, response: Array) -> Array:
    return np.fft.ifft2(np.fft.fft2(image) * response).real


def q_cb(f: Array, a: Array, b: Array, *, toolbox: bool = False) -> float:
    border = cv2.BORDER_CONSTANT if toolbox else cv2.BORDER_REPLICATE

    def blurred(image: Array, sigma: float) -> Array:
        x = np.arange(31) - 15
        bell = np.exp(-(x**2) / (2 * sigma**2))
        bell /= np.sqrt(2 * np.pi) * sigma if toolbox else bell.sum()
        return cv2.sepFilter2D(image, -1, bell, bell, borderType=border)

    def masked(image: Array) -> Array:
        image = stretched(image) if toolbox else image
        r = frequencies(image, 15)
        seen = filtered(image, np.exp(-((r / 15.387) ** 2)) - 0.7622 * np.exp(-((r / 1.3456) ** 2)))
        contrast = abs(blurred(seen, 2) / blurred(seen, 4) - 1)
        return contrast**3 / (contrast**2 + 1e-4)

    mf, ma, mb = masked(f), masked(a), masked(b)
    return ((ma**2 * ratio(ma, mf) + mb**2 * ratio(mb, mf)) / (ma**2 + mb**2)).mean()


def q_cv(f: Array, a: Array, b: Array, *, toolbox: bool = False) -> float:
    border = cv2.BORDER_CONSTANT if toolbox else cv2.BORDER_REPLICATE
    if toolbox:
        f, a, b = (stretched(image) for image in (f, a, b))
    scaled = (0.144 if toolbox else 0.114) * frequencies(f, 4)
    response = 2.6 * (0.0192 + scaled) * np.exp(-(scaled**1.1))
    error, total = 0.0, 0.0
    for source in (a, b):
        strength = np.hypot(*sobel(source, border)) ** 5
        squares = filtered(source - f, response) ** 2
        for top in range(0, f.shape[0], 16):
            for left in range(0, f.shape[1], 16):
                region = slice(top, top + 16), slice(left, left + 16)
                pixels = 256 if toolbox else squares[region].size
                error += strength[region].sum() * squares[region].sum() / pixels
                total += strength[region].sum()
    return error / total


def q_m(f: Array, a: Array, b: Array) -> float:
    value = 1.0
    for exponent in (2 / 3, 1 / 3):
        f, a, b = (image[: len(image) // 2 * 2, : image.shape[1] // 2 * 2] for image in (f, a, b))
        (f, of_f), (a, of_a), (b, of_b) = (pywt.dwt2(image, "haar") for image in (f, a, b))
        kept, total = 0.0, 0.0
        for bands in (of_a, of_b):
            energy = sum(band**2 for band in bands)
            near = sum(np.exp(-abs(x - y)) for x, y in zip(bands, of_f, strict=True))
            kept, total = kept + (energy * near).sum(), total + energy.sum()
        value *= (kept / total) ** exponent
    return value


def tsallis_of_liu(f: Array, a: Array, b: Array) -> float:
    """Return Q_TE with exchanged marginals, powers of Shannon entropies and a wrong sign."""
    q = 0.43137
    f, a, b = (stretched(image) for image in (f, a, b))

    def shared(x: Array, y: Array) -> float:
        joint = np.histogram2d(x.ravel(), y.ravel(), bins=256, range=[[0, 256]] * 2)[0] / x.size
        exchanged = np.outer(histogram(y), histogram(x))
        return (1 - (joint**q * exchanged ** (1 - q)).sum()) / (1 - q)

    entropies = sum(scipy.stats.entropy(histogram(x), base=2) ** q for x in (a, b))
    return (shared(a, f) + shared(b, f)) / (entropies + shared(a, b))


def cvejic_of_liu(f: Array, a: Array, b: Array) -> float:
    average, constant = windows(f, 7, 1.5), 2e-16
    first, second = (average(s * f) - average(s) * average(f) for s in (a, b))
    share = first / (first + second)
    value = share * q0(a, f, average, constant) + (1 - share) * q0(b, f, average, constant)
    return np.where(share < 0, 0, np.where(share > 1, 1, value)).mean()


# ------------------------------------------------------------------ feature mutual information


def distribution(window: Array) -> Array:
    """Return a 3x3 window, in column-major order, as a distribution on 1..9."""
    values = window.T.ravel() - window.min()
    return values / values.sum() if values.any() else np.full(9, 1 / 9)


def plogp(p: Array) -> float:
    return -(p * np.log(abs(p), out=np.zeros_like(p), where=p != 0)).sum()


def information(x: Array, y: Array) -> float:
    """Return the mutual information of two windows by the bivariate distribution of Nelsen."""
    if np.array_equal(x, y):
        return 1.0
    p, q = distribution(x), distribution(y)
    entropies = plogp(p) + plogp(q)
    if entropies == 0:
        return 0.0
    numbers = np.arange(1, 10)
    deviations = [np.sqrt(max(d @ numbers**2 - (d @ numbers) ** 2, 0)) for d in (p, q)]
    c = 0.0 if np.ptp(p) == 0 or np.ptp(q) == 0 else np.corrcoef(p, q)[0, 1]
    sums = [np.concatenate([[0], d.cumsum()]) for d in (p, q)]
    upper, lower = np.minimum.outer(*sums), np.maximum(np.add.outer(*sums) - 1, 0)
    bound = upper if c >= 0 else lower
    bound = np.diff(np.diff(bound, axis=0), axis=1)
    phi = 0.0
    if min(deviations) > 1e-4:
        covariance = numbers @ bound @ numbers - (p @ numbers) * (q @ numbers)
        phi = c * deviations[0] * deviations[1] / covariance
    return 2 * (entropies - plogp(phi * bound + (1 - phi) * np.outer(p, q))) / entropies


def fmi(feature: Callable[[Array], Array], f: Array, a: Array, b: Array) -> float:
    of_f, *of_sources = (
        sliding_window_view(feature(x), (3, 3)).reshape(-1, 3, 3) for x in (f, a, b)
    )
    return np.mean([[information(*pair) for pair in zip(of_f, s, strict=True)] for s in of_sources])


def edges_of_matlab(image: Array) -> Array:
    right, down = sobel(image, cv2.BORDER_REPLICATE)
    strength = right**2 + down**2
    padded = np.pad(strength, 1, constant_values=-1)
    above, below = padded[:-2, 1:-1], padded[2:, 1:-1]
    before, after = padded[1:-1, :-2], padded[1:-1, 2:]
    thin = (abs(right) >= abs(down)) & (before <= strength) & (strength > after)
    thin |= (abs(down) >= abs(right)) & (above <= strength) & (strength > below)
    return (thin & (strength > 4 * strength.mean())).astype(float)


def cosines(image: Array) -> Array:
    return np.round(scipy.fft.dctn(image, norm="ortho") * 2**30) / 2**30


EN = Reference(
    "skimage.measure.shannon_entropy", lambda f, a, b: skimage.measure.shannon_entropy(f)
)
MI = "sklearn.metrics.mutual_info_score"
SKIMAGE_SSIM = "skimage.metrics.structural_similarity"
SCD = Reference("scipy.stats.pearsonr", sum_of_correlations)


def nabf_of_tang(f: Array, a: Array, b: Array) -> float:
    """Return Nabf with the images in the order in which the program hands them over."""
    return nabf(a, b, f)


def mutual_information_of_tang(f: Array, a: Array, b: Array) -> float:
    """Return MI where the joint histogram, but not the entropies, has one bin for 254 and 255."""

    def bits(*images: Array) -> float:
        _, counts = np.unique(np.stack([x.ravel() for x in images]), axis=1, return_counts=True)
        return scipy.stats.entropy(counts, base=2)

    merged_f, *merged = (np.minimum(image, 254) for image in (f, a, b))
    pairs = zip((a, b), merged, strict=True)
    return sum(bits(s) + bits(f) - bits(merged_s, merged_f) for s, merged_s in pairs)


def q_g(f: Array, a: Array, b: Array) -> float:
    def edges(image: Array) -> tuple[Array, Array]:
        right, down = sobel(image, cv2.BORDER_CONSTANT)
        strength = np.sqrt(right**2 + down**2)
        return strength, np.where(strength == 0, 0, angle(down, right))

    (strength_f, angle_f), kept, total = edges(f), 0.0, 0.0
    for strength, direction in map(edges, (a, b)):
        aligned = abs(abs(direction - angle_f) - np.pi / 2) / (np.pi / 2)
        similar = ratio(strength, strength_f)
        quality = sigmoid(similar, 1, 10, 0.5) * sigmoid(aligned, 1, 20, 0.75)
        kept, total = kept + quality * strength, total + strength
    return (kept / total).mean()


def desired_patches(f: Array, a: Array, b: Array) -> float:
    """Return the mean of MEF-SSIM at one scale, with every desired patch written out."""
    x = np.arange(11) - 5
    bell = np.exp(-(x**2) / (2 * 1.5**2))
    weights = (np.outer(bell, bell) / bell.sum() ** 2).ravel()
    fused, *sources = (sliding_window_view(image, (11, 11)).reshape(-1, 121) for image in (f, a, b))
    signals = np.array([patch - patch.mean(axis=1, keepdims=True) for patch in sources])
    norms = np.linalg.norm(signals, axis=2)
    agreement = (np.linalg.norm(signals.sum(axis=0), axis=1) + EPS) / (norms.sum(axis=0) + EPS)
    exponent = np.minimum(np.tan(np.pi / 2 * np.minimum(agreement, 1)), 10)
    strengths = norms + 0.001
    shares = (strengths / 11) ** exponent + EPS
    shares = shares / shares.sum(axis=0) / strengths
    desired = (shares[..., None] * signals).sum(axis=0)
    length = np.linalg.norm(desired, axis=1, keepdims=True)
    desired *= strengths.max(axis=0)[:, None] / np.maximum(length, EPS)

    def covariance(x: Array, y: Array) -> Array:
        return (x * y) @ weights - (x @ weights) * (y @ weights)

    variances = covariance(desired, desired) + covariance(fused, fused)
    return ((2 * covariance(desired, fused) + C2) / (variances + C2)).mean()


def mef_ssim(f: Array, a: Array, b: Array) -> float:
    value = 1.0
    for weight in (0.0448, 0.2856, 0.3001):
        value *= desired_patches(f, a, b) ** (weight / 0.6305)
        f, a, b = (halved(image) for image in (f, a, b))
    return value


def halved(image: Array) -> Array:
    height, width = image.shape
    even = np.pad(image, ((0, height % 2), (0, width % 2)), mode="edge")
    return skimage.measure.block_reduce(even, (2, 2), np.mean)


def viff(f: Array, a: Array, b: Array) -> float:
    noise, value = 0.005 * 255**2, 0.0
    for size, weight in zip((17, 9, 5, 3), (1 / 2.15, 0, 0.15 / 2.15, 1 / 2.15), strict=True):
        average = windows(f, size, size / 5)
        if size != 17:
            f, a, b = (average(image)[::2, ::2] for image in (f, a, b))
        variance_f = variance(f, average)
        smallest = kept = whole = None
        for source in (b, a):  # of equal gains, that of the last source counts
            variance_s = variance(source, average)
            covariance = average(f * source) - average(f) * average(source)
            gain = np.maximum(covariance / (variance_s + 1e-10), 0)
            rest = np.maximum(variance_f - gain * covariance, 1e-10)
            seen = (
                np.log10(1 + gain**2 * variance_s / (rest + noise)),
                np.log10(1 + variance_s / noise),
            )
            if smallest is None:
                smallest, kept, whole = gain, *seen
            else:
                less = gain < smallest
                kept, whole = np.where(less, seen[0], kept), np.where(less, seen[1], whole)
        value += weight * (kept + 1e-7).sum() / (whole + 1e-7).sum()
    return value


def stretched(image: Array) -> Array:
    return np.floor((image - image.min()) / (image.max() - image.min()) * 255 + 0.5)


def hue_error(fused: Array, first: Array, second: Array) -> float:
    """The angles of the hues by arctan2, pixel by pixel."""
    blue, red = np.array([-0.299, -0.587, 0.886]) / 1.772, np.array([0.701, -0.587, -0.114]) / 1.402
    chroma = np.array([[image @ blue, image @ red] for image in (fused, first, second)])
    size = np.abs(chroma[1:])
    with np.errstate(invalid="ignore"):
        merged = np.nan_to_num((size * chroma[1:]).sum(axis=0) / size.sum(axis=0))
    colored = np.hypot(*merged) > 10
    turn = np.angle(np.exp(1j * (np.arctan2(*chroma[0]) - np.arctan2(*merged))))
    turned = (np.abs(turn) > np.pi / 2) & (np.hypot(*chroma[0]) > 1)
    return float(turned[colored].mean())


def warmest(infrared: Array) -> tuple[Array, Array]:
    """Return the warmest 1 % and the coldest 95 %, by the ranks of their levels."""
    levels, counts = np.unique(infrared, return_counts=True)
    warmer = infrared.size - np.cumsum(counts)  # how many pixels are warmer than each level
    first = levels[warmer < np.ceil(infrared.size / 100)].min()
    if (infrared >= first).mean() > 0.05 and first < levels[-1]:
        first = levels[levels > first].min()
    return infrared >= first, infrared <= levels[warmer <= np.ceil(infrared.size / 20)].min()


def warm_contrast(f: Array, a: Array, _: Array) -> float:
    warm, cold = warmest(a)
    distance = max(round(min(a.shape) / 20 + 1e-9), 3)
    while distance < 2 * max(a.shape):
        near = scipy.ndimage.binary_dilation(warm, np.ones((2 * distance + 1,) * 2))
        if (near & cold & ~warm).sum() >= warm.sum():
            break
        distance *= 2
    return f[warm].mean() - f[near & cold & ~warm].mean()


def texture(f: Array, a: Array, b: Array) -> float:
    """Qabf of one source on the gradients of scipy, as its authors write it, over some pixels."""

    def edges(image: Array) -> tuple[Array, Array]:
        right, down = (scipy.ndimage.sobel(image, axis, mode="constant") for axis in (1, 0))
        return np.sqrt(right**2 + down**2), angle(down, -right)

    (strength_f, angle_f), (strength, direction) = edges(f), edges(b)
    similar = np.where(strength == strength_f, 1, ratio(strength, strength_f))
    aligned = 1 - abs(direction - angle_f) / (np.pi / 2)
    quality = sigmoid(similar, 0.9994, 15, 0.5) * sigmoid(aligned, 0.9879, 22, 0.8)
    return np.average(quality, weights=strength * warmest(a)[1])


SMALL = ("s64", "s61")
"""The sets with few enough windows for a loop over all of them."""

REFERENCES = {
    **dict.fromkeys(("EN", "EN@paper", "EN@vifb", "EN@tang"), EN),
    "MI": Reference(MI, mutual_information),
    "MI@tang": Reference("scipy.stats.entropy", mutual_information_of_tang),
    "MI@vifb": Reference(MI, lambda f, a, b: nats(a, f) + nats(b, f)),
    **dict.fromkeys(
        ("NMI", "NMI@liu"),
        Reference("sklearn.metrics.normalized_mutual_info_score", normalized_mutual_information),
    ),
    **dict.fromkeys(("CE", "CE@vifb"), Reference("scipy.special.rel_entr", cross_entropy)),
    **dict.fromkeys(("Q_NCIE", "Q_NCIE@liu"), Reference(MI, nonlinear_correlation)),
    "Q_TE": Reference("numpy", tsallis),
    "Q_TE@liu": Reference("numpy", tsallis_of_liu),
    **dict.fromkeys(
        ("SD", "SD@vifb", "SD@tang"), Reference("numpy.std", lambda f, a, b: np.std(f))
    ),
    **dict.fromkeys(("SF", "SF@vifb"), Reference("numpy.diff", spatial_frequency)),
    "SF@tang": Reference("numpy.diff", spatial_frequency_per_step),
    "AG": Reference("numpy.gradient", average_gradient),
    **dict.fromkeys(
        ("AG@vifb", "AG@tang"), Reference("numpy.gradient", average_gradient_of_inner_size)
    ),
    **dict.fromkeys(("EI", "EI@vifb"), Reference("cv2.Sobel", edge_intensity)),
    **dict.fromkeys(("Q_SF", "Q_SF@liu"), Reference("numpy", spatial_frequency_error)),
    "MSE": Reference("skimage.metrics.mean_squared_error", mean_squared_error),
    "MSE@tang": Reference(
        "skimage.metrics.mean_squared_error",
        lambda f, a, b: mean_squared_error(f / 255, a / 255, b / 255),
    ),
    "RMSE": Reference(
        "skimage.metrics.mean_squared_error", lambda f, a, b: mean_squared_error(f, a, b) ** 0.5
    ),
    "RMSE@vifb": Reference("numpy", vifb_rmse),
    "PSNR": Reference("skimage.metrics.peak_signal_noise_ratio", psnr),
    "PSNR@tang": Reference(
        "skimage.metrics.peak_signal_noise_ratio", lambda f, a, b: psnr(f, a, b, white=255)
    ),
    "PSNR@vifb": Reference(
        "numpy", lambda f, a, b: 20 * np.log10(255 / np.sqrt(vifb_rmse(f, a, b)))
    ),
    **dict.fromkeys(("CC", "CC@tang"), Reference("scipy.stats.pearsonr", correlation)),
    **dict.fromkeys(("SCD", "SCD@paper", "SCD@tang"), SCD),
    "Qabf": Reference("cv2.Sobel", qabf),
    "Qabf@vifb": Reference("cv2.Sobel", lambda f, a, b: qabf(f, a, b, unit=1 / 255)),
    "Qabf@tang": Reference("cv2.Sobel", lambda f, a, b: qabf(f, a, b, unit=1)),
    "Q_G": Reference("cv2.Sobel", q_g),
    "Nabf": Reference("cv2.Sobel", nabf),
    "Nabf@tang": Reference("cv2.Sobel", nabf_of_tang),
    "SSIM": Reference(SKIMAGE_SSIM, ssim),
    "SSIM@vifb": Reference(SKIMAGE_SSIM, lambda f, a, b: 2 * ssim(f, a, b)),
    "SSIM@tang": Reference(SKIMAGE_SSIM, lambda f, a, b: ssim_with_border(f, a, b, white=1)),
    **dict.fromkeys(("SSIM_a", "SSIM_a@paper"), Reference(SKIMAGE_SSIM, ssim_with_border)),
    "MS_SSIM_Wang": Reference("pytorch_msssim.ms_ssim", ms_ssim, sets=["street"]),
    "Q_S": Reference("numpy", lambda f, a, b: piella(f, a, b, weighted=False)),
    "Q_W": Reference("numpy", lambda f, a, b: piella(f, a, b, weighted=True)),
    "Q_S@liu": Reference(SKIMAGE_SSIM, lambda f, a, b: piella_of_liu(f, a, b, weighted=False)),
    "Q_W@liu": Reference(SKIMAGE_SSIM, lambda f, a, b: piella_of_liu(f, a, b, weighted=True)),
    "Q_C": Reference("numpy", cvejic),
    "Q_C@liu": Reference("numpy", cvejic_of_liu, sets=["s64", "s61", "corner"]),  # no flat windows
    **dict.fromkeys(("Q_Y", "Q_Y@liu"), Reference("numpy", yang)),
    "FMI_pixel": Reference("cv2.Sobel", partial(fmi, edges_of_matlab), sets=SMALL),
    **dict.fromkeys(
        ("FMI_dct", "FMI_dct@paper"),
        Reference("scipy.fft.dctn", partial(fmi, cosines), sets=SMALL),
    ),
    **dict.fromkeys(("MS_SSIM", "MS_SSIM@paper", "MS_SSIM@tang"), Reference("numpy", mef_ssim)),
    **dict.fromkeys(("VIF", "VIF@tang"), Reference("sewar.vifp", vif)),
    "VIFF": Reference("numpy", viff),
    "Q_CB": Reference("cv2.sepFilter2D", q_cb),
    **dict.fromkeys(
        ("Q_CB@liu", "Q_CB@vifb"),
        Reference("cv2.sepFilter2D", lambda f, a, b: q_cb(f, a, b, toolbox=True)),
    ),
    "Q_CV": Reference("cv2.Sobel", q_cv),
    **dict.fromkeys(
        ("Q_CV@liu", "Q_CV@vifb"),
        Reference("cv2.Sobel", lambda f, a, b: q_cv(f, a, b, toolbox=True)),
    ),
    **dict.fromkeys(("Q_M", "Q_M@liu"), Reference("pywt.dwt2", q_m)),
    "saturation": Reference("numpy.std", lambda f, a, b: np.std(f, axis=-1).mean()),
    "hue_error": Reference("numpy", hue_error),
    "warm_contrast": Reference("scipy.ndimage.binary_dilation", warm_contrast),
    "texture": Reference("scipy.ndimage.sobel", texture),
}
