"""Readable names of the labels of a map."""

from collections.abc import Iterator, Sequence

import numpy as np

from spl_tf.labels.rule import LabelRule


class LabelNames(Sequence):
    """The names of a map's labels, made when they are asked for.

    `spl` with 10,653 classes has 10^8 of them.
    """

    def __init__(self, class_names: tuple[str, ...], strategy: str, rule: LabelRule):
        self._class_names = class_names
        self._strategy = strategy
        # Flat key of the cell behind each id from N on.
        self._cells = np.empty(len(rule.cells), np.int64)
        self._cells[rule.cell_ids - len(class_names)] = rule.cells

    def __len__(self) -> int:
        size = len(self._class_names)
        return {"spl": size**2, "spl_b": 2 * size}.get(
            self._strategy, size + len(self._cells)
        )

    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        label = range(len(self))[index]
        size = len(self._class_names)
        if self._strategy == "spl":
            return self._cell_name(label)
        if label < size:
            return self._class_names[label]
        if self._strategy == "spl_b":
            return f"{self._class_names[label - size]} ~ other"
        return self._cell_name(int(self._cells[label - size]))

    def __iter__(self) -> Iterator[str]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        shown = ", ".join(map(repr, self[:3]))
        return f"<{len(self)} label names: {shown}{', ...' if len(self) > 3 else ''}>"

    def _cell_name(self, key: int) -> str:
        weak, teacher = divmod(key, len(self._class_names))
        name = self._class_names[weak]
        return name if weak == teacher else f"{name} ~ {self._class_names[teacher]}"
