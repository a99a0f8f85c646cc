"""Import the classes of registered strategies and backbones; name the plugin of every error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fusionlab import parameters
from fusionlab.errors import FusionlabError
from fusionlab.plugins.host import in_one_line

if TYPE_CHECKING:
    from fusionlab.backbone import Backbone
    from fusionlab.plugins.offers import BackboneRef, EngineRef, MetricRef, StrategyRef
    from fusionlab.plugins.registry import Registration
    from fusionlab.plugins.tasks import Task
    from fusionlab.strategy import Strategy


def strategy_class(registration: Registration[StrategyRef]) -> type[Strategy]:
    """Import the class of a strategy.

    Raises:
        FusionlabError: the class cannot be imported, or is not a strategy.
    """
    with attribute_errors_to(registration):
        cls = registration.ref.load()
        parameters.params_of(cls)
        if (roles := registration.ref.roles) and roles != cls.roles:
            raise TypeError(f"its description has the roles {roles!r}, its class {cls.roles!r}")
        return cls


def backbone_class(registration: Registration[BackboneRef]) -> type[Backbone]:
    """Import the class of a backbone.

    Raises:
        FusionlabError: the class cannot be imported, or is not a backbone.
    """
    with attribute_errors_to(registration):
        cls = registration.ref.load()
        parameters.params_of(cls)
        return cls


@contextmanager
def attribute_errors_to(
    registration: Registration[StrategyRef]
    | Registration[BackboneRef]
    | Registration[EngineRef]
    | Registration[MetricRef]
    | Registration[Task],
) -> Iterator[None]:
    """Re-raise whatever the code of a plugin raises as one sentence that names the plugin."""
    try:
        yield
    except (FusionlabError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise FusionlabError(
            f"{registration.qualified} cannot be used: {in_one_line(error)}; report this to the "
            f"authors of {registration.plugin}",
            code="plugin-error",
        ) from error
