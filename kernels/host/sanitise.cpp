// What g++ -fsanitize=alignment,bounds,... calls on undefined behaviour, in place of its own library, which would print
// and end the process. Every handler's first argument begins with the place in the source (GCC, libsanitizer's public
// interface between compiler and library); the others are the values, which differ by handler and are not needed.
#include <cstdint>

#include "report.hpp"

namespace {

struct Location {
    const char* file;
    std::uint32_t line;
    std::uint32_t column;
};

[[noreturn]] void undefined(edgefer::host::Kind kind, const Location* where, const char* what) {
    edgefer::host::record(kind, {where->file, static_cast<int>(where->line)}, "%s", what);
    edgefer::host::leave();
}

}  // namespace

#define EDGEFER_HANDLER(name, kind, what)                                                          \
    extern "C" __attribute__((visibility("hidden"))) void __ubsan_handle_##name##_abort(           \
        const Location* where, std::uintptr_t, std::uintptr_t) {                                   \
        undefined(edgefer::host::kind, where, what);                                               \
    }

EDGEFER_HANDLER(type_mismatch_v1, kMisaligned, "an access at an address that its type's alignment forbids")
EDGEFER_HANDLER(out_of_bounds, kOutOfBounds, "an index beyond an array")
EDGEFER_HANDLER(shift_out_of_bounds, kUndefined, "a shift by more bits than there are")
EDGEFER_HANDLER(divrem_overflow, kUndefined, "a division by zero")
EDGEFER_HANDLER(add_overflow, kUndefined, "a sum beyond its type")
EDGEFER_HANDLER(sub_overflow, kUndefined, "a difference beyond its type")
EDGEFER_HANDLER(mul_overflow, kUndefined, "a product beyond its type")
EDGEFER_HANDLER(negate_overflow, kUndefined, "a negation beyond its type")
