//! Rebuilds the program when a lesson is added or removed: cargo notices a change of an embedded file by itself, but not a
//! new one. Also compiles the CUDA kernels and what finds CUDA's libraries when they are needed, and for tests the emulator
//! that the kernels run on without a GPU.

#[cfg(any(feature = "cuda", feature = "cuda-emulated"))]
#[path = "kernels/cuda/late/generate.rs"]
mod late;

fn main() {
    println!("cargo::rustc-check-cfg=cfg(late_cuda)");
    for folder in ["src/build.rs", "lessons/en", "lessons/zh"] {
        println!("cargo::rerun-if-changed={folder}");
    }
    #[cfg(feature = "cuda")]
    {
        compile_kernels();
        if let Some(major) = toolkit() {
            bind_late(major);
        }
    }
    #[cfg(all(feature = "cuda-emulated", not(feature = "cuda")))]
    {
        compile_emulator();
        // For its test.
        bind_late(13);
    }
}

/// To PTX, which the driver compiles for the card that it finds, if that is of the capability that the build was made for
/// or of a later one. `.cargo/config.toml` makes it 8.0 where the environment does not say.
#[cfg(feature = "cuda")]
fn compile_kernels() {
    let capability = cudaforge::detect_compute_cap().expect("a compute capability to compile for");
    let base = capability.base();
    println!("cargo::rustc-env=DIFFUSCOPE_COMPUTE_CAP={base}");
    cudaforge::KernelBuilder::new()
        .source_files(["src/kernels/cuda/kernels.cu"])
        // Our kernels use nothing that came after 8.0, and what is compiled for 9.0 and more would run on that alone.
        .compute_cap(base.min(80))
        // Tools that look for defects then name the line.
        .args(["-std=c++17", "-O3", "-lineinfo"])
        .build_ptx()
        .expect("nvcc compiles the kernels: is the CUDA toolkit installed?");
}

/// Has CUDA's libraries, those of version `major`, looked for when they are needed and not when the program starts, where
/// that is known to work; else the program is linked with them.
#[cfg(any(feature = "cuda", feature = "cuda-emulated"))]
fn bind_late(major: u32) {
    const FOLDER: &str = "src/kernels/cuda/late";
    for file in ["late.c", "generate.rs", "functions.txt"] {
        println!("cargo::rerun-if-changed={FOLDER}/{file}");
    }
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|found| found == value);
    if !is("CARGO_CFG_TARGET_OS", "linux") || !is("CARGO_CFG_TARGET_ARCH", "x86_64") {
        return;
    }
    let functions = std::fs::read_to_string(format!("{FOLDER}/functions.txt"));
    let folder = std::env::var_os("OUT_DIR").expect("cargo names a folder");
    let assembly = late::write(
        folder.as_ref(),
        &functions.expect("a list of functions"),
        major,
    );
    cc::Build::new()
        .file(format!("{FOLDER}/late.c"))
        .file(assembly.expect("a folder that can be written to"))
        .warnings(true)
        .compile("late");
    println!("cargo::rustc-cfg=late_cuda");
}

/// The toolkit's major version, which is that of its libraries.
#[cfg(feature = "cuda")]
fn toolkit() -> Option<u32> {
    let said = std::process::Command::new("nvcc")
        .arg("--version")
        .output()
        .ok()?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    said.split("release ")
        .nth(1)?
        .split('.')
        .next()?
        .parse()
        .ok()
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
