// One plugin node apart from TensorRT's classes: which formats it takes, its memory, and what its enqueue launches. As
// in edgefer/plugins/node.py.
#pragma once

#include <NvInferRuntime.h>

#include <optional>
#include <vector>

#include "formats.hpp"
#include "operation.hpp"

namespace edgefer {

using Description = nvinfer1::PluginTensorDesc;

// A plan with the places of the addresses: of the inputs in order, and of the output.
struct Prepared {
    Planned plan;
    std::vector<std::size_t> addresses;
    std::size_t workspace = 0;
};

// An operator with its values. Descriptions are those of the inputs in order and then of the output; only the batch may
// be dynamic. A node's inputs are as many as its values say.
//
// Throws Failure: the values and the number of inputs do not agree.
class Node {
public:
    Node(const Operation& operation, Values values, Host host)
        : operation_(&operation), values_(std::move(values)), host_(host) {}

    const Operation& operation() const { return *operation_; }
    const Values& values() const { return values_; }
    Host host() const { return host_; }

    // The names of the inputs that this node has.
    std::vector<std::string> given(int count) const;

    // The element type of the output, given those of the inputs; nothing where no kernel takes them.
    std::optional<Element> output_element(const std::vector<std::optional<Element>>& inputs) const;

    // Whether the tensor at `position` may be as described, given those before it. `inputs` come first.
    bool supports(int position, const std::vector<Description>& descriptions, int inputs) const;

    // Why no kernel does this, or "". A batch that is not known does not matter.
    std::string problem(const std::vector<Description>& descriptions) const;

    // Bytes that are enough for each of the batches on each of the GPUs.
    int64_t workspace_bytes(const std::vector<Description>& descriptions, const std::vector<int64_t>& batches,
                            const std::vector<Gpu>& gpus) const;

    // The plan for these shapes and formats.
    //
    // Throws Failure: there is no kernel for them.
    Prepared prepare(const std::vector<Description>& descriptions, const Gpu& gpu) const;

private:
    bool takes_map(const std::string& name, const Description& description, const Description& first) const;
    bool takes_weight(const std::string& name, const std::vector<Description>& descriptions, int position,
                      const std::vector<std::string>& names) const;
    bool takes_output(const std::vector<Description>& descriptions) const;
    std::optional<Work> work(const std::vector<Description>& descriptions, std::optional<int64_t> batch) const;
    Work demanded(const std::vector<Description>& descriptions, std::optional<int64_t> batch) const;
    float scale_of(const std::string& field) const;

    const Operation* operation_;
    Values values_;
    Host host_;
};

}  // namespace edgefer
