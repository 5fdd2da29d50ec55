#include "mvd/metrics.hpp"

#include "bind/bind.hpp"

namespace mvd::bind {

namespace {

Array<double> iou(const Array<Word>& a, const Array<Word>& b, std::int64_t z, int threads) {
    const GridShape shape = packed_shape(a, z, "a");
    const GridShape other = packed_shape(b, z, "b");
    if (shape.batch != other.batch || shape.x != other.x || shape.y != other.y) {
        throw Error("iou: expected two arrays of one shape");
    }
    Array<double> scores(shape.batch);
    double* out = scores.mutable_data();
    const Word *in_a = a.data(), *in_b = b.data();
    py::gil_scoped_release release;
    mvd::iou(in_a, in_b, out, shape, threads);
    return scores;
}

}  // namespace

void bind_metrics(py::module_& module) {
    module.def("iou", &iou, py::arg("a").noconvert(), py::arg("b").noconvert(), py::arg("z"),
               py::arg("threads") = 0);
}

}  // namespace mvd::bind
