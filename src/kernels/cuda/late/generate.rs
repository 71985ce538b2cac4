//! Writes `late.S`: a function for each of `functions.txt`, which jumps to that of CUDA's library once somebody has called
//! it. They are linked before the libraries themselves, which the program then does not ask the system for: it starts
//! without them. A function that is missing from the list is taken from its library, as if there were no list.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// The beginning of a function's name, its library without the version, what its functions return where it is not there
/// (see `late.c`), and whether nothing can be done without it.
const LIBRARIES: [(&str, &str, u32, bool); 7] = [
    // CUBLAS_STATUS_NOT_INITIALIZED.
    ("cublasLt", "libcublasLt.so", 1, true),
    ("cublas", "libcublas.so", 1, true),
    // CURAND_STATUS_INITIALIZATION_FAILED.
    ("curand", "libcurand.so", 203, true),
    // CUDNN_STATUS_NOT_INITIALIZED.
    ("cudnn", "libcudnn.so", 1001, false),
    // NVRTC_ERROR_INTERNAL_ERROR; no kernel is compiled from its source.
    ("nvrtc", "libnvrtc.so", 11, false),
    // cudaErrorInvalidValue. candle's kernels for quantised weights, which nobody calls, register themselves there.
    ("cuda", "libcudart.so", 1, false),
    // CUDA_ERROR_STUB_LIBRARY.
    ("cu", "libcuda.so", 34, true),
];

/// `late.S` in `folder`, for a program that is linked with CUDA `major`.
pub fn write(folder: &Path, functions: &str, major: u32) -> std::io::Result<PathBuf> {
    let functions: Vec<&str> = functions.lines().filter(|line| !line.is_empty()).collect();
    let path = folder.join("late.S");
    std::fs::write(&path, assembly(&functions, major))?;
    Ok(path)
}

fn library(function: &str) -> usize {
    let name = function.trim_start_matches('_');
    let of = |(start, ..): &(&str, &str, u32, bool)| name.starts_with(start);
    LIBRARIES.iter().position(of).expect("a function of CUDA's")
}

/// Does it return a text, and not a status? The driver's own functions of that name do not.
fn is_text(function: &str) -> bool {
    let names = [
        "GetErrorString",
        "GetErrorName",
        "GetStatusString",
        "GetStatusName",
    ];
    !function.starts_with("cuGet") && names.iter().any(|name| function.contains(name))
}

fn version(library: &str, major: u32) -> u32 {
    match library {
        "libcuda.so" => 1,
        "libcudnn.so" => 9,
        "libcurand.so" => 10,
        _ => major,
    }
}

fn assembly(functions: &[&str], major: u32) -> String {
    let mut out = String::from(PROLOGUE);
    for (index, function) in functions.iter().enumerate() {
        let _ = write!(
            out,
            "    .globl {function}\n    .type {function}, @function\n{function}:\n    jmp *late_slots+{}(%rip)\n\
             late_first_{index}:\n    movl ${index}, %r11d\n    jmp late_first\n",
            index * 8
        );
    }
    out.push_str("    .section .data.late, \"aw\", @progbits\n    .balign 8\nlate_slots:\n");
    for index in 0..functions.len() {
        let _ = writeln!(out, "    .quad late_first_{index}");
    }
    out.push_str("    .globl late_functions\nlate_functions:\n");
    for (index, function) in functions.iter().enumerate() {
        let (library, is_text) = (library(function), u8::from(is_text(function)));
        let _ = writeln!(
            out,
            "    .quad late_name_{index}\n    .long {library}, {is_text}"
        );
    }
    out.push_str("    .globl late_libraries\nlate_libraries:\n");
    for (index, (_, _, failure, is_needed)) in LIBRARIES.iter().enumerate() {
        let is_needed = u8::from(*is_needed);
        let _ = writeln!(
            out,
            "    .quad late_library_{index}\n    .long {failure}, {is_needed}\n    .quad 0"
        );
    }
    let _ = writeln!(
        out,
        "    .globl late_library_count\nlate_library_count:\n    .long {}\n    .section .rodata.late, \"a\", @progbits",
        LIBRARIES.len()
    );
    for (index, function) in functions.iter().enumerate() {
        let _ = writeln!(out, "late_name_{index}: .asciz \"{function}\"");
    }
    for (index, (_, name, ..)) in LIBRARIES.iter().enumerate() {
        let version = version(name, major);
        let _ = writeln!(out, "late_library_{index}: .asciz \"{name}.{version}\"");
    }
    out.push_str("    .section .note.GNU-stack, \"\", @progbits\n");
    out
}

/// What a function does the first time: it keeps its arguments, asks where it is (its index is in r11), and goes there
/// with all arguments as they were. On entry the stack is 8 bytes off 16; 7 registers and 144 bytes make it even.
const PROLOGUE: &str = "\
    .section .text.late, \"ax\", @progbits
late_first:
    pushq %rdi
    pushq %rsi
    pushq %rdx
    pushq %rcx
    pushq %r8
    pushq %r9
    pushq %rax
    subq $144, %rsp
    movups %xmm0, 0(%rsp)
    movups %xmm1, 16(%rsp)
    movups %xmm2, 32(%rsp)
    movups %xmm3, 48(%rsp)
    movups %xmm4, 64(%rsp)
    movups %xmm5, 80(%rsp)
    movups %xmm6, 96(%rsp)
    movups %xmm7, 112(%rsp)
    movq %r11, 128(%rsp)
    movl %r11d, %edi
    call late_find
    movq 128(%rsp), %rcx
    leaq late_slots(%rip), %rdx
    movq %rax, (%rdx,%rcx,8)
    movq %rax, %r11
    movups 0(%rsp), %xmm0
    movups 16(%rsp), %xmm1
    movups 32(%rsp), %xmm2
    movups 48(%rsp), %xmm3
    movups 64(%rsp), %xmm4
    movups 80(%rsp), %xmm5
    movups 96(%rsp), %xmm6
    movups 112(%rsp), %xmm7
    addq $144, %rsp
    popq %rax
    popq %r9
    popq %r8
    popq %rcx
    popq %rdx
    popq %rsi
    popq %rdi
    jmp *%r11
";
