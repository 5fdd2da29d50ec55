// The CUDA operations, for memory that Python owns: torch tensors on a GPU, by address. Shapes and
// dtypes are checked in device_core.py, which knows the tensors; nothing here looks at memory.
//
// Both modules have the same functions. `emulated` runs the kernels on the calling thread, on host
// memory, for tests; `cuda` is there in a build with CUDA.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <array>

#include "bind/bind.hpp"
#include "cuda/devices.hpp"
#include "cuda/operations.hpp"
#include "mvd/error.hpp"

namespace mvd::bind {

namespace {

using Address = std::uintptr_t;
using Edges = std::array<std::int64_t, 4>;  // B, X, Y, Z

template <typename T>
T* at(Address address) {
    return reinterpret_cast<T*>(address);
}

GridShape shape_of(const Edges& edges) { return {edges[0], edges[1], edges[2], edges[3]}; }

template <typename Queue>
void bind_packed(py::module_& module) {
    using Release = py::call_guard<py::gil_scoped_release>;
    module.def(
        "pack",
        [](Queue queue, Address dense, Address packed, Edges shape) {
            cuda::pack(queue, at<const std::uint8_t>(dense), at<Word>(packed), shape_of(shape));
        },
        Release());
    module.def(
        "unpack",
        [](Queue queue, Address packed, Address dense, Edges shape) {
            cuda::unpack(queue, at<const Word>(packed), at<std::uint8_t>(dense), shape_of(shape));
        },
        Release());
    module.def(
        "mirror",
        [](Queue queue, Address packed, Address mirrored, Edges shape, int axis) {
            cuda::mirror(queue, at<const Word>(packed), at<Word>(mirrored), shape_of(shape), axis);
        },
        Release());
    module.def(
        "pool",
        [](Queue queue, Address packed, Address pooled, Edges shape, std::int64_t factor,
           const std::string& rule) {
            cuda::pool(queue, at<const Word>(packed), at<Word>(pooled), shape_of(shape), factor,
                       pool_rule(rule));
        },
        Release());
    module.def(
        "upsample_nearest",
        [](Queue queue, Address packed, Address upsampled, Edges shape, std::int64_t factor) {
            cuda::upsample_nearest(queue, at<const Word>(packed), at<Word>(upsampled),
                                   shape_of(shape), factor);
        },
        Release());
    module.def(
        "dilate",
        [](Queue queue, Address packed, Address dilated, Edges shape, std::int64_t steps,
           Address workspace) {
            cuda::dilate(queue, at<const Word>(packed), at<Word>(dilated), shape_of(shape), steps,
                         at<Word>(workspace));
        },
        Release());
    module.def(
        "iou",
        [](Queue queue, Address a, Address b, Address scores, Edges shape, Address workspace) {
            cuda::iou(queue, at<const Word>(a), at<const Word>(b), at<double>(scores),
                      shape_of(shape), at<std::uint64_t>(workspace));
        },
        Release());
}

template <typename Queue>
void bind_views(py::module_& module) {
    using Release = py::call_guard<py::gil_scoped_release>;
    module.def(
        "extract_odms",
        [](Queue queue, Address packed, Address odms, Edges shape) {
            cuda::extract_odms(queue, at<const Word>(packed), at<Depth>(odms), shape_of(shape));
        },
        Release());
    module.def(
        "project_odms",
        [](Queue queue, Address odms, Address packed, Edges shape, int votes) {
            cuda::project_odms(queue, at<const Depth>(odms), at<Word>(packed), shape_of(shape),
                               votes);
        },
        Release());
    module.def(
        "smooth_odms",
        [](Queue queue, Address odms, Address smoothed, std::int64_t batch, std::int64_t n,
           double threshold, int window) {
            cuda::smooth_odms(queue, at<const Depth>(odms), at<Depth>(smoothed), batch, n,
                              threshold, window);
        },
        Release());
    module.def(
        "carve",
        [](Queue queue, Address low, Address odms, Address fine, Edges low_shape,
           std::int64_t scale, int votes, std::int64_t begin, std::int64_t end) {
            cuda::carve(queue, at<const Word>(low), at<const Depth>(odms), at<Word>(fine),
                        shape_of(low_shape), scale, votes, begin, end);
        },
        Release());
    module.def(
        "soft_rank",
        [](Queue queue, Address coverage, Address levels, std::int64_t count, Address trilinear,
           Address kept, Address neighbours, Address before, Address fine, Edges low_shape,
           std::int64_t scale) {
            cuda::soft_rank(queue, at<const Coverage>(coverage), at<const Depth>(levels), count,
                            SoftScores{at<const Score>(trilinear), at<const Score>(kept),
                                       at<const Score>(neighbours)},
                            at<const Word>(before), at<Word>(fine), shape_of(low_shape), scale);
        },
        Release());
}

template <typename Queue>
void bind_meshes(py::module_& module) {
    module.def(
        "voxelize_surface",
        [](Queue queue, Address vertices, std::int64_t vertex_count, Address faces,
           std::int64_t face_count, Address packed, Edges shape, Address counts,
           Address workspace) {
            cuda::voxelize_surface(queue, at<const double>(vertices), vertex_count,
                                   at<const std::int64_t>(faces), face_count, at<Word>(packed),
                                   shape_of(shape), at<std::uint64_t>(counts),
                                   at<std::uint64_t>(workspace));
        },
        py::call_guard<py::gil_scoped_release>());
}

template <typename Queue>
void bind_operations(py::module_& module) {
    bind_packed<Queue>(module);
    bind_views<Queue>(module);
    bind_meshes<Queue>(module);
}

#if MVD_WITH_CUDA

// (name, major, minor) of each device.
py::list list_devices() {
    py::list rows;
    for (const cuda::Device& device : cuda::devices()) {
        rows.append(py::make_tuple(device.name, device.major, device.minor));
    }
    return rows;
}

#endif

}  // namespace

void bind_device(py::module_& module) {
    py::register_exception<DeviceError>(module, "DeviceError", PyExc_RuntimeError);
    py::module_ emulated = module.def_submodule("emulated", "The CUDA kernels, run on the CPU");
    py::class_<cuda::Emulation>(emulated, "Queue").def(py::init<>());
    bind_operations<cuda::Emulation>(emulated);
#if MVD_WITH_CUDA
    py::module_ device = module.def_submodule("cuda", "The CUDA operations");
    py::class_<cuda::Stream>(device, "Queue").def(py::init([](int index, Address stream) {
        return cuda::Stream{index, stream};
    }));
    bind_operations<cuda::Stream>(device);
    device.def("devices", &list_devices);
#endif
}

}  // namespace mvd::bind
