"""Numbers and lists of numbers as the files of different eras write them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


def array_of(value: Any) -> NDArray[Any] | None:
    """The array that is written there, of the type that the file says, else numpy's own; None for anything else."""
    if isinstance(value, Mapping):
        return _serialized(value)
    if isinstance(value, np.ndarray | np.generic):
        return np.asarray(value)
    if isinstance(value, bool | int | float):
        return np.asarray(value)
    if isinstance(value, list | tuple) and value and _is_of_numbers(value):
        return np.asarray(value)
    return None


def _serialized(value: Mapping[str, Any]) -> NDArray[Any] | None:
    """Of {"class_name": "__numpy__", "config": {"value": …, "dtype": …}} and {"type": "ndarray", "value": …}."""
    if value.get("type") == "ndarray" and "value" in value:
        return array_of(value["value"])
    config = value.get("config")
    if value.get("class_name") not in ("__numpy__", "__tensor__") or not isinstance(config, Mapping):
        return None
    found = array_of(config.get("value"))
    try:
        return None if found is None else found.astype(np.dtype(str(config.get("dtype", found.dtype))))
    except TypeError:
        return None


def _is_of_numbers(value: list[Any] | tuple[Any, ...]) -> bool:
    if all(isinstance(item, bool | int | float) for item in value):
        return True
    lists = all(isinstance(item, list | tuple) and item for item in value)
    return lists and len({len(item) for item in value}) == 1 and all(_is_of_numbers(item) for item in value)
