"""edgefer's kernels on a GPU: whether they compute what they must, how fast, against what. See docs/gpu-check.md."""
