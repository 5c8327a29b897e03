"""All scenarios, in the order of the page."""

from __future__ import annotations

import importlib

MODULES = ("web_clients", "streams", "web_servers", "runtimes", "databases", "files", "masters", "frameworks", "passing")


def load() -> None:
    for module in MODULES:
        importlib.import_module(f"programs.{module}")
