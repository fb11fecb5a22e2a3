"""Functions of Keras 3 and of TensorFlow that models call like layers, by family; importing them enters them."""

import importlib
import pkgutil

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
