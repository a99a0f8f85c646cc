"""The law suite: properties that a strategy must have or declares, tested with random inputs.

In the repository of a strategy, for pytest (for unittest, derive from `unittest.TestCase`, too):

    from fusionlab.testing import StrategyLaws
    from my_package import Mine

    class TestMine(StrategyLaws):
        strategy = Mine

`BackboneLaws` does the same for backbones.

From the shell, for whatever is installed: `fusionlab check mine`.
"""

from fusionlab.testing.backbone_laws import BackboneLaws
from fusionlab.testing.checking import PROFILES, Verdict, examine
from fusionlab.testing.suite import StrategyLaws

__all__ = ["PROFILES", "BackboneLaws", "StrategyLaws", "Verdict", "examine"]
