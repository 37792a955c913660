#include "signals.hpp"

#include <csignal>
#include <cstdint>
#include <cstring>
#include <ctime>

#include <dlfcn.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "fiber.hpp"
#include "report.hpp"
#include "threads.hpp"

#if !defined(sigev_notify_thread_id)
#define sigev_notify_thread_id _sigev_un._tid
#endif

namespace edgefer::host {
namespace {

constexpr int kSignals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGVTALRM};
constexpr int kCount = sizeof kSignals / sizeof *kSignals;

struct sigaction earlier[kCount];
stack_t earlier_stack;
timer_t timer;
double limit = 0;
alignas(16) unsigned char handler_stack[64 * 1024];

std::uint64_t library_offset(std::uint64_t pc) {
    Dl_info info;
    return dladdr(reinterpret_cast<void*>(pc), &info) != 0 ? pc - reinterpret_cast<std::uint64_t>(info.dli_fbase) : 0;
}

void put_back(int signal) {
    for (int index = 0; index < kCount; ++index) {
        if (kSignals[index] == signal) {
            sigaction(signal, &earlier[index], nullptr);
        }
    }
}

void handle(int signal, siginfo_t* info, void* context) {
    if (!in_thread && signal != SIGVTALRM) {
        put_back(signal);  // not the kernel's: the instruction runs again and goes to whoever had the signal before
        return;
    }
    const auto& machine = static_cast<const ucontext_t*>(context)->uc_mcontext;
#if defined(__x86_64__)
    const auto pc = static_cast<std::uint64_t>(machine.gregs[REG_RIP]);
    const int access = signal == SIGSEGV ? static_cast<int>((machine.gregs[REG_ERR] >> 1) & 1) : -1;
#elif defined(__aarch64__)
    const std::uint64_t pc = machine.pc;
    const int access = -1;
#else
    static_cast<void>(machine);
    const std::uint64_t pc = 0;
    const int access = -1;
#endif
    const Site nowhere{nullptr, 0};
    if (signal == SIGVTALRM) {
        record(kTimeout, nowhere, "the launch took more than %g s of processor time", limit);
        if (!in_thread) {
            return;
        }
    } else if (signal == SIGSEGV || signal == SIGBUS) {
        const int stack = overflowed(info->si_addr);
        const bool general = signal == SIGSEGV && info->si_code == SI_KERNEL;
        if (stack >= 0) {
            record(kHost, nowhere, "the stack of thread %d, %zu bytes, is too small", stack, kStackBytes);
        } else if (general) {
            record(kMisaligned, nowhere, "an access of 16 bytes at an address that is not a multiple of 16");
        } else {
            record(kOutOfBounds, nowhere, "at %p", info->si_addr);
        }
        report->address = reinterpret_cast<std::uint64_t>(info->si_addr);
    } else {
        record(kUndefined, nowhere, "%s", strsignal(signal));
    }
    if (probed.file != nullptr) {
        report->file = probed.file;
        report->line = probed.line;
    } else {
        report->pc = library_offset(pc);
    }
    report->access = access;
    leave();
}

}  // namespace

Signals::Signals(double limit_s) {
    stack_t stack{};
    stack.ss_sp = handler_stack;
    stack.ss_size = sizeof handler_stack;
    sigaltstack(&stack, &earlier_stack);
    struct sigaction action {};
    action.sa_sigaction = &handle;
    // The handler does not return to the fiber, so the signal must not stay blocked.
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    for (int index = 0; index < kCount; ++index) {
        sigaction(kSignals[index], &action, &earlier[index]);
    }
    limit = limit_s;
    sigevent event{};
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = SIGVTALRM;
    event.sigev_notify_thread_id = static_cast<pid_t>(syscall(SYS_gettid));
    timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &timer);
    itimerspec time{};
    time.it_value.tv_sec = static_cast<std::time_t>(limit_s);
    time.it_value.tv_nsec = static_cast<long>((limit_s - static_cast<double>(time.it_value.tv_sec)) * 1e9);
    timer_settime(timer, 0, &time, nullptr);
}

Signals::~Signals() {
    timer_delete(timer);
    for (int index = 0; index < kCount; ++index) {
        sigaction(kSignals[index], &earlier[index], nullptr);
    }
    sigaltstack(&earlier_stack, nullptr);
}

}  // namespace edgefer::host
