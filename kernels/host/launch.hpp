// The C interface that Python calls: one launch in, a report out. kernels/tools/library.py mirrors these structures.
#pragma once

#include <cstdint>

extern "C" {

// Memory that the kernel may write, watched for races.
struct edgefer_host_buffer {
    const void* begin;
    std::uint64_t bytes;
};

struct edgefer_host_launch {
    void (*kernel)(const void* parameters);
    const void* parameters;
    const edgefer_host_buffer* buffers;
    std::uint64_t shared_bytes;
    std::uint64_t seed;
    double limit_s;  // of processor time, for the launch
    std::uint32_t grid[3];
    std::uint32_t block;
    std::uint32_t buffer_count;
    std::int32_t schedule;  // 0 forward, 1 backward, 2 random
    std::int32_t mutant;    // which planted defect is on; 0 is none
};

struct edgefer_host_report {
    std::uint64_t address;   // of an access that faulted
    std::uint64_t pc;        // of the instruction, from the begin of the library; 0 where `file` says it
    std::uint64_t other_pc;  // of the other access of a race
    const char* file;
    std::int32_t line;
    std::int32_t kind;    // edgefer::host::Kind; 0 where nothing is wrong
    std::int32_t thread;  // -1 where it is of the whole block
    std::int32_t access;  // 0 read, 1 write, -1 unknown
    std::uint32_t block[3];
    char message[512];
};

// An entry of the library; the table ends with a null name.
struct edgefer_host_entry {
    const char* name;
    void (*kernel)(const void* parameters);
    std::uint64_t parameter_bytes;
};

// In every library; made by kernels/tools/sources.py.
extern __attribute__((visibility("default"))) const edgefer_host_entry edgefer_host_entries[];

// Whether device code came by a planted defect, on or off, by its number; for Python to read and to clear.
constexpr int kEdgeferMutants = 4096;
extern __attribute__((visibility("default"))) unsigned char edgefer_host_reached[kEdgeferMutants];

// Runs all blocks of a launch, or until something is wrong. Not reentrant: one launch at a time in a library.
__attribute__((visibility("default"))) void edgefer_host_run(const edgefer_host_launch* launch,
                                                             edgefer_host_report* report);
}
