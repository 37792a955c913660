#include "operation.hpp"

#include <algorithm>

namespace edgefer {

std::string Work::misfit(const std::vector<std::pair<std::string, std::vector<int64_t>>>& shapes) const {
    for (const auto& [name, expected] : shapes) {
        if (has(name) && shape(name) != expected) {
            return name + " has the shape " + text_of(shape(name)) + ", expected " + text_of(expected);
        }
    }
    return "";
}

bool Operation::has_batch(const std::string& name) const {
    return maps.count(name) != 0 || name == output ||
           std::find(per_image.begin(), per_image.end(), name) != per_image.end();
}

const std::vector<Operation>& operations() {
    static const std::vector<Operation> all = {cbam_attention(), channel_gate(), gated_pool(), gated_fusion(),
                                               local_gate()};
    return all;
}

}  // namespace edgefer
