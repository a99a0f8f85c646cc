"""The package that a new strategy starts from: an installable rule that works, with its tests.

`fusionlab-my-rule/` is that package, a real one. A new package is a copy of it in which other words
stand for `my_rule`, `MyRule`, `fusionlab_my_rule` and `fusionlab-my-rule`.
"""

from fusionlab.scaffold.names import Names
from fusionlab.scaffold.package import write_package

__all__ = ["Names", "write_package"]
