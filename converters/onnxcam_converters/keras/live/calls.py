"""The calls of layers while a model is traced: which layer, under which name, gave which tensor."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

from onnxcam_converters.keras.live.framework import Framework

Enter = Callable[[str], AbstractContextManager[Any]]


class Calls:
    """What layers have given, by their paths: "conv", "base/conv"; of a second call "conv@2"."""

    def __init__(self, framework: Framework, enter: Enter) -> None:
        self.outputs: dict[str, Any] = {}
        self._layer, self._model = framework.module.layers.Layer, framework.module.Model
        self._enter = enter
        self._open: list[tuple[Any, str]] = []
        self._counts: Counter[str] = Counter()
        self._thread = threading.get_ident()

    def wrap(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """The `__call__` of layers, which also keeps what they give."""

        def __call__(layer: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N807 - Keras reads the name
            if threading.get_ident() != self._thread or not self._has_name(layer):
                return original(layer, *args, **kwargs)
            with self._inside(layer) as path:
                outputs = original(layer, *args, **kwargs)
            if path:
                self.outputs[path] = outputs
            return outputs

        return __call__

    def _has_name(self, operation: Any) -> bool:
        """Whether its author knows it: a layer, or an operation between layers, but none within a layer."""
        return isinstance(operation, self._layer) or (bool(self._open) and isinstance(self._open[-1][0], self._model))

    @contextlib.contextmanager
    def _inside(self, layer: Any) -> Iterator[str]:
        """The path of the layer that is being called; "" for the outermost, the model itself."""
        path = "/".join(filter(None, [self._open[-1][1], layer.name])) if self._open else ""
        number = self._counts[path]
        self._counts[path] += 1
        path = f"{path}@{number + 1}" if path and number else path
        self._open.append((layer, path))
        try:
            with self._enter(path) if path else contextlib.nullcontext():
                yield path
        finally:
            self._open.pop()


@contextlib.contextmanager
def recorded(framework: Framework, enter: Enter) -> Iterator[Calls]:
    """The calls of layers while inside.

    Args:
        framework: whose layers they are.
        enter: from a layer's path to a context in which it is called.
    """
    calls = Calls(framework, enter)
    base = framework.module.Operation if framework.is_keras_3 else framework.module.layers.Layer
    original = base.__call__
    base.__call__ = calls.wrap(original)
    try:
        yield calls
    finally:
        base.__call__ = original
