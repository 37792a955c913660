// libedgefer_plugins_autoregister.so: opening it registers the plugins of libedgefer_plugins.so, for applications that
// open a library and do no more, and for LD_PRELOAD. Applications that have TensorRT load the library need it not, and
// must not open it: the same plugins would be offered twice.
#include <NvInferRuntime.h>

extern "C" nvinfer1::IPluginCreatorInterface* const* getCreators(int32_t& count);

namespace {

struct Registration {
    Registration() {
        int32_t count = 0;
        nvinfer1::IPluginCreatorInterface* const* creators = getCreators(count);
        for (int32_t index = 0; index < count; ++index) {
            getPluginRegistry()->registerCreator(*creators[index], "edgefer");
        }
    }
};

const Registration registration;

}  // namespace
