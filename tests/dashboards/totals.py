"""What a query must give, worked out from what each call adds instead of from samples.

As much of PromQL as the boards' totals are written in: sums of increases and rates, arithmetic between them, ``or``,
filters, ``topk`` and ``label_replace``. The server's own account is used where it has one; what only the package can
know, the reasons for losses, is what its spans say.
"""

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import promql_parser

from . import syntax
from .traffic import Amount

Labels = frozenset[tuple[str, str]]
Vector = dict[Labels, float]
_ARITHMETIC: Final[Mapping[str, Callable[[float, float], float]]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}
_MATCHES: Final[Mapping[str, Callable[[str, str], bool]]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "=~": lambda value, pattern: re.fullmatch(pattern, value) is not None,
    "!~": lambda value, pattern: re.fullmatch(pattern, value) is None,
}
_OF_THE_TARGET: Final = "job"  # the same for all series here


class Expected:
    """The results that follow from what calls add."""

    def __init__(self, told_by_server: Iterable[Amount], told_by_spans: Iterable[Amount], seconds: float) -> None:
        self._sources = (list(told_by_server), list(told_by_spans))
        self._seconds = seconds

    def result(self, expression: str) -> Vector:
        """What an expression gives."""
        found = self._value(promql_parser.parse(expression))
        assert not isinstance(found, float)
        return found

    def _value(self, node: Any) -> Vector | float:
        match type(node).__name__:
            case "NumberLiteral":
                return float(node.val)
            case "ParenExpr":
                return self._value(node.expr)
            case "AggregateExpr" if syntax.operator(node) == "sum":
                return self._sum(node)
            case "AggregateExpr" if syntax.operator(node) == "topk":
                ranked = sorted(self._vector(node.expr).items(), key=lambda item: item[1], reverse=True)
                return dict(ranked[: int(node.param.val)])
            case "Call" if node.func.name == "label_replace":
                target, source = node.args[1].val, node.args[3].val
                return {
                    labels | {(target, dict(labels)[source])}: value
                    for labels, value in self._vector(node.args[0]).items()
                }
            case "BinaryExpr":
                return self._joined(syntax.operator(node), self._value(node.lhs), self._value(node.rhs))
        raise NotImplementedError(node.prettify())

    def _vector(self, node: Any) -> Vector:
        found = self._value(node)
        assert not isinstance(found, float)
        return found

    def _joined(self, how: str, left: Vector | float, right: Vector | float) -> Vector | float:
        if how == "or":
            assert not isinstance(left, float)
            assert not isinstance(right, float)
            return {**right, **left}
        if how == ">":
            assert not isinstance(left, float)
            assert isinstance(right, float)
            return {labels: value for labels, value in left.items() if value > right}
        compute = _ARITHMETIC[how]
        if isinstance(left, float) and isinstance(right, float):
            return compute(left, right)
        if isinstance(left, float):
            return {labels: compute(left, value) for labels, value in right.items()}  # type: ignore[union-attr]
        if isinstance(right, float):
            return {labels: compute(value, right) for labels, value in left.items()}
        return {labels: compute(value, right[labels]) for labels, value in left.items() if labels in right}

    def _sum(self, node: Any) -> Vector:
        counted = node.expr
        selector = counted.args[0].vector_selector
        by = tuple(node.modifier.labels) if node.modifier else ()
        matchers = [found for found in syntax.matchers(selector) if found[0] != _OF_THE_TARGET]
        sums: Vector = {}
        for amount in self._source(selector.name, {*by, *(name for name, _, _ in matchers)}):
            labels = amount.labels
            if all(_MATCHES[how](labels.get(name, ""), value) for name, how, value in matchers):
                group = frozenset((name, labels[name]) for name in by if labels.get(name))
                sums[group] = sums.get(group, 0) + amount.amount
        per_second = counted.func.name == "rate"
        return {group: total / self._seconds if per_second else total for group, total in sums.items()}

    def _source(self, name: str, labels: set[str]) -> list[Amount]:
        """The account of the first who knows the metric by all of these labels."""
        for source in self._sources:
            amounts = [amount for amount in source if amount.metric == name]
            if any(labels <= set(amount.labels) for amount in amounts):
                return amounts
        # Labels that no call had: of a metric that has them nevertheless.
        return [amount for source in reversed(self._sources) for amount in source if amount.metric == name]
