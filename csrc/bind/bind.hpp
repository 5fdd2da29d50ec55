// What the binding files share. Functions here check shapes and dtypes, allocate the result,
// release the GIL and call the core: nothing else. Python code reaches them through `ops`, which
// adds and removes the batch axis and turns tensors and VoxelGrids into arrays.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <string>

#include "mvd/bitgrid.hpp"
#include "mvd/error.hpp"
#include "mvd/resample.hpp"

namespace mvd::bind {

namespace py = pybind11;

// Arrays are taken as they are: C order and the exact dtype, never converted behind one's back.
template <typename T>
using Array = py::array_t<T, py::array::c_style>;

// Throws unless `array` has `dims` axes.
inline void check_dims(const py::array& array, py::ssize_t dims, const char* name) {
    if (array.ndim() != dims) {
        throw Error(std::string(name) + ": expected " + std::to_string(dims) + " axes, found " +
                    std::to_string(array.ndim()));
    }
}

// The shape of a (B, X, Y, Z) dense array.
inline GridShape dense_shape(const Array<bool>& dense, const char* name) {
    check_dims(dense, 4, name);
    return {dense.shape(0), dense.shape(1), dense.shape(2), dense.shape(3)};
}

// The shape of a (B, X, Y, W) packed array whose grids are z voxels deep.
inline GridShape packed_shape(const Array<Word>& packed, std::int64_t z, const char* name) {
    check_dims(packed, 4, name);
    const GridShape shape{packed.shape(0), packed.shape(1), packed.shape(2), z};
    if (z < 0 || packed.shape(3) != shape.words()) {
        throw Error(std::string(name) + ": expected " + std::to_string(words_per_line(z)) +
                    " words a line for a depth of " + std::to_string(z) + ", found " +
                    std::to_string(packed.shape(3)));
    }
    return shape;
}

// The same for operations on one grid: the batch holds exactly one.
inline GridShape single_shape(const Array<Word>& packed, std::int64_t z, const char* name) {
    const GridShape shape = packed_shape(packed, z, name);
    if (shape.batch != 1) {
        throw Error(std::string(name) + ": expected one grid, found a batch of " +
                    std::to_string(shape.batch));
    }
    return shape;
}

inline Array<Word> new_packed(GridShape shape) {
    return Array<Word>({shape.batch, shape.x, shape.y, shape.words()});
}

// The rule of this name: any, half or centre.
PoolRule pool_rule(const std::string& name);

// One function a family of operations, each in its file; main.cpp calls them all.
void bind_binvox(py::module_& module);
void bind_bitgrid(py::module_& module);
void bind_carve(py::module_& module);
void bind_device(py::module_& module);
void bind_metrics(py::module_& module);
void bind_morphology(py::module_& module);
void bind_odm(py::module_& module);
void bind_raycast(py::module_& module);
void bind_resample(py::module_& module);
void bind_smooth(py::module_& module);
void bind_soft_rank(py::module_& module);
void bind_surface(py::module_& module);
void bind_voxelize(py::module_& module);

}  // namespace mvd::bind
