// TensorRT's creator class of an operator's plugins.
#pragma once

#include <NvInferRuntime.h>

#include "fields.hpp"
#include "formats.hpp"
#include "operation.hpp"

namespace edgefer {

class Creator final : public nvinfer1::IPluginCreatorV3One {
public:
    Creator(const Operation& operation, Host host)
        : operation_(operation), host_(host), declared_(operation.signature->fields) {}

    nvinfer1::IPluginV3* createPlugin(const char* name, const nvinfer1::PluginFieldCollection* fields,
                                      nvinfer1::TensorRTPhase phase) noexcept override;
    const nvinfer1::PluginFieldCollection* getFieldNames() noexcept override { return declared_.get(); }
    const char* getPluginName() const noexcept override { return operation_.signature->name.c_str(); }
    const char* getPluginVersion() const noexcept override { return kVersion; }
    const char* getPluginNamespace() const noexcept override { return kNamespace; }

private:
    const Operation& operation_;
    Host host_;
    Collection declared_;
};

}  // namespace edgefer
