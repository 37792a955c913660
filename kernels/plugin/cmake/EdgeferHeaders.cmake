# Finds the target's own TensorRT and CUDA driver headers and says where it looked when there are none.
#
#   TENSORRT_ROOT             a TensorRT unpacked from an archive (also as an environment variable)
#   EDGEFER_TENSORRT_INCLUDE  the folder of NvInfer.h (also as an environment variable)
#   EDGEFER_TENSORRT_LIBRARY  libnvinfer.so, for libedgefer_plugins_autoregister.so
#   EDGEFER_CUDA_INCLUDE      the folder of cuda.h

set(EDGEFER_PLACES "")
foreach(root "${TENSORRT_ROOT}" "$ENV{TENSORRT_ROOT}")
    if(root)
        list(APPEND EDGEFER_PLACES "${root}/include")
    endif()
endforeach()
# JetPack and Debian packages, containers, archives unpacked where their guide says.
list(APPEND EDGEFER_PLACES
    /usr/include/${CMAKE_SYSTEM_PROCESSOR}-linux-gnu /usr/include /usr/local/tensorrt/include /usr/src/tensorrt/include
    /opt/tensorrt/include)

if(NOT DEFINED EDGEFER_TENSORRT_INCLUDE AND DEFINED ENV{EDGEFER_TENSORRT_INCLUDE})
    set(EDGEFER_TENSORRT_INCLUDE "$ENV{EDGEFER_TENSORRT_INCLUDE}")
endif()
if(NOT DEFINED EDGEFER_TENSORRT_INCLUDE)
    find_path(EDGEFER_TENSORRT_INCLUDE NvInfer.h PATHS ${EDGEFER_PLACES} NO_DEFAULT_PATH)
endif()
if(NOT EXISTS "${EDGEFER_TENSORRT_INCLUDE}/NvInfer.h")
    if(EDGEFER_TENSORRT_INCLUDE)
        set(EDGEFER_PLACES "${EDGEFER_TENSORRT_INCLUDE}")
    endif()
    string(REPLACE ";" "\n    " places "${EDGEFER_PLACES}")
    unset(EDGEFER_TENSORRT_INCLUDE CACHE)
    message(FATAL_ERROR
        "There are no TensorRT headers: NvInfer.h is in none of\n    ${places}\n"
        "On a Jetson: sudo apt install libnvinfer-headers-dev libnvinfer-dev. "
        "Elsewhere: -DTENSORRT_ROOT=FOLDER of an unpacked TensorRT, or -DEDGEFER_TENSORRT_INCLUDE=FOLDER of NvInfer.h. "
        "edgefer's Python plugins need no headers.")
endif()
file(STRINGS "${EDGEFER_TENSORRT_INCLUDE}/NvInferRuntime.h" EDGEFER_HAS_V3 REGEX "class IPluginV3OneRuntime" LIMIT_COUNT 1)
if(NOT EDGEFER_HAS_V3)
    message(FATAL_ERROR
        "The TensorRT headers in ${EDGEFER_TENSORRT_INCLUDE} have no IPluginV3: they are of a TensorRT before 10, "
        "and edgefer needs 10.3 or later.")
endif()

if(NOT DEFINED EDGEFER_TENSORRT_LIBRARY)
    get_filename_component(beside "${EDGEFER_TENSORRT_INCLUDE}" DIRECTORY)
    find_library(EDGEFER_TENSORRT_LIBRARY nvinfer
        PATHS "${beside}/lib" "${beside}/lib/${CMAKE_SYSTEM_PROCESSOR}-linux-gnu"
            /usr/lib/${CMAKE_SYSTEM_PROCESSOR}-linux-gnu
        NO_DEFAULT_PATH)
endif()

if(NOT DEFINED EDGEFER_CUDA_INCLUDE)
    find_path(EDGEFER_CUDA_INCLUDE cuda.h
        PATHS "$ENV{CUDA_HOME}/include" /usr/local/cuda/include
            /usr/local/cuda/targets/${CMAKE_SYSTEM_PROCESSOR}-linux/include /usr/include
        NO_DEFAULT_PATH)
endif()
if(NOT EXISTS "${EDGEFER_CUDA_INCLUDE}/cuda.h" OR NOT EXISTS "${EDGEFER_CUDA_INCLUDE}/cuda_runtime_api.h")
    unset(EDGEFER_CUDA_INCLUDE CACHE)
    message(FATAL_ERROR
        "There are no CUDA headers: cuda.h and cuda_runtime_api.h, which TensorRT's headers include, are not in "
        "$CUDA_HOME/include or /usr/local/cuda/include. On a Jetson: sudo apt install cuda-toolkit. "
        "Elsewhere: -DEDGEFER_CUDA_INCLUDE=FOLDER.")
endif()
message(STATUS "TensorRT headers: ${EDGEFER_TENSORRT_INCLUDE}")
message(STATUS "CUDA headers: ${EDGEFER_CUDA_INCLUDE}")
