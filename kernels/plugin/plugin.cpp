#include "plugin.hpp"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <numeric>
#include <utility>

#include "log.hpp"

namespace edgefer {
namespace {

using nvinfer1::DynamicPluginTensorDesc;
using nvinfer1::PluginTensorDesc;

constexpr int32_t kDone = 0;
constexpr int32_t kFailed = 1;

// GPUs that workspace is asked for, because an engine may run on another one than it is built for: without a GPU, on a
// part of one (MIG), or in a power mode that turns some of a Jetson's multiprocessors off. They are those that there are
// kernels for, and one with more multiprocessors than any. As ELSEWHERE of edgefer/plugins/plugin.py.
const std::vector<Gpu> kElsewhere = {
    {8, 7, 16, 166912}, {9, 0, 132, 232448}, {11, 0, 20, 232448}, {12, 0, 256, 101376}};

std::vector<Description> descriptions_of(const PluginTensorDesc* in, int32_t inputs, const PluginTensorDesc* out) {
    std::vector<Description> descriptions(in, in + inputs);
    descriptions.push_back(out[0]);
    return descriptions;
}

std::vector<Description> descriptions_of(const DynamicPluginTensorDesc* in, int32_t inputs,
                                         const DynamicPluginTensorDesc* out) {
    std::vector<Description> descriptions;
    std::transform(in, in + inputs, std::back_inserter(descriptions), [](const auto& each) { return each.desc; });
    descriptions.push_back(out[0].desc);
    return descriptions;
}

std::vector<int64_t> shape_of(const PluginTensorDesc& description) {
    return {description.dims.d, description.dims.d + description.dims.nbDims};
}

// Times are measured anew for other kernels, other values, and nothing else.
std::string timing_cache_id(const Values& values) {
    std::string text = "edgefer-library " EDGEFER_VERSION;
    for (const Field& field : values.fields()) {
        text += ' ';
        for (const char byte : field.content) {
            constexpr const char* kDigits = "0123456789abcdef";
            text += kDigits[static_cast<unsigned char>(byte) >> 4];
            text += kDigits[static_cast<unsigned char>(byte) & 15];
        }
    }
    return text;
}

}  // namespace

Plugin::Plugin(const Node& node)
    : node_(node), stored_(node_.values().fields()), timing_cache_id_(timing_cache_id(node_.values())) {}

nvinfer1::IPluginCapability* Plugin::getCapabilityInterface(nvinfer1::PluginCapabilityType type) noexcept {
    switch (type) {
        case nvinfer1::PluginCapabilityType::kCORE: return static_cast<nvinfer1::IPluginV3OneCore*>(this);
        case nvinfer1::PluginCapabilityType::kBUILD: return static_cast<nvinfer1::IPluginV3OneBuild*>(this);
        case nvinfer1::PluginCapabilityType::kRUNTIME: return static_cast<nvinfer1::IPluginV3OneRuntime*>(this);
    }
    return nullptr;
}

nvinfer1::IPluginV3* Plugin::clone() noexcept {
    return guarded<nvinfer1::IPluginV3*>(nullptr, "clone", [&] { return new Plugin(node_); });
}

const char* Plugin::getPluginName() const noexcept { return node_.operation().signature->name.c_str(); }

int32_t Plugin::getOutputDataTypes(nvinfer1::DataType* output_types, int32_t /*outputs*/,
                                   const nvinfer1::DataType* input_types, int32_t inputs) const noexcept {
    return guarded(kFailed, "getOutputDataTypes", [&] {
        std::vector<std::optional<Element>> elements;
        std::transform(input_types, input_types + inputs, std::back_inserter(elements), element_of);
        const std::optional<Element> element = node_.output_element(elements);
        if (!element) {
            throw Failure(std::string(getPluginName()) + " has inputs of a type that is not FLOAT, HALF or INT8");
        }
        output_types[0] = data_type_of(*element);
        return kDone;
    });
}

int32_t Plugin::getOutputShapes(const nvinfer1::DimsExprs* inputs, int32_t input_count,
                                const nvinfer1::DimsExprs* /*shape_inputs*/, int32_t /*shape_input_count*/,
                                nvinfer1::DimsExprs* outputs, int32_t /*output_count*/,
                                nvinfer1::IExprBuilder& builder) noexcept {
    return guarded(kFailed, "getOutputShapes", [&] {
        const Operation& operation = node_.operation();
        const std::vector<std::string> names = node_.given(input_count);
        outputs[0] = inputs[0];
        if (operation.gives_map()) {
            return kDone;
        }
        const auto channels_of = [&](const std::string& name) {
            return inputs[std::find(names.begin(), names.end(), name) - names.begin()].d[1];
        };
        const nvinfer1::IDimensionExpr* channels = channels_of(operation.joined.front());
        for (std::size_t index = 1; index < operation.joined.size(); ++index) {
            channels =
                builder.operation(nvinfer1::DimensionOperation::kSUM, *channels, *channels_of(operation.joined[index]));
        }
        outputs[0].nbDims = 2;
        outputs[0].d[1] = channels;
        return kDone;
    });
}

bool Plugin::supportsFormatCombination(int32_t position, const DynamicPluginTensorDesc* descriptions, int32_t inputs,
                                       int32_t /*outputs*/) noexcept {
    // Only those up to `position` mean anything yet.
    return guarded(false, "supportsFormatCombination", [&] {
        std::vector<Description> known;
        std::transform(descriptions, descriptions + position + 1, std::back_inserter(known),
                       [](const auto& each) { return each.desc; });
        return node_.supports(position, known, inputs);
    });
}

int32_t Plugin::configurePlugin(const DynamicPluginTensorDesc* in, int32_t inputs, const DynamicPluginTensorDesc* out,
                                int32_t /*outputs*/) noexcept {
    return guarded(kFailed, "configurePlugin", [&] {
        const std::string reason = node_.problem(descriptions_of(in, inputs, out));
        if (!reason.empty()) {
            throw Failure("no kernel of edgefer::" + std::string(getPluginName()) + " does this: " + reason);
        }
        if (node_.host() == Host::kTensorRT) {
            // A workspace that cannot be planned would be taken for none at all: fail here if there are no kernels.
            load_binary();
        }
        return kDone;
    });
}

std::size_t Plugin::getWorkspaceSize(const DynamicPluginTensorDesc* in, int32_t inputs,
                                     const DynamicPluginTensorDesc* out, int32_t /*outputs*/) const noexcept {
    return guarded<std::size_t>(0, "getWorkspaceSize", [&] {
        const int64_t low = std::max<int64_t>(in[0].min.d[0], 1);
        const int64_t high = std::max(in[0].max.d[0], low);
        // Taller bands are planned for larger batches, so that the largest need not need most.
        std::vector<int64_t> batches(high - low + 1);
        std::iota(batches.begin(), batches.end(), low);
        std::vector<Gpu> gpus = kElsewhere;
        if (node_.host() == Host::kTensorRT) {
            gpus.push_back(current_gpu());
        }
        return static_cast<std::size_t>(node_.workspace_bytes(descriptions_of(in, inputs, out), batches, gpus));
    });
}

nvinfer1::IPluginV3* Plugin::attachToContext(nvinfer1::IPluginResourceContext* /*context*/) noexcept {
    return guarded<nvinfer1::IPluginV3*>(nullptr, "attachToContext", [&] {
        // Loading is not allowed inside a capture, which the first enqueue may be in.
        load_binary();
        return new Plugin(node_);
    });
}

int32_t Plugin::onShapeChange(const PluginTensorDesc* in, int32_t inputs, const PluginTensorDesc* out,
                              int32_t /*outputs*/) noexcept {
    return guarded(kFailed, "onShapeChange", [&] {
        inputs_ = inputs;
        prepare(in, out);
        return kDone;
    });
}

int32_t Plugin::enqueue(const PluginTensorDesc* in, const PluginTensorDesc* out, const void* const* inputs,
                        void* const* outputs, void* workspace, cudaStream_t stream) noexcept {
    return guarded(kFailed, "enqueue", [&] {
        if (!ready_ || ready_->shape != shape_of(in[0]) || ready_->loaded.context != current_context()) {
            prepare(in, out);
        }
        std::vector<unsigned char> parameters = ready_->prepared.plan.parameters;
        const auto put = [&](std::size_t place, const void* address) {
            std::memcpy(&parameters[place], &address, sizeof(address));
        };
        for (int index = 0; index < inputs_; ++index) {
            put(ready_->prepared.addresses[index], inputs[index]);
        }
        put(ready_->prepared.addresses.back(), outputs[0]);
        if (ready_->prepared.plan.workspace_bytes > 0) {
            put(ready_->prepared.workspace, workspace);
        }
        launch(ready_->loaded, reinterpret_cast<CUstream>(stream), parameters.data());
        return kDone;
    });
}

void Plugin::prepare(const PluginTensorDesc* in, const PluginTensorDesc* out) {
    if (inputs_ == 0) {
        throw Failure("enqueue came before onShapeChange, which tells the number of inputs");
    }
    ready_.reset();
    Prepared prepared = node_.prepare(descriptions_of(in, inputs_, out), current_gpu());
    Loaded loaded = load(prepared.plan.launches);
    ready_ = Ready{shape_of(in[0]), std::move(prepared), std::move(loaded)};
}

}  // namespace edgefer
