//! Launching a kernel: on the GPU, or on the emulator of one.

use candle_core::{DType, Result, Storage, StorageRef, Tensor};

/// Threads of a block, where blocks share nothing.
const THREADS: usize = 256;
/// Blocks of a kernel that walks over its values: enough to fill any GPU.
const MAX_BLOCKS: usize = 4096;

/// A parameter of a kernel.
#[derive(Debug, Clone, Copy)]
pub enum Argument<'a> {
    /// The values of a contiguous tensor.
    Values(&'a Tensor),
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
    kernel: String,
    grid: [usize; 3],
    threads: usize,
    arguments: Vec<Argument<'a>>,
}

impl<'a> Launch<'a> {
    /// A kernel whose threads walk over `count` values.
    pub fn over(count: usize, kernel: String) -> Self {
        Self::grid(
            [count.div_ceil(THREADS).min(MAX_BLOCKS), 1, 1],
            THREADS,
            kernel,
        )
    }

    pub fn grid(grid: [usize; 3], threads: usize, kernel: String) -> Self {
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
        int(shape.iter().product())?;
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
        for argument in &self.arguments {
            raw.push(match *argument {
                Argument::Nothing => RawArgument::Pointer(0),
                Argument::Int(number) => RawArgument::Int(int(number)?),
                Argument::Float(float) => RawArgument::Float(float),
                Argument::Values(tensor) => {
                    let (storage, layout) = tensor.storage_and_layout();
                    let Some(range) = layout.contiguous_offsets() else {
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
    use candle_core::backend::BackendStorage as _;
    use candle_core::cuda_backend::cudarc::driver::{DevicePtr, LaunchConfig, PushKernelArg as _};
    use candle_core::cuda_backend::{CudaStorageSlice as Slice, WrapErr as _};
    use candle_core::op::BackpropOp;
    use candle_core::{CudaDevice, CudaStorage, DType, Device, Result, Storage, Tensor};

    use super::{Launch, RawArgument};

    const PTX: &str = include_str!(concat!(env!("OUT_DIR"), "/kernels.ptx"));

    pub fn run(launch: &Launch, example: &Tensor, dtype: DType, shape: &[usize]) -> Result<Tensor> {
        let Device::Cuda(device) = example.device() else {
            candle_core::bail!("a kernel of CUDA was given a tensor of another device");
        };
        let function = device.get_or_load_custom_func(&launch.kernel, "diffuscope", PTX)?;
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
        let mut builder = function.builder();
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
        let kernel = CString::new(launch.kernel.as_str()).map_err(candle_core::Error::wrap)?;
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
