// What TensorRT looks up in a plugin library.
#include <NvInferRuntime.h>

#include <memory>
#include <vector>

#include "creator.hpp"
#include "log.hpp"

#define EDGEFER_EXPORT extern "C" __attribute__((visibility("default")))

namespace edgefer {
namespace {

struct Creators {
    explicit Creators(Host host) {
        for (const Operation& operation : operations()) {
            owned.push_back(std::make_unique<Creator>(operation, host));
            pointers.push_back(owned.back().get());
        }
    }

    std::vector<std::unique_ptr<Creator>> owned;
    std::vector<nvinfer1::IPluginCreatorInterface*> pointers;
};

// One set for each TensorRT, because both may be in one process. Never destroyed: a registry knows their addresses, and
// may be destroyed after this library's objects.
const Creators& creators_for(Host host) {
    static const Creators* const tensorrt = new Creators(Host::kTensorRT);
    static const Creators* const tensorrt_rtx = new Creators(Host::kTensorRTRTX);
    return host == Host::kTensorRT ? *tensorrt : *tensorrt_rtx;
}

}  // namespace
}  // namespace edgefer

EDGEFER_EXPORT nvinfer1::IPluginCreatorInterface* const* getCreators(int32_t& count) {
    const void* caller = __builtin_return_address(0);
    count = 0;
    return edgefer::guarded<nvinfer1::IPluginCreatorInterface* const*>(nullptr, "getCreators", [&] {
        const auto& pointers = edgefer::creators_for(edgefer::host_of(caller)).pointers;
        count = static_cast<int32_t>(pointers.size());
        return pointers.data();
    });
}

EDGEFER_EXPORT void setLoggerFinder(nvinfer1::ILoggerFinder* finder) { edgefer::set_logger_finder(finder); }

// The version of edgefer that the library was built from, such as "0.1.0".
EDGEFER_EXPORT const char* edgefer_plugins_version() { return EDGEFER_VERSION; }
