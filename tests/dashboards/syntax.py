"""What an expression of PromQL consists of, on the tree that promql-parser makes of it."""

from collections.abc import Iterator
from typing import Any

import promql_parser

COMPARISONS = {"==", "!=", ">", "<", ">=", "<="}


def operator(node: Any) -> str:
    """The operator or the aggregation."""
    return str(node.op)


def walk(node: Any) -> Iterator[Any]:
    """Every part of an expression, itself first."""
    yield node
    for name in ("lhs", "rhs", "expr", "param", "vector_selector"):
        child = getattr(node, name, None)
        if child is not None:
            yield from walk(child)
    for child in getattr(node, "args", ()):
        yield from walk(child)


def selectors(expression: str) -> list[Any]:
    """All selectors of an expression."""
    return [node for node in walk(promql_parser.parse(expression)) if isinstance(node, promql_parser.VectorSelector)]


def matchers(selector: Any) -> list[tuple[str, str, str]]:
    """Label, operator and value of each matcher."""
    return [(found.name, _OPERATORS[str(found.op)], found.value) for found in selector.matchers.matchers]


_OPERATORS = {"MatchOp.Equal": "=", "MatchOp.NotEqual": "!=", "MatchOp.Re": "=~", "MatchOp.NotRe": "!~"}


def operands(expression: str) -> Iterator[str]:
    """What an expression compares: both sides of each comparison, numbers left out, and what it joins besides."""
    yield from _operands(promql_parser.parse(expression))


def _operands(node: Any) -> Iterator[str]:
    if isinstance(node, promql_parser.ParenExpr):
        yield from _operands(node.expr)
    elif isinstance(node, promql_parser.BinaryExpr) and operator(node) in {"and", "or", "unless"}:
        yield from _operands(node.lhs)
        yield from _operands(node.rhs)
    elif isinstance(node, promql_parser.BinaryExpr) and operator(node) in COMPARISONS:
        for side in (node.lhs, node.rhs):
            if not isinstance(side, promql_parser.NumberLiteral):
                yield from _operands(side)
    elif isinstance(node, promql_parser.Call) and isinstance(node.args[0], promql_parser.SubqueryExpr):
        yield from _operands(node.args[0].expr)  # what is counted is what the comparison within lets through
    else:
        yield node.prettify()
