// A GPU for kernels.cu to be tested on without one: a block's threads take turns on one thread of the CPU, and meet where
// they wait for each other. It knows what kernels.cu uses, and nothing more.
//
// It finds wrong indices and values, threads that wait for others that never come, addresses that a GPU refuses because
// they are no multiple of what is read there, and values that no thread wrote (results begin as NaN). A warp runs as far as it can without the others, the first warp first and in the next block the last, so
// that what needs a barrier and has none goes wrong. It says nothing about speed.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

#define __device__
#define __shared__ static

struct alignas(16) uint4 {
    uint32_t x, y, z, w;
};

struct Index {
    int x = 0, y = 0, z = 0;
};

namespace emulator {

// A lane's part in what its warp does together: its pairs of matrices A and B, a row of shared memory, a number.
struct Lane {
    float a[4][2], b[2][2];
    const void* row;
    float value;
};

// The thread whose turn it is, and its place.
extern Index thread, block, threads, blocks;

// Waits for the other threads of the warp, or of the block.
void meet_warp();
void meet_block();

// Lane `index` of this thread's warp.
Lane& lane(int index);

// Takes note of an address that is no multiple of `size`: a GPU ends the program there.
void check_address(const void* address, size_t size);

using Call = void (*)(void** arguments);

// Kernels by name; the table is filled before main.
struct Kernel {
    Kernel(const char* name, int threads, std::string kinds, Call call);
    const char* name;
    int threads;
    // A letter for each of its parameters: p, a pointer; i, an int; f, a float.
    std::string kinds;
    Call call;
    Kernel* next;
};

template <class Parameter> constexpr char KIND = std::is_pointer_v<Parameter>        ? 'p'
                                                 : std::is_same_v<Parameter, float> ? 'f'
                                                                                    : 'i';

template <class... Parameters> struct Unpack {
    static std::string kinds() { return {KIND<Parameters>...}; }
    template <void (*BODY)(Parameters...)> static void call(void** arguments) {
        unpacked<BODY>(arguments, std::index_sequence_for<Parameters...>());
    }
    template <class Parameter> static void check(void* argument) {
        if constexpr (std::is_pointer_v<Parameter>)
            check_address(*static_cast<Parameter*>(argument), alignof(std::remove_pointer_t<Parameter>));
    }
    template <void (*BODY)(Parameters...), size_t... I> static void unpacked(void** arguments, std::index_sequence<I...>) {
        (check<std::tuple_element_t<I, std::tuple<Parameters...>>>(arguments[I]), ...);
        BODY(*static_cast<std::tuple_element_t<I, std::tuple<Parameters...>>*>(arguments[I])...);
    }
};
template <class... Parameters> Unpack<Parameters...> unpack(void (*)(Parameters...));

}  // namespace emulator

#define threadIdx emulator::thread
#define blockIdx emulator::block
#define blockDim emulator::threads
#define gridDim emulator::blocks

using std::min;

template <class U> U load_as(const void* from) {
    emulator::check_address(from, alignof(U));
    U value;
    std::memcpy(&value, from, sizeof(U));
    return value;
}
template <class U> void store_as(void* to, U value) {
    emulator::check_address(to, alignof(U));
    std::memcpy(to, &value, sizeof(U));
}

// ---- Numbers of 16 bits, rounded to the nearest, to even in the middle ----

struct f16 {
    uint16_t bits;
};
struct bf16 {
    uint16_t bits;
};

inline float widened(float x) { return x; }
inline float widened(f16 x) {
    _Float16 half;
    std::memcpy(&half, &x, 2);
    return half;
}
inline float widened(bf16 x) {
    uint32_t wide = static_cast<uint32_t>(x.bits) << 16;
    float value;
    std::memcpy(&value, &wide, 4);
    return value;
}

template <class T> T narrowed(float x) {
    if constexpr (std::is_same_v<T, float>) {
        return x;
    } else if constexpr (std::is_same_v<T, f16>) {
        _Float16 half = x;
        f16 narrow;
        std::memcpy(&narrow, &half, 2);
        return narrow;
    } else {
        uint32_t wide;
        std::memcpy(&wide, &x, 4);
        if (x != x) return {0x7fc0};
        return {static_cast<uint16_t>((wide + 0x7fff + (wide >> 16 & 1)) >> 16)};
    }
}

template <class T> uint32_t bits(T x) { return x.bits; }

// ---- What a warp does together ----

inline void __syncthreads() { emulator::meet_block(); }

inline float __shfl_xor_sync(uint32_t, float x, int distance) {
    int own = threadIdx.x % 32;
    emulator::lane(own).value = x;
    emulator::meet_warp();
    float other = emulator::lane(own ^ distance).value;
    emulator::meet_warp();
    return other;
}

// Two numbers of a word.
template <class T> void unpack(float* to, uint32_t word) {
    to[0] = widened(T{static_cast<uint16_t>(word)});
    to[1] = widened(T{static_cast<uint16_t>(word >> 16)});
}

template <class T> void multiply(float (&sum)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    int own = threadIdx.x % 32, g = own / 4, t = own % 4;
    emulator::Lane& mine = emulator::lane(own);
    for (int i = 0; i < 4; ++i) unpack<T>(mine.a[i], a[i]);
    unpack<T>(mine.b[0], b0);
    unpack<T>(mine.b[1], b1);
    emulator::meet_warp();
    for (int i = 0; i < 4; ++i) {
        int row = i / 2, column = 2 * t + i % 2;
        for (int k = 0; k < 16; ++k) {
            const emulator::Lane& left = emulator::lane(g * 4 + k % 8 / 2);
            const emulator::Lane& right = emulator::lane(column * 4 + k % 8 / 2);
            sum[i] += left.a[row + k / 8 * 2][k % 2] * right.b[k / 8][k % 2];
        }
    }
    emulator::meet_warp();
}

inline void load(uint32_t (&to)[4], const void* row, bool transposed) {
    int own = threadIdx.x % 32, g = own / 4, t = own % 4;
    emulator::lane(own).row = row;
    emulator::meet_warp();
    for (int i = 0; i < 4; ++i) {
        uint16_t two[2];
        for (int j = 0; j < 2; ++j) {
            int at = transposed ? 2 * t + j : g, column = transposed ? g : 2 * t + j;
            two[j] = static_cast<const uint16_t*>(emulator::lane(8 * i + at).row)[column];
        }
        std::memcpy(&to[i], two, 4);
    }
    emulator::meet_warp();
}
inline void load_matrices(uint32_t (&to)[4], const void* row) { load(to, row, false); }
inline void load_matrices_transposed(uint32_t (&to)[4], const void* row) { load(to, row, true); }

#define KERNEL(NAME, THREADS, PARAMETERS, BODY)                                                      \
    static void NAME PARAMETERS { BODY; }                                                            \
    static emulator::Kernel NAME##_kernel(#NAME, THREADS, decltype(emulator::unpack(NAME))::kinds(), \
                                          &decltype(emulator::unpack(NAME))::call<NAME>);
