#include "node.hpp"

#include <algorithm>

namespace edgefer {
namespace {

constexpr int kMapAxes = 4;

bool is_linear(const Description& description) { return description.format == nvinfer1::TensorFormat::kLINEAR; }

std::vector<std::optional<Element>> elements_of(const std::vector<Description>& descriptions, int count) {
    std::vector<std::optional<Element>> elements;
    for (int index = 0; index < count; ++index) {
        elements.push_back(element_of(descriptions[index].type));
    }
    return elements;
}

std::size_t place_of(const std::vector<std::string>& names, const std::string& name) {
    return std::find(names.begin(), names.end(), name) - names.begin();
}

const char* const kUnknownForm = "a type or a format that no kernel takes";

}  // namespace

std::vector<std::string> Node::given(int count) const {
    const Field* present = values_.find("present");
    return operation_->signature->given(present == nullptr ? kNotSaid : values_.integer("present"), count);
}

std::optional<Element> Node::output_element(const std::vector<std::optional<Element>>& inputs) const {
    const std::vector<std::string> names = given(static_cast<int>(inputs.size()));
    if (scale_of("y_scale") > 0.0f) {
        return Element::kI8;
    }
    return inputs[0] == Element::kI8 ? inputs[place_of(names, operation_->weight)] : inputs[0];
}

bool Node::supports(int position, const std::vector<Description>& descriptions, int inputs) const {
    const std::vector<std::string> names = given(inputs);
    if (position == inputs) {
        return takes_output(descriptions);
    }
    const std::string& name = names[position];
    if (operation_->maps.count(name) != 0) {
        return takes_map(name, descriptions[position], descriptions[0]);
    }
    return takes_weight(name, descriptions, position, names);
}

std::string Node::problem(const std::vector<Description>& descriptions) const {
    const std::optional<Work> found = work(descriptions, 1);
    return found ? operation_->unsupported(*found) : kUnknownForm;
}

int64_t Node::workspace_bytes(const std::vector<Description>& descriptions, const std::vector<int64_t>& batches,
                              const std::vector<Gpu>& gpus) const {
    int64_t most = 0;
    for (const int64_t batch : batches) {
        const Work found = demanded(descriptions, batch);
        for (const Gpu& gpu : gpus) {
            most = std::max(most, operation_->plan(found, gpu).workspace_bytes);
        }
    }
    return most;
}

Prepared Node::prepare(const std::vector<Description>& descriptions, const Gpu& gpu) const {
    Prepared prepared{operation_->plan(demanded(descriptions, std::nullopt), gpu), {}, operation_->workspace};
    for (const std::string& name : given(static_cast<int>(descriptions.size()) - 1)) {
        prepared.addresses.push_back(operation_->addresses.at(name));
    }
    prepared.addresses.push_back(operation_->addresses.at(operation_->output));
    return prepared;
}

bool Node::takes_map(const std::string& name, const Description& description, const Description& first) const {
    const std::optional<Form> form = form_of(description);
    const bool is_int8 = scale_of(operation_->maps.at(name)) > 0.0f;
    if (!form || description.dims.nbDims != kMapAxes || (form->element == Element::kI8) != is_int8) {
        return false;
    }
    // All maps lie in memory in one way; kernels know no other.
    return offers(host_, description, description.dims.d[1]) && form == form_of(first);
}

bool Node::takes_weight(const std::string& name, const std::vector<Description>& descriptions, int position,
                        const std::vector<std::string>& names) const {
    const std::optional<Element> element = element_of(descriptions[position].type);
    const std::optional<Element> first = element_of(descriptions[0].type);
    if (!is_linear(descriptions[position]) || (element != Element::kF32 && element != Element::kF16)) {
        return false;
    }
    if (first != Element::kI8) {
        return element == first;
    }
    const std::size_t weight = place_of(names, operation_->weight);
    return name == operation_->weight || static_cast<int>(weight) >= position ||
           element == element_of(descriptions[weight].type);
}

bool Node::takes_output(const std::vector<Description>& descriptions) const {
    const int inputs = static_cast<int>(descriptions.size()) - 1;
    const Description& output = descriptions.back();
    const std::optional<Element> element = element_of(output.type);
    const std::optional<Form> form = form_of(output);
    if (!form || element != output_element(elements_of(descriptions, inputs))) {
        return false;
    }
    const std::optional<Form> first = form_of(descriptions[0]);
    bool agrees = false;
    if (!operation_->gives_map()) {
        agrees = is_linear(output);
    } else if (first && element == first->element) {
        // One layout has several names; only those that are offered are the neighbours' own.
        agrees = form == first && offers(host_, output, output.dims.d[1]);
    } else {
        agrees = offers(host_, output, output.dims.d[1]);
    }
    return agrees && problem(descriptions).empty();
}

std::optional<Work> Node::work(const std::vector<Description>& descriptions, std::optional<int64_t> batch) const {
    std::vector<std::string> names = given(static_cast<int>(descriptions.size()) - 1);
    names.push_back(operation_->output);
    std::map<std::string, Tensor> tensors;
    for (std::size_t index = 0; index < names.size(); ++index) {
        const Description& description = descriptions[index];
        const std::optional<Form> form = form_of(description);
        const bool is_map = operation_->is_map(names[index]);
        if (!form || (is_map ? description.dims.nbDims != kMapAxes : !is_linear(description))) {
            return std::nullopt;
        }
        std::vector<int64_t> shape(description.dims.d, description.dims.d + description.dims.nbDims);
        if (batch && !shape.empty() && operation_->has_batch(names[index])) {
            shape[0] = *batch;
        }
        tensors[names[index]] = Tensor{shape, *form};
    }
    return Work(values_, std::move(tensors));
}

Work Node::demanded(const std::vector<Description>& descriptions, std::optional<int64_t> batch) const {
    std::optional<Work> found = work(descriptions, batch);
    const std::string reason = found ? operation_->unsupported(*found) : kUnknownForm;
    if (!reason.empty()) {
        throw Failure("no kernel of edgefer::" + operation_->signature->name + " does this: " + reason);
    }
    return *std::move(found);
}

float Node::scale_of(const std::string& field) const {
    return values_.find(field) == nullptr ? 0.0f : values_.real(field);
}

}  // namespace edgefer
