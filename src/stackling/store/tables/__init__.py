"""Every table, one file a service. Importing this package gives ``metadata`` whole."""

import importlib
import pkgutil

from stackling.store.tables.base import metadata

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = ["metadata"]
