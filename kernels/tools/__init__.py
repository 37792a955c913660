"""Compiling the kernels three ways: for the host (tests), with nvcc (limits), with NVRTC (the binaries that ship)."""
