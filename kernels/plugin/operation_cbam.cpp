// CbamAttention as TensorRT meets it.
#include "operation.hpp"
#include "plan_cbam.hpp"

namespace edgefer {
namespace {

using Params = CbamParams;

Cbam node_of(const Work& work) {
    Cbam node;
    node.sizes = {work.shape("X"), work.size("W1", 0)};
    node.forms = {work.form("X"), work.form("Y"), work.form("W1").element};
    node.kernel = work.values.integer("spatial_kernel");
    node.relu = work.values.integer("relu") != 0;
    node.residual = work.has("R");
    node.x_scale = work.values.real("x_scale");
    node.r_scale = work.values.real("r_scale");
    node.y_scale = work.values.real("y_scale");
    return node;
}

std::string unsupported_work(const Work& work) {
    const Cbam node = node_of(work);
    const std::string reason = unsupported(node);
    if (!reason.empty()) {
        return reason;
    }
    if (work.has("R") && work.form("R") != work.form("X")) {
        return "X is " + work.form("X").code() + " and R " + work.form("R").code() + ", expected one form";
    }
    const int64_t channels = node.sizes.channels();
    const int64_t hidden = node.sizes.hidden;
    return work.misfit({{"W1", {hidden, channels}},
                        {"b1", {hidden}},
                        {"W2", {channels, hidden}},
                        {"b2", {channels}},
                        {"Ws", {1, 2, node.kernel, node.kernel}},
                        {"bs", {1}},
                        {"R", work.shape("X")}});
}

}  // namespace

Operation cbam_attention() {
    Operation operation;
    operation.signature = &signature_of("CbamAttention");
    operation.maps = {{"X", "x_scale"}, {"R", "r_scale"}};
    operation.weight = "W1";
    operation.output = "Y";
    operation.addresses = {{"X", offsetof(Params, X)},   {"W1", offsetof(Params, W1)}, {"b1", offsetof(Params, b1)},
                           {"W2", offsetof(Params, W2)}, {"b2", offsetof(Params, b2)}, {"Ws", offsetof(Params, Ws)},
                           {"bs", offsetof(Params, bs)}, {"R", offsetof(Params, R)},   {"Y", offsetof(Params, Y)}};
    operation.workspace = offsetof(Params, workspace);
    operation.unsupported = unsupported_work;
    operation.plan = [](const Work& work, const Gpu& gpu) { return as_bytes(plan(node_of(work), gpu)); };
    return operation;
}

}  // namespace edgefer
