"""JSR and JSRSD against the images of their authors' program, their parts, and their laws."""

from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import torch

from fusionlab import Fusion, FusionlabError, Scene
from fusionlab_classics.common import dictionary as dictionaries
from fusionlab_classics.common import joint_sparse, sparse
from fusionlab_classics.common.patches import Overlap, patches_of
from fusionlab_classics.jsr import JSR
from fusionlab_classics.jsrsd import JSRSD, local_saliency

ORACLE = Path(__file__).parents[4] / "shared" / "oracle" / "comparators" / "jsr"
METHODS = {"jsr": JSR, "jsrsd": JSRSD}
each_method = pytest.mark.parametrize("method", METHODS)


def random_images(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator, dtype=torch.float64)


def scene(features):
    return Scene(sources=features / 255)


@pytest.fixture
def small(tmp_path):
    """The path of a dictionary of 25 3x3 cosines."""
    path = tmp_path / "small.npy"
    np.save(path, dictionaries.cosine_dictionary(3, 5).numpy())
    return str(path)


# ------------------------------------------------- the authors' program


def assert_close_to_authors(sources, method, pair, name):
    file = ORACLE / "dictionaries" / f"{name}.npz"
    if not file.is_file():
        pytest.skip("the authors' dictionaries are not at hand")
    strategy = METHODS[method](dictionary=str(file), variant="authors")
    fused = Fusion("identity", strategy, range_policy="clip")(sources(pair)).astype(int)
    expected = iio.imread(ORACLE / f"{pair}_{method}.png").astype(int)
    # exact ties are the rule, and rounding decides them: 0.2 % of the patches are coded otherwise
    assert np.abs(fused - expected).mean() < 0.02
    assert (fused == expected).mean() > 0.99


@each_method
def test_a_synthetic_image_is_that_of_the_authors(sources, method):
    assert_close_to_authors(sources, method, "s61", "01")


@pytest.mark.slow
@pytest.mark.parametrize(("pair", "name"), [("s64", "01"), ("08", "08")])
@each_method
def test_images_are_those_of_the_authors(sources, method, pair, name):
    assert_close_to_authors(sources, method, pair, name)


# ------------------------------------------------- sparse codes


def test_codes_are_those_of_a_plain_orthogonal_matching_pursuit():
    k, size, count, sparsity = 2, 9, 20, 5
    atoms = random_images(size, 30) - 0.5
    atoms /= atoms.norm(dim=0)
    patches = random_images(k, size, count, seed=1)
    codes = sparse.encode(patches, sparse.JointDictionary(atoms, k), sparsity)
    one = atoms.numpy()
    zero = np.zeros_like(one)
    joint = np.block([[one / 2**0.5, one, zero], [one / 2**0.5, zero, one]])
    for n in range(count):
        signal = patches[:, :, n].numpy().ravel()
        support, rest = [], signal
        for _ in range(sparsity):
            correlations = joint.T @ rest
            tied = np.abs(correlations) > np.abs(correlations).max() * (1 - 1e-9)
            support.append(int(np.where(tied, correlations, -np.inf).argmax()))
            values = np.linalg.lstsq(joint[:, support], signal, rcond=None)[0]
            rest = signal - joint[:, support] @ values
        assert (codes.atoms[:, n] + 30 * codes.parts[:, n]).tolist() == support
        np.testing.assert_allclose(codes.values[:, n], values, rtol=0, atol=1e-9)


def test_the_sum_of_two_atoms_is_found():
    atoms = torch.eye(4, dtype=torch.float64)
    patches = torch.tensor([[3.0, 0, 0, 0], [3, 0, 2, 0]], dtype=torch.float64)[..., None]
    codes = sparse.encode(patches, sparse.JointDictionary(atoms, 2), 4)
    assert codes.atoms[:2, 0].tolist() == [0, 2]
    assert codes.parts[:2, 0].tolist() == [0, 2]
    assert codes.values[:, 0].tolist() == pytest.approx([3 * 2**0.5, 2, 0, 0])


def test_sums_take_four_turns():
    values = torch.tensor([1e16, 1, -1e16, 1, 1, 1, 1, 1, 5], dtype=torch.float64)[:, None]
    first = (1e16 + 1) + (1 + 1)  # the 1 is lost
    assert sparse.ordered_sum(values).item() == first + ((-1e16 + 1) + (1 + 1)) + 5


# ------------------------------------------------- patches


def test_patches_are_read_column_by_column_and_averaged_back():
    images = random_images(2, 6, 8)
    patches = patches_of(images, 3)
    assert torch.equal(patches[0, :, 0], images[0, :3, :3].T.flatten())
    assert torch.equal(patches[1, :, 6], images[1, 1:4, :3].T.flatten())
    overlap = Overlap(torch.zeros(6, 8, dtype=torch.float64), 3, recursive=False)
    grid = patches[0].view(9, 4, 6)
    defined = torch.zeros(4, 6, dtype=torch.bool)
    overlap.add(grid[:, :3], 0, defined[:3])
    overlap.add(grid[:, 3:], 3)
    torch.testing.assert_close(overlap.image(), images[0])


def test_recursive_means_depend_on_the_order_of_the_patches():
    """Patches 1 to 4 of 2x2 pixels, row by row; the middle pixel has all of them."""
    overlap = Overlap(torch.zeros(3, 3), 2, recursive=True)
    patches = torch.tensor([[1.0, 2], [3, 4]]).expand(4, 2, 2)
    overlap.add(patches, 0)
    assert overlap.image()[0].tolist() == [0.5, 1.25, 1]
    assert overlap.image()[1, 1] == 1 / 16 + 2 / 8 + 3 / 4 + 4 / 2


def test_local_saliency_by_hand():
    """One patch in a field of zeros: 1 away from four of its neighbors, and so on."""
    atoms = torch.arange(2)[:, None, None].expand(2, 5, 5)
    values = torch.zeros(2, 5, 5, dtype=torch.float64)
    values[:, 2, 2] = torch.tensor([3.0, 4])
    near, diagonal, far = 1 / 3, 1 / (1 + 2 * 2**0.5), 1 / 5
    knight, corner = 1 / (1 + 2 * 5**0.5), 1 / (1 + 2 * 8**0.5)
    total = 5 * (4 * near + 4 * diagonal + 4 * far + 8 * knight + 4 * corner)
    expected = 1 - np.exp(-total / 24)
    assert local_saliency(atoms, values).item() == pytest.approx(expected)
    values = torch.zeros(1, 6, 7, dtype=torch.float64)
    values[0, 0, 1] = 1
    expected = 1 - np.exp(-np.array([[knight, corner, 0], [0, 0, 0]]) / 24)
    saliency = local_saliency(torch.zeros(1, 6, 7, dtype=torch.long), values)
    np.testing.assert_allclose(saliency, expected, rtol=0, atol=1e-12)


def test_local_saliency_is_that_of_dense_codes():
    """Codes of the same and of other atoms, equal ones among them."""
    rng = np.random.default_rng(5)
    atoms = torch.from_numpy(rng.permuted(np.tile(np.arange(9), (6, 7, 1)), axis=-1)[..., :4])
    atoms = atoms.movedim(-1, 0).clone()
    values = torch.from_numpy(rng.normal(size=(4, 6, 7)))
    atoms[:, 2, 3], values[:, 2, 3] = atoms[:, 2, 2], values[:, 2, 2]
    dense = torch.zeros(9, 6, 7, dtype=torch.float64).scatter_add(0, atoms, values)
    for y, x in ((2, 2), (3, 4)):
        total = 0.0
        for row in range(y - 2, y + 3):
            for column in range(x - 2, x + 3):
                distance = (dense[:, y, x] - dense[:, row, column]).norm()
                total += float(distance) / (1 + 2 * np.hypot(row - y, column - x))
        expected = 1 - np.exp(-total / 24)
        assert local_saliency(atoms, values)[y - 2, x - 2].item() == pytest.approx(expected)


@each_method
def test_where_sources_are_equal_the_image_is_nearly_the_source(method, small):
    features = (255 * random_images(1, 1, 1, 12, 14)).repeat(2, 1, 1, 1, 1)
    strategy = METHODS[method](dictionary=small, sparsity=9)
    fused = strategy.fuse(features, scene(features))
    torch.testing.assert_close(fused, features[0], rtol=0, atol=0.5)


@each_method
def test_equal_patches_are_black_in_the_variant_of_the_authors(method, small):
    features = 255 * random_images(2, 1, 1, 12, 14)
    features[1, ..., :5, :] = features[0, ..., :5, :]
    strategy = METHODS[method](dictionary=small, sparsity=9, variant="authors")
    fused = strategy.fuse(features, scene(features))
    assert (fused[0, 0, :5] == 0).all() or method == "jsrsd"
    assert (fused[0, 0, 7:] != 0).all()


@each_method
def test_strips_and_tiles_do_not_matter(monkeypatch, method, small):
    images = list(random_images(2, 30, 25).numpy())
    strategy = METHODS[method](dictionary=small, sparsity=4)
    whole = Fusion("identity", strategy, range_policy=None, tile=99).fuse(images).image
    monkeypatch.setattr(joint_sparse, "STRIP", 1)
    strips = Fusion("identity", strategy, range_policy=None, tile=99).fuse(images).image
    np.testing.assert_allclose(strips, whole, rtol=0, atol=1e-6)
    tiles = Fusion("identity", strategy, range_policy=None, tile=11).fuse(images).image
    np.testing.assert_allclose(tiles, whole, rtol=0, atol=1e-6)


# ------------------------------------------------- dictionaries


def test_learning_finds_the_atoms_that_patches_are_made_of():
    generator = torch.Generator().manual_seed(0)
    atoms = torch.randn(16, 20, generator=generator, dtype=torch.float64)
    atoms /= atoms.norm(dim=0)
    weights = torch.zeros(20, 600, dtype=torch.float64)
    chosen = torch.rand(600, 20, generator=generator).argsort(dim=1)[:, :2].T
    weights.scatter_(0, chosen, torch.randn(2, 600, generator=generator, dtype=torch.float64))
    learned = dictionaries.learn_dictionary(atoms @ weights, 20, sparsity=2, iterations=30, seed=0)
    torch.testing.assert_close(learned.norm(dim=0), torch.ones(20, dtype=torch.float64))
    found = (learned.mT @ atoms).abs().amax(dim=0) > 0.99
    assert found.sum() >= 17


@pytest.mark.parametrize(
    "content", [np.ones((3, 4)), np.zeros((4, 9)), np.ones(4), np.full((4, 9), np.nan)]
)
def test_what_is_no_dictionary_is_refused(tmp_path, content):
    path = tmp_path / "wrong.npy"
    np.save(path, content)
    with pytest.raises(FusionlabError) as error:
        Fusion("identity", JSR(dictionary=str(path)))([np.zeros((9, 9))] * 2)
    assert error.value.code == "invalid-dictionary" or error.value.__cause__ is not None


def test_a_missing_dictionary_is_refused():
    with pytest.raises(FusionlabError) as error:
        JSR(dictionary="nowhere.npz")
    assert (error.value.code, error.value.option) == ("no-dictionary", "dictionary")


# ------------------------------------------------- laws


@pytest.mark.slow
@each_method
def test_laws_with_all_parameters(broken_laws, method):
    assert broken_laws(METHODS[method], "quick") == []
