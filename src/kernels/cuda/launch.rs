//! Launching a kernel: on the GPU, or on the emulator of one.

use std::fmt;

use candle_core::{DType, Layout, Result, Storage, StorageRef, Tensor};

use super::operands::suffix;

/// Threads of a block, where blocks share nothing.
pub const THREADS: usize = 256;
/// Blocks of a kernel that walks over its values: enough to fill any GPU.
const MAX_BLOCKS: usize = 4096;
/// The most values of a result. Kernels count in `int`s, and go up to one round of all blocks beyond the last value.
const MAX_VALUES: usize = i32::MAX as usize - MAX_BLOCKS * THREADS * 16;

/// A kernel's name, in the parts that it is put together from when it is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Kernel {
    name: &'static str,
    /// Does it move 16 bytes at once, where others of its name move one value?
    wide: bool,
    dtype: Option<DType>,
    number: Option<usize>,
}

impl Kernel {
    /// For values of type `dtype`; `at_once` of them are moved at once.
    pub fn of(name: &'static str, dtype: DType, at_once: usize) -> Self {
        Self {
            name,
            wide: at_once > 1,
            dtype: Some(dtype),
            number: None,
        }
    }

    /// For units of `bytes` bytes, whatever is in them.
    pub fn of_units(name: &'static str, bytes: usize) -> Self {
        Self {
            name,
            wide: false,
            dtype: None,
            number: Some(bytes),
        }
    }

    /// Compiled for `steps` pieces of 16 features.
    pub fn steps(self, steps: usize) -> Self {
        Self {
            number: Some(steps),
            ..self
        }
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        if self.wide {
            f.write_str("_wide")?;
        }
        if let Some(dtype) = self.dtype {
            write!(f, "_{}", suffix(dtype))?;
        }
        match self.number {
            Some(number) => write!(f, "_{number}"),
            None => Ok(()),
        }
    }
}

/// A parameter of a kernel.
#[derive(Debug, Clone, Copy)]
pub enum Argument<'a> {
    /// The values of a contiguous tensor.
    Values(&'a Tensor),
    /// Those of a tensor whose rows are as [`Rows`](super::operands::Rows) says.
    Rows(&'a Tensor),
    /// A null pointer, where a kernel can do without.
    Nothing,
    Int(usize),
    Float(f32),
}

impl<'a> From<Option<&'a Tensor>> for Argument<'a> {
    fn from(values: Option<&'a Tensor>) -> Self {
        values.map_or(Self::Nothing, Self::Values)
    }
}

/// A kernel with its grid and its parameters, the first of which, where the result goes, is not among them.
#[derive(Debug)]
pub struct Launch<'a> {
    kernel: Kernel,
    grid: [usize; 3],
    threads: usize,
    arguments: Vec<Argument<'a>>,
}

impl<'a> Launch<'a> {
    /// A kernel whose threads walk over `count` values, or units of several.
    pub fn over(count: usize, kernel: Kernel) -> Self {
        Self::grid(
            [count.div_ceil(THREADS).min(MAX_BLOCKS), 1, 1],
            THREADS,
            kernel,
        )
    }

    pub fn grid(grid: [usize; 3], threads: usize, kernel: Kernel) -> Self {
        Self {
            kernel,
            grid,
            threads,
            arguments: Vec::new(),
        }
    }

    pub fn with(mut self, arguments: impl IntoIterator<Item = Argument<'a>>) -> Self {
        self.arguments.extend(arguments);
        self
    }

    pub fn ints(self, ints: impl IntoIterator<Item = usize>) -> Self {
        self.with(ints.into_iter().map(Argument::Int))
    }

    /// Asks the device of `example` to run it; the result has `dtype` and `shape`.
    pub fn run(&self, example: &Tensor, dtype: DType, shape: &[usize]) -> Result<Tensor> {
        let count: usize = shape.iter().product();
        if count > MAX_VALUES {
            candle_core::bail!("{count} values are too many for a kernel");
        }
        if shape.contains(&0) {
            return Tensor::zeros(shape, dtype, example.device());
        }
        device::run(self, example, dtype, shape)
    }

    /// What the kernel is handed, beginning with `out`: `address` says where the values of a storage begin, from the
    /// first to the last one that is wanted. With it come candle's locks on them, to be held until the device was
    /// asked.
    fn raw_arguments(
        &self,
        out: u64,
        address: impl Fn(&Storage, (usize, usize)) -> Result<u64>,
    ) -> Result<(Vec<RawArgument>, Vec<StorageRef<'a>>)> {
        let mut raw = vec![RawArgument::Pointer(out)];
        let mut locks = Vec::new();
        for &argument in &self.arguments {
            raw.push(match argument {
                Argument::Nothing => RawArgument::Pointer(0),
                Argument::Int(number) => RawArgument::Int(int(number)?),
                Argument::Float(float) => RawArgument::Float(float),
                Argument::Values(tensor) | Argument::Rows(tensor) => {
                    let (storage, layout) = tensor.storage_and_layout();
                    let range = match argument {
                        Argument::Rows(_) => Some(reach(layout)),
                        _ => layout.contiguous_offsets(),
                    };
                    let Some(range) = range else {
                        candle_core::bail!("a kernel was given a tensor that is not contiguous");
                    };
                    let pointer = RawArgument::Pointer(address(&storage, range)?);
                    locks.push(storage);
                    pointer
                }
            });
        }
        Ok((raw, locks))
    }
}

/// From the first value to after the last one, whatever lies between them.
fn reach(layout: &Layout) -> (usize, usize) {
    let steps = layout.dims().iter().zip(layout.stride());
    let last: usize = steps
        .map(|(count, stride)| count.saturating_sub(1) * stride)
        .sum();
    (layout.start_offset(), layout.start_offset() + last + 1)
}

/// What a kernel is handed.
enum RawArgument {
    Pointer(u64),
    Int(i32),
    Float(f32),
}

/// Kernels, and the libraries beside them, count in `int`s.
pub fn int(number: usize) -> Result<i32> {
    i32::try_from(number)
        .map_err(|_| candle_core::Error::Msg(format!("{number} values are too many for a kernel")))
}

#[cfg(feature = "cuda")]
#[allow(unsafe_code)] // A kernel is foreign code: nothing else can be said of it than what it says of itself.
mod device {
    use std::collections::HashMap;
    use std::sync::{Arc, OnceLock, PoisonError, RwLock};

    use candle_core::backend::BackendStorage as _;
    use candle_core::cuda_backend::cudarc::driver::{
        CudaFunction, CudaModule, DevicePtr, LaunchConfig, PushKernelArg as _,
    };
    use candle_core::cuda_backend::{CudaStorageSlice as Slice, WrapErr as _};
    use candle_core::op::BackpropOp;
    use candle_core::{CudaDevice, CudaStorage, DType, Device, Result, Storage, Tensor};

    use super::{Kernel, Launch, RawArgument};

    const PTX: &str = include_str!(concat!(env!("OUT_DIR"), "/kernels.ptx"));

    /// The kernels that were launched before: a step launches hundreds, and asking the driver for one by its name takes
    /// as long as launching it. There is one device in a process (see [`super::super::device`]), and so one of each.
    static LOADED: RwLock<Option<HashMap<Kernel, CudaFunction>>> = RwLock::new(None);

    fn function(device: &CudaDevice, kernel: Kernel) -> Result<CudaFunction> {
        let loaded = LOADED.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(function) = loaded.as_ref().and_then(|loaded| loaded.get(&kernel)) {
            return Ok(function.clone());
        }
        drop(loaded);
        let function = module(device)?.load_function(&kernel.to_string()).w()?;
        let mut loaded = LOADED.write().unwrap_or_else(PoisonError::into_inner);
        let loaded = loaded.get_or_insert_default();
        loaded.insert(kernel, function.clone());
        Ok(function)
    }

    fn module(device: &CudaDevice) -> Result<Arc<CudaModule>> {
        static MODULE: OnceLock<Arc<CudaModule>> = OnceLock::new();
        if let Some(module) = MODULE.get() {
            return Ok(module.clone());
        }
        let module = device.cuda_stream().context().load_module(PTX.into()).w()?;
        Ok(MODULE.get_or_init(|| module).clone())
    }

    pub fn run(launch: &Launch, example: &Tensor, dtype: DType, shape: &[usize]) -> Result<Tensor> {
        let Device::Cuda(device) = example.device() else {
            candle_core::bail!("a kernel of CUDA was given a tensor of another device");
        };
        let function = function(device, launch.kernel)?;
        let count = shape.iter().product();
        // SAFETY: every kernel writes every value of its result; tests on the emulator begin with NaN.
        let out = unsafe {
            match dtype {
                DType::F32 => Slice::F32(device.alloc(count)?),
                DType::F16 => Slice::F16(device.alloc(count)?),
                DType::BF16 => Slice::BF16(device.alloc(count)?),
                _ => candle_core::bail!("kernels do not compute in {dtype:?}"),
            }
        };
        let out = CudaStorage {
            slice: out,
            device: device.clone(),
        };
        let (raw, locks) =
            launch.raw_arguments(pointer(device, &out)?, |storage, (start, _)| {
                let Storage::Cuda(values) = storage else {
                    candle_core::bail!("a kernel of CUDA was given a tensor of another device");
                };
                let start = start * values.dtype().size_in_bytes();
                Ok(pointer(device, values)? + start as u64)
            })?;
        let stream = device.cuda_stream();
        let mut builder = stream.launch_builder(&function);
        for argument in &raw {
            match argument {
                RawArgument::Pointer(pointer) => builder.arg(pointer),
                RawArgument::Int(int) => builder.arg(int),
                RawArgument::Float(float) => builder.arg(float),
            };
        }
        let [x, y, z] = launch.grid;
        let config = LaunchConfig {
            grid_dim: (x as u32, y as u32, z as u32),
            block_dim: (launch.threads as u32, 1, 1),
            shared_mem_bytes: 0,
        };
        // SAFETY: number, order and types of the arguments are those of the kernel, and it stays within the tensors:
        // the tests run this very list of arguments on the emulator. All tensors live on one stream, which keeps the
        // order.
        unsafe { builder.launch(config) }.w()?;
        drop(locks);
        Ok(Tensor::from_storage(
            Storage::Cuda(out),
            shape,
            BackpropOp::none(),
            false,
        ))
    }

    /// Where the values begin.
    fn pointer(device: &CudaDevice, values: &CudaStorage) -> Result<u64> {
        let stream = device.cuda_stream();
        Ok(match &values.slice {
            Slice::F32(values) => values.device_ptr(&stream).0,
            Slice::F16(values) => values.device_ptr(&stream).0,
            Slice::BF16(values) => values.device_ptr(&stream).0,
            _ => candle_core::bail!("kernels do not compute in {:?}", values.dtype()),
        })
    }
}

#[cfg(all(feature = "cuda-emulated", not(feature = "cuda")))]
#[allow(unsafe_code)] // As above, and for tests alone.
mod device {
    use std::ffi::{CString, c_char, c_int, c_void};
    use std::ptr;
    use std::sync::{Mutex, PoisonError};

    use candle_core::{CpuStorage, DType, Device, Result, Storage, Tensor};

    use super::{Launch, RawArgument, int};

    unsafe extern "C" {
        fn emulate(
            kernel: *const c_char,
            grid: *const c_int,
            threads: c_int,
            kinds: *const c_char,
            arguments: *const *const c_void,
        ) -> c_int;
    }

    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

    pub fn run(
        launch: &Launch,
        _example: &Tensor,
        dtype: DType,
        shape: &[usize],
    ) -> Result<Tensor> {
        let bytes = shape.iter().product::<usize>() * dtype.size_in_bytes();
        // NaN in every type, so that what no thread writes is seen; and aligned as on the GPU.
        let mut out = vec![u128::MAX; bytes.div_ceil(size_of::<u128>())];
        let (raw, locks) =
            launch.raw_arguments(out.as_mut_ptr() as u64, |storage, (start, end)| {
                Ok(match storage {
                    Storage::Cpu(CpuStorage::F32(values)) => values[start..end].as_ptr() as u64,
                    Storage::Cpu(CpuStorage::F16(values)) => values[start..end].as_ptr() as u64,
                    Storage::Cpu(CpuStorage::BF16(values)) => values[start..end].as_ptr() as u64,
                    _ => candle_core::bail!("a kernel was given values that it does not know"),
                })
            })?;
        let arguments: Vec<*const c_void> = raw
            .iter()
            .map(|argument| match argument {
                RawArgument::Pointer(pointer) => ptr::from_ref(pointer).cast(),
                RawArgument::Int(int) => ptr::from_ref(int).cast(),
                RawArgument::Float(float) => ptr::from_ref(float).cast(),
            })
            .collect();
        let kinds: String = raw
            .iter()
            .map(|argument| match argument {
                RawArgument::Pointer(_) => 'p',
                RawArgument::Int(_) => 'i',
                RawArgument::Float(_) => 'f',
            })
            .collect();
        let kinds = CString::new(kinds).map_err(candle_core::Error::wrap)?;
        let kernel = CString::new(launch.kernel.to_string()).map_err(candle_core::Error::wrap)?;
        let [x, y, z] = launch.grid;
        let grid = [int(x)?, int(y)?, int(z)?];
        let threads = int(launch.threads)?;
        let alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: what the arguments point to lives until the end of this function; whether the kernel stays within it
        // is what the tests are to find out.
        let code = unsafe {
            emulate(
                kernel.as_ptr(),
                grid.as_ptr(),
                threads,
                kinds.as_ptr(),
                arguments.as_ptr(),
            )
        };
        drop(alone);
        drop(locks);
        if code != 0 {
            candle_core::bail!("the emulator refuses {launch:?}: {code}");
        }
        let out: Vec<u8> = out.into_iter().flat_map(u128::to_ne_bytes).collect();
        Tensor::from_raw_buffer(&out[..bytes], dtype, shape, &Device::Cpu)
    }
}

#[cfg(not(any(feature = "cuda", feature = "cuda-emulated")))]
mod device {
    use candle_core::{DType, Result, Tensor};

    use super::Launch;

    pub fn run(launch: &Launch, _: &Tensor, _: DType, _: &[usize]) -> Result<Tensor> {
        candle_core::bail!("this build has no kernel {}", launch.kernel)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn kernels_are_called_as_in_their_source() {
        let names = [
            Kernel::of("add", DType::F16, 8),
            Kernel::of("add", DType::F32, 1),
            Kernel::of_units("patches", 16),
            Kernel::of("attention", DType::BF16, 1).steps(3),
        ];
        let names = names.map(|kernel| kernel.to_string());
        let expected = ["add_wide_f16", "add_f32", "patches_16", "attention_bf16_3"];
        assert_eq!(names, expected);
    }

    #[test]
    fn what_an_int_cannot_count_is_refused() -> Result<()> {
        let x = Tensor::zeros(1, DType::F16, &Device::Cpu)?;
        let launch = Launch::over(1, Kernel::of("add", DType::F16, 1));
        // Fewer than 2^31, but the last round of threads would count beyond.
        let shape = [1, 512, 2048, 2047];
        let error = launch.run(&x, DType::F16, &shape).unwrap_err();
        assert!(error.to_string().contains("too many"), "{error}");
        Ok(())
    }

    #[test]
    fn rows_reach_from_their_first_value_to_their_last() -> Result<()> {
        let x = Tensor::zeros((2, 3, 12), DType::F32, &Device::Cpu)?.narrow(2, 4, 4)?;
        assert_eq!(reach(x.layout()), (4, 2 * 3 * 12 - 4));
        Ok(())
    }
}
