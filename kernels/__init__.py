"""CUDA device code of edgefer, and what compiles and tests it. Not part of the installed package."""
