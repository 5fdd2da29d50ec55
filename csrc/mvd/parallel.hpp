// Splitting a range of lines over threads. Every operation of the core writes each output word
// from one thread only, so any number of threads gives the same bits.
#pragma once

#include <algorithm>
#include <cstdint>
#include <exception>
#include <thread>
#include <vector>

namespace mvd {

// How many threads to use for `requested` (0: one per hardware thread).
inline int resolve_threads(int requested) {
    if (requested > 0) return requested;
    return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

// Calls body(begin, end) on consecutive parts of [0, count), each on a thread of its own; a part
// holds at least `grain` items, so that little work stays on the calling thread. The first
// exception of a part is thrown again here.
template <typename Body>
void parallel_for(std::int64_t count, std::int64_t grain, int threads, const Body& body) {
#ifdef MVD_EVERY_ITEM_A_THREAD  // of the fuzzers: races are sought on small grids
    grain = 1;
#endif
    const std::int64_t most = std::max<std::int64_t>(1, count / std::max<std::int64_t>(1, grain));
    const std::int64_t parts = std::min<std::int64_t>(resolve_threads(threads), most);
    if (parts <= 1) {
        if (count > 0) body(std::int64_t{0}, count);
        return;
    }
    std::vector<std::exception_ptr> failures(static_cast<std::size_t>(parts));
    const auto run = [&](std::int64_t part) {
        try {
            body(count * part / parts, count * (part + 1) / parts);
        } catch (...) {
            failures[static_cast<std::size_t>(part)] = std::current_exception();
        }
    };
    std::vector<std::thread> workers;
    workers.reserve(static_cast<std::size_t>(parts - 1));
    for (std::int64_t part = 1; part < parts; ++part) workers.emplace_back(run, part);
    run(0);
    for (auto& worker : workers) worker.join();
    for (const auto& failure : failures) {
        if (failure) std::rethrow_exception(failure);
    }
}

}  // namespace mvd
