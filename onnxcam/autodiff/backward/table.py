"""What a modified backward pass is: rules, and how it reads the graph."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from onnxcam.autodiff.registry import Rule, Table
from onnxcam.graph import Node, Value

Reading: TypeAlias = Callable[[Sequence[Node], Collection[Value]], Sequence[Node]]


def as_written(nodes: Sequence[Node], _: Collection[Value]) -> Sequence[Node]:
    """Each node for itself."""
    return nodes


@dataclass(frozen=True, eq=False)
class BackwardTable(Table):
    """A modified backward pass.

    Attributes:
        name: as on the command line.
        summary: one line.
        source: the paper.
        rules: by op.
        reading: which nodes it takes for one.
        otherwise: the rule of every op that is not in `rules`; None where such an op has none.
    """

    name: str
    summary: str
    source: str
    rules: Mapping[str, Rule]
    reading: Reading = as_written
    otherwise: Rule | None = None

    def view(self, nodes: Sequence[Node], kept: Collection[Value]) -> Sequence[Node]:
        return self.reading(nodes, kept)

    def with_rules(self, rules: Mapping[str, Rule]) -> BackwardTable:
        """The table with these rules in place of its own: `table.with_rules({"MaxPool": MAXIMUM_AS_MEAN})`."""
        return replace(self, rules={**self.rules, **rules})

    def __getitem__(self, op_type: str) -> Rule:
        rule = self.rules.get(op_type) or self.otherwise
        if rule is None:
            raise KeyError(op_type)
        return rule

    def __contains__(self, op_type: object) -> bool:
        return op_type in self.rules

    def __iter__(self) -> Iterator[str]:
        return iter(self.rules)

    def __len__(self) -> int:
        return len(self.rules)
