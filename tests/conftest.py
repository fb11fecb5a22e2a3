"""Fixtures of several files."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture(scope="module")
def keras() -> Any:
    """Keras 3 on TensorFlow."""
    from keras_rows import framework

    return framework("keras")


@pytest.fixture(scope="module")
def tf_keras() -> Any:
    from keras_rows import framework

    return framework("tf_keras")
