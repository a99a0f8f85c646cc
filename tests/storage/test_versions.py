"""Versions of libraries: those that are installed."""

from importlib.metadata import version

from fusionlab.storage.versions import library_versions


def test_installed_distributions_have_a_version_and_others_are_left_out():
    assert library_versions(["torch", "no-such-distribution", "numpy"]) == {
        "torch": version("torch"),
        "numpy": version("numpy"),
    }
