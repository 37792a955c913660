// Weights beside a map, in the names of entries and in what is refused: shared by the plans.
#pragma once

#include <string>

#include "form.hpp"
#include "plan.hpp"

namespace edgefer {

inline std::string suffix_of(Element weights) { return weights == Element::kF32 ? "w32" : "w16"; }

// As in the names of entries: `f16h`, `i8c_w16`.
inline std::string code_of(const Form& form, Element weights) {
    return form.element == Element::kI8 ? form.code() + "_" + suffix_of(weights) : form.code();
}

// Why a map of so many channels beside such weights has no entry, or "": weights are of the map's own type, or of
// either where it is INT8.
inline std::string form_problem(const Form& form, int64_t channels, Element weights) {
    if (!form.takes(channels)) {
        return std::to_string(channels) + " channels, " + form.code() + " takes multiples of " +
               std::to_string(form.channel_multiple());
    }
    const bool is_int8 = form.element == Element::kI8;
    if (is_int8 ? weights == Element::kI8 : weights != form.element) {
        return std::string("weights ") + name_of(weights) + " beside " + form.code() + ", expected " +
               (is_int8 ? "f32 or f16" : name_of(form.element));
    }
    return "";
}

// The value of one step of a map: `scale` where it is INT8, else 1.
//
// Throws Failure: an INT8 map has no scale.
inline float step_of(const Form& form, float scale, const char* name) {
    if (form.element != Element::kI8) {
        return 1.0f;
    }
    if (!(scale > 0.0f)) {
        throw Failure(std::string(name) + " is " + std::to_string(scale) + " for an INT8 map");
    }
    return scale;
}

}  // namespace edgefer
