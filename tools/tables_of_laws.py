"""Write the tables of docs/laws.md from the law suite and its verdicts.

    python tools/tables_of_laws.py

Which strategies obey which laws comes from the verdicts that `tests/strategies/test_laws.py` judges
by, and the faults from `tests/testing/faults.py`.
"""

from __future__ import annotations

import inspect
import re
import runpy
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from fusionlab import Law, load_plugins
from fusionlab.plugins.loading import strategy_class
from fusionlab.plugins.offers import StrategyRef
from fusionlab.plugins.registry import Registration
from fusionlab.strategy import DECLARABLE
from fusionlab.testing import Verdict, examine
from fusionlab.testing.laws import EXACT, TESTS

ROOT = Path(__file__).parents[1]
PATH = ROOT / "docs" / "laws.md"
FAULTS = ROOT / "tests" / "testing" / "faults.py"
SHIPPED = [o for o in load_plugins().strategies.registrations if o.plugin == "fusionlab-imaging"]
END = "<!-- end -->"
Verdicts = Callable[[str], Mapping[Law, Verdict]]
"""Name of a strategy -> law -> verdict."""
SYMBOLS: dict[tuple[str, bool | None], str] = {
    ("yes", True): "●",
    ("for some", True): "◐",
    ("no", False): "○",
}


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _sentence(text: str | None) -> str:
    return " ".join((text or "").split()).removesuffix(".").replace("|", r"\|") + "."


def meanings() -> str:
    """Return what each law says and how it is tested, those that may be declared first."""
    parts = []
    for title, required in (
        ("Laws a strategy may declare", False),
        ("Laws every strategy must keep", True),
    ):
        rows = [
            [f"`{law.name}`", _sentence(law.value), _sentence(inspect.getdoc(TESTS[law]))]
            for law in Law
            if (law not in DECLARABLE) == required
        ]
        parts.append(_table([title, "what it says", "how it is tested"], rows))
    parts.append(
        "Where no tolerance is named, a difference of one part in "
        f"{1 / EXACT:,.0f} of the largest feature or result is none."
    )
    return "\n\n".join(parts)


def declared(verdicts: Verdicts) -> str:
    """Return the table of the laws that a strategy may declare."""
    laws = [law for law in Law if law in DECLARABLE]
    rows = []
    for registration in SHIPPED:
        found = verdicts(registration.ref.name)
        name = f"[`{registration.ref.name}`](../{_path(registration)})"
        rows.append([name, *(SYMBOLS[found[law].declared, found[law].held] for law in laws)])
    return _table(["", *(law.name.lower() for law in laws)], rows)


def required(verdicts: Verdicts) -> str:
    """Return the results for the required laws, and a line for each that does not apply."""
    names = [registration.ref.name for registration in SHIPPED]
    laws = [law for law in Law if law not in DECLARABLE]
    held = {law: {name: verdicts(name)[law].held for name in names} for law in laws}
    assert not any(value is False for found in held.values() for value in found.values())
    lines = [f"All {len(laws)} required laws hold for all {len(names)} strategies."]
    for law, found in held.items():
        if beside := [f"`{name}`" for name in names if found[name] is None]:
            lines.append(f"* `{law.name}` does not apply to {', '.join(beside)}.")
    return "\n\n".join([lines[0], "\n".join(lines[1:])]).strip()


def faults() -> str:
    """Return what the planted faults do, and the laws that they break."""
    breaks = runpy.run_path(str(FAULTS))["BREAKS"]
    rows = []
    for fault, broken in breaks.items():
        laws = ", ".join(law.name.lower() for law in Law if law in broken)
        rows.append([f"`{fault.__name__}`", _sentence(inspect.getdoc(fault)), laws])
    return _table(["fault", "what it does", "laws it breaks"], rows)


def _path(registration: Registration[StrategyRef]) -> str:
    module = registration.ref.target.partition(":")[0].replace(".", "/")
    return f"strategies/{module}.py"


PARTS: dict[str, Callable[[Verdicts], str]] = {
    "the laws": lambda _: meanings(),
    "the verdicts on declared laws": declared,
    "the verdicts on required laws": required,
    "the planted faults": lambda _: faults(),
}


def _part(name: str) -> re.Pattern[str]:
    return re.compile(rf"(<!-- made from {name} -->\n\n)(.*?)\n*{END}", re.DOTALL)


def rewrite(text: str, verdicts: Verdicts) -> str:
    """Return the page with all its tables made anew."""
    for name, make in PARTS.items():
        made = make(verdicts)
        if found := _part(name).search(text):
            text = f"{text[: found.start()]}{found[1]}{made}\n\n{END}{text[found.end() :]}"
    return text


def main() -> None:
    """Examine every strategy that ships, and write the tables."""
    results = {
        registration.ref.name: {
            v.law: v for v in examine(strategy_class(registration), simplify=False)
        }
        for registration in SHIPPED
    }
    PATH.write_text(
        rewrite(PATH.read_text(encoding="utf-8"), results.__getitem__), encoding="utf-8"
    )


if __name__ == "__main__":
    main()
