// The five operators as TensorRT is told of them: inputs, and the fields that a creator takes and an engine stores. The
// same names, types and order as edgefer/plugins/fields.py, so that an engine built with one loads with the other.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace edgefer {

constexpr const char* kNamespace = "edgefer";
constexpr const char* kVersion = "1";

// In the field `present`: nobody said which optional inputs a node has. The number of inputs tells all from none.
constexpr int32_t kNotSaid = -1;

enum class FieldType { kInt32, kFloat32, kChar };

// `content` is what is stored: four bytes of a number, or a text with the zero that ends it. In a signature it stands
// for an ONNX attribute that is left out.
struct Field {
    std::string name;
    FieldType type;
    std::string content;
};

// The fields of one plugin, all of them, in the order of the signature.
class Values {
public:
    explicit Values(std::vector<Field> fields) : fields_(std::move(fields)) {}

    const std::vector<Field>& fields() const { return fields_; }
    // A field by its name, which exists.
    int32_t integer(const std::string& name) const;
    float real(const std::string& name) const;
    std::string text(const std::string& name) const;
    // Null where there is no such field.
    Field* find(const std::string& name);
    const Field* find(const std::string& name) const;

private:
    std::vector<Field> fields_;
};

// `optional` are the names of inputs that may be left out. ONNX attributes come first among the fields, then the scales
// of INT8 tensors, then the mask of optional inputs.
struct Signature {
    std::string name;
    std::vector<std::string> inputs;
    std::vector<std::string> optional;
    std::vector<Field> fields;

    // The names of a node's `count` inputs in their order. Bit i of `present` is set where the i-th optional one is
    // there.
    //
    // Throws Failure: the mask and the number of inputs do not agree.
    std::vector<std::string> given(int32_t present, int32_t count) const;
};

const std::vector<Signature>& signatures();

// That of an operator, which exists.
const Signature& signature_of(const std::string& name);

}  // namespace edgefer
