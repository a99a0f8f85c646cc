"""Files of which only the names matter."""

import pytest


@pytest.fixture
def put(tmp_path, monkeypatch):
    """Make the temporary folder the current one, and return a function that makes files in it."""
    monkeypatch.chdir(tmp_path)

    def make(*names, content=b""):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    return make
