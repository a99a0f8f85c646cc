"""Strategies that merge images instead of features, from the Python API and the command line."""

import json
from dataclasses import dataclass
from typing import ClassVar

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from fusionlab import Fusion, FusionlabError, Strategy
from fusionlab.cli import main
from fusionlab.evaluation.methods import MethodBuilder
from fusionlab.plugins.host import installed
from fusionlab_encoders.densefuse import DenseFuse
from fusionlab_encoders.identity import Identity

PLUGIN = """
    from dataclasses import dataclass
    from typing import Annotated, ClassVar
    from annotated_types import Ge
    from fusionlab import BackboneRef, Strategy, StrategyRef, hookimpl

    @dataclass(frozen=True)
    class Sharper(Strategy):
        '''Add the detail of the first image to the second.'''

        max_k: ClassVar[int] = 2
        domain: ClassVar[str] = "pixels"
        roles: ClassVar[tuple[str, ...]] = ("sharp", "plain")
        gain: Annotated[float, Ge(0), "factor of the detail"] = 1.0

        @property
        def support(self):
            return 1

        def fuse(self, features, scene):
            from torch.nn.functional import avg_pool2d

            sharp, plain = features
            smooth = avg_pool2d(sharp, 3, 1, 1, count_include_pad=False)
            return plain + self.gain * (sharp - smooth)

    @hookimpl
    def fusionlab_strategies():
        return [StrategyRef(name="sharper", target="pixel_plugin:Sharper", summary="detail")]
"""


@dataclass(frozen=True)
class Difference(Strategy):
    """Half the difference of two images around mid gray; records what it was given."""

    max_k: ClassVar[int] = 2
    domain: ClassVar = "pixels"
    roles: ClassVar = ("infrared", "visible")
    support: ClassVar = 0
    seen: ClassVar[list] = []

    def fuse(self, features, scene):
        self.seen.append((features, scene))
        return 127.5 + (features[0] - features[1]) / 2


@pytest.fixture
def sources():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (40, 50), dtype=np.uint8) for _ in range(2)]


@pytest.fixture
def plugin(install):
    return install("pixel-plugin", PLUGIN)


def test_the_baseline_backbone_is_chosen_where_none_is_given(sources):
    fusion = Fusion(strategy=Difference(), range_policy="clip")
    assert fusion.backbone.domain == "pixels"
    expected = np.floor(127.5 + (sources[0].astype(float) - sources[1]) / 2 + 0.5)
    assert np.array_equal(fusion(sources), expected)


def test_it_is_given_one_channel_in_gray_levels(sources):
    Difference.seen.clear()
    Fusion(strategy=Difference())(sources)
    ((features, scene),) = Difference.seen
    assert features.shape == (2, 1, 1, 40, 50)
    assert np.array_equal(features[:, 0, 0].numpy(), np.stack(sources))
    torch.testing.assert_close(scene.sources * 255, features)


@pytest.mark.parametrize("backbone", ["densefuse", DenseFuse()])
def test_learned_features_are_refused_in_one_sentence(backbone):
    with pytest.raises(FusionlabError) as error:
        Fusion(backbone, Difference())
    assert (error.value.code, error.value.option) == ("pixel-strategy", "backbone")
    assert str(error.value) == (
        "the strategy Difference merges pixels and cannot merge the features of DenseFuse; "
        "leave out the backbone"
    )


def test_a_domain_that_does_not_exist_is_refused():
    class Misspelled(Difference):
        domain = "pixel"

    with pytest.raises(FusionlabError, match="must be 'any' or 'pixels', got 'pixel'"):
        Fusion(Identity(), Misspelled())


def test_the_roles_are_named_where_their_number_is_wrong(sources):
    with pytest.raises(FusionlabError, match=r"exactly 2 sources \(infrared, visible\), got 3"):
        Fusion(strategy=Difference())([*sources, sources[0]])


def test_tiles_give_the_result_of_the_whole_image(plugin, sources):
    whole = Fusion(strategy="sharper,gain=2", range_policy=None, tile=999)(sources)
    tiled = Fusion(strategy="sharper,gain=2", range_policy=None, tile=16)(sources)
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=1e-6)  # float32 rounding


def test_other_strategies_still_take_the_default_backbone():
    assert Fusion(strategy="mean").backbone.domain == "features"


# ---------------------------------------------------------------- command line


@pytest.fixture
def files(tmp_path, monkeypatch, sources):
    monkeypatch.chdir(tmp_path)
    for name, source in zip("ab", sources, strict=True):
        (tmp_path / "set" / name).mkdir(parents=True)
        iio.imwrite(tmp_path / "set" / name / "one.png", source)
    return tmp_path


def run(*args):
    return CliRunner().invoke(main, args)


def test_fuse_takes_the_baseline_backbone_and_records_it(plugin, files, sources):
    args = ["fuse", "set/a/one.png", "set/b/one.png", "--strategy", "sharper", "--gain", "2"]
    result = run(*args, "--record")
    assert result.exit_code == 0, result.output
    fusion = Fusion(strategy="sharper,gain=2")
    assert np.array_equal(iio.imread("fused.png"), fusion(sources))
    assert (
        json.loads((files / "fused.png.json").read_text())["method"] == "identity/sharper,gain=2.0"
    )
    refused = run(*args, "--backbone", "densefuse", "--overwrite")
    assert refused.exit_code == 2
    assert "merges pixels and cannot merge the features of DenseFuse" in refused.stderr
    assert "--backbone" in refused.stderr


@pytest.mark.parametrize(
    "name", ["sharper", "sharper,gain=2", "identity/sharper", "pixel-plugin:sharper"]
)
def test_a_table_has_one_row_for_it_and_no_gain_over_the_baseline(plugin, name):
    rows = MethodBuilder(installed()).build(name)
    assert [row.baseline for row in rows] == [None]
    assert rows[0].label.startswith("identity/sharper")


def test_a_table_refuses_it_on_learned_features(plugin):
    with pytest.raises(FusionlabError) as error:
        MethodBuilder(installed()).build("densefuse/sharper")
    assert error.value.code == "pixel-strategy"


def test_evaluate_scores_it_and_prints_no_gain_table(plugin, files):
    result = run("evaluate", "set", "--method", "sharper", "--metrics", "EN")
    assert result.exit_code == 0, result.output
    assert "identity/sharper" in result.output
    assert "baseline" not in result.output


def test_check_examines_it(plugin):
    result = run("check", "sharper", "--law", "determinism", "--law", "untouched")
    assert result.exit_code == 0, result.output
