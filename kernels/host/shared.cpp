#include "shared.hpp"

#include <algorithm>
#include <cstring>

#include <sys/mman.h>
#include <unistd.h>

#include "block.hpp"

namespace edgefer::host {

unsigned char* shared_begin = nullptr;
unsigned char* shared_end = nullptr;

namespace {

unsigned char* mapping = nullptr;  // one page that faults, `usable` bytes, one page that faults
std::size_t usable = 0;
std::size_t page = 0;

unsigned char* usable_begin() { return mapping + page; }
unsigned char* usable_end() { return mapping + page + usable; }

}  // namespace

bool map_shared(std::size_t bytes) {
    page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    const std::size_t wanted = (bytes + page - 1) / page * page;
    if (mapping == nullptr || wanted != usable) {
        if (mapping != nullptr) {
            munmap(mapping, usable + 2 * page);
            mapping = nullptr;
        }
        void* mapped = mmap(nullptr, wanted + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (mapped == MAP_FAILED) {
            return false;
        }
        mapping = static_cast<unsigned char*>(mapped);
        usable = wanted;
        if (usable > 0 && mprotect(usable_begin(), usable, PROT_READ | PROT_WRITE) != 0) {
            return false;
        }
    }
    shared_begin = usable_end() - (bytes + 15) / 16 * 16;
    shared_end = shared_begin + bytes;
    return true;
}

void poison_shared() { std::memset(usable_begin(), 0xFF, usable); }

bool shared_overrun() {
    const auto untouched = [](unsigned char byte) { return byte == 0xFF; };
    return !std::all_of(usable_begin(), shared_begin, untouched) || !std::all_of(shared_end, usable_end(), untouched);
}

}  // namespace edgefer::host
