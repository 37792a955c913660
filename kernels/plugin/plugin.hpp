// TensorRT's plugin class. It translates; what it says is decided in node.hpp. No method lets an exception out: what
// went wrong is in the log, and TensorRT is given a status.
#pragma once

#include <NvInferRuntime.h>

#include <optional>
#include <string>
#include <vector>

#include "fields.hpp"
#include "launcher.hpp"
#include "node.hpp"

namespace edgefer {

class Plugin final : public nvinfer1::IPluginV3,
                     public nvinfer1::IPluginV3OneCore,
                     public nvinfer1::IPluginV3OneBuild,
                     public nvinfer1::IPluginV3OneRuntime {
public:
    explicit Plugin(const Node& node);

    nvinfer1::IPluginCapability* getCapabilityInterface(nvinfer1::PluginCapabilityType type) noexcept override;
    nvinfer1::IPluginV3* clone() noexcept override;

    const char* getPluginName() const noexcept override;
    const char* getPluginVersion() const noexcept override { return kVersion; }
    const char* getPluginNamespace() const noexcept override { return kNamespace; }

    int32_t getNbOutputs() const noexcept override { return 1; }
    int32_t getOutputDataTypes(nvinfer1::DataType* output_types, int32_t outputs, const nvinfer1::DataType* input_types,
                               int32_t inputs) const noexcept override;
    int32_t getOutputShapes(const nvinfer1::DimsExprs* inputs, int32_t input_count,
                            const nvinfer1::DimsExprs* shape_inputs, int32_t shape_input_count,
                            nvinfer1::DimsExprs* outputs, int32_t output_count,
                            nvinfer1::IExprBuilder& builder) noexcept override;
    bool supportsFormatCombination(int32_t position, const nvinfer1::DynamicPluginTensorDesc* descriptions,
                                   int32_t inputs, int32_t outputs) noexcept override;
    int32_t configurePlugin(const nvinfer1::DynamicPluginTensorDesc* in, int32_t inputs,
                            const nvinfer1::DynamicPluginTensorDesc* out, int32_t outputs) noexcept override;
    std::size_t getWorkspaceSize(const nvinfer1::DynamicPluginTensorDesc* in, int32_t inputs,
                                 const nvinfer1::DynamicPluginTensorDesc* out, int32_t outputs) const noexcept override;
    const char* getTimingCacheID() noexcept override { return timing_cache_id_.c_str(); }
    const char* getMetadataString() noexcept override { return "edgefer " EDGEFER_VERSION; }

    nvinfer1::IPluginV3* attachToContext(nvinfer1::IPluginResourceContext* context) noexcept override;
    int32_t onShapeChange(const nvinfer1::PluginTensorDesc* in, int32_t inputs, const nvinfer1::PluginTensorDesc* out,
                          int32_t outputs) noexcept override;
    int32_t enqueue(const nvinfer1::PluginTensorDesc* in, const nvinfer1::PluginTensorDesc* out,
                    const void* const* inputs, void* const* outputs, void* workspace,
                    cudaStream_t stream) noexcept override;
    const nvinfer1::PluginFieldCollection* getFieldsToSerialize() noexcept override { return stored_.get(); }

private:
    // What an enqueue needs, made when shapes change: `shape` is that of the first map, the only one whose batch
    // varies.
    struct Ready {
        std::vector<int64_t> shape;
        Prepared prepared;
        Loaded loaded;
    };

    void prepare(const nvinfer1::PluginTensorDesc* in, const nvinfer1::PluginTensorDesc* out);

    Node node_;
    Collection stored_;
    std::string timing_cache_id_;
    std::optional<Ready> ready_;
    int inputs_ = 0;
};

}  // namespace edgefer
