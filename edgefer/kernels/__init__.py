"""edgefer's CUDA kernels as the device half knows them: their entries, launch plans, binaries, and how they are run."""
