// Extracting depth maps, from one reading of the grid, 64 pixels a word. Along z the depths are the
// first and last set bit of a line. Along y and x a pixel looks through a stack of planes: see
// sight.hpp. Depths are written out once all planes are met; no branch depends on a voxel.
#include <algorithm>
#include <memory>

#include "mvd/line.hpp"
#include "mvd/odm.hpp"
#include "mvd/parallel.hpp"
#include "mvd/sight.hpp"
#include "mvd/simd.hpp"

#if MVD_X86
#include <immintrin.h>
#endif

namespace mvd {

namespace {

constexpr std::int64_t kWordGrain = 1 << 14;  // words of grid worth a thread of its own

// Add up to kRows or kSlabs planes, group `group` of a stack, of `words` words each.
MVD_CLONES void see_rows(Sight sight, std::int64_t group, Planes rows, std::int64_t words) {
    see_group<kRowDigits>(sight, group, rows, words);
}
MVD_CLONES void see_slabs(Sight sight, std::int64_t group, Planes slabs, std::int64_t words) {
    see_group<kSlabDigits>(sight, group, slabs, words);
}

// Adds what is met in planes that all lie behind those of `sight`, both of `words` words.
void see_behind(Sight sight, Sight behind, std::int64_t words) {
    for (std::int64_t i = 0; i < words; ++i) {
        const Word near = *sight.any(i), far = *behind.any(i);
        *sight.any(i) = near | far;
        for (std::int64_t k = 0; k < sight.digits; ++k) {
            Word* first = sight.first(i) + k * Sight::kBlock;
            Word* last = sight.last(i) + k * Sight::kBlock;
            *first = choose(near, *first, behind.first(i)[k * Sight::kBlock]);
            *last = choose(far, behind.last(i)[k * Sight::kBlock], *last);
        }
    }
}

// A row of z pixels, from word i of the sight on.
MVD_CLONES void read_row(Sight sight, std::int64_t i, std::int64_t z, Depth n, Depth* near,
                         Depth* far) {
    for (; z > 0; ++i, z -= kWordBits, near += kWordBits, far += kWordBits) {
        const std::int64_t pixels = std::min(z, kWordBits);
        if (!*sight.any(i)) {
            std::fill_n(near, pixels, n);
            std::fill_n(far, pixels, n);
        } else if (pixels == kWordBits) {
            read_word(sight, i, n, near, far);
        } else {
            Depth near_word[kWordBits], far_word[kWordBits];
            read_word(sight, i, n, near_word, far_word);
            std::copy_n(near_word, pixels, near);
            std::copy_n(far_word, pixels, far);
        }
    }
}

// Along z -------------------------------------------------------------------------------------

// The two z faces of the lines of a slab: (Y, W).
MVD_CLONES void view_z_plainly(const Word* slab, Depth* neg, Depth* pos, GridShape shape, Depth n) {
    const std::int64_t w = shape.words();
    for (std::int64_t y = 0; y < shape.y; ++y) {
        const Word* line = slab + y * w;
        const std::int64_t first = first_voxel(line, w);
        pos[y] = first < 0 ? n : static_cast<Depth>(first);
        neg[y] = first < 0 ? n : static_cast<Depth>(n - 1 - last_voxel(line, w));
    }
}

#if MVD_X86

// The same for lines of at most 64 words: which of them are occupied is one bit each, so that no
// branch depends on where in a line a shape begins.
__attribute__((target("arch=x86-64-v4"))) void view_z_avx512(const Word* slab, Depth* neg,
                                                             Depth* pos, GridShape shape, Depth n) {
    const std::int64_t w = shape.words();
    const auto rest = static_cast<__mmask8>(low_mask(w % 8 ? w % 8 : 8));
    for (std::int64_t y = 0; y < shape.y; ++y) {
        const Word* line = slab + y * w;
        Word occupied = 0;
        for (std::int64_t i = 0; i < w; i += 8) {
            const __m512i words = _mm512_maskz_loadu_epi64(i + 8 < w ? 0xFF : rest, line + i);
            occupied |= static_cast<Word>(_mm512_test_epi64_mask(words, words)) << i;
        }
        if (!occupied) {
            pos[y] = neg[y] = n;
            continue;
        }
        const std::int64_t first = lowest_bit(occupied), last = highest_bit(occupied);
        const std::int64_t begin = first * kWordBits + lowest_bit(line[first]);
        const std::int64_t end = last * kWordBits + highest_bit(line[last]);
        pos[y] = static_cast<Depth>(begin);
        neg[y] = static_cast<Depth>(n - 1 - end);
    }
}

#endif

void view_z(const Word* slab, Depth* neg, Depth* pos, GridShape shape, Depth n) {
#if MVD_X86
    if (shape.words() <= kWordBits && __builtin_cpu_supports("avx512f")) {
        return view_z_avx512(slab, neg, pos, shape, n);
    }
#endif
    view_z_plainly(slab, neg, pos, shape, n);
}

// Uninitialized words.
inline std::unique_ptr<Word[]> new_words(std::int64_t count) {
    return std::unique_ptr<Word[]>(new Word[static_cast<std::size_t>(count)]);
}

// The views of a batch of grids. Each grid is cut along x into stacks of slabs, which are read
// independently; what their pixels meet along x is put together after them.
class Viewer {
  public:
    Viewer(Depth* odms, GridShape shape, int threads)
        : odms_(odms),
          shape_(shape),
          n_(odm_edge(shape)),
          w_(shape.words()),
          slab_(shape.y * w_),
          groups_(ceil_div(shape.x, kSlabs)),
          stacks_(stacks_of(threads)),
          y_digits_(Sight::digits_of(shape.y)),
          x_digits_(Sight::digits_of(shape.x)),
          x_size_(Sight::size(slab_, x_digits_)),
          x_sights_(new_words(shape.batch * stacks_ * x_size_)) {
        if (shape.x != n_ || shape.y != n_ || shape.z != n_) {
            std::fill_n(odms, shape.batch * kFaces * n_ * n_, static_cast<Depth>(n_));
        }
    }

    // Stage 1, the z and y faces and what is met along x. slabs(b, begin, end) gives slabs
    // [begin, end) of grid b, at most kSlabs of them: (slabs, Y, W).
    std::int64_t stacks() const { return shape_.batch * stacks_; }

    template <typename Slabs>
    void view_stack(std::int64_t stack, const Slabs& slabs) const {
        const std::int64_t b = stack / stacks_, s = stack % stacks_;
        const Sight along_x = x_sight(b, s);
        const auto y_words = new_words(Sight::size(w_, y_digits_));
        const Sight along_y{y_words.get(), y_digits_};
        std::fill_n(along_x.blocks, x_size_, Word{0});
        for (std::int64_t g = s * groups_ / stacks_; g < (s + 1) * groups_ / stacks_; ++g) {
            const std::int64_t begin = g * kSlabs, end = std::min(shape_.x, begin + kSlabs);
            const Word* group = slabs(b, begin, end);
            for (std::int64_t x = begin; x < end; ++x) {
                const Word* slab = group + (x - begin) * slab_;
                view_z(slab, pixels(b, kZNeg, x), pixels(b, kZPos, x), shape_,
                       static_cast<Depth>(n_));
                view_y(slab, along_y, pixels(b, kYNeg, x), pixels(b, kYPos, x));
            }
            see_slabs(along_x, g, {group, slab_, end - begin}, slab_);
        }
    }

    // Stage 2, the x faces.
    void view_x(std::int64_t b) const {
        const Sight sight = x_sight(b, 0);
        for (std::int64_t s = 1; s < stacks_; ++s) see_behind(sight, x_sight(b, s), slab_);
        for (std::int64_t y = 0; y < shape_.y; ++y) {
            read_row(sight, y * w_, shape_.z, static_cast<Depth>(n_), pixels(b, kXPos, y),
                     pixels(b, kXNeg, y));
        }
    }

  private:
    // As many as there are threads for one grid; little work stays in one piece.
    std::int64_t stacks_of(int threads) const {
        const std::int64_t wanted = ceil_div(resolve_threads(threads), shape_.batch);
        const std::int64_t worth = shape_.x * slab_ / kWordGrain;
        return std::max<std::int64_t>(1, std::min({wanted, worth, groups_}));
    }

    void view_y(const Word* slab, Sight sight, Depth* neg, Depth* pos) const {
        std::fill_n(sight.blocks, Sight::size(w_, y_digits_), Word{0});
        for (std::int64_t y = 0; y < shape_.y; y += kRows) {
            see_rows(sight, y / kRows, {slab + y * w_, w_, shape_.y - y}, w_);
        }
        read_row(sight, 0, shape_.z, static_cast<Depth>(n_), pos, neg);
    }

    Sight x_sight(std::int64_t b, std::int64_t s) const {
        return {x_sights_.get() + (b * stacks_ + s) * x_size_, x_digits_};
    }

    Depth* pixels(std::int64_t b, Face face, std::int64_t row) const {
        return odms_ + ((b * kFaces + face) * n_ + row) * n_;
    }

    Depth* odms_;
    GridShape shape_;
    std::int64_t n_, w_, slab_, groups_, stacks_, y_digits_, x_digits_, x_size_;
    std::unique_ptr<Word[]>
        x_sights_;  // (B, stacks): what is met along x by (Y, W) words of pixels
};

// new_slabs() is called once for each part of the work: what it gives is `slabs` of view_stack.
template <typename NewSlabs>
void extract(Depth* odms, GridShape shape, int threads, const NewSlabs& new_slabs) {
    const Viewer viewer(odms, shape, threads);
    const std::int64_t words = std::max<std::int64_t>(1, shape.x * shape.y * shape.words());
    const std::int64_t grain = kWordGrain / words + 1;
    const auto view_stacks = [&](std::int64_t begin, std::int64_t end) {
        const auto slabs = new_slabs();
        for (std::int64_t stack = begin; stack < end; ++stack) viewer.view_stack(stack, slabs);
    };
    parallel_for(viewer.stacks(), viewer.stacks() > shape.batch ? 1 : grain, threads, view_stacks);
    parallel_for(shape.batch, grain, threads, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t b = begin; b < end; ++b) viewer.view_x(b);
    });
}

}  // namespace

void extract_odms(const Word* packed, Depth* odms, GridShape shape, int threads) {
    const std::int64_t slab = shape.y * shape.words();
    extract(odms, shape, threads, [&] {
        return [=](std::int64_t b, std::int64_t begin, std::int64_t) {
            return packed + (b * shape.x + begin) * slab;
        };
    });
}

void extract_odms_dense(const std::uint8_t* dense, Depth* odms, GridShape shape, int threads) {
    const std::int64_t w = shape.words();
    extract(odms, shape, threads, [&] {
        const std::int64_t slabs = std::min(shape.x, kSlabs);
        const std::shared_ptr<Word[]> packed(new_words(slabs * shape.y * w));
        return [=](std::int64_t b, std::int64_t begin, std::int64_t end) {
            const std::uint8_t* from = dense + (b * shape.x + begin) * shape.y * shape.z;
            pack_lines(from, packed.get(), (end - begin) * shape.y, shape.z);
            return static_cast<const Word*>(packed.get());
        };
    });
}

}  // namespace mvd
