// LocalGate as TensorRT meets it.
#include "operation.hpp"
#include "plan_local_gate.hpp"

namespace edgefer {
namespace {

using Params = LocalGateParams;

LocalGate node_of(const Work& work) {
    return LocalGate{work.shape("Z"), work.size("W1", 0), work.form("Z"), work.form("W1").element,
                     work.values.real("x_scale")};
}

std::string unsupported_work(const Work& work) {
    const int64_t channels = work.size("Z", 1);
    const int64_t hidden = work.size("W1", 0);
    const std::string misfit =
        work.misfit({{"W1", {hidden, channels}}, {"b1", {hidden}}, {"W2", {channels, hidden}}, {"b2", {channels}}});
    return misfit.empty() ? unsupported(node_of(work)) : misfit;
}

}  // namespace

Operation local_gate() {
    Operation operation;
    operation.signature = &signature_of("LocalGate");
    operation.maps = {{"Z", "x_scale"}};
    operation.weight = "W1";
    operation.output = "f";
    operation.joined = {"Z"};
    operation.addresses = {{"Z", offsetof(Params, Z)},   {"W1", offsetof(Params, W1)}, {"b1", offsetof(Params, b1)},
                           {"W2", offsetof(Params, W2)}, {"b2", offsetof(Params, b2)}, {"f", offsetof(Params, f)}};
    operation.workspace = offsetof(Params, workspace);
    operation.unsupported = unsupported_work;
    operation.plan = [](const Work& work, const Gpu& gpu) { return as_bytes(plan(node_of(work), gpu)); };
    return operation;
}

}  // namespace edgefer
