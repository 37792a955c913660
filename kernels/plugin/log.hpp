// Messages to TensorRT's logger.
#pragma once

#include <NvInferRuntime.h>

#include <exception>
#include <string>

namespace edgefer {

// TensorRT hands over where a thread's logger is found, or null when the library is closed.
void set_logger_finder(nvinfer1::ILoggerFinder* finder);

// To the logger of the engine or builder that called, or to standard error where nobody said which it is.
void log_error(const std::string& message) noexcept;

// The result of `work()`, or `failed` and a message in the log: no exception may reach TensorRT.
template <class Result, class Work>
Result guarded(Result failed, const char* where, const Work& work) noexcept {
    try {
        return work();
    } catch (const std::exception& error) {
        log_error(std::string(where) + ": " + error.what());
    } catch (...) {
        log_error(std::string(where) + ": unknown error");
    }
    return failed;
}

}  // namespace edgefer
