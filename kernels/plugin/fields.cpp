#include "fields.hpp"

#include <cmath>
#include <cstring>
#include <set>
#include <string>

#include "plan.hpp"

namespace edgefer {
namespace {

using nvinfer1::PluginField;
using nvinfer1::PluginFieldType;

constexpr std::size_t kNumberBytes = 4;

PluginFieldType type_of(FieldType type) {
    switch (type) {
        case FieldType::kInt32: return PluginFieldType::kINT32;
        case FieldType::kFloat32: return PluginFieldType::kFLOAT32;
        default: return PluginFieldType::kCHAR;
    }
}

int32_t length_of(const Field& field) {
    return field.type == FieldType::kChar ? static_cast<int32_t>(field.content.size()) : 1;
}

std::string names_of(const Signature& signature) {
    std::string names;
    for (const Field& field : signature.fields) {
        names += (names.empty() ? "" : ", ") + field.name;
    }
    return names;
}

std::string content_of(const Field& field, const PluginField& found, const std::string& where) {
    const bool is_text = field.type == FieldType::kChar;
    if (found.type != type_of(field.type) || (!is_text && found.length != 1) || found.data == nullptr) {
        throw Failure(where + " has " + field.name + " as type " + std::to_string(static_cast<int>(found.type)) +
                      " with " + std::to_string(found.length) + " entries, expected type " +
                      std::to_string(static_cast<int>(type_of(field.type))) + (is_text ? "" : " with 1"));
    }
    const char* data = static_cast<const char*>(found.data);
    if (is_text) {
        // With or without the zero that ends it; stored with it.
        return std::string(data, strnlen(data, static_cast<std::size_t>(found.length))) + '\0';
    }
    float number = 0.0f;
    std::memcpy(&number, data, sizeof(number));
    if (field.type == FieldType::kFloat32 && !std::isfinite(number)) {
        throw Failure(where + " has " + field.name + " " + std::to_string(number) + ", expected a finite number");
    }
    return std::string(data, kNumberBytes);
}

}  // namespace

Collection::Collection(const std::vector<Field>& fields) {
    for (const Field& field : fields) {
        fields_.emplace_back(field.name.c_str(), field.content.data(), type_of(field.type), length_of(field));
    }
    collection_.nbFields = static_cast<int32_t>(fields_.size());
    collection_.fields = fields_.data();
}

Values read(const Signature& signature, const nvinfer1::PluginFieldCollection& collection,
            nvinfer1::TensorRTPhase phase) {
    const bool stored = phase == nvinfer1::TensorRTPhase::kRUNTIME;
    const std::string where = (stored ? "the engine's edgefer::" : "the node of edgefer::") + signature.name;
    Values values(signature.fields);
    std::set<std::string> seen;
    for (int32_t index = 0; index < collection.nbFields; ++index) {
        const PluginField& found = collection.fields[index];
        const std::string name = found.name == nullptr ? "" : found.name;
        if (name == "plugin_version" || name == "plugin_namespace") {
            continue;
        }
        Field* field = values.find(name);
        if (field == nullptr) {
            throw Failure(where + " has a field '" + name + "', expected " + names_of(signature));
        }
        field->content = content_of(*field, found, where);
        seen.insert(name);
    }
    for (const Field& field : signature.fields) {
        if (stored && seen.count(field.name) == 0) {
            throw Failure(where + " has no field " + field.name + ", expected " + names_of(signature) +
                          ": it was built with another version of edgefer's plugins");
        }
    }
    return values;
}

}  // namespace edgefer
