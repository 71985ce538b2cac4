//! cuDNN's convolution, over feature maps that lie channels last, summed up in f32.
//!
//! candle's own call has cuDNN sum f16 up in f16, of which a convolution of 320 channels has 2880 terms, and f32 in
//! TF32, which has the digits of f16.

use std::cell::RefCell;
use std::mem::ManuallyDrop;
use std::sync::Arc;

use candle_core::backend::BackendStorage as _;
use candle_core::cuda_backend::cudarc::cudnn::sys::{
    cudnnConvolutionFwdAlgo_t as Algorithm, cudnnConvolutionMode_t as Mode,
    cudnnMathType_t as Math, cudnnTensorFormat_t as Format,
};
use candle_core::cuda_backend::cudarc::cudnn::{ConvForward, Cudnn, CudnnDataType};
use candle_core::cuda_backend::cudarc::driver::{CudaSlice, CudaView, DeviceRepr};
use candle_core::cuda_backend::{CudaStorageSlice as Slice, DeviceId};
use candle_core::op::BackpropOp;
use candle_core::{CudaDevice, CudaStorage, Device, Error, Result, Storage, Tensor, WithDType};

use super::device::is_full;
use super::launch::int;
use super::tried::{First, Tried};
use crate::kernels::geometry::Geometry;

/// Everything that decides which of cuDNN's algorithms is the fastest.
type Problem = (&'static str, [usize; 4], [usize; 4], Geometry);

/// What cuDNN said before on this thread, to which its handles belong.
#[derive(Default)]
struct Library {
    /// Not given back: after an error that ruins the GPU's context that would be a panic, which hides the error.
    handles: Tried<DeviceId, ManuallyDrop<Arc<Cudnn>>>,
    algorithms: Tried<Problem, Algorithm>,
}

thread_local! {
    static LIBRARY: RefCell<Library> = RefCell::default();
}

static REFUSAL: First = First::new();

/// Why cuDNN did not compute a convolution, the first time that it did not.
pub fn refusal() -> Option<String> {
    REFUSAL.get()
}

/// `x` `(batch, height, width, in)` with `weight` `(out, size, size, in)`, both contiguous, to `(batch, to, out)`. `None`
/// where cuDNN does not do that: it is not asked again, and the reason is in [`refusal`].
///
/// # Errors
/// The GPU's memory is full: another way needs more of it.
pub fn convolve(
    x: &Tensor,
    weight: &Tensor,
    geometry: Geometry,
    to: (usize, usize),
) -> Result<Option<Tensor>> {
    match convolved(x, weight, geometry, to) {
        Ok(out) => Ok(Some(out)),
        Err(error) if is_full(&error) => Err(error),
        Err(error) => {
            REFUSAL.tell(&error.to_string());
            Ok(None)
        }
    }
}

fn convolved(
    x: &Tensor,
    weight: &Tensor,
    geometry: Geometry,
    to: (usize, usize),
) -> Result<Tensor> {
    let Device::Cuda(device) = x.device() else {
        candle_core::bail!("cuDNN was given a tensor of another device");
    };
    let shape = (x.dim(0)?, to.0, to.1, weight.dim(0)?);
    let call = Call {
        device,
        x: x.dims4()?.into(),
        weight: weight.dims4()?.into(),
        geometry,
        to,
    };
    let (x_storage, x_layout) = x.storage_and_layout();
    let (weight_storage, weight_layout) = weight.storage_and_layout();
    let (Storage::Cuda(x), Storage::Cuda(weight)) = (&*x_storage, &*weight_storage) else {
        candle_core::bail!("cuDNN was given a tensor of another device");
    };
    let from = (x_layout.start_offset(), weight_layout.start_offset());
    let slice = match (&x.slice, &weight.slice) {
        (Slice::F16(x), Slice::F16(weight)) => {
            Slice::F16(call.run(&x.slice(from.0..), &weight.slice(from.1..))?)
        }
        (Slice::BF16(x), Slice::BF16(weight)) => {
            Slice::BF16(call.run(&x.slice(from.0..), &weight.slice(from.1..))?)
        }
        (Slice::F32(x), Slice::F32(weight)) => {
            Slice::F32(call.run(&x.slice(from.0..), &weight.slice(from.1..))?)
        }
        _ => candle_core::bail!("cuDNN was given {:?} and {:?}", x.dtype(), weight.dtype()),
    };
    let out = CudaStorage {
        slice,
        device: device.clone(),
    };
    Ok(Tensor::from_storage(
        Storage::Cuda(out),
        shape,
        BackpropOp::none(),
        false,
    ))
}

/// A convolution without its values.
struct Call<'a> {
    device: &'a CudaDevice,
    x: [usize; 4],
    weight: [usize; 4],
    geometry: Geometry,
    to: (usize, usize),
}

impl Call<'_> {
    #[allow(unsafe_code)] // A foreign library, as cudarc offers it.
    fn run<T>(&self, x: &CudaView<T>, weight: &CudaView<T>) -> Result<CudaSlice<T>>
    where
        T: WithDType + DeviceRepr + CudnnDataType,
    {
        let [batch, height, width, inputs] = ints(self.x)?;
        let [outputs, size, _, _] = ints(self.weight)?;
        let [out_height, out_width] = ints([self.to.0, self.to.1])?;
        let [stride, padding] = ints([self.geometry.stride, self.geometry.padding])?;
        LIBRARY.with_borrow_mut(|library| {
            let open = || Cudnn::new(self.device.cuda_stream()).map(ManuallyDrop::new);
            let cudnn = library.handles.get(self.device.id(), open);
            let cudnn = cudnn.map_err(Error::Msg)?;
            // Dimensions are named in this order whatever the format.
            let last = Format::CUDNN_TENSOR_NHWC;
            let from = cudnn.create_4d_tensor::<T>(last, [batch, inputs, height, width])?;
            let filter = cudnn.create_4d_filter::<T>(last, [outputs, inputs, size, size])?;
            let to = cudnn.create_4d_tensor::<T>(last, [batch, outputs, out_height, out_width])?;
            let mode = Mode::CUDNN_CROSS_CORRELATION;
            let mut conv = cudnn.create_conv2d::<f32>([padding; 2], [stride; 2], [1; 2], mode)?;
            conv.set_math_type(if T::DTYPE.size_in_bytes() == 2 {
                Math::CUDNN_TENSOR_OP_MATH
            } else {
                Math::CUDNN_FMA_MATH
            })?;
            let forward = ConvForward {
                conv: &conv,
                x: &from,
                w: &filter,
                y: &to,
            };
            let problem = (T::DTYPE.as_str(), self.x, self.weight, self.geometry);
            // cudarc asserts that cuDNN names an algorithm.
            let pick = || {
                let pick = std::panic::AssertUnwindSafe(|| forward.pick_algorithm());
                match std::panic::catch_unwind(pick) {
                    Ok(picked) => picked.map_err(Error::from),
                    Err(_) => candle_core::bail!("cuDNN names no algorithm"),
                }
            };
            let algorithm = library.algorithms.get(problem, pick).map_err(Error::Msg)?;
            let run = || -> Result<CudaSlice<T>> {
                let bytes = forward.get_workspace_size(algorithm)?;
                let count = self.x[0] * self.to.0 * self.to.1 * self.weight[0];
                // SAFETY: cuDNN writes the whole result, and reads nothing of its workspace that it has not written.
                let (mut workspace, mut out) = unsafe {
                    (
                        self.device.alloc::<u8>(bytes.max(1))?,
                        self.device.alloc::<T>(count)?,
                    )
                };
                let scales = (T::one(), T::zero());
                // SAFETY: the descriptors name the shapes that the tensors have; all of them live on the handle's stream.
                unsafe {
                    forward.launch(algorithm, Some(&mut workspace), scales, x, weight, &mut out)?;
                };
                Ok(out)
            };
            run().inspect_err(|error| {
                if !is_full(error) {
                    library.algorithms.refuse(problem, &error.to_string());
                }
            })
        })
    }
}

fn ints<const N: usize>(numbers: [usize; N]) -> Result<[i32; N]> {
    let mut ints = [0; N];
    for (to, number) in ints.iter_mut().zip(numbers) {
        *to = int(number)?;
    }
    Ok(ints)
}
