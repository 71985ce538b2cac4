//! Rebuilds the program when a lesson is added or removed: cargo notices a change of an embedded file by itself, but not a
//! new one. Also compiles the CUDA kernels, and for tests the emulator that they run on without a GPU.

fn main() {
    for folder in ["src/build.rs", "lessons/en", "lessons/zh"] {
        println!("cargo::rerun-if-changed={folder}");
    }
    #[cfg(feature = "cuda")]
    compile_kernels();
    #[cfg(all(feature = "cuda-emulated", not(feature = "cuda")))]
    compile_emulator();
}

/// To PTX, which the driver compiles for the card that it finds.
#[cfg(feature = "cuda")]
fn compile_kernels() {
    cudaforge::KernelBuilder::new()
        .source_files(["src/kernels/cuda/kernels.cu"])
        .args(["-std=c++17", "-O3"])
        .build_ptx()
        .expect("nvcc compiles the kernels: is the CUDA toolkit installed?");
}

#[cfg(all(feature = "cuda-emulated", not(feature = "cuda")))]
fn compile_emulator() {
    let files = [
        "src/kernels/cuda/kernels.cu",
        "tests/gpu/emulator/emulator.cpp",
        "tests/gpu/emulator/emulator.hpp",
    ];
    for file in files {
        println!("cargo::rerun-if-changed={file}");
    }
    cc::Build::new()
        .cpp(true)
        .std("c++20")
        .define("CUDA_EMULATED", None)
        // The emulator switches stacks, which fortified code takes for an attack.
        .flag("-U_FORTIFY_SOURCE")
        // In debug builds, too: it is slow as it is.
        .opt_level(2)
        .include("tests/gpu/emulator")
        .flag("-xc++")
        .flag("-Wno-unknown-pragmas")
        .files(&files[..2])
        .warnings(true)
        // Nothing calls the code that fills the table of kernels; the linker must keep it all the same.
        .link_lib_modifier("+whole-archive")
        .compile("emulator");
}
