// The networks' arithmetic on an NVIDIA GPU, where libraries leave it in pieces: matrix products are cuBLAS's.
//
// Pictures lie channels last: (item, row, column, channel). All sums are f32, whatever the values' type. What is
// launched, with which grid and on what, stands in the files beside this one; every kernel is exported at the end of
// this file. Needs no header of CUDA beyond the two for 16-bit numbers, and compiles as C++ for the emulator that tests
// run it on.

#ifdef CUDA_EMULATED
#include "emulator.hpp"
#else
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <stdint.h>

using f16 = __half;
using bf16 = __nv_bfloat16;

// ---- Numbers of 16 bits ----

__device__ inline float widened(float x) { return x; }
__device__ inline float widened(f16 x) { return __half2float(x); }
__device__ inline float widened(bf16 x) { return __bfloat162float(x); }

template <class T> __device__ T narrowed(float x);
template <> __device__ inline float narrowed<float>(float x) { return x; }
template <> __device__ inline f16 narrowed<f16>(float x) { return __float2half_rn(x); }
template <> __device__ inline bf16 narrowed<bf16>(float x) { return __float2bfloat16_rn(x); }

__device__ inline uint32_t bits(f16 x) { return __half_as_ushort(x); }
__device__ inline uint32_t bits(bf16 x) { return __bfloat16_as_ushort(x); }

// ---- Tensor cores: PTX's mma.m16n8k16 and ldmatrix, in which a warp's 32 lanes work as one ----
//
// With g = lane / 4 and t = lane % 4, a lane holds of a 16x16 matrix A the pairs of columns 2t and 2t + 8 in rows g and
// g + 8; of a 16x8 matrix B the pairs of rows 2t and 2t + 8 in column g; of the 16x8 sum the pairs of columns 2t in
// rows g and g + 8. (PTX ISA, "Matrix fragments for mma.m16n8k16".)

// sum += A B.
template <class T> __device__ void multiply(float (&sum)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1);

// Before Ampere there is no such product: there the rest of the module is to load all the same, and whoever launches
// attention asks for the capability before.
#if __CUDA_ARCH__ >= 800
#define MULTIPLY(TYPE, NAME)                                                                                          \
    template <>                                                                                                       \
    __device__ inline void multiply<TYPE>(float (&sum)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {        \
        asm volatile("mma.sync.aligned.m16n8k16.row.col.f32." NAME "." NAME ".f32 "                                   \
                     "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"                                \
                     : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])                                         \
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));                                 \
    }
#else
#define MULTIPLY(TYPE, NAME) \
    template <> __device__ inline void multiply<TYPE>(float (&)[4], const uint32_t (&)[4], uint32_t, uint32_t) { __trap(); }
#endif
MULTIPLY(f16, "f16")
MULTIPLY(bf16, "bf16")

// A value of another type at an address that is a multiple of its size.
template <class U> __device__ U load_as(const void* from) { return *static_cast<const U*>(from); }
template <class U> __device__ void store_as(void* to, U value) { *static_cast<U*>(to) = value; }

// Four 8x8 matrices of 16-bit numbers from shared memory: lanes 8i to 8i + 7 name the rows of matrix i. A lane gets of
// each the pair of columns 2t in row g...
__device__ inline void load_matrices(uint32_t (&to)[4], const void* row) {
    uint32_t at = static_cast<uint32_t>(__cvta_generic_to_shared(row));
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(at)
                 : "memory");
}

// ... or, transposed, the pair of rows 2t in column g.
__device__ inline void load_matrices_transposed(uint32_t (&to)[4], const void* row) {
    uint32_t at = static_cast<uint32_t>(__cvta_generic_to_shared(row));
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(at)
                 : "memory");
}

#define KERNEL(NAME, THREADS, PARAMETERS, BODY) \
    extern "C" __global__ void __launch_bounds__(THREADS) NAME PARAMETERS { BODY; }
#endif

// ---- Several values at once ----

// N values that are moved at once: 16 bytes of them where a row is a multiple of that ("wide"), else one.
template <class T, int N> struct alignas(N * sizeof(T)) Pack {
    T values[N];
};
template <class T> constexpr int WIDE = 16 / sizeof(T);

template <class T, int N> __device__ void load(float (&to)[N], const T* from) {
    Pack<T, N> pack = load_as<Pack<T, N>>(from);
    for (int n = 0; n < N; ++n) to[n] = widened(pack.values[n]);
}

template <class T, int N> __device__ void store(T* to, const float (&values)[N]) {
    Pack<T, N> pack;
    for (int n = 0; n < N; ++n) pack.values[n] = narrowed<T>(values[n]);
    store_as(to, pack);
}

// The sum of what the lanes of a warp have, for all of them.
__device__ inline float warp_sum(float x) {
    for (int distance = 16; distance > 0; distance /= 2) x += __shfl_xor_sync(0xffffffff, x, distance);
    return x;
}

// ---- Layers' ends ----

// x + bias[channel] + shift[item, channel], and base added to that, where bias, shift and base may be missing. An item
// has `per_item` values, and its shift begins `shift_step` after the one before it: 0 where all items share one. The
// base is added to the rounded sum, which gives the bits that whoever looks at the sum and adds the base afterwards
// gets.
template <class T, int N>
__device__ void add(T* out, const T* x, const T* bias, const T* shift, const T* base, int count, int channels,
                       int per_item, int shift_step) {
    for (int i = (blockIdx.x * blockDim.x + threadIdx.x) * N; i < count; i += gridDim.x * blockDim.x * N) {
        int channel = i % channels;
        float sum[N], more[N];
        load(sum, x + i);
        if (bias) {
            load(more, bias + channel);
            for (int n = 0; n < N; ++n) sum[n] += more[n];
        }
        if (shift) {
            load(more, shift + i / per_item * shift_step + channel);
            for (int n = 0; n < N; ++n) sum[n] += more[n];
        }
        if (base) {
            load(more, base + i);
            for (int n = 0; n < N; ++n) sum[n] = more[n] + widened(narrowed<T>(sum[n]));
        }
        store(out + i, sum);
    }
}

// The gated GELU (Shazeer 2020): of rows x + bias, which are [value, gate], value gelu(gate), with the exact error
// function.
template <class T, int N> __device__ void geglu(T* out, const T* x, const T* bias, int count, int inner) {
    for (int i = (blockIdx.x * blockDim.x + threadIdx.x) * N; i < count; i += gridDim.x * blockDim.x * N) {
        const T* row = x + static_cast<size_t>(i / inner) * 2 * inner;
        int feature = i % inner;
        float value[N], gate[N], more[N];
        load(value, row + feature);
        load(more, bias + feature);
        for (int n = 0; n < N; ++n) value[n] += more[n];
        load(gate, row + inner + feature);
        load(more, bias + inner + feature);
        for (int n = 0; n < N; ++n) {
            gate[n] += more[n];
            value[n] *= 0.5f * gate[n] * (1.0f + erff(gate[n] * 0.70710678f));
        }
        store(out + i, value);
    }
}

// Layer normalisation (Ba et al. 2016) of rows, a warp each. The variance in a second pass, for the squares' mean less the
// mean's square has no digits left where the mean is large.
template <class T, int N>
__device__ void layer_norm(T* out, const T* x, const T* weight, const T* bias, int rows, int features, float eps) {
    int row = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (row >= rows) return;
    x += static_cast<size_t>(row) * features;
    out += static_cast<size_t>(row) * features;
    float values[N], scales[N], shifts[N];
    float sum = 0, squares = 0;
    for (int i = lane * N; i < features; i += 32 * N) {
        load(values, x + i);
        for (int n = 0; n < N; ++n) sum += values[n];
    }
    float mean = warp_sum(sum) / features;
    for (int i = lane * N; i < features; i += 32 * N) {
        load(values, x + i);
        for (int n = 0; n < N; ++n) squares += (values[n] - mean) * (values[n] - mean);
    }
    float scale = 1.0f / sqrtf(warp_sum(squares) / features + eps);
    for (int i = lane * N; i < features; i += 32 * N) {
        load(values, x + i);
        load(scales, weight + i);
        load(shifts, bias + i);
        for (int n = 0; n < N; ++n) values[n] = (values[n] - mean) * scale * scales[n] + shifts[n];
        store(out + i, values);
    }
}

// ---- Moving pictures; a unit is as many channels as can be moved at once ----

// Every pixel's neighbourhood as a row, for a convolution by a matrix product: (pixel, row and column of the kernel,
// channel), zero outside the picture. Begins with pixel `first` of the results.
template <class Unit>
__device__ void patches(Unit* out, const Unit* x, int count, int first, int units, int height, int width, int out_height,
                        int out_width, int size, int stride, int padding) {
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) {
        int tap = i / units % (size * size);
        int pixel = first + i / units / (size * size);
        int row = pixel / out_width % out_height * stride + tap / size - padding;
        int column = pixel % out_width * stride + tap % size - padding;
        Unit unit = {};
        if (row >= 0 && row < height && column >= 0 && column < width) {
            size_t item = pixel / out_width / out_height;
            unit = x[((item * height + row) * width + column) * units + i % units];
        }
        out[i] = unit;
    }
}

// A larger picture, each pixel that of the nearest above and to the left.
template <class Unit>
__device__ void upsample_nearest(Unit* out, const Unit* x, int count, int units, int height, int width, int out_height,
                        int out_width) {
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) {
        int pixel = i / units;
        int row = pixel / out_width % out_height * height / out_height;
        int column = pixel % out_width * width / out_width;
        size_t item = pixel / out_width / out_height;
        out[i] = x[((item * height + row) * width + column) * units + i % units];
    }
}

// Two pictures' channels one after another: of every pixel `first` units, then `second`.
template <class Unit>
__device__ void concat(Unit* out, const Unit* a, const Unit* b, int count, int first, int second) {
    int units = first + second;
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) {
        int pixel = i / units, unit = i % units;
        out[i] = unit < first ? a[static_cast<size_t>(pixel) * first + unit]
                              : b[static_cast<size_t>(pixel) * second + unit - first];
    }
}

// ---- Group normalisation (Wu & He 2018), in two kernels ----

// The sum of what all threads of a block have, for all of them.
__device__ float block_sum(float x) {
    __shared__ float sums[32];
    int warps = blockDim.x / 32;
    x = warp_sum(x);
    __syncthreads();
    if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32] = x;
    __syncthreads();
    float sum = 0;
    for (int warp = 0; warp < warps; ++warp) sum += sums[warp];
    return sum;
}

// Of every chunk of pixels, group and item: the mean and the sum of the squared distances from it, (item, group, chunk,
// 2). In two passes, for the squares' mean less the mean's square has no digits left where the mean is large.
template <class T>
__device__ void moments(float* out, const T* x, int pixels, int channels, int groups, int chunk) {
    int first = blockIdx.x * chunk, group = blockIdx.y, item = blockIdx.z;
    int width = channels / groups;
    int count = min(chunk, pixels - first) * width;
    x += (static_cast<size_t>(item) * pixels + first) * channels + group * width;
    float sum = 0;
    for (int i = threadIdx.x; i < count; i += blockDim.x) sum += widened(x[i / width * channels + i % width]);
    float mean = block_sum(sum) / count;
    float squares = 0;
    for (int i = threadIdx.x; i < count; i += blockDim.x) {
        float distance = widened(x[i / width * channels + i % width]) - mean;
        squares += distance * distance;
    }
    squares = block_sum(squares);
    if (threadIdx.x == 0) {
        out += ((static_cast<size_t>(item) * groups + group) * gridDim.x + blockIdx.x) * 2;
        out[0] = mean;
        out[1] = squares;
    }
}

constexpr int MAX_GROUPS = 128;

// What `moments` found in `chunks` of group `group` of item `item`, put together by a warp (Chan et al. 1979): its mean,
// and what a distance from it is multiplied with.
__device__ inline void merge(float& mean, float& scale, const float* moments, int item, int group, int groups, int pixels,
                             int width, int chunk, int chunks, float eps) {
    moments += (static_cast<size_t>(item) * groups + group) * chunks * 2;
    float count = 0, squares = 0;
    mean = 0;
    for (int i = threadIdx.x % 32; i < chunks; i += 32) {
        float more = min(chunk, pixels - i * chunk) * width;
        float all = count + more, distance = moments[2 * i] - mean;
        mean += distance * more / all;
        squares += moments[2 * i + 1] + distance * distance * count * more / all;
        count = all;
    }
    for (int lane = 16; lane > 0; lane /= 2) {
        float more = __shfl_xor_sync(0xffffffff, count, lane);
        float distance = __shfl_xor_sync(0xffffffff, mean, lane) - mean;
        squares += __shfl_xor_sync(0xffffffff, squares, lane);
        float all = count + more;
        if (more > 0) {
            mean += distance * more / all;
            squares += distance * distance * count * more / all;
        }
        count = all;
    }
    scale = 1.0f / sqrtf(squares / count + eps);
}

// The same for `count` groups from `first` on, by the warps of a block in turns.
__device__ inline void merge_all(float* means, float* scales, const float* moments, int first, int count, int item,
                                 int groups, int pixels, int width, int chunk, int chunks, float eps) {
    for (int group = threadIdx.x / 32; group < count; group += blockDim.x / 32) {
        float mean, scale;
        merge(mean, scale, moments, item, first + group, groups, pixels, width, chunk, chunks, eps);
        if (threadIdx.x % 32 == 0) {
            means[group] = mean;
            scales[group] = scale;
        }
    }
    __syncthreads();
}

// Applied; then SiLU where it is wanted. A column of blocks works on one item.
template <class T>
__device__ void group_norm(T* out, const T* x, const float* moments, const T* weight, const T* bias, int pixels,
                           int channels, int groups, int chunk, int chunks, int silu, float eps) {
    __shared__ float means[MAX_GROUPS];
    __shared__ float scales[MAX_GROUPS];
    int width = channels / groups, item = blockIdx.y;
    merge_all(means, scales, moments, 0, groups, item, groups, pixels, width, chunk, chunks, eps);
    size_t start = static_cast<size_t>(item) * pixels * channels;
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < pixels * channels; i += gridDim.x * blockDim.x) {
        int channel = i % channels, group = channel / width;
        float y = (widened(x[start + i]) - means[group]) * scales[group];
        y = y * widened(weight[channel]) + widened(bias[channel]);
        out[start + i] = narrowed<T>(silu ? y / (1.0f + expf(-y)) : y);
    }
}

// The same two kernels, 16 bytes at once. A block works on `span` channels, whole groups of them, of some pixels of one
// item; a thread has the same channels of every pixel, so that nothing is divided on the way. The grid is (pixels' pieces,
// spans, items).

// Its place among the threads of a block: pixels next to one another, and in them its channels.
template <class T> struct Place {
    int rows, row, channel;
    __device__ explicit Place(int span) {
        int units = span / WIDE<T>;
        rows = blockDim.x / units;
        row = threadIdx.x / units;
        channel = threadIdx.x % units * WIDE<T>;
    }
};

template <class T>
__device__ void moments_wide(float* out, const T* x, int pixels, int channels, int groups, int chunk, int span) {
    constexpr int N = WIDE<T>;
    __shared__ float sums[256 * N];
    __shared__ float means[MAX_GROUPS];
    Place<T> own(span);
    int width = channels / groups, within = span / width;
    int first = blockIdx.x * chunk, last = min(first + chunk, pixels), count = (last - first) * width;
    x += static_cast<size_t>(blockIdx.z) * pixels * channels + blockIdx.y * span + own.channel;
    out += ((static_cast<size_t>(blockIdx.z) * groups + blockIdx.y * within) * gridDim.x + blockIdx.x) * 2;
    float mean[N] = {};
    for (int pass = 0; pass < 2; ++pass) {
        // The values, then the squares of their distances from the mean.
        float part[N] = {};
        if (own.row < own.rows) {
            for (int pixel = first + own.row; pixel < last; pixel += own.rows) {
                float values[N];
                load(values, x + static_cast<size_t>(pixel) * channels);
                for (int n = 0; n < N; ++n) {
                    float distance = values[n] - mean[n];
                    part[n] += pass == 0 ? values[n] : distance * distance;
                }
            }
            for (int n = 0; n < N; ++n) sums[own.row * span + own.channel + n] = part[n];
        }
        __syncthreads();
        for (int group = threadIdx.x; group < within; group += blockDim.x) {
            float sum = 0;
            for (int row = 0; row < own.rows; ++row)
                for (int channel = 0; channel < width; ++channel) sum += sums[row * span + group * width + channel];
            float* to = out + static_cast<size_t>(group) * gridDim.x * 2;
            if (pass == 0) {
                means[group] = sum / count;
                to[0] = means[group];
            } else {
                to[1] = sum;
            }
        }
        __syncthreads();
        if (own.row < own.rows)
            for (int n = 0; n < N; ++n) mean[n] = means[(own.channel + n) / width];
    }
}

template <class T>
__device__ void group_norm_wide(T* out, const T* x, const float* moments, const T* weight, const T* bias, int pixels,
                                int channels, int groups, int chunk, int chunks, int silu, int span, float eps) {
    constexpr int N = WIDE<T>;
    __shared__ float means[MAX_GROUPS];
    __shared__ float scales[MAX_GROUPS];
    Place<T> own(span);
    int width = channels / groups, within = span / width, item = blockIdx.z;
    merge_all(means, scales, moments, blockIdx.y * within, within, item, groups, pixels, width, chunk, chunks, eps);
    if (own.row >= own.rows) return;
    int channel = blockIdx.y * span + own.channel;
    float mean[N], scale[N], shift[N];
    load(scale, weight + channel);
    load(shift, bias + channel);
    for (int n = 0; n < N; ++n) {
        mean[n] = means[(own.channel + n) / width];
        scale[n] *= scales[(own.channel + n) / width];
    }
    size_t start = static_cast<size_t>(item) * pixels * channels + channel;
    for (int pixel = blockIdx.x * own.rows + own.row; pixel < pixels; pixel += gridDim.x * own.rows) {
        size_t at = start + static_cast<size_t>(pixel) * channels;
        float values[N];
        load(values, x + at);
        for (int n = 0; n < N; ++n) {
            float y = (values[n] - mean[n]) * scale[n] + shift[n];
            values[n] = silu ? y / (1.0f + expf(-y)) : y;
        }
        store(out + at, values);
    }
}

// ---- Attention ----
//
// Queries, keys and values are (item, position, head, feature), as linear layers give them; a position begins `.._step`
// values after the one before it, which are more than it has where one layer gives all three. A block of 4 warps works on
// 64 queries of one head, 16 a warp; features are cut into STEPS pieces of 16, the last filled up with zeros.

constexpr int WARPS = 4;
constexpr int QUERIES = 16 * WARPS;

// Rows of shared memory are 16 bytes longer than they need be, so that the 8 rows that are read at once begin in
// different banks.
template <int STEPS> constexpr int PITCH = 16 * STEPS + 8;

template <class T> __device__ uint32_t pair(float first, float second) {
    return bits(narrowed<T>(first)) | bits(narrowed<T>(second)) << 16;
}

// `rows` rows of `size` features, `stride` apart, into shared memory; zeros beyond row `there`.
template <class T, int STEPS>
__device__ void load_rows(T* to, const T* from, int rows, int there, int size, int stride) {
    if (size % 8 == 0) {
        for (int i = threadIdx.x; i < rows * STEPS * 2; i += blockDim.x) {
            int row = i / (STEPS * 2), feature = i % (STEPS * 2) * 8;
            uint4 eight = {0, 0, 0, 0};
            if (row < there && feature < size)
                eight = load_as<uint4>(from + static_cast<size_t>(row) * stride + feature);
            store_as(to + row * PITCH<STEPS> + feature, eight);
        }
    } else {
        for (int i = threadIdx.x; i < rows * STEPS * 8; i += blockDim.x) {
            int row = i / (STEPS * 8), feature = i % (STEPS * 8) * 2;
            uint32_t two = 0;
            if (row < there && feature < size)
                two = load_as<uint32_t>(from + static_cast<size_t>(row) * stride + feature);
            store_as(to + row * PITCH<STEPS> + feature, two);
        }
    }
}

// This warp's 16 queries as matrices A, from row `row` on, which is this lane's; zeros beyond row `there`.
template <class T, int STEPS>
__device__ void load_queries(uint32_t (&a)[STEPS][4], const T* query, int row, int there, int size, int stride) {
    for (int step = 0; step < STEPS; ++step) {
        for (int i = 0; i < 4; ++i) {
            int at = row + i % 2 * 8, feature = step * 16 + i / 2 * 8 + threadIdx.x % 4 * 2;
            a[step][i] = 0;
            if (at < there && feature < size)
                a[step][i] = load_as<uint32_t>(query + static_cast<size_t>(at) * stride + feature);
        }
    }
}

// Scores of this warp's queries with COUNT * 8 keys, times `factor`; minus infinity from key `there` on.
template <class T, int STEPS, int COUNT>
__device__ void score(float (&scores)[COUNT][4], const uint32_t (&a)[STEPS][4], const T* keys, int there, float factor) {
    int lane = threadIdx.x % 32;
    for (int n = 0; n < COUNT; ++n)
        for (int i = 0; i < 4; ++i) scores[n][i] = 0;
#pragma unroll
    for (int step = 0; step < STEPS; ++step) {
#pragma unroll
        for (int n = 0; n < COUNT / 2; ++n) {
            uint32_t b[4];
            int key = n * 16 + lane % 8 + lane / 16 * 8;
            load_matrices(b, keys + key * PITCH<STEPS> + step * 16 + lane / 8 % 2 * 8);
            multiply<T>(scores[2 * n], a[step], b[0], b[1]);
            multiply<T>(scores[2 * n + 1], a[step], b[2], b[3]);
        }
    }
#pragma unroll
    for (int n = 0; n < COUNT; ++n)
#pragma unroll
        for (int i = 0; i < 4; ++i)
            scores[n][i] = n * 8 + lane % 4 * 2 + i % 2 < there ? scores[n][i] * factor : -INFINITY;
}

// The largest, or the sum, of what the four lanes of one row have.
__device__ float row_max(float x) {
    x = fmaxf(x, __shfl_xor_sync(0xffffffff, x, 1));
    return fmaxf(x, __shfl_xor_sync(0xffffffff, x, 2));
}
__device__ float row_sum(float x) {
    x += __shfl_xor_sync(0xffffffff, x, 1);
    return x + __shfl_xor_sync(0xffffffff, x, 2);
}

// softmax(Q K^T scale) V, with the scores of 64 keys at a time that never leave the registers: what was summed up
// before a larger score appears is scaled down (Milakov & Gimelshein 2018; Dao 2023, "FlashAttention-2", algorithm 1).
// `factor` is the scale times log2(e), for exponentials are taken to base 2.
template <class T, int STEPS>
__device__ void attention(T* out, const T* query, const T* key, const T* value, int queries, int keys, int size,
                          int query_step, int key_step, int value_step, float factor) {
    constexpr int KEYS = 64;
    alignas(16) __shared__ T key_rows[KEYS * PITCH<STEPS>];
    alignas(16) __shared__ T value_rows[KEYS * PITCH<STEPS>];
    int lane = threadIdx.x % 32;
    int stride = gridDim.y * size;
    int row = blockIdx.x * QUERIES + threadIdx.x / 32 * 16 + lane / 4;
    query += static_cast<size_t>(blockIdx.z) * queries * query_step + blockIdx.y * size;
    out += static_cast<size_t>(blockIdx.z) * queries * stride + blockIdx.y * size;
    key += static_cast<size_t>(blockIdx.z) * keys * key_step + blockIdx.y * size;
    value += static_cast<size_t>(blockIdx.z) * keys * value_step + blockIdx.y * size;

    uint32_t a[STEPS][4];
    load_queries<T, STEPS>(a, query, row, queries, size, query_step);
    float sums[2 * STEPS][4] = {};
    float top[2] = {-INFINITY, -INFINITY}, total[2] = {0, 0};
    for (int first = 0; first < keys; first += KEYS) {
        __syncthreads();
        load_rows<T, STEPS>(key_rows, key + static_cast<size_t>(first) * key_step, KEYS, keys - first, size, key_step);
        load_rows<T, STEPS>(value_rows, value + static_cast<size_t>(first) * value_step, KEYS, keys - first, size,
                            value_step);
        __syncthreads();
        float probs[KEYS / 8][4];
        score<T, STEPS, KEYS / 8>(probs, a, key_rows, keys - first, factor);
#pragma unroll
        for (int half = 0; half < 2; ++half) {  // Of this lane's rows: g, g + 8.
            float largest = -INFINITY;
            for (int n = 0; n < KEYS / 8; ++n)
                largest = fmaxf(largest, fmaxf(probs[n][2 * half], probs[n][2 * half + 1]));
            largest = fmaxf(top[half], row_max(largest));
            float shrink = exp2f(top[half] - largest);
            top[half] = largest;
            total[half] *= shrink;
            for (int n = 0; n < 2 * STEPS; ++n) {
                sums[n][2 * half] *= shrink;
                sums[n][2 * half + 1] *= shrink;
            }
            for (int n = 0; n < KEYS / 8; ++n)
                for (int i = 2 * half; i < 2 * half + 2; ++i) {
                    probs[n][i] = exp2f(probs[n][i] - largest);
                    total[half] += probs[n][i];
                }
        }
#pragma unroll
        for (int step = 0; step < KEYS / 16; ++step) {
            // Where a lane holds a sum of the scores is where it has to hold an A of the next product.
            const uint32_t p[4] = {
                pair<T>(probs[2 * step][0], probs[2 * step][1]),
                pair<T>(probs[2 * step][2], probs[2 * step][3]),
                pair<T>(probs[2 * step + 1][0], probs[2 * step + 1][1]),
                pair<T>(probs[2 * step + 1][2], probs[2 * step + 1][3]),
            };
#pragma unroll
            for (int n = 0; n < STEPS; ++n) {
                uint32_t b[4];
                load_matrices_transposed(b, value_rows + (step * 16 + lane % 16) * PITCH<STEPS> + n * 16 + lane / 16 * 8);
                multiply<T>(sums[2 * n], p, b[0], b[1]);
                multiply<T>(sums[2 * n + 1], p, b[2], b[3]);
            }
        }
    }
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        float scale = 1.0f / row_sum(total[half]);
        int at = row + 8 * half;
#pragma unroll
        for (int n = 0; n < 2 * STEPS; ++n) {
            int feature = n * 8 + lane % 4 * 2;
            if (at < queries && feature < size)
                store_as(out + static_cast<size_t>(at) * stride + feature,
                         pair<T>(sums[n][2 * half] * scale, sums[n][2 * half + 1] * scale));
        }
    }
}

// The probabilities themselves, of at most 96 keys, for who wants to look: of every head, (item, head, key, query), or
// their mean, (item, key, query), for which a block goes through all heads. Queries come last, for a map of the picture is
// what is looked at: of one key, at every query.
template <class T, int STEPS>
__device__ void probabilities(float* out, const T* query, const T* key, int heads, int queries, int keys, int size,
                              int query_step, int key_step, int is_mean, float factor) {
    constexpr int KEYS = 96;
    alignas(16) __shared__ T key_rows[KEYS * PITCH<STEPS>];
    int lane = threadIdx.x % 32;
    int item = blockIdx.z;
    int row = blockIdx.x * QUERIES + threadIdx.x / 32 * 16 + lane / 4;
    int first = is_mean ? 0 : blockIdx.y, last = is_mean ? heads : blockIdx.y + 1;
    float share = 1.0f / (last - first);
    float means[KEYS / 8][4] = {};
    for (int head = first; head < last; ++head) {
        __syncthreads();
        load_rows<T, STEPS>(key_rows, key + static_cast<size_t>(item) * keys * key_step + head * size, KEYS, keys, size,
                            key_step);
        __syncthreads();
        uint32_t a[STEPS][4];
        load_queries<T, STEPS>(a, query + static_cast<size_t>(item) * queries * query_step + head * size, row, queries,
                               size, query_step);
        float probs[KEYS / 8][4];
        score<T, STEPS, KEYS / 8>(probs, a, key_rows, keys, factor);
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            float largest = -INFINITY, total = 0;
            for (int n = 0; n < KEYS / 8; ++n)
                largest = fmaxf(largest, fmaxf(probs[n][2 * half], probs[n][2 * half + 1]));
            largest = row_max(largest);
            for (int n = 0; n < KEYS / 8; ++n)
                for (int i = 2 * half; i < 2 * half + 2; ++i) {
                    probs[n][i] = exp2f(probs[n][i] - largest);
                    total += probs[n][i];
                }
            total = share / row_sum(total);
            for (int n = 0; n < KEYS / 8; ++n)
                for (int i = 2 * half; i < 2 * half + 2; ++i) means[n][i] += probs[n][i] * total;
        }
    }
    size_t plane = is_mean ? item : static_cast<size_t>(item) * heads + blockIdx.y;
    for (int n = 0; n < KEYS / 8; ++n)
        for (int i = 0; i < 4; ++i) {
            int at = row + i / 2 * 8, position = n * 8 + lane % 4 * 2 + i % 2;
            if (at < queries && position < keys) out[(plane * keys + position) * queries + at] = means[n][i];
        }
}

// ---- What can be launched ----

#define ENDS(NAME, T, N)                                                                                              \
    KERNEL(add##NAME, 256,                                                                                            \
           (T* out, const T* x, const T* bias, const T* shift, const T* base, int count, int channels, int per_item,  \
            int shift_step),                                                                                          \
           (add<T, N>(out, x, bias, shift, base, count, channels, per_item, shift_step)))                             \
    KERNEL(geglu##NAME, 256, (T* out, const T* x, const T* bias, int count, int inner),                               \
           (geglu<T, N>(out, x, bias, count, inner)))                                                                 \
    KERNEL(layer_norm##NAME, 256,                                                                                     \
           (T* out, const T* x, const T* weight, const T* bias, int rows, int features, float eps),                   \
           (layer_norm<T, N>(out, x, weight, bias, rows, features, eps)))
#define LAYERS(NAME, T)                                                                                               \
    ENDS(_##NAME, T, 1)                                                                                               \
    ENDS(_wide_##NAME, T, WIDE<T>)                                                                                    \
    KERNEL(moments_##NAME, 256, (float* out, const T* x, int pixels, int channels, int groups, int chunk),            \
           moments<T>(out, x, pixels, channels, groups, chunk))                                                       \
    KERNEL(group_norm_##NAME, 256,                                                                                    \
           (T* out, const T* x, const float* moments, const T* weight, const T* bias, int pixels, int channels,       \
            int groups, int chunk, int chunks, int silu, float eps),                                                  \
           group_norm<T>(out, x, moments, weight, bias, pixels, channels, groups, chunk, chunks, silu, eps))          \
    KERNEL(moments_wide_##NAME, 256,                                                                                  \
           (float* out, const T* x, int pixels, int channels, int groups, int chunk, int span),                       \
           moments_wide<T>(out, x, pixels, channels, groups, chunk, span))                                            \
    KERNEL(group_norm_wide_##NAME, 256,                                                                               \
           (T* out, const T* x, const float* moments, const T* weight, const T* bias, int pixels, int channels,       \
            int groups, int chunk, int chunks, int silu, int span, float eps),                                        \
           group_norm_wide<T>(out, x, moments, weight, bias, pixels, channels, groups, chunk, chunks, silu, span, eps))
LAYERS(f32, float)
LAYERS(f16, f16)
LAYERS(bf16, bf16)

#define MOVES(BYTES, UNIT)                                                                                            \
    KERNEL(patches_##BYTES, 256,                                                                                      \
           (UNIT * out, const UNIT* x, int count, int first, int units, int height, int width, int out_height,        \
            int out_width, int size, int stride, int padding),                                                        \
           patches<UNIT>(out, x, count, first, units, height, width, out_height, out_width, size, stride, padding))   \
    KERNEL(upsample_nearest_##BYTES, 256,                                                                             \
           (UNIT * out, const UNIT* x, int count, int units, int height, int width, int out_height, int out_width),   \
           upsample_nearest<UNIT>(out, x, count, units, height, width, out_height, out_width))                        \
    KERNEL(concat_##BYTES, 256, (UNIT * out, const UNIT* a, const UNIT* b, int count, int first, int second),         \
           concat<UNIT>(out, a, b, count, first, second))
MOVES(2, uint16_t)
MOVES(4, uint32_t)
MOVES(16, uint4)

#define ATTENTION(NAME, T, STEPS)                                                                                     \
    KERNEL(attention_##NAME##_##STEPS, 32 * WARPS,                                                                    \
           (T* out, const T* query, const T* key, const T* value, int queries, int keys, int size, int query_step,    \
            int key_step, int value_step, float factor),                                                              \
           (attention<T, STEPS>(out, query, key, value, queries, keys, size, query_step, key_step, value_step, factor))) \
    KERNEL(probabilities_##NAME##_##STEPS, 32 * WARPS,                                                                \
           (float* out, const T* query, const T* key, int heads, int queries, int keys, int size, int query_step,     \
            int key_step, int is_mean, float factor),                                                                 \
           (probabilities<T, STEPS>(out, query, key, heads, queries, keys, size, query_step, key_step, is_mean, factor)))
#define ATTENTIONS(NAME, T) \
    ATTENTION(NAME, T, 1)   \
    ATTENTION(NAME, T, 2)   \
    ATTENTION(NAME, T, 3)   \
    ATTENTION(NAME, T, 4)   \
    ATTENTION(NAME, T, 5)   \
    ATTENTION(NAME, T, 6)   \
    ATTENTION(NAME, T, 8)   \
    ATTENTION(NAME, T, 10)
ATTENTIONS(f16, f16)
ATTENTIONS(bf16, bf16)
