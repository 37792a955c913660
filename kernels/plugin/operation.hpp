// What a plugin has to know of an operator: its tensors, and how its kernels are planned and handed their memory. As in
// edgefer/plugins/operations.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "form.hpp"
#include "plan.hpp"
#include "signature.hpp"

namespace edgefer {

// One call of an operator: the values of its fields, and its tensors by name, those left out left out.
class Work {
public:
    Work(const Values& values, std::map<std::string, Tensor> tensors) : values(values), tensors_(std::move(tensors)) {}

    bool has(const std::string& name) const { return tensors_.count(name) != 0; }
    const std::vector<int64_t>& shape(const std::string& name) const { return tensors_.at(name).shape; }
    Form form(const std::string& name) const { return tensors_.at(name).form; }
    // 0 where the tensor has fewer axes.
    int64_t size(const std::string& name, std::size_t axis) const {
        return axis < shape(name).size() ? shape(name)[axis] : 0;
    }
    // Which of the tensors that are there has another shape than it must have; "" where none has.
    std::string misfit(const std::vector<std::pair<std::string, std::vector<int64_t>>>& shapes) const;

    const Values& values;

private:
    std::map<std::string, Tensor> tensors_;
};

// A plan whose parameters are bytes, so that plans of all operators are handled alike.
struct Planned {
    std::vector<Launch> launches;
    std::vector<unsigned char> parameters;
    int64_t workspace_bytes = 0;
};

template <class Params>
Planned as_bytes(const Plan<Params>& plan) {
    const auto* first = reinterpret_cast<const unsigned char*>(&plan.parameters);
    return Planned{plan.launches, {first, first + sizeof(Params)}, plan.workspace_bytes};
}

// One operator. `maps` gives each input of shape (N, C, H, W) the field that holds its scale as INT8; all others are
// weights and vectors, of which `weight` decides the element type and `per_image` have a batch. The output is a map
// like the first input, or joins the channels of `joined` as (N, C).
//
// `addresses` says where in the parameters each tensor's address stands, `workspace` where that of the workspace does.
// `unsupported` says why no kernel does a piece of work ("" where one does), whatever its batch; `plan` plans what is
// supported.
struct Operation {
    const Signature* signature = nullptr;
    std::map<std::string, std::string> maps;
    std::string weight;
    std::vector<std::string> per_image;
    std::string output;
    std::vector<std::string> joined;
    std::map<std::string, std::size_t> addresses;
    std::size_t workspace = 0;
    std::function<std::string(const Work&)> unsupported;
    std::function<Planned(const Work&, const Gpu&)> plan;

    bool gives_map() const { return joined.empty(); }
    bool is_map(const std::string& name) const { return maps.count(name) != 0 || (name == output && gives_map()); }
    bool has_batch(const std::string& name) const;
};

// All of them, each as its operation_*.cpp describes it.
const std::vector<Operation>& operations();
Operation cbam_attention();
Operation channel_gate();
Operation gated_pool();
Operation gated_fusion();
Operation local_gate();

}  // namespace edgefer
