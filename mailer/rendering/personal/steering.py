"""The pass over a template's tree, and the Python that is made of it.

Whatever steers a template goes through a filter that asks for a decision; operators become calls of
the environment (`tracing`), and what is evaluated only sometimes becomes a lambda.
"""

from __future__ import annotations

from typing import Any, cast

from jinja2 import nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.visitor import NodeTransformer

TRUTH, EACH, SETTLED = "the truth of", "each of", "the value of"
"""Filters that the pass puts in; no template can spell their names."""


class Steering(NodeTransformer):
    """Marks what steers a template."""

    def visit_If(self, node: nodes.If) -> nodes.Node:
        self.generic_visit(node)
        node.test = _through(TRUTH, node.test)
        return node

    def visit_For(self, node: nodes.For) -> nodes.Node:
        self.generic_visit(node)
        node.iter = _through(EACH, node.iter)
        if node.test is not None:
            node.test = _through(TRUTH, node.test)
        return node

    def visit_Include(self, node: nodes.Include) -> nodes.Node:
        return self._named(node)

    def visit_Import(self, node: nodes.Import) -> nodes.Node:
        return self._named(node)

    def visit_FromImport(self, node: nodes.FromImport) -> nodes.Node:
        return self._named(node)

    def visit_Extends(self, node: nodes.Extends) -> nodes.Node:
        return self._named(node)

    def _named(self, node: Any) -> nodes.Node:
        self.generic_visit(node)
        if not isinstance(node.template, nodes.Const | nodes.Tuple | nodes.List):
            node.template = _through(SETTLED, node.template)
        return cast(nodes.Node, node)


def _through(name: str, node: nodes.Node) -> nodes.Expr:
    return nodes.Filter(cast(nodes.Expr, node), name, [], [], None, None, lineno=node.lineno)


class Generator(CodeGenerator):
    """Writes operators as calls; what is evaluated only sometimes is written as a lambda."""

    def visit_And(self, node: nodes.BinExpr, frame: Frame) -> None:
        self._lazy("lift_and", frame, node.left, node.right)

    def visit_Or(self, node: nodes.BinExpr, frame: Frame) -> None:
        self._lazy("lift_or", frame, node.left, node.right)

    def visit_Not(self, node: nodes.UnaryExpr, frame: Frame) -> None:
        self._lazy("lift_not", frame, node.node)

    def visit_CondExpr(self, node: nodes.CondExpr, frame: Frame) -> None:
        frame = frame.soft()
        self._lazy("lift_if", frame, node.test, node.expr1, closed=False)
        self.write(", lambda: ")
        if node.expr2 is not None:
            self.visit(node.expr2, frame)
        else:
            self.write(
                f'cond_expr_undefined("the inline if-expression on {self.position(node)}'
                ' evaluated to false and no else section was defined.")'
            )
        self.write(")")

    def visit_Compare(self, node: nodes.Compare, frame: Frame) -> None:
        self.write("environment.lift_compare(")
        self.visit(node.expr, frame)
        for operand in node.ops:
            self.write(f", ({operand.op!r}, lambda: ")
            self.visit(operand.expr, frame)
            self.write(")")
        self.write(")")

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:
        escapes = (
            "context.eval_ctx.autoescape"
            if frame.eval_ctx.volatile
            else repr(bool(frame.eval_ctx.autoescape))
        )
        self.write(f"environment.lift_concat({escapes}, (")
        for part in node.nodes:
            self.visit(part, frame)
            self.write(", ")
        self.write("))")

    def visit_Getitem(self, node: nodes.Getitem, frame: Frame) -> None:
        if not isinstance(node.arg, nodes.Slice):
            super().visit_Getitem(node, frame)
            return
        self.write("environment.lift_slice(")
        self.visit(node.node, frame)
        for bound in (node.arg.start, node.arg.stop, node.arg.step):
            self.write(", ")
            if bound is None:
                self.write("None")
            else:
                self.visit(bound, frame)
        self.write(")")

    def _lazy(
        self, name: str, frame: Frame, first: nodes.Expr, *more: nodes.Expr, closed: bool = True
    ) -> None:
        self.write(f"environment.{name}(")
        self.visit(first, frame)
        for node in more:
            self.write(", lambda: ")
            self.visit(node, frame)
        if closed:
            self.write(")")
