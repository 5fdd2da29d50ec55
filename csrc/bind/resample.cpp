#include "mvd/resample.hpp"

#include "bind/bind.hpp"

namespace mvd::bind {

PoolRule pool_rule(const std::string& name) {
    if (name == "any") return PoolRule::kAny;
    if (name == "half") return PoolRule::kHalf;
    if (name == "centre") return PoolRule::kCentre;
    throw Error("rule: expected any, half or centre, found " + name);
}

namespace {

constexpr std::int64_t kMaxFactor = 1 << 20;  // so that no product of it and an edge overflows

void check_factor(std::int64_t factor) {
    if (factor < 1 || factor > kMaxFactor) {
        throw Error("factor: expected 1 to " + std::to_string(kMaxFactor) + ", found " +
                    std::to_string(factor));
    }
}

Array<Word> pool(const Array<Word>& packed, std::int64_t z, std::int64_t factor,
                 const std::string& rule, int threads) {
    const GridShape shape = packed_shape(packed, z, "packed");
    check_factor(factor);
    const PoolRule how = pool_rule(rule);
    Array<Word> pooled = new_packed(pooled_shape(shape, factor));
    const Word* in = packed.data();
    Word* out = pooled.mutable_data();
    py::gil_scoped_release release;
    mvd::pool(in, out, shape, factor, how, threads);
    return pooled;
}

Array<Word> upsample_nearest(const Array<Word>& packed, std::int64_t z, std::int64_t factor,
                             int threads) {
    const GridShape shape = packed_shape(packed, z, "packed");
    check_factor(factor);
    Array<Word> upsampled = new_packed(upsampled_shape(shape, factor));
    const Word* in = packed.data();
    Word* out = upsampled.mutable_data();
    py::gil_scoped_release release;
    mvd::upsample_nearest(in, out, shape, factor, threads);
    return upsampled;
}

}  // namespace

void bind_resample(py::module_& module) {
    module.def("pool", &pool, py::arg("packed").noconvert(), py::arg("z"), py::arg("factor"),
               py::arg("rule") = "any", py::arg("threads") = 0);
    module.def("upsample_nearest", &upsample_nearest, py::arg("packed").noconvert(), py::arg("z"),
               py::arg("factor"), py::arg("threads") = 0);
}

}  // namespace mvd::bind
