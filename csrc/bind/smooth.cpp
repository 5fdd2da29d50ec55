#include "mvd/smooth.hpp"

#include "bind/bind.hpp"

namespace mvd::bind {

namespace {

// N of a (B, 6, N, N) array of depth maps.
std::int64_t check_odms(const Array<Depth>& odms) {
    check_dims(odms, 4, "odms");
    const std::int64_t n = odms.shape(3);
    if (odms.shape(1) != kFaces || odms.shape(2) != n || n > kMaxOdmEdge) {
        throw Error("odms: expected (B, 6, N, N) with N up to " + std::to_string(kMaxOdmEdge) +
                    ", found " + std::string(py::str(odms.attr("shape"))));
    }
    return n;
}

Array<Depth> smooth_odms(const Array<Depth>& odms, double threshold, int window, int threads) {
    const std::int64_t n = check_odms(odms);
    if (!(threshold > 0)) {
        throw Error("threshold: expected a depth above 0, found " + std::to_string(threshold));
    }
    if (window < 1 || window > kMaxWindow || window % 2 == 0) {
        throw Error("window: expected an odd number from 1 to " + std::to_string(kMaxWindow) +
                    ", found " + std::to_string(window));
    }
    Array<Depth> smoothed({odms.shape(0), odms.shape(1), odms.shape(2), odms.shape(3)});
    Depth* out = smoothed.mutable_data();
    py::gil_scoped_release release;
    mvd::smooth_odms(odms.data(), out, odms.shape(0), n, threshold, window, threads);
    return smoothed;
}

}  // namespace

void bind_smooth(py::module_& module) {
    module.def("smooth_odms", &smooth_odms, py::arg("odms").noconvert(), py::arg("threshold"),
               py::arg("window") = 7, py::arg("threads") = 0);
}

}  // namespace mvd::bind
