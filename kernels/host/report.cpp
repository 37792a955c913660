#include "report.hpp"

#include <cstdarg>
#include <cstdio>

namespace edgefer::host {

edgefer_host_report* report = nullptr;
Site probed{nullptr, 0};

void record(Kind kind, Site site, const char* format, ...) {
    if (report->kind != kNone) {
        return;
    }
    report->kind = kind;
    report->file = site.file;
    report->line = site.line;
    report->access = -1;
    report->thread = in_thread ? static_cast<int>(thread_index.x) : -1;
    report->block[0] = block_index.x;
    report->block[1] = block_index.y;
    report->block[2] = block_index.z;
    std::va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(report->message, sizeof report->message, format, arguments);
    va_end(arguments);
}

}  // namespace edgefer::host
