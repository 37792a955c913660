"""TensorRT plugins for the operators of domain `edgefer`, in Python.

Nothing happens and nothing heavy is imported before `edgefer.plugins.registry.register` is called with a TensorRT.
"""
