"""`--engine auto`: which engines are the fastest is measured once, and recorded."""

import json
import pickle

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from imageio.v3 import imwrite
from refusals import refused

from fusionlab import Fusion, FusionlabError
from fusionlab.backbone import WHOLE
from fusionlab.cli import main
from fusionlab.engine import choice, trial
from fusionlab.engine.build import build_engine
from fusionlab.engine.choice import FILE_NAME, chosen_engine
from fusionlab.engine.eager import Eager
from fusionlab.engine.feature_cache import FeatureCache
from fusionlab.engine.pair import Pair
from fusionlab.engine.recording import unsupported
from fusionlab.engine.trial import Trial, tried
from fusionlab.plugins.host import installed
from fusionlab.runs.record import describe_method
from fusionlab.storage.user_cache import user_cache
from fusionlab_encoders.identity import Identity

CPU = torch.device("cpu")
BACKBONE = Identity()
TWO = """
    from fusionlab import EngineRef, hookimpl

    @hookimpl
    def fusionlab_engines():
        return [EngineRef("twin", "fusionlab.engine.eager:Eager", "The same once more.")]
"""


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """Return the file in which choices are kept."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("sys.platform", "linux")
    return tmp_path / "cache" / "fusionlab" / FILE_NAME


@pytest.fixture
def trials(monkeypatch, cache, install):
    """Offer two engines besides those that ship, and let each measurement end as it is said here.

    Returns a function that says how it ends, and the list of those that were made.
    """
    install("lab-engine", TWO)
    made, results = [], ["twin", 0.5]

    def measure(engines, default):
        made.append(sorted(engines))
        return Trial(*results, {default: 1.0})

    def end(*values):
        results[:] = values

    monkeypatch.setattr(choice, "tried", measure)
    return end, made


def choose(backbone=BACKBONE, device=CPU):
    return chosen_engine(backbone, device, "fp32", installed())


def test_engines_are_measured_once_and_the_choice_is_kept(trials, cache):
    _, made = trials
    assert [choose(), choose()] == ["twin", "twin"]
    assert len(made) == 1
    assert {"eager", "twin"} <= {*made[0]}
    assert "compile" not in made[0]
    (kept,) = json.loads(cache.read_bytes())["choices"].values()
    assert kept["engine"] == "twin"
    choose(Fusion("densefuse", "mean").backbone)  # another network
    assert len(made) == 2
    choose()
    assert len(made) == 2


def test_only_what_is_clearly_faster_is_chosen(trials):
    end, _ = trials
    end("twin", 0.97)
    assert choose() == "eager"


def test_other_devices_keep_the_default(trials):
    _, made = trials
    assert choose(device=torch.device("meta")) == "eager"
    assert not made


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"choices": {"x": 5}}', b"\xff\0", b'{"choices": {"KEY": {"engine": 1}}}'],
)
def test_a_damaged_cache_costs_a_measurement(trials, cache, content):
    _, made = trials
    choose()
    (key,) = json.loads(cache.read_bytes())["choices"]
    cache.write_bytes(content.replace(b"KEY", key.encode()))
    assert [choose(), choose()] == ["twin", "twin"]
    assert len(made) == 2


def test_an_engine_that_is_not_installed_any_more_is_not_taken_from_the_cache(trials, cache):
    _, made = trials
    choose()
    cache.write_bytes(cache.read_bytes().replace(b'"engine": "twin"', b'"engine": "gone+twin"'))
    assert choose() == "twin"
    assert len(made) == 2


@pytest.mark.parametrize("place", ["folder", "file above", "link"])
def test_what_is_in_the_place_of_the_cache_stays(trials, cache, place, tmp_path):
    if place == "file above":
        cache.parent.parent.write_bytes(b"mine")
    else:
        cache.parent.mkdir(parents=True)
        cache.mkdir() if place == "folder" else cache.symlink_to(tmp_path / "nothing")
    assert choose() == "twin"
    assert not (tmp_path / "nothing").exists()
    assert cache.is_symlink() or not cache.is_file()


def test_a_user_without_a_home_has_no_cache(trials, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)
    assert user_cache() is None
    assert choose() == "twin"


def test_few_choices_are_kept(trials, cache, monkeypatch):
    monkeypatch.setattr(choice, "MAX_CHOICES", 2)
    for threads in (1, 2, 3):
        monkeypatch.setattr(choice, "threads_at_once", lambda threads=threads: threads)
        choose()
    assert len(json.loads(cache.read_bytes())["choices"]) == 2


class Timed(Eager):
    """Takes the time that a test says."""

    clock = None
    seconds = 1.0

    def decode_tile(self, features, borders):
        Timed.clock[0] += self.seconds
        return super().decode_tile(features, borders)


class Fast(Timed):
    seconds = 0.25


class Inexact(Fast):
    def decode_tile(self, features, borders):
        return super().decode_tile(features, borders) + 2e-3 / 255


class Lacking(Fast):
    def encode_tile(self, images, borders):
        raise unsupported("the operation aten.sin.default")


@pytest.fixture
def clock(monkeypatch):
    monkeypatch.setattr(Timed, "clock", [0.0])
    monkeypatch.setattr(trial, "perf_counter", lambda: Timed.clock[0])


def test_the_fastest_exact_engine_is_found(clock):
    kinds = {"usual": Timed, "fast": Fast, "inexact": Inexact, "lacking": Lacking}
    found = tried({name: kind(BACKBONE, CPU, "fp32") for name, kind in kinds.items()}, "usual")
    assert (found.fastest, found.share) == ("fast", 0.25)
    # whoever lacks an operation of the encoder may still decode
    assert {*found.seconds} == {
        *("usual", "fast", "usual+fast", "fast+usual", "inexact+usual", "inexact+fast"),
        *("usual+lacking", "fast+lacking", "inexact+lacking"),
    }


def test_where_the_default_engine_is_the_fastest_it_stays(clock):
    engines = {"usual": Fast(BACKBONE, CPU, "fp32"), "slow": Timed(BACKBONE, CPU, "fp32")}
    assert tried(engines, "usual").fastest == "usual"


def test_installed_engines_are_tried_on_a_backbone():
    """Whatever is the fastest on this machine, it can be built by its name."""
    plugins = installed()
    engines = {}
    for name in ("eager", "ncnn"):
        try:
            engines[name] = build_engine(name, BACKBONE, CPU, "fp32", plugins)
        except FusionlabError:
            continue
    found = tried(engines, "eager")
    assert {*found.seconds} >= {*engines}
    build_engine(found.fastest, BACKBONE, CPU, "fp32", plugins)


def test_a_fusion_tells_what_was_chosen(trials):
    end, made = trials
    end("twin+eager", 0.5)
    fusion = Fusion(BACKBONE, "mean", engine="auto")
    assert fusion.engine == "twin+eager"
    record = describe_method(fusion, installed())
    assert record["engine"] == "twin+eager"
    assert {"lab-engine", "fusionlab-imaging"} <= {*record["plugins"]}
    assert "engine='twin+eager'" in repr(fusion)
    end("twin", 0.5)
    assert pickle.loads(pickle.dumps(fusion)).engine == "twin+eager"
    assert len(made) == 1


def test_resuming_goes_by_what_was_chosen(trials, cache, tmp_path):
    """Other engines round differently, so their images are not mixed."""
    end, _ = trials
    for folder, level in (("ir", 50), ("vis", 200)):
        (tmp_path / folder).mkdir()
        imwrite(tmp_path / folder / "a.png", np.full((9, 9), level, np.uint8))
    folders = [str(tmp_path / folder) for folder in ("ir", "vis")]
    command = ["fuse", *folders, "-o", str(tmp_path / "out"), "--strategy", "mean", "--json"]
    command += ["--backbone", "identity", "--engine", "auto", "--resume"]

    def run():
        result = CliRunner().invoke(main, command)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout.splitlines()[-1])["summary"]

    first, again = run(), run()
    cache.unlink()
    end("twin+eager", 0.5)
    other = run()
    assert [each["skipped"] for each in (first, again, other)] == [0, 1, 0]


def test_a_pair_encodes_by_one_engine_and_decodes_by_the_other():
    encoder, decoder = Eager(BACKBONE, CPU, "fp32"), Eager(BACKBONE, CPU, "fp32")
    decoder.decode_tile = lambda features, _: features[0] * 0 + 7
    decoder.encode_tile = encoder.decode_tile = None
    decoder.cpu_bytes = encoder.cpu_bytes // 2
    pair = Pair(encoder, decoder)
    assert pair.pixels_at_once == decoder.pixels_at_once
    assert (pair.decode(pair.encode(torch.rand(1, 1, 9, 9), WHOLE), WHOLE) == 7).all()
    assert pair.tiles_in_parallel
    decoder.tiles_in_parallel = False
    assert not pair.tiles_in_parallel


def test_features_are_kept_for_engines_that_encode_alike(install):
    install("lab-engine", TWO)
    cache, planes = FeatureCache(), torch.rand(2, 1, 1, 9, 9)
    alike = ("eager", "eager+eager", "twin+eager")
    features = [
        cache.of(build_engine(name, BACKBONE, CPU, "fp32", installed()), planes, None)
        for name in alike
    ]
    assert features[0] is features[1] is features[2]

    class Other(Eager):
        pass

    pair = Pair(Other(BACKBONE, CPU, "fp32"), Eager(BACKBONE, CPU, "fp32"))
    assert cache.of(pair, planes, None) is not features[0]


def test_engines_with_other_features_are_no_pair():
    pytest.importorskip("openvino", reason="the extra openvino is not installed")
    with pytest.raises(FusionlabError, match=r"bfloat16.*float32"):
        Fusion(BACKBONE, "mean", engine="eager+openvino", precision="bf16")


@pytest.mark.parametrize("name", ["eager+eagre", "eagre+eager", "eager+", "auto+eager"])
def test_a_pair_with_an_unknown_engine_is_refused(name):
    with pytest.raises(FusionlabError, match="there is no engine", check=refused("unknown-name")):
        Fusion(BACKBONE, "mean", engine=name)
    result = CliRunner().invoke(main, ["fuse", "a.png", "b.png", "--engine", name])
    assert (result.exit_code, "there is no engine" in result.stderr) == (2, True)


def test_the_command_prints_what_was_chosen(trials, tmp_path):
    for name in "ab":
        imwrite(tmp_path / f"{name}.png", np.full((9, 9), 100, np.uint8))
    images = [str(tmp_path / f"{name}.png") for name in "ab"]
    command = ["fuse", *images, "-o", str(tmp_path / "out.png"), "--backbone", "identity"]
    for engine, line in (("auto", "engine   twin"), ("eager", None)):
        result = CliRunner().invoke(main, [*command, "--engine", engine, "--overwrite"])
        assert result.exit_code == 0, result.output
        assert [each for each in result.stdout.splitlines() if "engine" in each] == [line][
            : bool(line)
        ]
