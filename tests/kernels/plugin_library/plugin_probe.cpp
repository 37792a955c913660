// Uses libedgefer_plugins.so as TensorRT does, as told on standard input; answers are lines on standard output, among
// them what the library logs ("log ...") and what the driver of fake_cuda.c is asked for.
//
//   creators                               a line for each: namespace name version, and its fields
//   create OPERATOR PHASE COUNT            from COUNT lines "TYPE NAME LENGTH VALUE..." (TYPE i, f, c or d)
//   clone | attach                         go on with what they return
//   fields                                 what an engine would store, as hexadecimal digits
//   tensors INPUTS                         lines "TYPE FORMAT SIZE..." of the inputs and of the output
//   supports POSITION | type | configure | workspace LEAST MOST | shapes | enqueue BATCH
#include <NvInferRuntime.h>
#include <dlfcn.h>

#include <cstdio>
#include <cstring>
#include <deque>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

using namespace nvinfer1;

namespace {

class Logger final : public ILogger {
    void log(Severity severity, const char* message) noexcept override {
        std::printf("log %d %s\n", static_cast<int>(severity), message);
    }
};

class Finder final : public ILoggerFinder {
    ILogger* findLogger() override { return &logger_; }
    Logger logger_;
};

// Numbers by name, because releases number some of them differently.
DataType type_of(const std::string& name) {
    return name == "FLOAT"  ? DataType::kFLOAT
           : name == "HALF" ? DataType::kHALF
           : name == "INT8" ? DataType::kINT8
                            : DataType::kINT32;
}

TensorFormat format_of(const std::string& name) {
    return name == "LINEAR"  ? TensorFormat::kLINEAR
           : name == "HWC"   ? TensorFormat::kHWC
           : name == "HWC8"  ? TensorFormat::kHWC8
           : name == "CHW32" ? TensorFormat::kCHW32
                             : TensorFormat::kCHW4;
}

const char* name_of(DataType type) {
    return type == DataType::kFLOAT  ? "FLOAT"
           : type == DataType::kHALF ? "HALF"
           : type == DataType::kINT8 ? "INT8"
                                     : "other";
}

const char* name_of(PluginFieldType type) {
    return type == PluginFieldType::kINT32     ? "int32"
           : type == PluginFieldType::kFLOAT32 ? "float32"
           : type == PluginFieldType::kCHAR    ? "char"
                                               : "other";
}

void print(const PluginFieldCollection& collection) {
    for (int32_t index = 0; index < collection.nbFields; ++index) {
        const PluginField& field = collection.fields[index];
        const int bytes = field.length * (field.type == PluginFieldType::kCHAR ? 1 : 4);
        std::printf(" %s:%s:%d:", field.name, name_of(field.type), field.length);
        for (int byte = 0; byte < bytes; ++byte) {
            std::printf("%02x", static_cast<const unsigned char*>(field.data)[byte]);
        }
    }
    std::printf("\n");
}

// Fields with the memory that they point into.
class Given {
public:
    void add(std::istringstream words) {
        std::string type, name;
        int length = 0;
        words >> type >> name >> length;
        names_.push_back(name);
        std::string& bytes = contents_.emplace_back();
        if (type == "c") {
            std::getline(words >> std::ws, bytes);
            bytes.push_back('\0');
            length = static_cast<int>(bytes.size());
        } else {
            std::string word;
            while (words >> word) {
                append(bytes, type, word);
            }
        }
        fields_.emplace_back(names_.back().c_str(), bytes.data(), kind(type), length);
    }
    PluginFieldCollection collection() const { return {static_cast<int32_t>(fields_.size()), fields_.data()}; }

private:
    static PluginFieldType kind(const std::string& type) {
        return type == "i"   ? PluginFieldType::kINT32
               : type == "f" ? PluginFieldType::kFLOAT32
               : type == "c" ? PluginFieldType::kCHAR
                             : PluginFieldType::kFLOAT64;
    }
    static void append(std::string& bytes, const std::string& type, const std::string& word) {
        const int32_t whole = type == "i" ? std::stoi(word) : 0;
        const float real = std::stof(word);
        const double twice = real;
        const void* number = type == "i"   ? static_cast<const void*>(&whole)
                             : type == "f" ? static_cast<const void*>(&real)
                                           : static_cast<const void*>(&twice);
        bytes.append(static_cast<const char*>(number), type == "d" ? 8 : 4);
    }

    std::deque<std::string> names_, contents_;
    std::vector<PluginField> fields_;
};

class Probe {
public:
    Probe(IPluginCreatorInterface* const* creators, int32_t count) {
        for (int32_t index = 0; index < count; ++index) {
            creators_.push_back(static_cast<IPluginCreatorV3One*>(creators[index]));
        }
    }

    void creators() {
        for (IPluginCreatorV3One* creator : creators_) {
            std::printf("%s %s %s", creator->getPluginNamespace(), creator->getPluginName(),
                        creator->getPluginVersion());
            print(*creator->getFieldNames());
        }
    }

    void create(std::istringstream& words) {
        std::string name, phase, line;
        int count = 0;
        words >> name >> phase >> count;
        Given given;
        for (int index = 0; index < count; ++index) {
            std::getline(std::cin, line);
            given.add(std::istringstream(line));
        }
        const PluginFieldCollection collection = given.collection();
        plugin_ = nullptr;
        for (IPluginCreatorV3One* creator : creators_) {
            if (name == creator->getPluginName()) {
                plugin_ = creator->createPlugin("node", &collection,
                                                phase == "build" ? TensorRTPhase::kBUILD : TensorRTPhase::kRUNTIME);
            }
        }
        std::printf("%s\n", plugin_ == nullptr ? "none" : core()->getPluginName());
    }

    void clone() {
        IPluginV3* cloned = plugin_->clone();
        delete plugin_;
        plugin_ = cloned;
    }

    void attach() {
        IPluginV3* attached = runtime()->attachToContext(nullptr);
        std::printf("%s\n", attached == nullptr ? "none" : "attached");
        if (attached != nullptr) {
            delete plugin_;
            plugin_ = attached;
        }
    }

    void fields() { print(*runtime()->getFieldsToSerialize()); }

    void tensors(std::istringstream& words) {
        words >> inputs_;
        tensors_.clear();
        for (int index = 0; index <= inputs_; ++index) {
            std::string line, type, format;
            std::getline(std::cin, line);
            std::istringstream parts(line);
            parts >> type >> format;
            DynamicPluginTensorDesc tensor{};
            tensor.desc.type = type_of(type);
            tensor.desc.format = format_of(format);
            while (parts >> tensor.desc.dims.d[tensor.desc.dims.nbDims]) {
                ++tensor.desc.dims.nbDims;
            }
            tensor.min = tensor.max = tensor.opt = tensor.desc.dims;
            tensors_.push_back(tensor);
        }
    }

    void supports(std::istringstream& words) {
        int position = 0;
        words >> position;
        std::printf("%d\n", build()->supportsFormatCombination(position, tensors_.data(), inputs_, 1));
    }

    void type() {
        std::vector<DataType> types;
        for (int index = 0; index < inputs_; ++index) {
            types.push_back(tensors_[index].desc.type);
        }
        DataType output = DataType::kBOOL;
        const int32_t status = build()->getOutputDataTypes(&output, 1, types.data(), inputs_);
        std::printf("%s\n", status == 0 ? name_of(output) : "failed");
    }

    void configure() { std::printf("%d\n", build()->configurePlugin(tensors_.data(), inputs_, &tensors_.back(), 1)); }

    void workspace(std::istringstream& words) {
        words >> tensors_[0].min.d[0] >> tensors_[0].max.d[0];
        const std::size_t bytes = build()->getWorkspaceSize(tensors_.data(), inputs_, &tensors_.back(), 1);
        std::printf("%zu\n", bytes);
    }

    void shapes() {
        const std::vector<PluginTensorDesc> all = descriptions();
        std::printf("%d\n", runtime()->onShapeChange(all.data(), inputs_, &all.back(), 1));
    }

    // Input i lies at 4096 (i + 1), the output at 0x900000, the workspace at 0xa00000, the stream is number 7.
    void enqueue(std::istringstream& words) {
        int64_t batch = 0;
        words >> batch;
        std::vector<PluginTensorDesc> all = descriptions();
        for (PluginTensorDesc& each : all) {
            if (each.dims.d[0] == all[0].dims.d[0]) {
                each.dims.d[0] = batch;
            }
        }
        std::vector<const void*> inputs;
        for (int index = 0; index < inputs_; ++index) {
            inputs.push_back(reinterpret_cast<const void*>(4096L * (index + 1)));
        }
        void* output = reinterpret_cast<void*>(0x900000);
        const int32_t status = runtime()->enqueue(all.data(), &all.back(), inputs.data(), &output,
                                                  reinterpret_cast<void*>(0xa00000), reinterpret_cast<cudaStream_t>(7));
        std::printf("enqueued %d\n", status);
    }

    bool has_plugin() const { return plugin_ != nullptr; }

private:
    IPluginV3OneCore* core() { return capability<IPluginV3OneCore>(PluginCapabilityType::kCORE); }
    IPluginV3OneBuild* build() { return capability<IPluginV3OneBuild>(PluginCapabilityType::kBUILD); }
    IPluginV3OneRuntime* runtime() { return capability<IPluginV3OneRuntime>(PluginCapabilityType::kRUNTIME); }

    template <class Capability>
    Capability* capability(PluginCapabilityType type) {
        return static_cast<Capability*>(plugin_->getCapabilityInterface(type));
    }

    std::vector<PluginTensorDesc> descriptions() const {
        std::vector<PluginTensorDesc> all;
        for (const DynamicPluginTensorDesc& each : tensors_) {
            all.push_back(each.desc);
        }
        return all;
    }

    std::vector<IPluginCreatorV3One*> creators_;
    IPluginV3* plugin_ = nullptr;
    int inputs_ = 0;
    std::vector<DynamicPluginTensorDesc> tensors_;
};

}  // namespace

int main(int, char** arguments) {
    void* library = dlopen(arguments[1], RTLD_NOW);
    if (library == nullptr) {
        std::printf("%s\n", dlerror());
        return 2;
    }
    static Finder finder;
    reinterpret_cast<void (*)(ILoggerFinder*)>(dlsym(library, "setLoggerFinder"))(&finder);
    int32_t count = 0;
    using GetCreators = IPluginCreatorInterface* const* (*)(int32_t&);
    IPluginCreatorInterface* const* creators = reinterpret_cast<GetCreators>(dlsym(library, "getCreators"))(count);
    Probe probe(creators, count);
    std::string line, command;
    while (std::getline(std::cin, line)) {
        std::istringstream words(line);
        words >> command;
        if (command == "creators") {
            probe.creators();
        } else if (command == "create") {
            probe.create(words);
        } else if (!probe.has_plugin() && command != "tensors") {
            std::printf("no plugin\n");
        } else if (command == "clone") {
            probe.clone();
        } else if (command == "attach") {
            probe.attach();
        } else if (command == "fields") {
            probe.fields();
        } else if (command == "tensors") {
            probe.tensors(words);
        } else if (command == "supports") {
            probe.supports(words);
        } else if (command == "type") {
            probe.type();
        } else if (command == "configure") {
            probe.configure();
        } else if (command == "workspace") {
            probe.workspace(words);
        } else if (command == "shapes") {
            probe.shapes();
        } else if (command == "enqueue") {
            probe.enqueue(words);
        } else {
            std::printf("unknown command %s\n", command.c_str());
        }
        std::fflush(stdout);
    }
    return 0;
}
