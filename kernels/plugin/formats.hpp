// Element types and layouts in TensorRT's words, and which of them a plugin offers to which TensorRT: as in
// edgefer/plugins/formats.py.
#pragma once

#include <NvInferRuntime.h>

#include <optional>

#include "form.hpp"

namespace edgefer {

// Who loaded the library. TensorRT times the layouts that a plugin offers; TensorRT-RTX takes the first one, which
// would be the linear one, so it is not offered the choice.
enum class Host { kTensorRT, kTensorRTRTX };

// The host whose library holds an address, such as the one that a function returns to.
//
// The variable EDGEFER_PLUGIN_HOST decides where it is set: `tensorrt` or `tensorrt_rtx`.
Host host_of(const void* address);

// Nothing for types and formats that no kernel takes.
std::optional<Element> element_of(nvinfer1::DataType type);
std::optional<Form> form_of(const nvinfer1::PluginTensorDesc& description);
nvinfer1::DataType data_type_of(Element element);

// Whether a map of so many channels is taken as `description` has it. The linear layout stands in for floating-point
// types where no other one that is offered takes the number of channels.
bool offers(Host host, const nvinfer1::PluginTensorDesc& description, int64_t channels);

}  // namespace edgefer
