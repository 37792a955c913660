"""edgefer on a GPU: whether its kernels and sessions compute what they must, how fast, against what. See
docs/gpu-check.md."""
