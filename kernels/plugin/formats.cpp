#include "formats.hpp"

#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace edgefer {
namespace {

using nvinfer1::DataType;
using nvinfer1::TensorFormat;

std::optional<Layout> layout_of(TensorFormat format) {
    switch (format) {
        case TensorFormat::kLINEAR: return Layout::kLinear;
        // kHWC8 pads channels to a multiple of 8; a form is taken only where there is nothing to pad.
        case TensorFormat::kHWC:
        case TensorFormat::kHWC8: return Layout::kHwc;
        case TensorFormat::kCHW32: return Layout::kChw32;
        default: return std::nullopt;
    }
}

// As `Flavour.plugin_formats` of edgefer/engine/flavours.py.
std::vector<TensorFormat> offered(Host host, Element element) {
    if (element == Element::kI8) {
        return {TensorFormat::kCHW32};
    }
    if (host == Host::kTensorRTRTX) {
        return {TensorFormat::kHWC};
    }
    if (element == Element::kF16) {
        return {TensorFormat::kHWC8, TensorFormat::kLINEAR};
    }
    return {TensorFormat::kHWC, TensorFormat::kLINEAR};
}

}  // namespace

Host host_of(const void* address) {
    if (const char* said = std::getenv("EDGEFER_PLUGIN_HOST")) {
        return std::strcmp(said, "tensorrt_rtx") == 0 ? Host::kTensorRTRTX : Host::kTensorRT;
    }
    Dl_info info{};
    if (dladdr(address, &info) == 0 || info.dli_fname == nullptr) {
        return Host::kTensorRT;
    }
    const std::string path = info.dli_fname;
    const std::string file = path.substr(path.find_last_of('/') + 1);
    return file.find("tensorrt_rtx") == std::string::npos ? Host::kTensorRT : Host::kTensorRTRTX;
}

std::optional<Element> element_of(DataType type) {
    switch (type) {
        case DataType::kFLOAT: return Element::kF32;
        case DataType::kHALF: return Element::kF16;
        case DataType::kINT8: return Element::kI8;
        default: return std::nullopt;
    }
}

std::optional<Form> form_of(const nvinfer1::PluginTensorDesc& description) {
    const std::optional<Element> element = element_of(description.type);
    const std::optional<Layout> layout = layout_of(description.format);
    if (!element || !layout) {
        return std::nullopt;
    }
    return Form{*element, *layout};
}

DataType data_type_of(Element element) {
    return element == Element::kF32 ? DataType::kFLOAT : element == Element::kF16 ? DataType::kHALF : DataType::kINT8;
}

bool offers(Host host, const nvinfer1::PluginTensorDesc& description, int64_t channels) {
    const std::optional<Form> form = form_of(description);
    if (!form || !form->takes(channels)) {
        return false;
    }
    const std::vector<TensorFormat> formats = offered(host, form->element);
    if (std::find(formats.begin(), formats.end(), description.format) != formats.end()) {
        return true;
    }
    const bool others = std::any_of(formats.begin(), formats.end(), [&](TensorFormat format) {
        return Form{form->element, *layout_of(format)}.takes(channels);
    });
    return form->layout == Layout::kLinear && form->element != Element::kI8 && !others;
}

}  // namespace edgefer
