// GatedPool as TensorRT meets it.
#include "operation.hpp"
#include "plan_gated_pool.hpp"

namespace edgefer {
namespace {

using Params = GatedPoolParams;

GatedPool node_of(const Work& work) {
    return GatedPool{work.shape("F"), work.form("F"), work.form("W").element, work.values.integer("square") != 0,
                     work.values.real("x_scale")};
}

std::string unsupported_work(const Work& work) {
    const int64_t channels = work.size("F", 1);
    const std::string misfit = work.misfit({{"W", {channels, channels}}, {"b", {channels}}});
    return misfit.empty() ? unsupported(node_of(work)) : misfit;
}

}  // namespace

Operation gated_pool() {
    Operation operation;
    operation.signature = &signature_of("GatedPool");
    operation.maps = {{"F", "x_scale"}};
    operation.weight = "W";
    operation.output = "f";
    operation.joined = {"F"};
    operation.addresses = {
        {"F", offsetof(Params, F)}, {"W", offsetof(Params, W)}, {"b", offsetof(Params, b)}, {"f", offsetof(Params, f)}};
    operation.workspace = offsetof(Params, workspace);
    operation.unsupported = unsupported_work;
    operation.plan = [](const Work& work, const Gpu& gpu) { return as_bytes(plan(node_of(work), gpu)); };
    return operation;
}

}  // namespace edgefer
