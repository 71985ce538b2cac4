#include "emulator.hpp"

#include <setjmp.h>
#include <ucontext.h>

#include <vector>

namespace emulator {

Index thread, block, threads, blocks;

namespace {

Kernel* kernels = nullptr;

enum class State { RUNS, MEETS_WARP, MEETS_BLOCK, DONE };

constexpr size_t STACK = 64 << 10;

// A thread of the GPU: a stack of its own, between which jumps cost nothing.
struct Fiber {
    ucontext_t start;
    jmp_buf here;
    bool is_new;
    State state;
    std::vector<char> stack = std::vector<char>(STACK);
};

std::vector<Fiber> fibers;
std::vector<Lane> lanes;
jmp_buf scheduler;
int own = 0;
Call call;
void** arguments;
bool misaligned = false;

void leave(State state) {
    fibers[own].state = state;
    if (_setjmp(fibers[own].here) == 0) _longjmp(scheduler, 1);
}

void run() {
    call(arguments);
    leave(State::DONE);
}

void resume(int index) {
    own = index;
    thread.x = index;
    if (_setjmp(scheduler) != 0) return;
    Fiber& fiber = fibers[index];
    if (!fiber.is_new) _longjmp(fiber.here, 1);
    fiber.is_new = false;
    getcontext(&fiber.start);
    fiber.start.uc_stack.ss_sp = fiber.stack.data();
    fiber.start.uc_stack.ss_size = STACK;
    fiber.start.uc_link = nullptr;
    makecontext(&fiber.start, run, 0);
    setcontext(&fiber.start);
}

// Lets threads `first` to `last` go on if all of them that are not done wait in `state`.
bool release(int first, int last, State state) {
    bool any = false;
    for (int i = first; i < last; ++i) {
        if (fibers[i].state != state && fibers[i].state != State::DONE) return false;
        any = any || fibers[i].state == state;
    }
    for (int i = first; i < last; ++i)
        if (fibers[i].state == state) fibers[i].state = State::RUNS;
    return any;
}

// Runs a block to its end, one warp after another as far as each can go without the others: as far apart as threads may
// get that nothing holds together. False when its threads wait for each other for ever.
bool run_block(bool backwards) {
    int count = threads.x;
    for (Fiber& fiber : fibers) {
        fiber.is_new = true;
        fiber.state = State::RUNS;
    }
    do {
        for (int i = 0; i < count; i += 32) {
            int first = backwards ? (count - 1) / 32 * 32 - i : i;
            int last = std::min(first + 32, count);
            do {
                for (int j = 0; j < last - first; ++j) {
                    int index = backwards ? last - 1 - j : first + j;
                    if (fibers[index].state == State::RUNS) resume(index);
                }
            } while (release(first, last, State::MEETS_WARP));
        }
    } while (release(0, count, State::MEETS_BLOCK));
    for (const Fiber& fiber : fibers)
        if (fiber.state != State::DONE) return false;
    return true;
}

}  // namespace

void check_address(const void* address, size_t size) {
    if (reinterpret_cast<uintptr_t>(address) % size != 0) misaligned = true;
}

void meet_warp() { leave(State::MEETS_WARP); }
void meet_block() { leave(State::MEETS_BLOCK); }
Lane& lane(int index) { return lanes[own / 32 * 32 + index]; }

Kernel::Kernel(const char* name, int threads, std::string kinds, Call call)
    : name(name), threads(threads), kinds(std::move(kinds)), call(call), next(kernels) {
    kernels = this;
}

}  // namespace emulator

// Runs the kernel called `name` over `grid` blocks. Returns 0, or what is wrong: 1, there is no such kernel; 2, its threads
// wait for ever; 3, it has other numbers of threads than `block`; 4, it has other parameters than `kinds` says; 5, it reads
// or writes at an address that is no multiple of what it moves. Not to be called by two threads at once.
extern "C" int emulate(const char* name, const int grid[3], int block, const char* kinds, void** arguments) {
    using namespace emulator;
    static bool backwards = false;
    const Kernel* kernel = kernels;
    while (kernel && std::strcmp(kernel->name, name) != 0) kernel = kernel->next;
    if (!kernel) return 1;
    if (kernel->threads != block) return 3;
    if (kernel->kinds != kinds) return 4;
    call = kernel->call;
    misaligned = false;
    emulator::arguments = arguments;
    threads = {block, 1, 1};
    blocks = {grid[0], grid[1], grid[2]};
    fibers.resize(block);
    lanes.resize(block);
    for (int z = 0; z < grid[2]; ++z)
        for (int y = 0; y < grid[1]; ++y)
            for (int x = 0; x < grid[0]; ++x) {
                emulator::block = {x, y, z};
                if (!run_block(backwards)) return 2;
                backwards = !backwards;
            }
    return misaligned ? 5 : 0;
}
