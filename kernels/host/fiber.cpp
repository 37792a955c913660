#include "fiber.hpp"

#include <cstdint>

#include <sys/mman.h>
#include <unistd.h>

namespace edgefer::host {
namespace {

unsigned char* memory = nullptr;
unsigned int prepared = 0;
std::size_t page = 0;

std::size_t stride() { return kStackBytes + page; }

}  // namespace

unsigned char* stacks(unsigned int count) {
    if (count <= prepared) {
        return memory;
    }
    page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    if (memory != nullptr) {
        munmap(memory, prepared * stride());
        memory = nullptr;
        prepared = 0;
    }
    void* mapped = mmap(nullptr, count * stride(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) {
        return nullptr;
    }
    memory = static_cast<unsigned char*>(mapped);
    prepared = count;
    for (unsigned int index = 0; index < count; ++index) {
        if (mprotect(memory + index * stride(), page, PROT_NONE) != 0) {
            return nullptr;
        }
    }
    return memory;
}

int overflowed(const void* address) {
    const auto* byte = static_cast<const unsigned char*>(address);
    if (memory == nullptr || byte < memory || byte >= memory + prepared * stride()) {
        return -1;
    }
    const std::size_t offset = static_cast<std::size_t>(byte - memory);
    return offset % stride() < page ? static_cast<int>(offset / stride()) : -1;
}

#if defined(EDGEFER_UCONTEXT)

void prepare(Fiber& fiber, unsigned int index, void (*function)()) {
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = memory + index * stride() + page;
    fiber.context.uc_stack.ss_size = kStackBytes;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, function, 0);
}

void switch_fiber(Fiber& from, Fiber& to) { swapcontext(&from.context, &to.context); }

#else

extern "C" __attribute__((visibility("hidden"))) void edgefer_host_switch(void** from, void* to);

asm(R"(
    .pushsection .text
    .globl edgefer_host_switch
    .hidden edgefer_host_switch
    .type edgefer_host_switch, @function
edgefer_host_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size edgefer_host_switch, . - edgefer_host_switch
    .popsection
)");

// What the switch pops: six registers and where it returns to. Above it a zero in place of a return address, which
// leaves the stack aligned as at the begin of any function.
void prepare(Fiber& fiber, unsigned int index, void (*function)()) {
    auto* top = reinterpret_cast<std::uint64_t*>(memory + (index + 1) * stride());
    *--top = 0;
    *--top = reinterpret_cast<std::uint64_t>(function);
    for (int saved = 0; saved < 6; ++saved) {
        *--top = 0;
    }
    fiber.stack_pointer = top;
}

void switch_fiber(Fiber& from, Fiber& to) { edgefer_host_switch(&from.stack_pointer, to.stack_pointer); }

#endif

}  // namespace edgefer::host
