#include "log.hpp"

#include <atomic>
#include <cstdio>

namespace edgefer {
namespace {

std::atomic<nvinfer1::ILoggerFinder*> logger_finder{nullptr};

nvinfer1::ILogger* logger() {
    nvinfer1::ILoggerFinder* finder = logger_finder.load();
    return finder == nullptr ? nullptr : finder->findLogger();
}

}  // namespace

void set_logger_finder(nvinfer1::ILoggerFinder* finder) { logger_finder.store(finder); }

void log_error(const std::string& message) noexcept {
    const std::string text = "edgefer: " + message;
    if (nvinfer1::ILogger* found = logger()) {
        found->log(nvinfer1::ILogger::Severity::kERROR, text.c_str());
    } else {
        std::fprintf(stderr, "%s\n", text.c_str());
    }
}

}  // namespace edgefer
