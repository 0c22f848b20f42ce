"""What a template may do: the immutable sandbox, and what goes with a reader's values in it."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from jinja2.exceptions import SecurityError
from jinja2.runtime import ChainableUndefined, Context, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from mailer.domain.errors import Refusal

LONGEST_OUTPUT = 2_000_000
"""Characters that a template may write."""

METHODS = frozenset({
    "capitalize", "casefold", "count", "endswith", "find", "format", "get", "isalnum", "isalpha",
    "isascii", "isdecimal", "isdigit", "islower", "isnumeric", "isspace", "istitle", "isupper",
    "items", "join", "keys", "lower", "lstrip", "partition", "removeprefix", "removesuffix",
    "replace", "rfind", "rpartition", "rsplit", "rstrip", "split", "splitlines", "startswith",
    "strip", "swapcase", "title", "upper", "values",
})  # fmt: skip
"""What may be called on a reader's value, or be given one."""

NOT_FOR_READERS = {
    "safe": "a reader's value is never written as HTML",
    "urlize": "it writes tags",
    "xmlattr": "it writes attributes",
    "random": "it would differ every time",
    "wordwrap": "use “wrapped”",
    "pprint": "it is of no use in a mail",
    "tojson": "it is for scripts",
}
"""Filters that a reader's value does not go through, and why."""


OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "eq": operator.eq, "ne": operator.ne, "lt": operator.lt, "lteq": operator.le,
    "gt": operator.gt, "gteq": operator.ge,
    "in": lambda left, right: left in right,
    "notin": lambda left, right: left not in right,
}  # fmt: skip
"""What a comparison does."""


class CannotWorkOut(Refusal):
    """This reader's value cannot be made; the mail to this one reader fails."""


class Missing(ChainableUndefined):
    """What a reader has no value for: empty, neither less nor more than anything, and no error."""

    __slots__ = ()

    def _no(self, _: object) -> bool:
        return False

    def _itself(self, *_: object, **__: object) -> Missing:
        return self

    def _other(self, other: Any) -> Any:
        return other

    __lt__ = __le__ = __gt__ = __ge__ = _no  # type: ignore[assignment]
    __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _itself  # type: ignore[assignment]
    __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __pow__ = __rpow__ = _itself  # type: ignore[assignment]
    __neg__ = __pos__ = __call__ = _itself  # type: ignore[assignment]
    __add__ = __radd__ = _other


class Sandbox(ImmutableSandboxedEnvironment):
    """The immutable sandbox, in which a product cannot grow beyond what a mail may hold."""

    intercepted_binops = frozenset({"*", "**"})

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Multiply; raises SecurityError where the outcome would be too large."""
        number = isinstance(left, int | float) and isinstance(right, int | float)
        if operator == "**" and not (number and abs(left) <= 1_000 and abs(right) <= 10):
            raise SecurityError("this power is too large for a mail")
        if operator == "*" and not number:
            sized = left if hasattr(left, "__len__") else right
            times = right if sized is left else left
            if isinstance(times, int) and len(sized) * times > LONGEST_OUTPUT:
                raise SecurityError("this repetition is too long for a mail")
        return super().call_binop(context, operator, left, right)


class ReaderSandbox(Sandbox):
    """The sandbox in which a reader's values are worked out: what is missing there is empty."""

    def __init__(self) -> None:
        super().__init__(undefined=Missing)

    def unsafe_undefined(self, obj: Any, attribute: str) -> Undefined:
        """Raise SecurityError at once: what is unsafe is not missing."""
        raise SecurityError(f"access to “{attribute}” is unsafe")
