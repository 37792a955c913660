"""What edgefer calls of TensorRT to build, watch and describe engines, and of what only some releases have to run them.

The form is that of `signatures.TENSORRT`.
"""

from __future__ import annotations

from collections.abc import Mapping

Table = Mapping[str, tuple[str, str]]

BUILDING: Table = {
    "Builder": ("logger: ILogger", "Builder"),
    "Builder.create_network": ("flags: int = 0", "INetworkDefinition"),
    "Builder.create_builder_config": ("", "IBuilderConfig"),
    "Builder.create_optimization_profile": ("", "IOptimizationProfile"),
    "Builder.build_serialized_network": ("network: INetworkDefinition, config: IBuilderConfig", "IHostMemory"),
    "OnnxParser": ("network: INetworkDefinition, logger: ILogger", "OnnxParser"),
    "OnnxParser.parse": ("model: buffer, path: str = None", "bool"),
    "OnnxParser.supports_model_v2": ("model: buffer, path: str = None", "bool"),
    "OnnxParser.get_error": ("index: int", "ParserError"),
    "ParserError.node": ("", "int"),
    "ParserError.desc": ("", "str"),
    "ParserError.node_name": ("", "str"),
    "ParserError.node_operator": ("", "str"),
    "INetworkDefinition.get_input": ("index: int", "ITensor"),
    "INetworkDefinition.get_output": ("index: int", "ITensor"),
    "IOptimizationProfile.set_shape": ("input: str, min: Dims, opt: Dims, max: Dims", ""),
    "IBuilderConfig.set_memory_pool_limit": ("pool: MemoryPoolType, pool_size: int", ""),
    "IBuilderConfig.clear_flag": ("flag: BuilderFlag", ""),
    "IBuilderConfig.add_optimization_profile": ("profile: IOptimizationProfile", "int"),
    "IBuilderConfig.create_timing_cache": ("serialized_timing_cache: buffer", "ITimingCache"),
    "IBuilderConfig.set_timing_cache": ("cache: ITimingCache, ignore_mismatch: bool", "bool"),
    "IBuilderConfig.get_timing_cache": ("", "ITimingCache"),
    "ITimingCache.combine": ("input_cache: ITimingCache, ignore_mismatch: bool", "bool"),
    "ITimingCache.serialize": ("", "IHostMemory"),
    "ICudaEngine.create_runtime_config": ("", "IRuntimeConfig"),
    "IRuntimeConfig.set_execution_context_allocation_strategy": ("strategy: ExecutionContextAllocationStrategy", ""),
    "ICudaEngine.create_engine_inspector": ("", "EngineInspector"),
    "EngineInspector.get_engine_information": ("format: LayerInformationFormat", "str"),
    "IProfiler.report_layer_time": ("layer_name: str, ms: float", ""),
    "IProgressMonitor.phase_start": ("phase_name: str, parent_phase: str, num_steps: int", ""),
    "IProgressMonitor.step_complete": ("phase_name: str, step: int", "bool"),
    "IProgressMonitor.phase_finish": ("phase_name: str", ""),
}
"""Constructors and methods (`self` left out)."""

OVERLOADS: Table = {
    "ICudaEngine.create_execution_context": ("runtime_config: IRuntimeConfig = None", "IExecutionContext"),
}
"""Further ways in which a method is called, where a release has `IRuntimeConfig`."""

BUILDING_MEMBERS: Mapping[str, tuple[str, ...]] = {
    "": ("__version__",),
    "ILogger": ("log",),
    "IProgressMonitor": (),
    "ITimingCache": (),
    "INetworkDefinition": ("num_inputs", "num_outputs"),
    "ITensor": ("name", "shape", "dtype"),
    "OnnxParser": ("num_errors",),
    "IBuilderConfig": ("profiling_verbosity", "progress_monitor"),
    "ProfilingVerbosity": ("DETAILED",),
    "MemoryPoolType": ("WORKSPACE",),
    "BuilderFlag": ("TF32",),
    "NetworkDefinitionCreationFlag": ("STRONGLY_TYPED",),
    "ICudaEngine": ("device_memory_size",),
    "IExecutionContext": ("profiler",),
    "EngineInspector": ("execution_context",),
    "LayerInformationFormat": ("JSON",),
    "IProfiler": (),
    "IRuntimeConfig": ("dynamic_shapes_kernel_specialization_strategy",),
    "DynamicShapesKernelSpecializationStrategy": ("EAGER",),
    "IPluginV3": (),
    "ComputeCapability": ("__members__",),
    "DataType": ("FLOAT", "HALF", "BF16", "INT8", "UINT8", "BOOL"),
}
"""Attributes and members that are read; what belongs to the module itself stands under ""."""

BUILDING_OPTIONAL = frozenset(
    {
        *("ComputeCapability", "ComputeCapability.__members__", "ICudaEngine.device_memory_size"),
        *("DynamicShapesKernelSpecializationStrategy", "DynamicShapesKernelSpecializationStrategy.EAGER"),
        "IRuntimeConfig",
        "ICudaEngine.create_runtime_config",
        "IRuntimeConfig.set_execution_context_allocation_strategy",
        "IRuntimeConfig.dynamic_shapes_kernel_specialization_strategy",
    }
)
"""What some release lacks, and edgefer asks for before it uses it."""
