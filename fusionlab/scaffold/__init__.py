"""The package that a new strategy starts from: installable, working, with tests.

`fusionlab-my-strategy/` is that package. A new package is a copy of it in which `my_strategy`,
`MyStrategy`, `fusionlab_my_strategy` and `fusionlab-my-strategy` are replaced by other names.
"""

from fusionlab.scaffold.names import Names
from fusionlab.scaffold.package import write_package

__all__ = ["Names", "write_package"]
