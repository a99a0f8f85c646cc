"""The page that tells how to add a backbone: its files are written, and its tests pass."""

import re
import tomllib
from pathlib import Path

import numpy as np
import pytest

from fusionlab import Fusion, load_backbone
from fusionlab.hookspecs import GROUP
from fusionlab.plugins.host import installed

PAGE = Path(__file__).parents[1] / "docs/backbones.md"
BLOCK = re.compile(r'^```\w+ title="([^"]+)"\n(.*?)^```$', re.MULTILINE | re.DOTALL)
FILES = dict(BLOCK.findall(PAGE.read_text(encoding="utf-8")))


@pytest.fixture
def halfnet(install):
    install("halfnet", FILES["halfnet/__init__.py"])


def test_its_backbone_is_found_and_fuses(halfnet):
    assert "halfnet" in [r.ref.name for r in installed().backbones.registrations]
    images = [np.full((21, 30), level, np.uint8) for level in (50, 200)]
    assert Fusion("halfnet", "mean", tile=16)(images).shape == (21, 30)


def test_its_tests_pass(halfnet):
    names = {}
    exec(compile(FILES["test_halfnet.py"], "test_halfnet.py", "exec"), names)
    for cls in (names["TestHalfNet"], names["TestDeepHalfNet"]):
        for name in dir(cls):
            if name.startswith("test_") and name != "test_pixels_are_gray_levels":
                getattr(cls(), name)()


def test_its_entry_point_is_the_one_that_is_read():
    (group,) = tomllib.loads(FILES["pyproject.toml"])["project"]["entry-points"]
    assert group == GROUP


def test_a_receptive_field_that_is_too_small_would_be_found(halfnet):
    names = {}
    exec(compile(FILES["test_halfnet.py"], "test_halfnet.py", "exec"), names)
    backbone = names["HalfNet"](depth=2)
    backbone.receptive_field = (3, 1)
    laws = type("Laws", (names["TestHalfNet"],), {"backbone": backbone})()
    with pytest.raises(AssertionError, match="depend on pixels more than 3 away"):
        laws.test_the_receptive_field_of_the_encoder_is_as_declared()


def test_the_table_of_what_ships_is_that_of_the_code():
    shipped = [r for r in installed().backbones.registrations if r.plugin == "fusionlab-imaging"]
    rows = []
    for registration in sorted(shipped, key=lambda registration: registration.ref.name):
        backbone = load_backbone(registration.ref.name)
        channels = ", ".join(str(level.channels) for level in backbone.levels)
        strides = ", ".join(str(level.stride) for level in backbone.levels)
        field = ", ".join(map(str, backbone.receptive_field))
        count = sum(parameter.numel() for parameter in backbone.parameters())
        tags = ", ".join(f"`{tag}`" for tag in registration.ref.checkpoints)
        cells = (
            f"`{registration.ref.name}`",
            f"{channels} at {strides}",
            field,
            f"{count:,}",
            tags,
        )
        rows.append(f"| {' | '.join(cells)} |".replace("|  |", "| |"))
    assert "\n".join(rows) in PAGE.read_text(encoding="utf-8")
