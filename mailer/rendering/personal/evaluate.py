"""Working out what depends on a reader: a tree becomes a function, once.

The template's sandbox holds here, too, and nothing a reader's value can do takes long or grows
large: only filters and methods that are known to end soon are let in, and every result is measured.
A value that is missing is empty, and not an error (`Missing`), and so is whatever a filter cannot
make of it.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from datetime import date, datetime
from functools import lru_cache
from typing import Any, cast
from urllib.parse import quote

from jinja2.nodes import EvalContext
from jinja2.runtime import Context, markup_join, str_join
from jinja2.sandbox import SandboxedEnvironment
from jinja2.utils import _PassArg
from markupsafe import Markup, escape

from mailer.rendering.environment import reader_environment
from mailer.rendering.personal.expressions import LINKS, READER, Node, decode
from mailer.rendering.personal.growth import measured, refuse_growth
from mailer.rendering.sandbox import OPERATORS, CannotWorkOut, Missing
from mailer.rendering.values import ReaderValues

_SCHEME = re.compile(r"[\x00-\x20]*([^/?#]*):")
_SCHEMES = frozenset({"http", "https", "mailto", "tel"})
_IN_ADDRESSES = "%!#$&'()*+,/:;=?@[]~"

Function = Callable[..., Any]
Work = Callable[[ReaderValues], Any]


@lru_cache(maxsize=4_096)
def text_of(encoded: str, locale: str) -> Callable[[ReaderValues], str]:
    """Return the function that writes the value of an encoded tree, in the words of a locale.

    It raises CannotWorkOut.
    """
    work = work_of(decode(encoded), locale)
    return lambda values: str(work(values))


def work_of(node: Node, locale: str) -> Work:
    """Return the function that works the tree out for one reader; it raises CannotWorkOut."""
    work = _Maker(reader_environment(locale)).make(node)

    def worked_out(values: ReaderValues) -> Any:
        try:
            return work(values)
        except CannotWorkOut:
            raise
        except Exception as error:  # a template is a program: it can fail in every way there is
            said = (str(error) or type(error).__name__).splitlines()[0][:200].rstrip(".")
            raise CannotWorkOut(f"A personal part cannot be worked out: {said}.") from None

    return worked_out


class _Links:
    """What a template names of the links."""

    def __init__(self, values: ReaderValues) -> None:
        self.unsubscribe = values.unsubscribe_url
        self.preferences = values.preferences_url
        self.confirm = values.confirm_url
        self.export = values.export_url
        self.erase = values.erase_url


class _Maker:
    """Makes functions of trees, all within one sandbox."""

    def __init__(self, environment: SandboxedEnvironment) -> None:
        self._environment = environment
        self._context = environment.from_string("").new_context()

    def make(self, node: Node) -> Work:
        """Return the function of a node."""
        kind = node[0]
        if node == READER:
            return lambda values: values
        if node == LINKS:
            return _Links
        if kind in ("const", "markup", "undefined", "datetime", "date"):
            value = _constant(node)
            return lambda _: value
        made: Work = getattr(self, f"_{kind}")(*node[1:])
        return lambda values: measured(made(values))

    def _all(self, nodes: tuple[Node, ...]) -> Callable[[ReaderValues], list[Any]]:
        works = [self.make(node) for node in nodes]
        return lambda values: [work(values) for work in works]

    def _named(self, pairs: tuple[tuple[str, Node], ...]) -> Callable[[ReaderValues], Any]:
        works = [(name, self.make(node)) for name, node in pairs]
        return lambda values: {name: work(values) for name, work in works}

    def _attr(self, of: Node, name: str) -> Work:
        if of == READER:
            return operator.attrgetter(name)
        work, environment = self.make(of), self._environment
        return lambda values: environment.getattr(work(values), name)

    def _item(self, of: Node, key: Node) -> Work:
        work, found, environment = self.make(of), self.make(key), self._environment
        return lambda values: environment.getitem(work(values), found(values))

    def _slice(self, of: Node, start: Node, stop: Node, step: Node) -> Work:
        work, bounds = self.make(of), self._all((start, stop, step))
        return lambda values: work(values)[slice(*bounds(values))]

    def _list(self, parts: tuple[Node, ...]) -> Work:
        return self._all(parts)

    def _tuple(self, parts: tuple[Node, ...]) -> Work:
        works = self._all(parts)
        return lambda values: tuple(works(values))

    def _dict(self, pairs: tuple[tuple[Node, Node], ...]) -> Work:
        works = [(self.make(key), self.make(each)) for key, each in pairs]
        return lambda values: {key(values): each(values) for key, each in works}

    def _filter(
        self, name: str, parts: tuple[Node, ...], named: tuple[tuple[str, Node], ...], escapes: bool
    ) -> Work:
        return self._function(self._environment.filters[name], name, parts, named, escapes)

    def _test(
        self, name: str, parts: tuple[Node, ...], named: tuple[tuple[str, Node], ...], escapes: bool
    ) -> Work:
        return self._function(
            cast(Function, self._environment.tests[name]), name, parts, named, escapes
        )

    def _function(
        self, function: Function, name: str, parts: tuple[Node, ...],
        named: tuple[tuple[str, Node], ...], escapes: bool,
    ) -> Work:  # fmt: skip
        first = self._passed(function, escapes)
        works, others = self._all(parts), self._named(named)

        def work(values: ReaderValues) -> Any:
            given, more = works(values), others(values)
            refuse_growth("%" if name == "format" else name, given, more)
            try:
                return function(*first, *given, **more)
            except Exception:
                if isinstance(given[0], Missing):
                    return given[0]
                raise

        return work

    def _passed(self, function: Function, escapes: bool) -> tuple[Any, ...]:
        """Return what the function wants to be told of where it runs."""
        told = EvalContext(self._environment)
        told.autoescape = escapes
        match _PassArg.from_obj(function):
            case _PassArg.environment:
                return (self._environment,)
            case _PassArg.eval_context:
                return (told,)
            case _PassArg.context:
                context: Context = self._environment.from_string("").new_context()
                context.eval_ctx = told
                return (context,)
        return ()

    def _call(self, of: Node, parts: tuple[Node, ...], named: tuple[tuple[str, Node], ...]) -> Work:
        method, works, others = self.make(of), self._all(parts), self._named(named)
        name, owner = of[2], self.make(of[1])
        environment, context = self._environment, self._context

        def work(values: ReaderValues) -> Any:
            given, more = works(values), others(values)
            refuse_growth(name, [owner(values), *given], more)
            return environment.call(context, method(values), *given, **more)

        return work

    def _binary(self, sign: str, left: Node, right: Node) -> Work:
        one, other = self.make(left), self.make(right)
        environment, context = self._environment, self._context

        def work(values: ReaderValues) -> Any:
            first, second = one(values), other(values)
            if sign == "%":
                refuse_growth("%", [first, second], {})
            return environment.call_binop(context, sign, first, second)

        return work

    def _unary(self, sign: str, of: Node) -> Work:
        work, environment, context = self.make(of), self._environment, self._context
        return lambda values: environment.call_unop(context, sign, work(values))

    def _compare(self, first: Node, rest: tuple[tuple[str, Node], ...]) -> Work:
        begin = self.make(first)
        steps = [(OPERATORS[sign], self.make(of)) for sign, of in rest]

        def work(values: ReaderValues) -> Any:
            left, outcome = begin(values), True
            for compare, of in steps:
                right = of(values)
                outcome = compare(left, right)
                if not outcome:
                    break
                left = right
            return outcome

        return work

    def _and(self, left: Node, right: Node) -> Work:
        one, other = self.make(left), self.make(right)
        return lambda values: one(values) and other(values)

    def _or(self, left: Node, right: Node) -> Work:
        one, other = self.make(left), self.make(right)
        return lambda values: one(values) or other(values)

    def _not(self, of: Node) -> Work:
        work = self.make(of)
        return lambda values: not work(values)

    def _if(self, test: Node, then: Node, other: Node) -> Work:
        asked, one, two = self.make(test), self.make(then), self.make(other)
        return lambda values: one(values) if asked(values) else two(values)

    def _concat(self, parts: tuple[Node, ...], escapes: bool) -> Work:
        works, join = self._all(parts), markup_join if escapes else str_join
        return lambda values: join(works(values))

    def _join(self, parts: tuple[Node, ...], is_markup: bool) -> Work:
        works = self._all(parts)
        if is_markup:
            return lambda values: Markup("".join(works(values)))
        return lambda values: "".join(works(values))

    def _escape(self, of: Node) -> Work:
        work = self.make(of)
        return lambda values: escape(work(values))

    def _text(self, of: Node) -> Work:
        work = self.make(of)
        return lambda values: str(work(values))

    def _words(self, of: Node) -> Work:
        """Return the words in one line."""
        work = self.make(of)
        return lambda values: " ".join(str(work(values)).split())

    def _address(self, of: Node, begins: bool) -> Work:
        """Return what stands in an address; where it begins one, it leads to the web or a mail."""
        work = self.make(of)
        return lambda values: _in_address(work(values), begins)

    def _fails(self, said: str) -> Work:
        def work(_: ReaderValues) -> Any:
            raise CannotWorkOut(f"A personal part cannot be worked out: {said.rstrip('.')}.")

        return work


def _in_address(value: Any, begins: bool) -> str:
    text = value.unescape() if isinstance(value, Markup) else str(value)
    if begins:
        text = text.strip()
        scheme = _SCHEME.match(text)
        if scheme and scheme.group(1).lower() not in _SCHEMES:
            raise CannotWorkOut("A personal part would be an address that leads nowhere safe.")
    return quote(text, safe=_IN_ADDRESSES)


def _constant(node: Node) -> Any:
    match node:
        case ("undefined",):
            return Missing()
        case ("markup", str() as text):
            return Markup(text)
        case ("datetime", str() as text):
            return datetime.fromisoformat(text)
        case ("date", str() as text):
            return date.fromisoformat(text)
        case _:
            return node[1]
