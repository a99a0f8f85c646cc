"""Find British spelling, and words that this project replaced by words of the field.

    python tools/check_words.py             # every text file that git tracks
    python tools/check_words.py PATH ...    # only these files

Spelling is searched inside identifiers, too (`colour_policy`), which codespell does not do.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from io import StringIO
from pathlib import Path

ROOT = Path(__file__).parents[1]
SUFFIXES = {".cff", ".json", ".md", ".py", ".sh", ".toml", ".txt", ".yml", ".yaml", ""}
SELF = "tools/check_words.py"
SKIPPED = (
    SELF,
    "tests/test_repository.py",
    "LICENSE",
    "*.jsonl",
    "tests/golden/*.json",
    "encoders/*/weights/*.json",
)
"""Files that define the words, that are quoted, or that hold data."""

# --- British spelling: stems, each with its American form ------------------------------------

BRITISH = {
    r"(?<!multi)colour": "color",
    r"\bgrey": "gray",
    r"(?<=_)grey": "gray",
    r"behaviour": "behavior",
    r"neighbour": "neighbor",
    r"favour": "favor",
    r"honour": "honor",
    r"rigour\b": "rigor",
    r"vapour": "vapor",
    r"flavour": "flavor",
    r"harbour": "harbor",
    r"labour": "labor",
    r"\bcentre": "center",
    r"(?<=_)centre": "center",
    r"\b(?:kilo|milli|centi|nano|micro)?metres?\b": "meter",
    r"\blitres?\b": "liter",
    r"\bfibres?\b": "fiber",
    r"\btheatre": "theater",
    r"catalogue": "catalog",
    r"dialogue": "dialog",
    r"analogue": "analog",
    r"licence": "license",
    r"defence": "defense",
    r"offence": "offense",
    r"\bpretence": "pretense",
    r"\bpractis(?:e|ed|es|ing)\b": "practice",
    r"\bprogrammes?\b": "program",
    r"artefact": "artifact",
    r"(?:normal|organ|optim|initial|recogn|summar|quant|general|maxim|minim|serial|real|visual"
    r"|token|local|vector|parallel|random|regular|special|standard|synchron|util|penal|character"
    r"|custom|emphas|equal|factor|final|formal|harmon|linear|modern|parametr|polar|priorit|symbol"
    r"|stabil|categor|binar|color|digit|discret|ideal|memor|neutral|orthogonal|sanit|tabul|author"
    r"|capital|central|crystal|apolog|critic|familiar|mobil|material)"
    r"is(?:e|ed|es|er|ers|ing|ation|ations|able)(?![a-z])": "-ize",
    r"analys(?:e|ed|er|ers|ing)\b": "analyze",
    r"paralys(?:e|ed|es|ing)\b": "paralyze",
    r"catalys(?:e|ed|es|ing)\b": "catalyze",
    r"(?:label|model|cancel|travel|signal|channel|level|total|tunnel|equal|initial|dial|fuel"
    r"|marshal|panel|pencil|spiral|swivel)l(?:ed|ing|er|ers)\b": "one l",
    r"\bwriteable": "writable",
    r"\bjudgement": "judgment",
    r"\backnowledgement": "acknowledgment",
    r"\bageing\b": "aging",
    r"\bgrey-?scale": "grayscale",
    r"\bwhilst\b": "while",
    r"\bamongst\b": "among",
    r"\blearnt\b": "learned",
    r"\bspelt\b": "spelled",
    r"\bburnt\b": "burned",
    r"\bstoreys?\b": "story (floor)",
    r"\bsceptic": "skeptic",
    r"\bmould": "mold",
    r"\bplough": "plow",
    r"\btyre": "tire",
    r"\baluminium": "aluminum",
    r"\bmaths\b": "math",
    r"\bfulfil(?:s|ment)?\b": "fulfill",
    r"\binstalment": "installment",
    r"\benrol(?:s|ment)?\b": "enroll",
    r"\bdistil(?:s)?\b": "distill",
    r"\bskilful": "skillful",
    r"\bcosy\b": "cozy",
    r"\bper cent\b": "percent",
    r"\bcheque": "check",
}

# --- words that this project replaced ---------------------------------------------------------

PYTHON_NAMES = {
    r"Offers?": "Registration",
    r"Catalogues?": "Registry",
    r"Subjects?": "Sample",
    r"HeldRows": "InMemoryRows",
    r"SpooledRows": "OnDiskRows",
    r"Canvas": "Sink",
    r"Unfit": "UnsupportedImage",
    r"Patience": "timing budget",
    r"presentable": "normalized",
    r"refusing": "cli_errors",
    r"blaming": "attribute_errors_to",
    r"written_together": "atomic_write_all",
    r"used_alone": "exclusive_lock",
    r"reach|reaches": "receptive_field",
    r"cooldown": "lr_decay",
    r"averaging": "ema_decay",
    r"gathers": "two_pass",
    r"twins?": "what it holds",
    r"graded": "what it holds",
    r"FAR|SEEN|MOST_BYTES": "what it bounds",
}
"""Whole identifiers of Python code that are no longer used."""

PROSE = {
    r"\bpictures?\b": "image",
    r"\brules? of fusion\b": "strategy",
    r"\bnobody(?:'s)?\b": "name who or what",
    r"\bput (?:that|this) right\b": "fix this",
    r"\b(?:goes|go|went) on\b": "resume, continue",
    r"\b(?:is|are) there already\b": "already exists",
    r"\bbrings? along\b": "adds",
    r"\bloop of links\b": "symlink loop",
    r"(?<!here )\bis no (?:image|number|file|folder|strategy|method|metric)\b": "is not a",
    r"\bSay (?:what|which|how|whether|where)\b": "a verb of the field: return, print, describe",
    r"\bmade after\b": "modeled on",
    r"\bhow far it sees\b": "its receptive field",
    r"\b(?:lets?|Let) nobody\b": "prevent",
    r"\bhis\b": "its, their",
    r"\bthe very (?:bits|bytes|same)\b": "the same",
    r"\bword for word\b": "verbatim",
    r"\bstands? (?:in|beside|there|where|on|as)\b": "is in, is next to",
    r"\blies? beside\b": "is next to",
    r"\bowes?\b|\bowed\b": "requires, required",
    r"\bmargins?\b": "halo",
    r"\bthe lift\b": "gain over the baseline",
    r"\btoo eager\b": "say what was imported",
}
"""Phrases of comments, docstrings, messages and pages that are better said otherwise."""

# What a whole file is searched for first: most have none of it. `BRITISH` without spaces never
# looks beyond one run of letters, digits and `_`, except for what `\bgrey` finds, too.
SPACED = "|".join(pattern for pattern in BRITISH if " " in pattern)
ANY_BRITISH = re.compile("|".join(BRITISH), re.IGNORECASE)
ANY_NAME = re.compile("|".join(PYTHON_NAMES))
ANY_PHRASE = re.compile(
    rf"\b(?:{'|'.join(PROSE)})"
)  # each begins a word; one test skips most places


@dataclass(frozen=True)
class Allowed:
    """A word that is right where it is used."""

    path: str
    """The files, as a glob."""
    text: str
    """The word with enough around it, as a regular expression for part of a line."""
    reason: str


ALLOWED = (
    Allowed("fusionlab/cli/*.py", r'"--colour"', "hidden alias of --color"),
    Allowed("fusionlab/checkpoint.py", r'"licence"', "key of cards before the first release"),
    Allowed(
        "fusionlab/training/run_folder.py",
        r'"(licence|optimiser)"',
        "keys of settings before the first release",
    ),
    Allowed("fusionlab/runs/*.py", r'"colour"', "key of records before the first release"),
    Allowed("tests/*", r"--colour|\"colour\"", "tests of the alias and of old records"),
    Allowed("pyproject.toml", r"ignore-words-list.*", "the exceptions of codespell"),
    Allowed("*", r"\.cancelled\(\)", "method of concurrent.futures.Future"),
    Allowed("*", r"\.writeable\b|\bsetflags\b.*", "flag of numpy arrays"),
    Allowed("*", r"examples/picture\.py", "name of a script"),
    Allowed("fusionlab/cli/evaluate.py", r'"--save-pictures"', "hidden alias of --save-images"),
    Allowed("tests/evaluation/*", r'"--save-pictures"', "test of the alias"),
    Allowed("docs/decisions/0018-*", r"`[^`]*`", "the table of old and new names"),
    Allowed("CHANGELOG.md", r"`[^`]*`", "names as they were"),
)


@dataclass(frozen=True)
class Finding:
    """A word that should be another one."""

    path: str
    line: int
    word: str
    better: str
    kind: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.kind}: {self.word!r} -> {self.better}"


def tracked_files() -> list[str]:
    """Return the text files of the checkout that git knows, or would add."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    names = sorted(set(listing.stdout.splitlines()))
    return [name for name in names if Path(name).suffix in SUFFIXES and (ROOT / name).is_file()]


def check_file(name: str, text: str) -> Iterator[Finding]:
    """Yield the findings of one file.

    Args:
        name: its path from the root of the checkout.
        text: its content.
    """
    if any(fnmatch(name, pattern) for pattern in SKIPPED):
        return
    text = f"{name}\n{text}"  # the name counts as line 0
    words = set(re.findall(r"\w+", text))
    misspelled = any(map(_is_british, words)) or re.search(SPACED, text, re.IGNORECASE)
    renamed = name.endswith(".py") and any(map(_is_replaced_name, words))
    rephrased = ANY_PHRASE.search(text)
    if not (misspelled or renamed or rephrased):
        return  # splitting code and searching line by line takes most of the time
    lines = text.splitlines()
    names: list[tuple[int, str]] = []
    prose = list(enumerate(lines))
    if name.endswith(".py") and (renamed or rephrased):
        names, prose = _split_python(text.partition("\n")[2])
    searches = (
        ("spelling", BRITISH, enumerate(lines) if misspelled else (), re.IGNORECASE),
        ("name", {rf"^(?:{word})$": better for word, better in PYTHON_NAMES.items()}, names, 0),
        ("prose", PROSE, prose if rephrased else (), 0),
    )
    for kind, patterns, places, flags in searches:
        any_word = re.compile("|".join(patterns), flags)  # most lines have none
        for number, line in places:
            if not any_word.search(line):
                continue
            for pattern, better in patterns.items():
                for match in re.finditer(pattern, line, flags):
                    if not _allowed(name, lines[number], match[0]):
                        yield Finding(name, number, match[0], better, kind)


@cache
def _is_british(word: str) -> bool:
    return ANY_BRITISH.search(word) is not None


@cache
def _is_replaced_name(word: str) -> bool:
    return ANY_NAME.fullmatch(word) is not None


def _split_python(text: str) -> tuple[list[tuple[int, str]], list[tuple[int, str]]]:
    """Return the identifiers, and the lines of comments and strings, with their line numbers."""
    names: list[tuple[int, str]] = []
    prose: list[tuple[int, str]] = []
    for token in tokenize.generate_tokens(StringIO(text).readline):
        if token.type == tokenize.NAME:
            names.append((token.start[0], token.string))
        elif token.type == tokenize.COMMENT or "STRING" in tokenize.tok_name[token.type]:
            prose += enumerate(token.string.splitlines(), start=token.start[0])
    return names, prose


def _allowed(name: str, line: str, word: str) -> bool:
    return any(
        word in match[0]
        for entry in ALLOWED
        if fnmatch(name, entry.path)
        for match in re.finditer(entry.text, line)
    )


def room(name: str) -> str:
    """Return the room of a file: its folder, one level deeper inside the platform and the tests."""
    parts = Path(name).parts
    depth = 2 if parts[0] in {"fusionlab", "tests", "docs", "plugins"} else 1
    return "/".join(parts[: min(depth, len(parts) - 1)]) or "."


def main() -> int:
    """Print the findings, and their number in each room; return 1 if there are any."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("paths", nargs="*", help="default: every text file that git tracks")
    names = parser.parse_args().paths or tracked_files()
    findings = [
        finding
        for name in names
        for finding in check_file(name, (ROOT / name).read_text(encoding="utf-8"))
    ]
    for finding in findings:
        print(finding)
    rooms = Counter(room(finding.path) for finding in findings)
    for name, count in rooms.most_common():
        print(f"{count:5}  {name}")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
