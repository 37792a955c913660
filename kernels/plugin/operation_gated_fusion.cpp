// GatedFusion as TensorRT meets it.
#include "operation.hpp"
#include "plan_gated_fusion.hpp"

namespace edgefer {
namespace {

using Params = GatedFusionParams;

GatedFusion node_of(const Work& work) {
    GatedFusion node;
    node.shape = work.shape("Fv");
    node.infrared_shape = work.shape("Fi");
    node.form = work.form("Fv");
    node.weights = work.form("Wv").element;
    if (work.has("P")) {
        node.mask = work.form("P").element;
    }
    node.square_visible = work.values.integer("square_visible") != 0;
    node.square_infrared = work.values.integer("square_infrared") != 0;
    node.interleave = work.values.integer("interleave") != 0;
    node.x_scale = work.values.real("x_scale");
    node.r_scale = work.values.real("r_scale");
    return node;
}

std::string unsupported_work(const Work& work) {
    const int64_t channels = work.size("Fv", 1);
    if (work.form("Fi") != work.form("Fv")) {
        return "Fv is " + work.form("Fv").code() + " and Fi " + work.form("Fi").code() + ", expected one form";
    }
    const std::string misfit = work.misfit({{"Wv", {channels, channels}},
                                            {"bv", {channels}},
                                            {"Wi", {channels, channels}},
                                            {"bi", {channels}},
                                            {"P", {work.size("Fv", 0), 2}}});
    return misfit.empty() ? unsupported(node_of(work)) : misfit;
}

}  // namespace

Operation gated_fusion() {
    Operation operation;
    operation.signature = &signature_of("GatedFusion");
    operation.maps = {{"Fv", "x_scale"}, {"Fi", "r_scale"}};
    operation.weight = "Wv";
    operation.per_image = {"P"};
    operation.output = "f";
    operation.joined = {"Fv", "Fi"};
    operation.addresses = {{"Fv", offsetof(Params, Fv)}, {"Fi", offsetof(Params, Fi)}, {"Wv", offsetof(Params, Wv)},
                           {"bv", offsetof(Params, bv)}, {"Wi", offsetof(Params, Wi)}, {"bi", offsetof(Params, bi)},
                           {"P", offsetof(Params, P)},   {"f", offsetof(Params, f)}};
    operation.workspace = offsetof(Params, workspace);
    operation.unsupported = unsupported_work;
    operation.plan = [](const Work& work, const Gpu& gpu) { return as_bytes(plan(node_of(work), gpu)); };
    return operation;
}

}  // namespace edgefer
