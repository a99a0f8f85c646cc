"""Features from phase congruency: Q_P of Zhao, Laganiere and Liu 2007.

At edges, lines and corners the Fourier components of an image are in phase. Phase congruency
measures that independently of contrast (Kovesi 1999, 2003). Each image is filtered by log-Gabor
wavelets of 4 scales s in 6 directions o; with the complex responses r_so and their mean phase
u_o = sum_s r_so / |sum_s r_so|,

e_o = w_o max(sum_s (Re r_so u_o* - |Im r_so u_o*|) - T_o, 0)     energy in phase, above noise
a_o = sum_s |r_so|                                                amplitude
p   = sum_o e_o / sum_o a_o                                       phase congruency

where the threshold T_o is estimated from the median response at the finest scale, and w_o is small
where few scales respond. With p_o = e_o / a_o as a vector at the angle of o, the moments

M, m = (c + a +- sqrt(b^2 + (a - c)^2)) / 2
a, b, c = sum_o (p_o cos o)^2, 2 sum_o p_o^2 cos o sin o, sum_o (p_o sin o)^2, each over 6/2

measure edge strength (M) and corner strength (m).

The maps p, M and m of each source, and of a composite that takes each pixel from the source with
the larger p, are compared with those of the fused image by local correlation. The best one counts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.fft import fft2, fftshift, ifft2, ifftshift

from fusionlab.metrics.inputs import checked
from fusionlab.metrics.sources_part import once_per_sources
from fusionlab.metrics.windows import gaussian, separable

# the wavelets
SCALES = 4
DIRECTIONS = 6
WAVELENGTH = 3.0  # of the finest, in pixels
STEP = 2.1  # from one scale to the next
BANDWIDTH = 0.55  # standard deviation of the log-Gabor over its center frequency
ANGULAR = math.pi / DIRECTIONS / 1.2  # standard deviation over angles
CUTOFF, ORDER = 0.45, 15  # of the Butterworth low-pass that keeps to the disc of frequencies

# phase congruency
DEVIATIONS = 2.0  # standard deviations of the noise between its mean and the threshold
NOISE_OVERESTIMATION = 1.7  # factor by which this estimate exceeds the noise energy
MIN_WIDTH, SHARPNESS = 0.5, 10.0  # of the sigmoid that weights by the number of scales
EPSILON = 1e-4  # gray levels; in the moments, without unit

# the comparison
FEATURE = 0.1  # phase congruency above which a pixel belongs to a feature
WINDOW, SIGMA = 11, 1.5
C = 1e-4


def q_p(fused: Tensor, sources: Tensor, convention: str = "default") -> Tensor:
    """Compute the local correlation of phase congruency and its moments (Q_P); at most 1.

    Q_P = P_p P_M P_m, where P_x is the average, over the pixels at which any source has a feature
    (p > 0.1), of

        max_i (cov(x_i, x_F) + C) / (s(x_i) s(x_F) + C)        i = each source and the composite;
                                                               0 where i has no feature

    in Gaussian windows of 11x11 (sigma 1.5, zeros beyond the border), C = 0.0001. The maps of the
    sources, but not that of the fused image, are set to zero outside their features. Even a fused
    image that equals its only source therefore does not reach 1 (0.92 to 0.96 for photographs).

    A flat fused image gets almost 1: it has no features to correlate, and C / C is 1. The Nyquist
    frequency of an even edge is assigned to one of two directions, so that a mirrored scene differs
    by about 1e-4; at odd edges it does not.

    Args:
        fused: `(N, H, W)` in 0..255, both edges at least 11.
        sources: `(k, N, H, W)` in 0..255; maximum and composite are taken over all k.
        convention: `liu` reproduces the toolbox of Liu et al. 2012, 1 to 11 % lower on photographs.
            It uses an early phase congruency with two bugs that Kovesi fixed later: b of the
            moments is a quarter of the correct value, so that oblique edges are taken for corners;
            and at odd edges the low-pass filter is off by one frequency.

    Returns:
        `(N,)`; nan if no source has a feature.

    Raises:
        FusionlabError: the shapes do not fit, or an image is too small.

    Reference: J. Zhao, R. Laganiere and Z. Liu, "Performance assessment of combinative
    pixel-level image fusion based on an absolute feature measurement", IJICIC 3(6A), 2007,
    pp. 1433-1447; Liu et al. 2012, doi:10.1109/TPAMI.2011.109; P. Kovesi, "Image features from
    phase congruency", Videre 1(3), 1999, and "Phase congruency detects corners and edges",
    DICTA 2003.
    """
    fused, sources = checked("Q_P", fused, sources, convention)
    early = convention == "liu"
    wavelets = _wavelets(sources, early)
    values = []
    for scene, image in enumerate(fused):  # one by one: memory
        (of_fused,) = _features(image[None], wavelets, early=early)
        values.append(_agreement(of_fused, _candidates(sources, scene, early)))
    return torch.stack(values)


class _Candidates(NamedTuple):
    """What a fused image is compared with: the maps of each source, and of their composite."""

    maps: Tensor
    """(k + 1, 3, H, W), zero outside of the features."""

    feature: Tensor
    """(k + 1, 1, H, W), where they have features."""

    mean: Tensor
    """The local means of the maps."""

    variance: Tensor
    """Their local variances; below zero by rounding only."""


@once_per_sources
def _candidates(sources: Tensor, scene: int, early: bool) -> _Candidates:
    maps = _features(sources[:, scene], _wavelets(sources, early), early=early)
    strongest = maps[:, :1].argmax(dim=0, keepdim=True)
    composite = maps.gather(0, strongest.expand(1, *maps.shape[1:]))
    candidates = torch.cat([maps, composite])
    feature = candidates[:, :1] > FEATURE
    maps = candidates * feature
    mean = _average(maps)
    return _Candidates(maps, feature, mean, _average(maps**2) - mean**2)


# ------------------------------------------------------------------ comparison of features


def _agreement(fused: Tensor, candidates: _Candidates) -> Tensor:
    """Return Q_P of the maps `(3, H, W)` of the fused image."""
    feature = candidates.feature
    correlation = _correlation(candidates, fused) * feature
    best_correlations = correlation.amax(dim=0).sum(dim=(1, 2)) / feature[-1].sum()
    return best_correlations.prod()


def _correlation(candidates: _Candidates, fused: Tensor) -> Tensor:
    """Return the local correlation of the candidates' maps with those of the fused image."""
    mean_f, product = _average(fused), _average(candidates.maps * fused)
    variances = candidates.variance * (_average(fused**2) - mean_f**2)
    return (product - candidates.mean * mean_f + C) / (variances.abs().sqrt() + C)


def _average(maps: Tensor) -> Tensor:
    return separable(maps, gaussian(WINDOW, SIGMA, maps), "zeros")


# ------------------------------------------------------------------ phase congruency


class _Wavelets(NamedTuple):
    """The factors of the filters in the frequency domain, with the origin in the corner."""

    radial: Tensor
    """(SCALES, H, W), log-Gabor times low-pass."""

    angular: Tensor
    """(DIRECTIONS, H, W)."""

    gains: Sequence[Tensor]
    """The noise threshold of each direction, see `_noise_gain`."""

    def toward(self, direction: int) -> Tensor:
        """Return the one-sided filters `(SCALES, H, W)` of one direction."""
        return self.radial * self.angular[direction]


@once_per_sources
def _wavelets(sources: Tensor, early: bool) -> _Wavelets:
    """Return the wavelets for images of the size of the sources, which is all they depend on."""
    height, width = sources.shape[-2:]
    rows, columns = (
        torch.arange(edge, dtype=sources.dtype, device=sources.device) - edge // 2
        for edge in (height, width)
    )
    # An odd edge has no Nyquist frequency: its highest frequency is set to 0.5 instead.
    y = ifftshift(rows)[:, None] / (height - height % 2)
    x = ifftshift(columns) / (width - width % 2)
    radius = torch.hypot(y, x)
    low_pass = _butterworth(
        torch.hypot(fftshift(rows)[:, None] / height, fftshift(columns) / width)
        if early  # at odd edges fftshift, unlike ifftshift, puts the origin last
        else radius
    )
    radius[0, 0] = 1  # avoids log(0); the result is overwritten below
    wavelengths = WAVELENGTH * STEP ** torch.arange(
        SCALES, dtype=sources.dtype, device=sources.device
    )
    octaves = torch.log(radius * wavelengths[:, None, None]) / math.log(BANDWIDTH)
    radial = torch.exp(-(octaves**2) / 2) * low_pass
    radial[:, 0, 0] = 0  # remove the mean gray level
    angle = torch.atan2(-y, x)
    angular = torch.stack([_toward(angle, _direction(index)) for index in range(DIRECTIONS)])
    gains = [_noise_gain(radial * factor) for factor in angular]
    return _Wavelets(radial, angular, gains)


def _direction(index: int) -> float:
    return index * math.pi / DIRECTIONS


def _toward(angle: Tensor, direction: float) -> Tensor:
    """Return the angular factor `(H, W)` of the filters of a direction."""
    difference = angle - direction
    distance = torch.atan2(torch.sin(difference), torch.cos(difference))
    return torch.exp(-(distance**2) / (2 * ANGULAR**2))


def _butterworth(radius: Tensor) -> Tensor:
    return 1 / (1 + (radius / CUTOFF) ** (2 * ORDER))


def _features(images: Tensor, wavelets: _Wavelets, *, early: bool) -> Tensor:
    """Return phase congruency, maximum and minimum moment `(M, 3, H, W)` of images `(M, H, W)`."""
    spectra = fft2(images)
    sums = images.new_zeros(5, *images.shape)
    for index in range(DIRECTIONS):
        cosine, sine = math.cos(_direction(index)), math.sin(_direction(index))
        filters, gain = wavelets.toward(index), wavelets.gains[index]
        for spectrum, (energies, amplitudes, a, b, c) in zip(spectra, sums.unbind(1), strict=True):
            energy, amplitude = _congruent(spectrum, filters, gain)
            energies.add_(energy)
            amplitudes.add_(amplitude)
            # without a response the energy is 0 as well, and 0 / 0 must be 0
            square = energy.div_(amplitude.clamp_(min=torch.finfo(amplitude.dtype).tiny)).square_()
            a.add_(square, alpha=cosine**2)
            b.add_(square, alpha=cosine * sine * (0.5 if early else 2))
            c.add_(square, alpha=sine**2)
    energies, amplitudes = sums[:2]
    a, b, c = sums[2:] / (DIRECTIONS / 2)
    difference = torch.hypot(b, a - c) + EPSILON
    congruency = energies / (amplitudes + EPSILON)
    return torch.stack([congruency, (a + c + difference) / 2, (a + c - difference) / 2], dim=1)


def _congruent(spectrum: Tensor, filters: Tensor, gain: Tensor) -> tuple[Tensor, Tensor]:
    """Return e_o and a_o `(H, W)`: energy in phase above noise, and amplitude."""
    responses = ifft2(spectrum * filters)  # even + i odd
    amplitudes = responses.abs()
    total = responses.sum(dim=0)
    length = total.abs()
    phase = total / (length + EPSILON)
    in_phase = length.square() / (length + EPSILON)
    out_of_phase = (responses * phase.conj()).imag.abs().sum(dim=0)
    energy = in_phase - out_of_phase - _median(amplitudes[0].square()).sqrt() * gain
    amplitude = amplitudes.sum(dim=0)
    width = amplitude / (amplitudes.amax(dim=0) + EPSILON) / SCALES
    weight = torch.sigmoid(SHARPNESS * (width - MIN_WIDTH))
    return weight * energy.clamp(min=0), amplitude


def _noise_gain(filters: Tensor) -> Tensor:
    """Return the noise threshold T_o for a median response of 1 at the finest scale.

    Responses at the finest scale are assumed to be mostly noise with Rayleigh distributed
    amplitudes, so that the squared median gives the noise power. The noise energy over all scales
    follows from the energy of the summed even filters, computed by Parseval's theorem.
    """
    power = 1 / math.log(2) / filters[0].square().sum()
    summed = filters.sum(dim=0)
    opposite = summed.flip(0, 1).roll((1, 1), (0, 1))  # the filter at the negative frequency
    rayleigh = (power * ((summed + opposite) / 2).square().sum()).sqrt()
    mean, deviation = math.sqrt(math.pi / 2), math.sqrt(2 - math.pi / 2)
    return rayleigh * (mean + DEVIATIONS * deviation) / NOISE_OVERESTIMATION


def _median(values: Tensor) -> Tensor:
    """Return the median; for an even count, the mean of the two middle values."""
    flat = values.flatten()
    lower, upper = (len(flat) + 1) // 2, len(flat) // 2 + 1
    return (flat.kthvalue(lower).values + flat.kthvalue(upper).values) / 2
