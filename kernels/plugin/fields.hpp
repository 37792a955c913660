// A plugin's fields in TensorRT's words. As in edgefer/plugins/serialise.py.
#pragma once

#include <NvInferRuntime.h>

#include <vector>

#include "signature.hpp"

namespace edgefer {

// A collection that points into `fields`, which must live as long and stay where they are.
class Collection {
public:
    explicit Collection(const std::vector<Field>& fields);
    Collection(const Collection&) = delete;
    Collection& operator=(const Collection&) = delete;

    const nvinfer1::PluginFieldCollection* get() const { return &collection_; }

private:
    std::vector<nvinfer1::PluginField> fields_;
    nvinfer1::PluginFieldCollection collection_{};
};

// The values that a parser gives for a node's attributes, defaults where it has none; or those that an engine has
// stored, each of which must be there.
//
// Throws Failure: a field is unknown, has another type or more entries than the operator's, is not finite or is
// missing.
Values read(const Signature& signature, const nvinfer1::PluginFieldCollection& collection,
            nvinfer1::TensorRTPhase phase);

}  // namespace edgefer
