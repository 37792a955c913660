// Signals that a kernel causes become reports, and the process lives on.
#pragma once

namespace edgefer::host {

// While it lives, faults of memory, traps and the time limit (seconds of this thread's processor time) end the launch.
class Signals {
public:
    explicit Signals(double limit_s);
    ~Signals();
    Signals(const Signals&) = delete;
    Signals& operator=(const Signals&) = delete;
};

}  // namespace edgefer::host
