"""Our own files after others have changed them: each key removed, each value replaced.

Whatever reads one of them either takes it, skips the damaged part, or says in one sentence what is
wrong. Nothing outside of its folder is touched.
"""

import copy
import json
from contextlib import suppress
from pathlib import Path

import click
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fusionlab import Card, FusionlabError
from fusionlab.cli import main
from fusionlab.evaluation.saved_images import SavedImages
from fusionlab.evaluation.score_journal import ScoreJournal
from fusionlab.evaluation.studies import file as study_files
from fusionlab.registration.files import encode_transforms, read_transforms
from fusionlab.registration.transform import Transform
from fusionlab.runs.manifest import RunManifest
from fusionlab.sequences.segments import SegmentJournal
from fusionlab.sequences.writing.stack import StackOutput
from fusionlab.storage.hashing import sha256_of_bytes
from fusionlab.training.autoencoder import AutoencoderTrainer
from fusionlab.training.log import Log, read_log
from fusionlab.training.settings import AutoencoderSettings, Stage
from fusionlab_encoders.densefuse import DenseFuse

CORPUS = Path(__file__).parent / "corpus" / "own-files"

ODD = (
    None,
    True,
    False,
    0,
    -1,
    2**70,
    10**400,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "x",
    "\x1b[2J\nError: forged",
    "a\0b",
    "../../outside",
    "/outside",
    [],
    [None],
    [[1], {}],
    {},
    {"x": 1},
)

IMAGE = {"width": 3, "height": 2, "channels": 1, "depth": 8, "kind": "unsigned"}
RECORD = {
    "method": "densefuse@1e2-ab12/rfn,checkpoint=1",
    "backbone": "densefuse",
    "weights": {"tag": "1e2", "sha256": "ab" * 32},
    "strategy": "rfn",
    "parameters": {"checkpoint": "1", "soft": True},
    "networks": {"tag": "1", "sha256": "cd" * 32},
    "range": "clip",
    "color": "per-channel",
    "shared_weights": True,
    "scale": ["auto"],
    "nodata": ["0"],
    "resize": None,
    "device": "cpu",
    "gpu": None,
    "tile": 64,
    "engine": "eager",
    "precision": "fp32",
    "plugins": {"fusionlab-imaging": "0.1.0"},
    "libraries": {"fusionlab-imaging": "0.1.0", "torch": "2.6"},
    "sources": [
        {"name": "a.png", "sha256": "ef" * 32, **IMAGE, "black": 0.0, "white": 255.0, "no_data": 1},
        {"name": "-b.png", "sha256": "01" * 32, **IMAGE, "black": 0.0, "white": 255.0},
    ],
    "result": {"name": "fused.png", **IMAGE, "pixels_sha256": "23" * 32},
    "task": {"name": "ir-visible", "detected": True},
}
SCORES = {
    "key": "k",
    "image": "1",
    "method": "identity/mean",
    "outside": 0.5,
    "values": {"EN": ["id", 6.5], "MI": ["id", 2]},
}
STATUS = {
    "state": "running",
    "total": 40,
    "done": 20,
    "reused": 3,
    "failed": 1,
    "workers": 2,
    "rows_per_second": 1.5,
    "seconds_left": 12.5,
    "started": 1.0,
    "updated": 2.0,
    "pid": 7,
    "file": "grid.toml",
}
OPTIONS = {
    "data": ["photos"],
    "validation": ["held-out"],
    "size": 64,
    "stage": ["64x10"],
    "iterations": 100,
    "batch": 2,
    "learning_rate": 1e-4,
    "lr_schedule": "linear",
    "backbone": "densefuse",
    "seed": 1,
    "device": "cpu",
    "flips": True,
    "tensorboard": False,
    "data_note": "noise",
    "tag": "mine",
}
LINES = [
    {"iteration": 0, "settings": {"ssim_weight": 10.0, "stages": [[64, 10]], "seed": 1}},
    {"iteration": 50, "pixel": 1.5, "structure": 0.1, "total": 2.5},
    {"iteration": 100, "loss": 2.0, "validation": {"pixel": 1.0, "ssim": 0.9}},
    {"iteration": 100, "final": {"pixel": 1.0}},
]
CARD = {
    "backbone": "densefuse",
    "tag": "mine",
    "sha256": "ab" * 32,
    "license": "not stated",
    "data": {"description": "noise"},
    "settings": {"iterations": 6},
    "validation": {"images": 1, "mae": 2.5},
    "made_with": {"fusionlab-imaging": "0.1.0"},
    "parent": {"tag": "1e2"},
    "strategy": {"name": "rfn", "parameters": "width=3", "backbone_sha256": "cd" * 32},
}
SEGMENT = {
    "segment": 0,
    "stop": 3,
    "fused": 2,
    "failed": [[1, "000001: damaged"]],
    "depth": 8,
    "layout": {"height": 2, "width": 3, "channels": 1, "depth": 8},
    "colors": {"luma": 2},
    "content": {"files": {"000000.tif": sha256_of_bytes(b"pages")}},
    "state": {"name": "000000.npz", "sha256": "ab" * 32},
}
STUDY = {
    "study": {
        "name": "grid",
        "metrics": ["EN", "MI"],
        "range": {"grid": ["clip", "minmax"]},
        "scale": ["auto"],
        "score_color": "luma",
        "against": "identity/mean",
        "compare": ["range"],
        "baselines": True,
        "device": "cpu",
        "executor": "local:2",
        "digits": 3,
        "deviations": True,
        "save_images": False,
    },
    "sets": {"tno": "data", "other": {"folders": ["a", "b"], "limit": 2, "truth": "c"}},
    "methods": [
        {"backbone": {"grid": ["identity", "densefuse"]}, "strategy": "l1norm", "r": 1},
        {"method": "identity/mean", "name": "mean"},
    ],
    "results": [{"name": "Theirs", "tno": "theirs"}],
}


def call(*args):
    """Run a command; return its output, which a terminal can show."""
    result = CliRunner().invoke(main, args)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code in (0, 1, 2)
    assert "\x1b" not in result.output
    assert "Error: forged" not in result.output.splitlines()
    return result.output


def use_record(value, folder):
    (folder / "x.png.json").write_text(json.dumps(value))
    call("explain", str(folder / "x.png.json"))


def use_scores(value, folder):
    (folder / "rows.jsonl").write_text(f"{json.dumps(value)}\n{json.dumps(SCORES)}\n")
    known = ScoreJournal(folder, resume=True).known
    assert known["k", "1"].values == {"EN": ("id", 6.5), "MI": ("id", 2.0)}
    for row in known.values():
        assert all(type(number) is float for _, number in row.values.values())


def use_images(value, folder):
    output = folder / "output"
    (output / "images").mkdir(parents=True, exist_ok=True)
    (folder / "outside").touch()
    for resume in (True, False):
        (output / "images.jsonl").write_text(f"{json.dumps(value)}\n")
        SavedImages(output, resume=resume).has("row", "1", "k")
    assert (folder / "outside").exists()


def use_status(value, folder):
    (folder / "status.json").write_text(json.dumps(value))
    call("study", "status", str(folder))
    call("study", "report", str(folder))


def use_options(value, folder):
    (folder / "run.json").write_text(json.dumps(value))
    command = main.commands["train"]
    with suppress(click.ClickException), main.make_context("fusionlab", ["train"]) as parent:
        command.make_context("train", ["-o", str(folder), "--resume"], parent=parent)


def use_log(value, folder):
    path = folder / "log.jsonl"
    path.write_text("".join(f"{json.dumps(line)}\n" for line in [value, *LINES]))
    assert read_log(path)[-len(LINES) :] == LINES
    log = Log(folder)
    log.begin({}, 50)
    log.close()


def use_card(value, folder):
    (folder / "x.json").write_text(json.dumps(value))
    with suppress(FusionlabError):
        card = Card.read(folder / "x.safetensors")
        assert isinstance(card.to_json(), str)
        assert (card.strategy or {}).get("name", "rfn") is not None


def use_manifest(value, folder):
    path = folder / "fusionlab-manifest.jsonl"
    path.write_text(f"{json.dumps(value)}\n")
    manifest = RunManifest(folder)
    assert not manifest.is_finished("1", "k", [folder / "1.png"])
    manifest.has_file("1", folder / "1.png")
    manifest.tidy()


def use_segments(value, folder):
    output = StackOutput(folder / "fused.tif")
    output.parts.mkdir(exist_ok=True)
    (output.parts / "000000.tif").write_bytes(b"pages")
    lines = [{"sequence": 1, "key": "k"}, value, {"complete": 1}]
    output.journal.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    journal = SegmentJournal(output, "k")
    with suppress(FusionlabError):
        journal.resume()
        if json.dumps(value) == json.dumps(SEGMENT):
            assert (len(journal.segments), journal.complete) == (1, True)
        journal.tidy()


def use_transforms(value, folder):
    (folder / "t.json").write_text(json.dumps(value))
    with suppress(FusionlabError):
        read_transforms(folder / "t.json")


def use_study(value, folder):
    if not isinstance(value, dict):  # TOML has no other documents
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study_files.tomllib, "loads", lambda _: copy.deepcopy(value))
        with suppress(FusionlabError):
            study_files.parse_study("", folder, "grid.toml")


FILES = {
    "record": (RECORD, use_record),
    "scores": (SCORES, use_scores),
    "images": ({"file": "row/1.png", "key": "k"}, use_images),
    "status": (STATUS, use_status),
    "options": (OPTIONS, use_options),
    "log": (LINES[2], use_log),
    "settings in a log": (LINES[0], use_log),
    "card": (CARD, use_card),
    "manifest": ({"stem": "1", "key": "k", "files": {"1.png": "ab" * 32}}, use_manifest),
    "segments": (SEGMENT, use_segments),
    "transforms": (
        json.loads(encode_transforms([None, Transform.identity((30, 20))], names=["a", "b"])),
        use_transforms,
    ),
    "study": (STUDY, use_study),
}


def places(value):
    """Yield where the parts of a JSON value are: the keys and numbers that lead to them."""
    parts = value.items() if isinstance(value, dict) else enumerate(value)
    for key, part in parts:
        yield (key,)
        if isinstance(part, dict | list):
            yield from ((key, *rest) for rest in places(part))


def changed(value, place, new=None, *, removed=False):
    """Return a copy of a JSON value with another part, or without it."""
    result = copy.deepcopy(value)
    *outer, last = place
    holder = result
    for key in outer:
        holder = holder[key]
    if removed:
        del holder[last]
    else:
        holder[last] = new
    return result


def mutations(value):
    """Yield every value with one part removed or replaced, and every odd value alone."""
    yield from ODD
    for place in places(value):
        yield changed(value, place, removed=True)
        for new in ODD:
            yield changed(value, place, new)


@pytest.mark.parametrize("name", FILES)
def test_the_valid_file_is_used(name, tmp_path):
    valid, use = FILES[name]
    use(valid, tmp_path)


@pytest.mark.parametrize("name", FILES)
def test_a_changed_file_costs_no_more_than_itself(name, tmp_path):
    """Every eleventh change; the slow test has all of them."""
    valid, use = FILES[name]
    for value in [*mutations(valid)][::11]:
        use(value, tmp_path)


@pytest.mark.parametrize("odd", [ODD[6:7], pytest.param(ODD, marks=pytest.mark.slow)], ids=len)
def test_the_state_of_a_training_costs_a_sentence_or_is_trained_on(odd, tmp_path):
    """What `last.pt` holds apart from tensors, whose shapes torch checks."""
    images = np.random.default_rng(0).integers(0, 256, (2, 256, 256), dtype=np.uint8)
    plan = AutoencoderSettings(stages=(Stage(16, 2),), validate_every=1)

    def trainer():
        return AutoencoderTrainer(DenseFuse, images, images[:1, :40, :40], plan, tmp_path)

    first = trainer()
    first.save()
    state = torch.load(tmp_path / "last.pt", weights_only=True)
    used = 0
    keys = ("iteration", "optimizer", "settings", "losses", "summed", "best", "best_loss")
    for key in keys if len(odd) > 1 else keys[:2]:
        for new in odd:
            torch.save({**state, key: new}, tmp_path / "last.pt")
            again = trainer()
            with suppress(FusionlabError):
                again.resume()
                again.run()
                used += 1
    assert used or len(odd) == 1
    group = {**state["optimizer"]["param_groups"][0], "betas": "x"}
    damaged = {**state["optimizer"], "param_groups": [group]}
    torch.save({**state, "optimizer": damaged}, tmp_path / "last.pt")
    with pytest.raises(FusionlabError, match="options of the optimizer"):
        trainer().resume()


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_no_change_of_a_file_costs_more_than_itself(name, tmp_path):
    valid, use = FILES[name]
    for value in mutations(valid):
        use(value, tmp_path)


leaves = st.sampled_from(ODD) | st.text(max_size=4) | st.integers() | st.floats()
json_values = leaves | st.lists(leaves, max_size=3) | st.dictionaries(st.text(max_size=4), leaves)


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_no_combination_of_changes_costs_more(name, tmp_path_factory):
    valid, use = FILES[name]
    folder = tmp_path_factory.mktemp("own")

    @settings(max_examples=500, suppress_health_check=[HealthCheck.too_slow])
    @given(st.data())
    def run(data):
        value = valid
        for _ in range(data.draw(st.integers(1, 4))):
            if not isinstance(value, dict | list) or not value:
                break
            place = data.draw(st.sampled_from([*places(value)]))
            value = changed(value, place, data.draw(json_values), removed=data.draw(st.booleans()))
        use(value, folder)

    run()


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*.json")), ids=lambda path: path.stem)
def test_no_file_that_ever_failed_fails_again(path, tmp_path):
    """The name of a file begins with that of its kind."""
    _, use = FILES[path.stem.partition("--")[0]]
    use(json.loads(path.read_text()), tmp_path)
