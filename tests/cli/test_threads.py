"""The option --threads."""

import os
import sys

import click
import pytest
import torch
from click.testing import CliRunner

from fusionlab import threads
from fusionlab.cli.threads import VARIABLE, threads_option


@click.command
@threads_option
def numbers():
    click.echo(f"{os.environ.get(VARIABLE)} {torch.get_num_threads()}")


def run(*arguments):
    return CliRunner().invoke(numbers, arguments)


@pytest.fixture(autouse=True)
def five_cores(monkeypatch):
    monkeypatch.setattr(threads, "available_cores", lambda: 5)
    monkeypatch.delenv(VARIABLE, raising=False)


def test_the_number_holds_until_the_command_ends():
    before = torch.get_num_threads()
    assert run("--threads", "3").output == "3 3\n"
    assert torch.get_num_threads() == before
    assert VARIABLE not in os.environ


def test_without_the_option_there_are_as_many_as_cores():
    assert run().output == "5 5\n"


def test_what_the_user_has_set_for_all_programs_counts(monkeypatch):
    monkeypatch.setenv(VARIABLE, "1")
    with_torch = torch.get_num_threads()
    assert run().output == f"1 {with_torch}\n"  # it was imported before
    assert run("--threads", "2").output == "2 2\n"
    assert os.environ[VARIABLE] == "1"


def test_torch_reads_the_number_when_it_is_imported_later(monkeypatch):
    with_torch = torch.get_num_threads()
    monkeypatch.delitem(sys.modules, "torch")
    assert run("--threads", "4").output == f"4 {with_torch}\n"


@pytest.mark.parametrize("text", ["0", "-1", "many"])
def test_other_numbers_are_refused(text):
    result = run("--threads", text)
    assert result.exit_code == 2
    assert "--threads" in result.output
