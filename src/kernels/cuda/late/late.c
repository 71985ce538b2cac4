// Finds the functions of CUDA's libraries when they are called for the first time, so that a program that was built with
// CUDA also starts where they are not.
//
// `late.S`, which is written when the program is built, has a function of each name; it jumps to where `late_find` says.
#include <dlfcn.h>
#include <stddef.h>

// A library, what it is called, and what its functions return where it is not there.
struct library {
    const char *name;
    int failure;
    int is_needed;
    void *handle;
};
extern struct library late_libraries[];
extern const int late_library_count;

// A function, the index of its library, and whether it returns a text.
struct function {
    const char *name;
    int library;
    int is_text;
};
extern const struct function late_functions[];

static void *open_library(struct library *library) {
    void *handle = __atomic_load_n(&library->handle, __ATOMIC_ACQUIRE);
    if (!handle) {
        handle = dlopen(library->name, RTLD_NOW | RTLD_LOCAL);
        __atomic_store_n(&library->handle, handle, __ATOMIC_RELEASE);
    }
    return handle;
}

// What stands in for functions of a library that is not there. Their arguments are left where they are.
static const char *text(void) { return "the library is not there"; }
static long zero(void) { return 0; }
static long one(void) { return 1; }
static long stub_library(void) { return 34; }
static long initialization_failed(void) { return 203; }
static long not_initialized(void) { return 1001; }
static long internal_error(void) { return 11; }

static void *stand_in(int failure) {
    switch (failure) {
    case 1: return one;
    case 34: return stub_library;
    case 203: return initialization_failed;
    case 1001: return not_initialized;
    case 11: return internal_error;
    default: return zero;
    }
}

void *late_find(unsigned index) {
    const struct function *function = &late_functions[index];
    struct library *library = &late_libraries[function->library];
    void *handle = open_library(library);
    void *found = handle ? dlsym(handle, function->name) : NULL;
    if (found) return found;
    return function->is_text ? (void *)text : stand_in(library->failure);
}

// Why one of the libraries that nothing can be done without does not open, the driver's first; null where all do.
const char *late_missing(void) {
    for (int i = late_library_count - 1; i >= 0; --i) {
        struct library *library = &late_libraries[i];
        if (library->is_needed && !open_library(library)) {
            const char *why = dlerror();
            return why ? why : library->name;
        }
    }
    return NULL;
}
