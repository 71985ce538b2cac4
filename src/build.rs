//! Has the program built again when a lesson comes or goes: the folders of lessons are embedded as they are, and the
//! compiler itself notices a change of a file that it has embedded, but no new one. And compiles the kernels of CUDA.

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
        // It jumps between stacks, which that takes for an attack.
        .flag("-U_FORTIFY_SOURCE")
        // In either profile: it is slow enough.
        .opt_level(2)
        .include("tests/gpu/emulator")
        .flag("-xc++")
        .flag("-Wno-unknown-pragmas")
        .files(&files[..2])
        .warnings(true)
        // The table of kernels is filled by what nobody calls.
        .link_lib_modifier("+whole-archive")
        .compile("emulator");
}
