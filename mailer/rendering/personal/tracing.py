"""The pass over templates that lets them run for many readers at once.

Jinja's own code generator makes Python of a template's tree. Here every expression in it can be
given values that depend on the reader (`Deferred`): operators, filters, tests, calls and look-ups
return another such value then. What steers, the tests of `if` and the lists of `for`, asks for a
decision. Where no value depends on the reader, everything is as it always was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from functools import update_wrapper
from typing import Any, cast

from jinja2 import nodes, pass_eval_context
from jinja2.nodes import EvalContext
from jinja2.runtime import (
    BlockReference,
    Context,
    LoopContext,
    Macro,
    Undefined,
    markup_join,
    str_join,
)
from jinja2.utils import Cycler, Joiner, Namespace, _PassArg
from markupsafe import Markup

from mailer.rendering.personal.deferred import Deferred, SlotMisused
from mailer.rendering.personal.expressions import LINKS, READER, CannotKeep, has_tags
from mailer.rendering.personal.steering import EACH, SETTLED, TRUTH, Generator, Steering
from mailer.rendering.personal.trace import Trace
from mailer.rendering.sandbox import OPERATORS, Sandbox

_OF_THE_CALL = ("caller", "_loop_vars", "_block_vars")
_TRANSLATE = ("gettext", "ngettext", "pgettext", "npgettext")

Thunk = Callable[[], Any]

_TRACE = ContextVar("trace", default=Trace("", None))  # noqa: B039 (nothing is written into it)


class TracingEnvironment(Sandbox):
    """The sandbox, in which a template may run for many readers at once."""

    code_generator_class = Generator
    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%", "**"})
    intercepted_unops = frozenset({"+", "-"})

    def __init__(self, **options: Any) -> None:
        super().__init__(finalize=_finalize, **options)

    @property
    def trace(self) -> Trace:
        """Of the mail that is being rendered; threads that share the templates have one each."""
        return _TRACE.get()

    @trace.setter
    def trace(self, trace: Trace) -> None:
        _TRACE.set(trace)

    def lift(self) -> None:
        """Let filters and tests be given what depends on the reader; all of them are there now."""
        self.filters.update({name: self._lifted(name, f) for name, f in self.filters.items()})
        self.tests.update(
            {name: self._lifted_test(name, cast(Thunk, f)) for name, f in self.tests.items()}
        )
        self.filters[TRUTH] = lambda value: self.trace.truth(value)
        self.filters[EACH] = lambda value: self.trace.each(value)
        self.filters[SETTLED] = lambda value: self.trace.settled(value)

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = Steering().visit(super()._parse(source, name, filename))
        tree.set_environment(self)
        return cast(nodes.Template, tree)

    def _lifted(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        told = _PassArg.from_obj(function)

        def lifted(*given: Any, **named: Any) -> Any:
            own = given[1:] if told else given
            if not (self.trace.depends(own) or self.trace.depends(named)):
                return function(*given, **named)
            return self.trace.filtered(name, own, named, escapes=_escapes(told, given))

        return _as(lifted, function)

    def _lifted_test(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        told = _PassArg.from_obj(function)

        def lifted(*given: Any, **named: Any) -> Any:
            own = given[1:] if told else given
            whole = isinstance(own[0], Deferred) and own[0].node in (READER, LINKS)
            if whole or not (self.trace.depends(own) or self.trace.depends(named)):
                return function(*given, **named)
            parts, others = self.trace.held_all(own, named)
            return self.trace.deferred("test", name, parts, others, _escapes(told, given))

        return _as(lifted, function)

    # What the sandbox is asked for

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Look up an attribute."""
        if isinstance(obj, str) and self.trace.depends(obj):
            obj = Deferred(self.trace.held(obj), self.trace)
        if isinstance(obj, Deferred):
            return self.trace.field(obj, attribute)
        return super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """Look up an item."""
        if not (self.trace.steers(obj) or self.trace.depends(argument)):
            return super().getitem(obj, argument)
        if isinstance(obj, Deferred) and obj.node in (READER, LINKS):
            return self.trace.field(obj, argument if isinstance(argument, str) else repr(argument))
        self.trace.refuse_whole(argument)
        return self.trace.deferred("item", self.trace.held(obj), self.trace.held(argument))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Calculate."""
        if not self.trace.depends((left, right)):
            return super().call_binop(context, operator, left, right)
        one, other = self.trace.held_all((left, right), {})[0]
        return self.trace.deferred("binary", operator, one, other)

    def call_unop(self, context: Context, operator: str, arg: Any) -> Any:
        """Change the sign."""
        if not self.trace.depends(arg):
            return super().call_unop(context, operator, arg)
        return self.trace.deferred("unary", operator, self.trace.held(arg))

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        """Call what a template calls; only methods of plain values are called for each reader."""
        trace = __self.trace
        own = {name: value for name, value in kwargs.items() if name not in _OF_THE_CALL}
        if isinstance(__obj, Deferred):
            return trace.called(__obj.node, args, own)
        if not (trace.depends(args) or trace.depends(own)) or __self._takes_all(__obj):
            return super().call(__context, __obj, *args, **kwargs)
        owner = getattr(getattr(__obj, "__wrapped__", __obj), "__self__", None)
        if isinstance(owner, str | list | tuple | dict | int | float):
            return trace.called(("attr", trace.held(owner), __obj.__name__), args, own)
        if any(__obj is __self.globals.get(name) for name in ("_", *_TRANSLATE)):
            escapes = bool(__context.eval_ctx.autoescape)
            own = {name: trace.written(value, escapes=escapes) for name, value in own.items()}
        else:
            own = {name: trace.settled(value) for name, value in own.items()}
        settled = [trace.settled(value) for value in args]
        return super().call(__context, __obj, *settled, **{**kwargs, **own})

    def _takes_all(self, called: object) -> bool:
        """Say whether something is called that passes its arguments on as they are."""
        owner = getattr(called, "__self__", None)
        return (
            isinstance(called, Macro | BlockReference | LoopContext)
            or isinstance(owner, LoopContext | Cycler | Joiner)
            or called in (dict, Namespace, Cycler, Joiner)
        )

    # What the code generator writes

    def lift_and(self, left: Any, right: Thunk) -> Any:
        """Return `left and right`."""
        if not self.trace.steers(left):
            return left and right()
        both = self._both(left, right)
        if both is not None:
            return self.trace.deferred("and", *both)
        return right() if self.trace.truth(left) else left

    def lift_or(self, left: Any, right: Thunk) -> Any:
        """Return `left or right`."""
        if not self.trace.steers(left):
            return left or right()
        both = self._both(left, right)
        if both is not None:
            return self.trace.deferred("or", *both)
        return left if self.trace.truth(left) else right()

    def lift_not(self, value: Any) -> Any:
        """Return `not value`."""
        if not self.trace.steers(value):
            return not value
        return self.trace.deferred("not", self.trace.held(value))

    def lift_if(self, test: Any, then: Thunk, other: Thunk) -> Any:
        """Return `then if test else other`."""
        if not self.trace.steers(test):
            return then() if test else other()
        parts = self._both(self._attempt(then), other)
        if parts is not None:
            return self.trace.deferred("if", self.trace.held(test), *parts)
        return then() if self.trace.truth(test) else other()

    def lift_compare(self, first: Any, *rest: tuple[str, Thunk]) -> Any:
        """Return `first < second < …`; each is looked at only when it is needed."""
        left, outcome = first, True
        for place, (sign, thunk) in enumerate(rest):
            right = thunk()
            if self.trace.depends((left, right)):
                parts = [(sign, self.trace.held(right))]
                parts += [(each, self.trace.held(later())) for each, later in rest[place + 1 :]]
                return self.trace.deferred("compare", self.trace.held(left), tuple(parts))
            outcome = OPERATORS[sign](left, right)
            if not outcome:
                break
            left = right
        return outcome

    def lift_concat(self, escapes: bool, parts: Sequence[Any]) -> Any:
        """Return the parts joined."""
        if not self.trace.depends(parts):
            return markup_join(parts) if escapes else str_join(parts)
        if escapes and any(isinstance(each, Markup) for each in parts):
            return markup_join([self.trace.written(each, escapes=True) for each in parts])
        return self.trace.deferred("concat", self.trace.held_all(tuple(parts), {})[0], escapes)

    def lift_slice(self, value: Any, start: Any, stop: Any, step: Any) -> Any:
        """Return `value[start:stop:step]`."""
        bounds = (start, stop, step)
        if not (self.trace.steers(value) or self.trace.depends(bounds)):
            return value[start:stop:step]
        return self.trace.deferred("slice", *self.trace.held_all((value, *bounds), {})[0])

    def _both(self, left: Any, right: Thunk) -> tuple[Any, Any] | None:
        """Return both as trees; None where only one of them, known at once, can be written."""
        try:
            one, other = self.trace.tree(left), self.trace.tree(self._attempt(right))
        except CannotKeep:
            return None
        return None if has_tags(one) or has_tags(other) else (one, other)

    def _attempt(self, thunk: Thunk) -> Any:
        """Return the value, or one that fails for those readers who come to it."""
        try:
            return thunk()
        except SlotMisused:
            raise
        except Exception as error:
            return self.trace.deferred("fails", str(error) or type(error).__name__)


def _escapes(told: _PassArg | None, given: tuple[Any, ...]) -> bool:
    """Return whether what is written there is escaped, for a filter that asks."""
    match told:
        case _PassArg.eval_context:
            return bool(given[0].autoescape)
        case _PassArg.context:
            return bool(given[0].eval_ctx.autoescape)
    return False


def _as(lifted: Callable[..., Any], function: Callable[..., Any]) -> Callable[..., Any]:
    """Let Jinja see the same wishes of it: context, environment."""
    if hasattr(function, "__dict__"):
        update_wrapper(lifted, function, assigned=())
    return lifted


@pass_eval_context
def _finalize(told: EvalContext, value: object) -> object:
    """Write what depends on the reader as a slot."""
    if isinstance(value, Undefined):
        return value
    trace = cast(TracingEnvironment, told.environment).trace
    return trace.written(value, escapes=bool(told.autoescape))
