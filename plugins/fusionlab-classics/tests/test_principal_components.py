"""The weights of ADF and FPDE by hand, and against an eigendecomposition."""

import numpy as np
import pytest
import torch

from fusionlab import Scene
from fusionlab_classics.common.principal_components import component_weights, covariance_sums


def weights(details, **options):
    """Return the weights of details (k, h, w)."""
    features = torch.as_tensor(np.asarray(details, dtype=float))[:, None, None]
    statistics = covariance_sums(features, Scene(sources=features))
    return component_weights(statistics, **options)[:, 0, 0, 0, 0].numpy()


SIGNAL = np.array([[1.0, -3, 2], [0, 5, -5]])


@pytest.mark.parametrize("signed", [False, True])
def test_proportional_details_have_the_weights_of_their_sizes(signed):
    details = [2 * SIGNAL + 7, SIGNAL - 40, 0 * SIGNAL + 3]
    np.testing.assert_allclose(weights(details, signed=signed), [2 / 3, 1 / 3, 0], atol=1e-12)


def test_opposite_details_differ_between_the_variants():
    details = [2 * SIGNAL, -SIGNAL]
    np.testing.assert_allclose(weights(details), [2 / 3, 1 / 3])
    np.testing.assert_allclose(weights(details, signed=True), [2, -1])


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("details", [[0 * SIGNAL] * 2, [SIGNAL, -SIGNAL], [SIGNAL, SIGNAL]])
def test_sources_weigh_the_same_without_detail_or_where_components_cancel(details, signed):
    np.testing.assert_allclose(weights(details, signed=signed), [0.5, 0.5])


@pytest.mark.parametrize("k", [2, 4])
def test_an_eigendecomposition_agrees(k):
    details = np.random.default_rng(0).normal(size=(k, 20, 30)) * np.arange(1, k + 1)[:, None, None]
    details[0] -= details[1] / 2
    vector = np.linalg.eigh(np.cov(details.reshape(k, -1)))[1][:, -1]
    np.testing.assert_allclose(weights(details, signed=True), vector / vector.sum())
    np.testing.assert_allclose(weights(details), np.abs(vector) / np.abs(vector).sum())
