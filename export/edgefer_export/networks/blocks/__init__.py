"""Attention blocks for any trunk, one file each; `choose` has them by name."""
