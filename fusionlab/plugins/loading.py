"""Import the classes of registered strategies and backbones; name the plugin of every error."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fusionlab import parameters
from fusionlab.plugins.failures import attribute_errors_to

if TYPE_CHECKING:
    from fusionlab.backbone import Backbone
    from fusionlab.plugins.offers import BackboneRef, StrategyRef
    from fusionlab.plugins.registry import Registration
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
