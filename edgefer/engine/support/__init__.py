"""What the ONNX parser of each TensorRT release takes, with the sources, and how a graph is held against it."""
