"""Parameters: one annotation gives the option, the check, the text and the generated values."""

from dataclasses import MISSING, dataclass, field
from typing import Annotated, Literal

import pytest
from annotated_types import Ge, Gt, Interval, Lt
from hypothesis import given

from fusionlab import FusionlabError, parameters
from fusionlab.parameters import Param


@dataclass(frozen=True)
class Rule:
    must: Annotated[int, Gt(0), "has no default"]
    r: Annotated[int, Interval(ge=0, le=16), "half-width"] = 1
    tau: Annotated[float, Gt(0), Lt(1)] = 0.5
    mode: Annotated[Literal["zeros", "reflect"], "border"] = "zeros"
    power: Literal[1, 2] = 2
    soft: bool = True
    label: str = "x"
    gain: Annotated[float | None, Ge(0)] = None
    theta: Annotated[tuple[Annotated[float, Ge(0)], ...], "one a source"] = (0.5, 0.5)
    names: tuple[str, ...] = field(default_factory=lambda: ("x",))

    def __post_init__(self):
        parameters.check(self)


PARAMS = {param.name: param for param in parameters.params_of(Rule)}


def test_everything_is_read_from_the_annotation():
    assert PARAMS["must"] == Param("must", int, MISSING, "has no default", gt=0)
    assert PARAMS["must"].required
    assert PARAMS["r"] == Param("r", int, 1, "half-width", ge=0, le=16)
    assert PARAMS["mode"] == Param("mode", str, "zeros", "border", choices=("zeros", "reflect"))
    assert PARAMS["power"] == Param("power", int, 2, choices=(1, 2))
    assert PARAMS["gain"] == Param("gain", float, None, optional=True, ge=0)
    assert PARAMS["theta"] == Param("theta", float, (0.5, 0.5), "one a source", many=True, ge=0)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("must", 0, "'must' must be more than 0, got 0"),
        ("r", 17, "'r' must be at most 16, got 17"),
        ("r", 1.5, "'r' must be int, got 1.5"),
        ("r", True, "'r' must be int, got True"),
        ("tau", 1.0, "'tau' must be less than 1, got 1.0"),
        ("tau", float("nan"), "'tau' must be a finite number"),
        ("mode", "wrap", "'mode' must be one of zeros, reflect, got 'wrap'"),
        ("power", 3, "'power' must be one of 1, 2"),
        ("soft", 1, "'soft' must be bool"),
        ("label", "a,b=c", "'label' must be text without"),
        ("label", "", "'label' must be text without"),
        ("theta", 0.5, "'theta' must be a tuple of float"),
        ("theta", (0.5, -1.0), "'theta' must be at least 0, got -1.0"),
        ("r", None, "'r' must be int, got None"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(name, value, message):
    with pytest.raises(FusionlabError, match=message):
        Rule(**{"must": 1, name: value})


def test_an_integer_is_a_float_and_none_fits_an_optional():
    assert Rule(must=1, gain=2).gain == 2
    assert Rule(must=1, gain=None).gain is None


@pytest.mark.parametrize("bad", [list[int], tuple[int, str], int | str, object, tuple[int, int]])
def test_other_types_are_no_parameters(bad):
    cls = dataclass(type("Bad", (), {"__annotations__": {"x": bad}}))
    with pytest.raises(TypeError, match="parameter 'x'"):
        parameters.params_of(cls)


@given(parameters.draw(Rule))
def test_hypothesis_draws_valid_instances_and_text_brings_them_back(rule):
    """Building the instance checks it; so every drawn value fits."""
    for param in PARAMS.values():
        value = getattr(rule, param.name)
        assert param.parse(param.format(value)) == value


def test_describe_is_the_text_of_a_method():
    assert parameters.describe(Rule(must=3, theta=(0.2, 0.8))) == (
        "must=3,r=1,tau=0.5,mode=zeros,power=2,soft=true,label=x,gain=none,theta=0.2,0.8,names=x"
    )


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("r", "one", "'r' must be int, got 'one'"),
        ("soft", "yes", "'soft' must be true or false, got 'yes'"),
        ("theta", "0.5,x", "'theta' must be float, got 'x'"),
    ],
)
def test_text_that_does_not_parse_is_refused_by_name(name, text, message):
    with pytest.raises(FusionlabError, match=message):
        PARAMS[name].parse(text)
