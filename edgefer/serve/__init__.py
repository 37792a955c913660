"""A bundle for servers of others: model repositories for Triton, configurations for DeepStream's nvinfer."""
