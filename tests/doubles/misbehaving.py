"""A plugin whose strategies, backbones, metrics, ... each misbehave in one way: the matrix of them.

`CODE` is the module of the plugin. Every part of it has a name that says what it does, and the
tables below say what a command must do with it.
"""

from __future__ import annotations

from textwrap import dedent, indent

PLUGIN = "lab-odd"

IMPORTS = """
    import os, sys, warnings
    from dataclasses import dataclass
    from typing import ClassVar

    import torch

    from fusionlab import Backbone, Level, Scene, Strategy, WeightedStrategy
    from fusionlab.engine.eager import Eager

    class Unprintable(Exception):
        def __str__(self): raise SystemExit(0)

    def fail(error): raise error
"""

HEADER = """
    from fusionlab import BackboneRef, EngineRef, MetricRef, ReaderRef, StrategyRef, Task, hookimpl
"""

FAILS, WORKS = "fails", "works"

EXIT = "raise SystemExit(0)"
HALF = "torch.full_like(features[:, :, :1], 1 / len(features))"

STRATEGIES: dict[str, tuple[str, str]] = {
    # name -> what its body says besides the defaults, and what must become of a fusion
    "exits-in-weights": (f"def weights(self, features, scene): {EXIT}", FAILS),
    "exits-with-1": ("def weights(self, features, scene): sys.exit(1)", FAILS),
    "closes-the-generator": ("def weights(self, features, scene): raise GeneratorExit", FAILS),
    "stops-iteration": ("def weights(self, features, scene): raise StopIteration", FAILS),
    "raises": ("def weights(self, features, scene): raise KeyError('lost')", FAILS),
    "raises-unprintable": ("def weights(self, features, scene): raise Unprintable", FAILS),
    "lacks-memory": ("def weights(self, features, scene): return torch.empty(1 << 60)", FAILS),
    "lacks-python-memory": ("def weights(self, features, scene): raise MemoryError", FAILS),
    "lacks-cuda-memory": (
        "def weights(self, features, scene): raise RuntimeError('CUDNN_STATUS_ALLOC_FAILED')",
        FAILS,
    ),
    "returns-none": ("def weights(self, features, scene): return None", FAILS),
    "returns-a-list": ("def weights(self, features, scene): return [0.5, 0.5]", FAILS),
    "weighs-another-shape": (
        "def weights(self, features, scene): return torch.ones(3, 5, 7)",
        FAILS,
    ),
    "weighs-negatively": (
        f"def weights(self, features, scene): w = {HALF}; w[0] = 2; w[1] = -1; return w",
        FAILS,
    ),
    "weighs-nothing": (f"def weights(self, features, scene): return 0 * {HALF}", FAILS),
    "weighs-k": (f"def weights(self, features, scene): return 2 * {HALF}", FAILS),
    "weighs-nan": (f"def weights(self, features, scene): return {HALF} * float('nan')", FAILS),
    "writes-to-features": (
        f"def weights(self, features, scene): features.mul_(0.5); return {HALF}",
        FAILS,
    ),
    "writes-to-sources": (
        f"def weights(self, features, scene): scene.sources.zero_(); return {HALF}",
        FAILS,
    ),
    "fuses-to-none": ("def fuse(self, features, scene): return None", FAILS),
    "fuses-to-a-shape": (
        "def fuse(self, features, scene): return features[0, :, :, 1:]",
        FAILS,
    ),
    "fuses-to-a-dtype": (
        "def fuse(self, features, scene): return features[0].double()",
        FAILS,
    ),
    "fuses-to-nan": ("def fuse(self, features, scene): return features[0] * float('nan')", FAILS),
    "fuses-to-1e30": ("def fuse(self, features, scene): return features[0] * 1e30", FAILS),
    "fuses-in-place": (
        "def fuse(self, features, scene): return features[0].add_(features[1])",
        FAILS,
    ),
    "exits-in-post-init": (f"def __post_init__(self): {EXIT}", FAILS),
    "exits-in-support": (f"@property\ndef support(self): {EXIT}", FAILS),
    "supports-text": ("support = 'three'", FAILS),
    "exits-in-laws": (f"@property\ndef laws(self): {EXIT}", FAILS),
    "has-no-laws": ("laws = None", FAILS),
    "exits-in-domain": (f"@property\ndef domain(self): {EXIT}", FAILS),
    "has-another-domain": ("domain: ClassVar = 'sound'", FAILS),
    "exits-in-saves": (f"@property\ndef saves(self): {EXIT}", FAILS),
    "exits-in-roles": (f"@property\ndef roles(self): {EXIT}", FAILS),
    "has-a-number-of-roles": ("roles: ClassVar = 5", FAILS),
    "takes-text-sources": ("min_k: ClassVar = 'two'", FAILS),
    "exits-in-min-k": (f"@property\ndef min_k(self): {EXIT}", FAILS),
    "exits-in-shares-weights": (f"@property\ndef shares_weights(self): {EXIT}", FAILS),
    "prints": (f"def weights(self, features, scene): print('odd'); return {HALF}", WORKS),
    "warns": (f"def weights(self, features, scene): warnings.warn('odd'); return {HALF}", WORKS),
    "seeds": (f"def weights(self, features, scene): torch.manual_seed(0); return {HALF}", WORKS),
}

TWO_PASS: dict[str, tuple[str, str]] = {
    # strategies that are given tiles
    "exits-in-statistics": (f"def statistics(self, features, scene): {EXIT}", FAILS),
    "has-no-statistics": ("def statistics(self, features, scene): return None", FAILS),
    "exits-in-merge": (
        "def statistics(self, features, scene): return {'n': features.sum()}\n"
        f"def merge(self, one, other): {EXIT}",
        FAILS,
    ),
}

BACKBONES: dict[str, tuple[str, str]] = {
    "has-no-levels": ("del levels", FAILS),
    "has-text-levels": ("levels = 'one'", FAILS),
    "has-empty-levels": ("levels = ()", FAILS),
    "exits-in-levels": (f"@property\ndef levels(self): {EXIT}", FAILS),
    "has-other-channels": ("levels = (Level(7, 1),)", FAILS),
    "has-another-stride": ("levels = (Level(1, 2),)\nsize_divisor = 2", FAILS),
    "has-a-zero-stride": ("levels = (Level(1, 0),)", FAILS),
    "has-more-levels": ("levels = (Level(1, 1), Level(1, 1))", FAILS),
    "has-no-field": ("del receptive_field", FAILS),
    "has-a-text-field": ("receptive_field = 'wide'", FAILS),
    "exits-in-field": (f"@property\ndef receptive_field(self): {EXIT}", FAILS),
    "exits-in-init": (f"def __init__(self): {EXIT}", FAILS),
    "forgets-super-init": ("def __init__(self): self.layer = torch.nn.Conv2d(1, 1, 1)", FAILS),
    "exits-in-encode": (f"def encode(self, images): {EXIT}", FAILS),
    "raises-in-encode": ("def encode(self, images): raise KeyError('lost')", FAILS),
    "encodes-to-a-tensor": ("def encode(self, images): return images", FAILS),
    "encodes-to-none": ("def encode(self, images): return None", FAILS),
    "encodes-to-doubles": ("def encode(self, images): return (images.double(),)", FAILS),
    "encodes-to-nan": ("def encode(self, images): return (images * float('nan'),)", FAILS),
    "encodes-in-place": ("def encode(self, images): return (images.mul_(0.5),)", WORKS),
    "lacks-memory": ("def encode(self, images): return (torch.empty(1 << 60),)", FAILS),
    "exits-in-decode": (f"def decode(self, features): {EXIT}", FAILS),
    "decodes-to-another-shape": ("def decode(self, features): return features[0][..., 1:]", FAILS),
    "decodes-to-doubles": ("def decode(self, features): return features[0].long()", FAILS),
    "decodes-to-none": ("def decode(self, features): return None", FAILS),
    "decodes-to-1e30": ("def decode(self, features): return features[0] * 1e30", FAILS),
    "changes-its-parameters": (
        "def __init__(self):\n"
        "    super().__init__()\n"
        "    self.factor = torch.nn.Parameter(torch.ones(()))\n"
        "def encode(self, images):\n"
        "    self.factor.data.mul_(0.5)\n"
        "    with torch.no_grad(): self.factor.mul_(0.5)\n"
        "    return (images * self.factor,)",
        FAILS,
    ),
    "saves-in-another-way": ("saves = 'loud'", FAILS),
    "divides-by-0": ("size_divisor = 0", FAILS),
}

METRICS: dict[str, tuple[str, str]] = {
    "exits": (EXIT, FAILS),
    "closes": ("raise GeneratorExit", FAILS),
    "raises": ("raise KeyError('lost')", FAILS),
    "raises-unprintable": ("raise Unprintable", FAILS),
    "lacks-memory": ("return torch.empty(1 << 60)", FAILS),
    "returns-none": ("return None", FAILS),
    "returns-a-number": ("return 1.0", FAILS),
    "returns-two": ("return torch.ones(2)", FAILS),
    "returns-integers": ("return torch.ones(len(fused), dtype=torch.long)", WORKS),
    "returns-nan": ("return torch.full((len(fused),), float('nan'))", WORKS),
    "writes-to-images": ("fused.zero_(); sources.zero_(); return torch.ones(len(fused))", FAILS),
}

ENGINES: dict[str, tuple[str, str]] = {
    "exits-in-init": (f"def __init__(self, *args): {EXIT}", FAILS),
    "exits-in-encode": (f"def encode_tile(self, images, borders): {EXIT}", FAILS),
    "exits-in-decode": (f"def decode_tile(self, features, borders): {EXIT}", FAILS),
    "encodes-to-none": ("def encode_tile(self, images, borders): return None", FAILS),
    "decodes-to-none": ("def decode_tile(self, features, borders): return None", FAILS),
    "has-no-dtype": ("def __init__(self, *args): super().__init__(*args); del self.dtype", FAILS),
}

TASKS: dict[str, tuple[str, str]] = {
    "exits": (EXIT, FAILS),  # another task is detected, with a warning
    "returns-text": ("return 'odd'", FAILS),
    "returns-two": ("return 2.0", FAILS),
    "writes-to-images": ("thumbnails.zero_(); return 0.0", WORKS),
}

READERS: dict[str, tuple[str, str]] = {
    "exits": (EXIT, FAILS),
    "closes": ("raise GeneratorExit", FAILS),
    "raises": ("raise KeyError('lost')", FAILS),
    "lacks-memory": ("return torch.empty(1 << 60)", FAILS),
    "returns-text": ("return 'odd'", FAILS),
}

IMPORT_EFFECTS: dict[str, tuple[str, str]] = {
    # what the module of the entry point does, and what becomes of its plugin
    "exits": (EXIT, FAILS),
    "closes": ("raise GeneratorExit", FAILS),
    "raises": ("raise KeyError('lost')", FAILS),
    "is-no-python": ("def", FAILS),
    "lacks-a-package": ("import no_such_package_of_anybody", FAILS),
    "prints": ("print('odd at import')", WORKS),
    "changes-folder": ("import os; os.chdir('/')", WORKS),
    "warns": ("import warnings; warnings.warn('odd at import')", WORKS),
    "makes-warnings-errors": ("import warnings; warnings.simplefilter('error')", WORKS),
    "changes-the-dtype": ("import torch; torch.set_default_dtype(torch.float64)", WORKS),
    "changes-threads": ("import torch; torch.set_num_threads(1)", WORKS),
    "seeds": ("import random, torch; random.seed(0); torch.manual_seed(0)", WORKS),
    "forbids-gradients": ("import torch; torch.set_grad_enabled(False)", WORKS),
    "replaces-signals": (
        "import signal; [signal.signal(number, signal.SIG_IGN) for number in (2, 15)]",
        WORKS,
    ),
    "closes-stdout": ("import sys; sys.stdout.close()", WORKS),
    "replaces-stdout": ("import io, sys; sys.stdout = io.StringIO()", WORKS),
}


def _cls(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("-"))


def _strategy(name: str, body: str) -> str:
    base = "Strategy" if "def fuse" in body else "WeightedStrategy"
    text = f"@dataclass(frozen=True)\nclass S{_cls(name)}({base}):\n    '''Misbehave.'''\n"
    if "support" not in body:
        text += "    @property\n    def support(self): return 0\n"
    if base == "WeightedStrategy" and "def weights" not in body:
        text += f"    def weights(self, features, scene): return {HALF}\n"
    return text + indent(body, "    ") + "\n"


def _backbone(name: str, body: str) -> str:
    text = f"class B{_cls(name)}(Backbone):\n    '''Misbehave.'''\n"
    for line in ("levels = (Level(1, 1),)", "receptive_field = (0, 0)"):
        text += f"    {line}\n"
    for method in (
        "def encode(self, images): return (images * 255,)",
        "def decode(self, features): return features[0] / 255",
    ):
        text += f"    {method}\n"
    return text + indent(body, "    ") + "\n"


def _function(prefix: str, name: str, arguments: str, body: str) -> str:
    return f"def {prefix}{_cls(name)}({arguments}):\n    {body}\n"


def parts_code() -> str:
    """Return the module that holds all parts."""
    text = dedent(IMPORTS)
    for name, (body, _) in {**STRATEGIES, **TWO_PASS}.items():
        text += _strategy(name, body)
    for name, (body, _) in BACKBONES.items():
        text += _backbone(name, body)
    for name, (body, _) in METRICS.items():
        text += _function("m", name, "fused, sources, convention='default'", body)
    for name, (body, _) in ENGINES.items():
        text += f"class E{_cls(name)}(Eager):\n{indent(body, '    ')}\n"
    for name, (body, _) in TASKS.items():
        text += _function("t", name, "thumbnails, gray", body)
    for name, (body, _) in READERS.items():
        text += _function("r", name, "content, check_size", body)
    return text


def class_name(prefix: str, name: str) -> str:
    """Return the name of the class or function of a part."""
    return f"{prefix}{_cls(name)}"


def hooks_code(parts: str, *, only: str = "") -> str:
    """Return the module of the entry point, whose descriptions point to the module `parts`.

    Tasks are asked whenever one is detected, so they are left out unless they are asked for.
    """

    def refs(kind: str, prefix: str, names: dict[str, tuple[str, str]]) -> list[str]:
        return [f'{kind}("{n}", "{parts}:{class_name(prefix, n)}", "Odd.")' for n in names]

    hooks = {
        "strategies": refs("StrategyRef", "S", {**STRATEGIES, **TWO_PASS}),
        "backbones": refs("BackboneRef", "B", BACKBONES),
        "metrics": refs("MetricRef", "m", METRICS),
        "engines": refs("EngineRef", "E", ENGINES),
        "readers": [
            f'ReaderRef("{n}", "{parts}:{class_name("r", n)}", "Odd.", (".{n}",), b"ODD {n};")'
            for n in READERS
        ],
        "tasks": [
            f'Task("{n}", "Odd.", "identity/mean", "{parts}:{class_name("t", n)}", "None.")'
            for n in TASKS
        ],
    }
    text = dedent(HEADER)
    for hook, entries in hooks.items():
        if hook == only or (not only and hook != "tasks"):
            listed = ",\n    ".join(entries)
            text += f"@hookimpl\ndef fusionlab_{hook}():\n    return [{listed}]\n"
    return text
