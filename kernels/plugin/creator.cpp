#include "creator.hpp"

#include "log.hpp"
#include "plugin.hpp"

namespace edgefer {

nvinfer1::IPluginV3* Creator::createPlugin(const char* name, const nvinfer1::PluginFieldCollection* fields,
                                           nvinfer1::TensorRTPhase phase) noexcept {
    return guarded<nvinfer1::IPluginV3*>(nullptr, name == nullptr ? "createPlugin" : name, [&] {
        if (fields == nullptr) {
            throw Failure("no fields were given");
        }
        return new Plugin(Node(operation_, read(*operation_.signature, *fields, phase), host_));
    });
}

}  // namespace edgefer
