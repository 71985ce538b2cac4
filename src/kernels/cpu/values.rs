//! Between candle's tensors and the kernels' slices.

use std::ops::Deref;

use candle_core::{Device, Result, Storage, Tensor};

/// The values of a contiguous tensor, borrowed.
pub struct Values<'a> {
    /// candle's lock on it, held for reading.
    storage: Box<dyn Deref<Target = Storage> + 'a>,
    start: usize,
    end: usize,
}

impl<'a> Values<'a> {
    /// Borrows the values of `tensor`, which must be contiguous.
    pub fn of(tensor: &'a Tensor) -> Result<Self> {
        let (storage, layout) = tensor.storage_and_layout();
        let Some((start, end)) = layout.contiguous_offsets() else {
            candle_core::bail!("a kernel was given a tensor that is not contiguous");
        };
        Ok(Self {
            storage: Box::new(storage),
            start,
            end,
        })
    }

    /// All values; an error if they are not f32 on the CPU.
    pub fn slice(&self) -> Result<&[f32]> {
        match &**self.storage {
            Storage::Cpu(storage) => Ok(&storage.as_slice::<f32>()?[self.start..self.end]),
            _ => candle_core::bail!("a kernel of the CPU was given a tensor of another device"),
        }
    }
}

/// All values of a tensor, row-major.
pub fn to_vec(tensor: &Tensor) -> Result<Vec<f32>> {
    tensor.flatten_all()?.to_vec1()
}

pub fn tensor(values: Vec<f32>, shape: &[usize]) -> Result<Tensor> {
    Tensor::from_vec(values, shape, &Device::Cpu)
}
