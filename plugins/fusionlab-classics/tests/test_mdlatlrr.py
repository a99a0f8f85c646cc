"""MDLatLRR against the images of its authors' program, in numpy, and its laws; learning L."""

import json

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from fusionlab import Fusion, FusionlabError, Scene
from fusionlab_classics import mdlatlrr
from fusionlab_classics.common.low_rank import latent_low_rank
from fusionlab_classics.learn_latlrr import learn
from fusionlab_classics.mdlatlrr import MDLatLRR


def random_images(k, height, width, seed=0):
    return np.random.default_rng(seed).uniform(0, 255, (k, height, width))


def fuse(images, **parameters):
    features = torch.as_tensor(np.asarray(images, dtype=float))[:, None, None]
    return MDLatLRR(**parameters).fuse(features, Scene(sources=features / 255))[0, 0].numpy()


def reference(images, levels):
    """The details of each level, merged, and the mean of the last bases."""
    projection = mdlatlrr.read_projection().numpy()
    height, width = images.shape[1:]
    places = [(y, x) for y in range(height - 15) for x in range(width - 15)]
    merged = []
    for _ in range(levels):
        fused, counts = np.zeros((height, width)), np.zeros((height, width))
        details = np.zeros_like(images)
        for y, x in places:
            patches = images[:, y : y + 16, x : x + 16]
            parts = [(projection @ p.T.ravel()).reshape(16, 16).T for p in patches]
            norms = [np.linalg.svd(part, compute_uv=False).sum() for part in parts]
            fused[y : y + 16, x : x + 16] += np.average(parts, axis=0, weights=norms)
            details[:, y : y + 16, x : x + 16] += parts
            counts[y : y + 16, x : x + 16] += 1
        merged.append(fused / counts)
        images = images - details / counts
    return merged, images.mean(axis=0)


@pytest.mark.parametrize("k", [2, 3])
def test_an_independent_program_agrees(k):
    images = random_images(k, 20, 18)
    (first, second), base = reference(images, 2)
    # eigenvalues of squares give norms to 1e-7
    np.testing.assert_allclose(fuse(images), base + first + second, rtol=0, atol=1e-4)
    authors = fuse(images, variant="authors")
    np.testing.assert_allclose(authors, base + 2 * first + second, rtol=0, atol=1e-4)


@pytest.mark.parametrize("pair", ["s64", "s61"])
@pytest.mark.parametrize(("levels", "difference"), [(1, 0.5), (2, 2)])
def test_with_our_projection_images_are_close_to_those_of_the_authors(
    sources, published, pair, levels, difference
):
    """Ours was learned from other patches; their program adds the details of level 1 twice."""
    images = np.array(sources(pair), dtype=float)
    expected = published("mdlatlrr", f"{pair}_level{levels}").astype(float)
    fused = fuse(images, levels=levels, variant="authors").clip(0, 255)
    average = images.mean(axis=0)
    assert np.abs(fused - expected).mean() < difference
    assert np.abs(average - expected).mean() > 5 * difference
    assert np.corrcoef((fused - average).ravel(), (expected - average).ravel())[0, 1] > 0.99


def test_an_image_smaller_than_a_patch_is_refused():
    with pytest.raises(FusionlabError) as error:
        fuse(random_images(2, 15, 20))
    assert error.value.code == "too-small"


def test_strips_and_tiles_do_not_matter(monkeypatch):
    images = list(random_images(2, 40, 36) / 255)
    whole = Fusion("identity", MDLatLRR(levels=1), range_policy=None, tile=99).fuse(images).image
    monkeypatch.setattr(mdlatlrr, "STRIP", 1)
    tiled = Fusion("identity", MDLatLRR(levels=1), range_policy=None, tile=19).fuse(images).image
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=1e-6)


@pytest.mark.slow  # of each patch of 16x16 the singular values
def test_laws(broken_laws):
    assert broken_laws(MDLatLRR) == []


# ------------------------------------------------- the representation


def test_without_errors_the_nuclear_norms_add_up_to_the_rank():
    """Each singular direction is shared by Z and L, whose shares add up to 1."""
    generator = torch.Generator().manual_seed(0)
    left = torch.randn(12, 4, generator=generator, dtype=torch.float64)
    x = left @ torch.randn(4, 30, generator=generator, dtype=torch.float64)
    found = latent_low_rank(x, lam=100.0)
    torch.testing.assert_close(
        found.low_rank + found.projection @ x + found.sparse, x, rtol=0, atol=1e-5
    )
    z = torch.linalg.pinv(x) @ found.low_rank
    norms = torch.linalg.svdvals(z).sum() + torch.linalg.svdvals(found.projection).sum()
    assert norms.item() == pytest.approx(4, abs=1e-3)
    assert found.sparse.abs().max() < 1e-6
    assert found.residual <= 1e-6


def test_where_errors_cost_little_everything_is_one():
    """Z = L = 0 is the minimum as long as lam times the spectral norm of X^T sign X is below 1."""
    x = torch.from_numpy(random_images(1, 12, 20)[0] / 255 - 0.5)
    lam = 0.9 / float(torch.linalg.svdvals(x.mT @ x.sign())[0])
    found = latent_low_rank(x, min(lam, 0.9 / float(torch.linalg.svdvals(x.sign() @ x.mT)[0])))
    torch.testing.assert_close(found.sparse, x, rtol=0, atol=1e-5)
    assert found.projection.abs().max() < 1e-5


def test_learning_writes_a_matrix_and_its_card(tmp_path):
    (tmp_path / "images").mkdir()
    for n, image in enumerate(random_images(4, 24, 30)):
        iio.imwrite(tmp_path / "images" / f"{n}.png", image.astype(np.uint8))
    output = tmp_path / "small.safetensors"
    arguments = ["--side", "4", "--patches", "40", "--images", "3", "--output", str(output)]
    result = CliRunner().invoke(learn, [str(tmp_path / "images"), *arguments])
    assert result.exit_code == 0, result.output
    assert load_file(output)["projection"].shape == (16, 16)
    card = json.loads(output.with_suffix(".json").read_text(encoding="utf-8"))
    assert card["settings"] == {"side": 4, "patches": 40, "lam": 0.4, "seed": 0}
    assert card["data"]["images"] == 3
    assert card["convergence"]["residual"] <= 1e-6


def test_the_card_is_that_of_the_matrix():
    from hashlib import sha256

    card = json.loads(mdlatlrr.PROJECTION.with_suffix(".json").read_text(encoding="utf-8"))
    assert card["sha256"] == sha256(mdlatlrr.PROJECTION.read_bytes()).hexdigest()
    assert card["settings"]["side"] == mdlatlrr.SIDE
