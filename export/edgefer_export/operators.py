"""Operators of domain `edgefer`, version 1."""

from __future__ import annotations

DOMAIN = "edgefer"
PLUGIN_VERSION = "1"
