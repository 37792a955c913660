// ChannelGate as TensorRT meets it.
#include "operation.hpp"
#include "plan_channel_gate.hpp"

namespace edgefer {
namespace {

using Params = ChannelGateParams;

ChannelGate node_of(const Work& work) {
    ChannelGate node;
    node.sizes = {work.shape("X"), work.size("W1", 0)};
    node.forms = {work.form("X"), work.form("Y"), work.form("W1").element};
    node.gate = work.values.text("gate");
    node.alpha = work.values.real("alpha");
    node.beta = work.values.real("beta");
    node.x_scale = work.values.real("x_scale");
    node.y_scale = work.values.real("y_scale");
    return node;
}

std::string unsupported_work(const Work& work) {
    const ChannelGate node = node_of(work);
    const int64_t channels = node.sizes.channels();
    const int64_t hidden = node.sizes.hidden;
    const std::string reason = unsupported(node);
    return !reason.empty()
               ? reason
               : work.misfit(
                     {{"W1", {hidden, channels}}, {"b1", {hidden}}, {"W2", {channels, hidden}}, {"b2", {channels}}});
}

}  // namespace

Operation channel_gate() {
    Operation operation;
    operation.signature = &signature_of("ChannelGate");
    operation.maps = {{"X", "x_scale"}};
    operation.weight = "W1";
    operation.output = "Y";
    operation.addresses = {{"X", offsetof(Params, X)},   {"W1", offsetof(Params, W1)}, {"b1", offsetof(Params, b1)},
                           {"W2", offsetof(Params, W2)}, {"b2", offsetof(Params, b2)}, {"Y", offsetof(Params, Y)}};
    operation.workspace = offsetof(Params, workspace);
    operation.unsupported = unsupported_work;
    operation.plan = [](const Work& work, const Gpu& gpu) { return as_bytes(plan(node_of(work), gpu)); };
    return operation;
}

}  // namespace edgefer
