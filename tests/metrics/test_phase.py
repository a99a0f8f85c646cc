"""Q_P: against a plain transcription of the definition, and its invariances."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate, gaussian_filter

from fusionlab.errors import FusionlabError
from fusionlab.metrics.phase import _features, _wavelets, q_p


def clouds(*shape, seed=0):
    """Return an image with features of many sizes, as in a photograph."""
    rng = np.random.default_rng(seed)
    image = sum(
        s * gaussian_filter(rng.normal(size=shape), s, axes=(-2, -1)) for s in (0.7, 1.5, 4)
    )
    return torch.from_numpy(np.clip(128 + 40 * image / image.std(), 0, 255))


def scene(height, width, seed=0):
    """Return two sources `(2, 1, H, W)`, and their mean as the fused image."""
    sources = clouds(2, 1, height, width, seed=seed)
    return sources.mean(dim=0), sources


def maps(image, *, early=False):
    """Return phase congruency, maximum and minimum moment of one image."""
    return _features(image[None], _wavelets(image[None], early), early=early)[0]


# ------------------------------------------------------------------ a plain transcription


def butterworth(shape, *, early):
    if early:
        y, x = np.meshgrid(*((np.arange(n) - n // 2) / n for n in shape), indexing="ij")
    else:
        y, x = grid(shape)
    low = 1 / (1 + (np.hypot(x, y) / 0.45) ** 30)
    return np.fft.fftshift(low) if early else np.fft.ifftshift(low)


def grid(shape):
    ranges = [(np.arange(n) - n // 2) / (n - 1 if n % 2 else n) for n in shape]
    return np.meshgrid(*ranges, indexing="ij")


def transcribed_maps(image, *, early):
    y, x = grid(image.shape)
    radius = np.fft.ifftshift(np.hypot(x, y))
    radius[0, 0] = 1
    theta = np.fft.ifftshift(np.arctan2(-y, x))
    low = butterworth(image.shape, early=early)
    spectrum = np.fft.fft2(image)
    total_energy = total_amplitude = a = b = c = 0
    for angle in np.arange(6) * np.pi / 6:
        distance = np.abs(np.angle(np.exp(1j * (theta - angle))))
        spread = np.exp(-(distance**2) / (2 * (np.pi / 6 / 1.2) ** 2))
        filters, responses = [], []
        for center in (1 / 3, 1 / 6.3, 1 / 13.23, 1 / 27.783):
            log_gabor = np.exp(-(np.log(radius / center) ** 2) / (2 * np.log(0.55) ** 2)) * low
            log_gabor[0, 0] = 0
            filters.append(log_gabor * spread)
            responses.append(np.fft.ifft2(spectrum * filters[-1]))
        even, odd = sum(r.real for r in responses), sum(r.imag for r in responses)
        norm = np.sqrt(even**2 + odd**2) + 1e-4
        energy = sum(
            r.real * even / norm + r.imag * odd / norm - np.abs(r.real * odd - r.imag * even) / norm
            for r in responses
        )
        # the noise: in the image domain, term by term
        power = np.median(abs(responses[0]) ** 2) / np.log(2) / (filters[0] ** 2).sum()
        kernels = [np.fft.ifft2(f).real * np.sqrt(image.size) for f in filters]
        squares = sum((k**2).sum() for k in kernels)
        products = sum((kernels[i] * kernels[j]).sum() for i in range(4) for j in range(i + 1, 4))
        tau = np.sqrt((2 * power * squares + 4 * power * products) / 2)
        noise = tau * np.sqrt(np.pi / 2) + 2 * np.sqrt((2 - np.pi / 2) * tau**2)
        energy = np.maximum(energy - noise / 1.7, 0)
        amplitudes = [abs(r) for r in responses]
        amplitude = sum(amplitudes)
        width = amplitude / (np.max(amplitudes, axis=0) + 1e-4) / 4
        energy = energy / (1 + np.exp(10 * (0.5 - width)))
        total_energy, total_amplitude = total_energy + energy, total_amplitude + amplitude
        u, v = energy / amplitude * np.cos(angle), energy / amplitude * np.sin(angle)
        a, b, c = a + u * u / 3, b + 2 * u * v / 3, c + v * v / 3
    root = np.sqrt((b / 4 if early else b) ** 2 + (a - c) ** 2) + 1e-4
    return total_energy / (total_amplitude + 1e-4), (a + c + root) / 2, (a + c - root) / 2


def transcribed(fused, first, second, *, early):
    x = np.arange(-5, 6)
    window = np.exp(-(x[:, None] ** 2 + x**2) / (2 * 1.5**2))
    window /= window.sum()

    def mean(image):
        return correlate(image, window, mode="constant")

    def similarity(source, own):
        covariance = mean(source * own) - mean(source) * mean(own)
        variances = (mean(source**2) - mean(source) ** 2) * (mean(own**2) - mean(own) ** 2)
        return (covariance + 1e-4) / (np.sqrt(abs(variances)) + 1e-4)

    maps_f, maps_1, maps_2 = (transcribed_maps(i, early=early) for i in (fused, first, second))
    larger = maps_1[0] > maps_2[0]
    chosen = [np.where(larger, one, two) for one, two in zip(maps_1, maps_2, strict=True)]
    value = 1.0
    for own, *sources in zip(maps_f, maps_1, maps_2, chosen, strict=True):
        best = np.max(
            [
                np.where(mask := owner[0] > 0.1, similarity(source * mask, own), 0)
                for source, owner in zip(sources, (maps_1, maps_2, chosen), strict=True)
            ],
            axis=0,
        )
        value *= best.sum() / (chosen[0] > 0.1).sum()
    return value


@pytest.mark.parametrize("size", [(33, 40), (44, 31), (24, 36), (35, 27)])
@pytest.mark.parametrize("convention", ["default", "liu"])
def test_a_plain_transcription_of_the_definition_agrees(size, convention):
    fused, first, second = clouds(3, *size)
    value = q_p(fused[None], torch.stack([first, second])[:, None], convention).item()
    images = (image.numpy() for image in (fused, first, second))
    assert value == pytest.approx(transcribed(*images, early=convention == "liu"), rel=1e-10)


# ------------------------------------------------------------------ the maps


def test_the_maximum_moment_marks_the_edges_of_a_square_and_the_minimum_its_corners():
    image = torch.zeros(65, 65, dtype=torch.float64)
    image[16:49, 16:49] = 200
    congruency, edge, corner = maps(image)
    assert congruency[16, 32] > 5 * congruency[32, 32]
    assert edge[16, 32] > 4 * corner[16, 32]
    assert corner[16, 16] > 3 * corner[16, 32]


def test_an_oblique_edge_is_not_a_corner_except_in_the_toolbox_of_liu():
    rows = torch.arange(65, dtype=torch.float64) - 32
    diamond = 200 * torch.sigmoid(40 - math.sqrt(2) * (rows.abs() + rows.abs()[:, None]))
    edge, corner = maps(diamond)[1:, 18, 18]  # the middle of a side
    assert edge > 5 * corner
    edge, corner = maps(diamond, early=True)[1:, 18, 18]
    assert edge < 1.5 * corner


def test_the_maps_of_a_flat_image_are_zero_except_for_the_constant_of_the_moments():
    congruency, edge, corner = maps(torch.full((24, 24), 77.7, dtype=torch.float64))
    assert congruency.abs().max() < 1e-9
    assert edge.tolist() == [[5e-5] * 24] * 24
    assert corner.tolist() == [[-5e-5] * 24] * 24


# ------------------------------------------------------------------ the metric


def test_a_copy_of_the_only_source_scores_almost_1():
    image = clouds(1, 64, 80)
    value = q_p(image, image[None]).item()
    assert 0.8 < value < 1


def test_contrast_and_brightness_do_not_matter():
    image = clouds(1, 64, 80)
    fused = 30 + 0.3 * image
    assert q_p(fused, image[None]).item() == pytest.approx(q_p(image, image[None]).item(), rel=1e-3)


def test_shifted_features_score_lower():
    image = clouds(1, 64, 80)
    values = [q_p(image.roll(shift, -1), image[None]).item() for shift in (0, 1, 2)]
    assert values[0] > values[1] > values[2]


def test_a_source_given_twice_counts_once():
    fused, first, second = clouds(3, 1, 40, 48)
    twice = q_p(fused, torch.stack([first, second, first])).item()
    assert twice == q_p(fused, torch.stack([first, second])).item()


def test_a_flat_fused_image_scores_almost_1():
    """By definition: the constants of the correlation dominate."""
    sources = clouds(2, 1, 48, 48)
    dark, bright = (q_p(torch.full((1, 48, 48), level), sources) for level in (0.0, 201.3))
    assert dark.item() == pytest.approx(bright.item(), rel=1e-9)
    assert 0.99 < dark.item() <= 1


def test_sources_without_a_feature_leave_the_value_undefined():
    flat = torch.full((2, 1, 24, 24), 77.7)
    assert q_p(clouds(1, 24, 24), flat).isnan().all()


def test_at_odd_edges_a_mirrored_or_rotated_scene_has_the_same_value():
    fused, sources = scene(45, 33)
    value = q_p(fused, sources).item()
    for turn in (torch.fliplr, torch.flipud, torch.t):
        turned = [torch.stack([turn(image)]) for image in (fused[0], *sources[:, 0])]
        assert q_p(turned[0], torch.stack(turned[1:])).item() == pytest.approx(value, rel=1e-9)


def test_at_even_edges_a_mirrored_scene_differs_a_little():
    """The Nyquist frequency is assigned to one of its two directions."""
    fused, sources = scene(64, 80)
    mirrored = q_p(fused.flip(-1), sources.flip(-1)).item()
    assert mirrored == pytest.approx(q_p(fused, sources).item(), rel=1e-3)


def test_the_low_pass_filter_of_the_toolbox_of_liu_is_lopsided_at_odd_edges():
    fused, sources = scene(45, 33)
    mirrored = q_p(fused.flip(-1), sources.flip(-1), "liu").item()
    assert mirrored != pytest.approx(q_p(fused, sources, "liu").item(), rel=1e-5)


@pytest.mark.parametrize(
    ("convention", "pinned"), [("default", 0.1853005535733), ("liu", 0.1757827018678)]
)
def test_the_value_of_a_known_scene_has_not_drifted(convention, pinned):
    assert q_p(*scene(51, 64, seed=7), convention).item() == pytest.approx(pinned, rel=1e-10)


@pytest.mark.parametrize("convention", ["default", "liu"])
def test_eleven_pixels_are_enough_and_ten_are_not(convention):
    fused, sources = scene(11, 14)
    assert q_p(fused, sources, convention).isfinite().all()
    with pytest.raises(FusionlabError, match="Q_P needs at least 11 pixels"):
        q_p(fused[:, :10], sources[..., :10, :], convention)
