# The kernels for every architecture that this nvcc knows of those wanted, and PTX of the newest, which
# drivers compile for what comes after. The runtime is static and looks for a driver when it is
# first used: the module imports on machines that have none.
set(wanted 75 80 86 89 90 100)
execute_process(
    COMMAND ${CMAKE_CUDA_COMPILER} --list-gpu-code
    OUTPUT_VARIABLE known
    COMMAND_ERROR_IS_FATAL ANY)
set(built)
foreach(architecture IN LISTS wanted)
    if(known MATCHES "sm_${architecture}\n")
        list(APPEND built ${architecture})
    endif()
endforeach()
if(NOT built)
    message(FATAL_ERROR "${CMAKE_CUDA_COMPILER} knows none of the architectures ${wanted}: "
                        "expected CUDA 11.8 or newer; MVD_CUDA=OFF builds without it")
endif()
list(GET built -1 newest)
if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES AND NOT DEFINED ENV{CUDAARCHS})
    list(TRANSFORM built APPEND -real OUTPUT_VARIABLE CMAKE_CUDA_ARCHITECTURES)
    list(APPEND CMAKE_CUDA_ARCHITECTURES ${newest}-virtual)
endif()

enable_language(CUDA)
set(CMAKE_CUDA_STANDARD 17)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
file(GLOB MVD_CUDA_SOURCES CONFIGURE_DEPENDS csrc/cuda/*.cu)
add_library(mvd_cuda STATIC ${MVD_CUDA_SOURCES})
set_target_properties(mvd_cuda PROPERTIES CUDA_RUNTIME_LIBRARY Static)
target_link_libraries(mvd_cuda PUBLIC mvd_core)
# Kernels call constexpr functions of csrc/mvd and the standard library.
target_compile_options(mvd_cuda PRIVATE --expt-relaxed-constexpr -Xcompiler=-Wall,-Wextra)
if(MVD_WERROR)
    target_compile_options(mvd_cuda PRIVATE --Werror=all-warnings)
endif()
target_link_libraries(_core PRIVATE mvd_cuda)
target_compile_definitions(_core PRIVATE MVD_WITH_CUDA=1)
list(JOIN CMAKE_CUDA_ARCHITECTURES " " built)
set(MVD_CUDA_SUMMARY "on (nvcc ${CMAKE_CUDA_COMPILER_VERSION} for ${built})")
