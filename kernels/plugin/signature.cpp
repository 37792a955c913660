#include "signature.hpp"

#include <algorithm>
#include <cstring>

#include "plan.hpp"

namespace edgefer {
namespace {

template <class Number>
std::string bytes_of(Number number) {
    std::string content(sizeof(number), '\0');
    std::memcpy(&content[0], &number, sizeof(number));
    return content;
}

Field integer(const char* name, int32_t value) { return {name, FieldType::kInt32, bytes_of(value)}; }
Field real(const char* name, float value) { return {name, FieldType::kFloat32, bytes_of(value)}; }
Field text(const char* name, const std::string& value) { return {name, FieldType::kChar, value + '\0'}; }

Field present() { return integer("present", kNotSaid); }

template <class Number>
Number number_in(const Field* field) {
    Number number{};
    std::memcpy(&number, field->content.data(), sizeof(number));
    return number;
}

}  // namespace

int32_t Values::integer(const std::string& name) const { return number_in<int32_t>(find(name)); }
float Values::real(const std::string& name) const { return number_in<float>(find(name)); }
std::string Values::text(const std::string& name) const { return find(name)->content.c_str(); }

const Field* Values::find(const std::string& name) const {
    const auto found =
        std::find_if(fields_.begin(), fields_.end(), [&](const Field& each) { return each.name == name; });
    return found == fields_.end() ? nullptr : &*found;
}

Field* Values::find(const std::string& name) {
    return const_cast<Field*>(static_cast<const Values&>(*this).find(name));
}

std::vector<std::string> Signature::given(int32_t present, int32_t count) const {
    if (present == kNotSaid) {
        present = count == static_cast<int32_t>(inputs.size()) ? (1 << optional.size()) - 1 : 0;
    }
    std::vector<std::string> names;
    for (const std::string& input : inputs) {
        const auto place = std::find(optional.begin(), optional.end(), input);
        if (place == optional.end() || (present >> (place - optional.begin()) & 1) != 0) {
            names.push_back(input);
        }
    }
    if (static_cast<int32_t>(names.size()) != count) {
        throw Failure("a node of edgefer::" + name + " has " + std::to_string(count) + " inputs, expected " +
                      std::to_string(names.size()) + " with present=" + std::to_string(present));
    }
    return names;
}

const std::vector<Signature>& signatures() {
    static const std::vector<Signature> all = {
        {"CbamAttention",
         {"X", "W1", "b1", "W2", "b2", "Ws", "bs", "R"},
         {"R"},
         {integer("spatial_kernel", 7), integer("relu", 0), real("x_scale", 0), real("r_scale", 0), real("y_scale", 0),
          present()}},
        {"ChannelGate",
         {"X", "W1", "b1", "W2", "b2"},
         {"b1", "b2"},
         {text("gate", "sigmoid"), real("alpha", 0.2f), real("beta", 0.5f), real("x_scale", 0), real("y_scale", 0),
          present()}},
        {"GatedPool", {"F", "W", "b"}, {}, {integer("square", 0), real("x_scale", 0)}},
        {"GatedFusion",
         {"Fv", "Fi", "Wv", "bv", "Wi", "bi", "P"},
         {"P"},
         {integer("square_visible", 0), integer("square_infrared", 0), integer("interleave", 0), real("x_scale", 0),
          real("r_scale", 0), present()}},
        {"LocalGate", {"Z", "W1", "b1", "W2", "b2"}, {}, {real("x_scale", 0)}},
    };
    return all;
}

const Signature& signature_of(const std::string& name) {
    const std::vector<Signature>& all = signatures();
    return *std::find_if(all.begin(), all.end(), [&](const Signature& each) { return each.name == name; });
}

}  // namespace edgefer
