// Plans of the C++ library as text: a line of words in, a line of words out. The words are an operation, the GPU
// (multiprocessors, shared bytes), and the fields of its node in order; an element is f32, f16, i8, or - for none.
//
//   unsupported REASON | refused | plan WORKSPACE PARAMETERS ENTRY X Y Z BLOCK SHARED ENTRY ...
//
// where PARAMETERS are the bytes of the structure in hexadecimal digits.
#include <cstdio>
#include <iostream>
#include <sstream>
#include <string>

#include "plan_cbam.hpp"
#include "plan_channel_gate.hpp"
#include "plan_gated_fusion.hpp"
#include "plan_gated_pool.hpp"
#include "plan_local_gate.hpp"

namespace {

using namespace edgefer;

class Words {
public:
    explicit Words(const std::string& line) : stream_(line) {}

    std::string word() {
        std::string word;
        if (!(stream_ >> word)) {
            throw std::runtime_error("too few words");
        }
        return word;
    }
    int64_t whole() { return std::stoll(word()); }
    bool truth() { return whole() != 0; }
    float real() { return std::stof(word()); }
    std::vector<int64_t> shape() { return {whole(), whole(), whole(), whole()}; }
    std::optional<Element> maybe_element() {
        const std::string name = word();
        return name == "-"     ? std::nullopt
               : name == "f32" ? std::optional(Element::kF32)
               : name == "f16" ? std::optional(Element::kF16)
                               : std::optional(Element::kI8);
    }
    Element element() { return maybe_element().value(); }
    Form form() {
        const Element kind = element();
        const std::string name = word();
        return {kind, name == "linear" ? Layout::kLinear : name == "hwc" ? Layout::kHwc : Layout::kChw32};
    }
    GateSizes sizes() { return {shape(), whole()}; }
    GateForms forms() { return {form(), form(), element()}; }

private:
    std::istringstream stream_;
};

template <class Node>
void answer(const Node& node, const Gpu& gpu) {
    const std::string reason = unsupported(node);
    if (!reason.empty()) {
        std::printf("unsupported %s\n", reason.c_str());
        return;
    }
    try {
        const auto found = plan(node, gpu);
        std::printf("plan %lld ", static_cast<long long>(found.workspace_bytes));
        const auto* bytes = reinterpret_cast<const unsigned char*>(&found.parameters);
        for (std::size_t index = 0; index < sizeof(found.parameters); ++index) {
            std::printf("%02x", bytes[index]);
        }
        for (const Launch& launch : found.launches) {
            std::printf(" %s", launch.entry.c_str());
            for (const int64_t number :
                 {launch.grid[0], launch.grid[1], launch.grid[2], launch.block, launch.shared_bytes}) {
                std::printf(" %lld", static_cast<long long>(number));
            }
        }
        std::printf("\n");
    } catch (const Failure&) {
        std::printf("refused\n");
    }
}

// Braces evaluate their parts from left to right.
void answer(Words words) {
    const std::string operation = words.word();
    Gpu gpu{8, 7, 0, 0};
    gpu.multiprocessors = static_cast<int>(words.whole());
    gpu.shared_bytes = words.whole();
    if (operation == "gated_pool") {
        answer(GatedPool{words.shape(), words.form(), words.element(), words.truth(), words.real()}, gpu);
    } else if (operation == "gated_fusion") {
        answer(GatedFusion{words.shape(), words.shape(), words.form(), words.element(), words.maybe_element(),
                           words.truth(), words.truth(), words.truth(), words.real(), words.real()},
               gpu);
    } else if (operation == "local_gate") {
        answer(LocalGate{words.shape(), words.whole(), words.form(), words.element(), words.real()}, gpu);
    } else if (operation == "cbam") {
        answer(Cbam{words.sizes(), words.forms(), words.whole(), words.truth(), words.truth(), words.real(),
                    words.real(), words.real()},
               gpu);
    } else if (operation == "channel_gate") {
        answer(ChannelGate{words.sizes(), words.forms(), words.word(), words.real(), words.real(), words.real(),
                           words.real()},
               gpu);
    } else {
        throw std::runtime_error("no operation " + operation);
    }
}

}  // namespace

int main() {
    std::string line;
    while (std::getline(std::cin, line)) {
        answer(Words(line));
    }
    return 0;
}
