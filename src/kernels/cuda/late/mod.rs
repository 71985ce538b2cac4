//! CUDA's libraries, looked for when they are needed and not when the program starts: see `generate.rs`.

use std::ffi::{CStr, c_char};

#[allow(unsafe_code)] // The libraries' functions are found by C and assembly, see `late.c`.
unsafe extern "C" {
    safe fn late_missing() -> *const c_char;
}

/// Which of the libraries that a GPU cannot be used without is missing, in the words of the system.
#[allow(unsafe_code)]
pub fn missing() -> Option<String> {
    let why = late_missing();
    if why.is_null() {
        return None;
    }
    // SAFETY: a text that ends with 0 and lives until this thread looks for another library.
    let why = unsafe { CStr::from_ptr(why) };
    Some(why.to_string_lossy().into_owned())
}

#[cfg(all(test, not(feature = "cuda")))]
mod tests {
    use std::ffi::{c_int, c_void};
    use std::ptr;

    use super::*;

    #[allow(unsafe_code)] // As the libraries declare them.
    unsafe extern "C" {
        fn cuInit(flags: c_int) -> c_int;
        fn cublasCreate_v2(handle: *mut *mut c_void) -> c_int;
        fn curandGenerateNormal(
            generator: *mut c_void,
            out: *mut f32,
            count: usize,
            mean: f32,
            deviation: f32,
        ) -> c_int;
        fn cudaGetErrorString(error: c_int) -> *const c_char;
    }

    /// On a machine that has them nothing is missing, and there is nothing to see.
    #[allow(unsafe_code)]
    #[test]
    fn functions_of_missing_libraries_fail_as_those_of_libraries_do() {
        let Some(missing) = missing() else {
            return;
        };
        assert!(missing.contains(".so"), "{missing}");
        if missing.contains("libcuda.so.1") {
            // SAFETY: nothing is there that could do anything.
            let status = unsafe { cuInit(0) };
            assert_eq!(status, 34, "CUDA_ERROR_STUB_LIBRARY");
        }
        // SAFETY: without libraries nothing is read or written; with them a handle is, and null is refused.
        let (blas, rand, text) = unsafe {
            let mut handle = ptr::null_mut();
            (
                cublasCreate_v2(&raw mut handle),
                curandGenerateNormal(ptr::null_mut(), ptr::null_mut(), 2, 0.0, 1.0),
                CStr::from_ptr(cudaGetErrorString(3)),
            )
        };
        assert_ne!(blas, 0);
        assert_ne!(rand, 0);
        assert!(!text.is_empty());
    }

    #[test]
    fn every_function_of_the_list_has_a_place_and_its_library() {
        let functions: Vec<&str> = include_str!("functions.txt").lines().collect();
        assert!(functions.is_sorted() && functions.windows(2).all(|pair| pair[0] != pair[1]));
        for needed in [
            "cuInit",
            "cublasCreate_v2",
            "cudnnConvolutionForward",
            "curandCreateGenerator",
        ] {
            assert!(functions.contains(&needed), "{needed}");
        }
    }
}
