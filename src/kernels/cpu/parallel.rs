//! One level of parallelism: a kernel's output is cut into chunks, and each chunk is computed by one thread from start
//! to end, in that thread's own scratch memory.
//!
//! Where the cuts are depends on shapes alone, never on the number of threads, so that a picture does not either. The
//! threads are rayon's: `RAYON_NUM_THREADS` sets how many.

use std::cell::Cell;

use rayon::iter::{IndexedParallelIterator as _, IntoParallelIterator as _, ParallelIterator as _};
use rayon::slice::ParallelSliceMut as _;

/// Runs `work` on one of the threads that kernels run on. From any other, each of a network's hundreds of kernels would
/// have to wake one of them, and to be woken by it.
pub fn install<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    rayon::scope(|_| work())
}

/// Calls `work(index, chunk)` for each chunk of `size` values (the last may be shorter); a single chunk on
/// this thread.
pub fn chunks<T: Send>(
    values: &mut [T],
    size: usize,
    work: impl Fn(usize, &mut [T]) + Send + Sync,
) {
    if values.len() <= size {
        if !values.is_empty() {
            work(0, values);
        }
        return;
    }
    values
        .par_chunks_mut(size)
        .enumerate()
        .for_each(|(index, chunk)| work(index, chunk));
}

/// Calls `work` for each of `items`, which are larger pieces of work; a single one on this thread.
pub fn each<T: Send>(mut items: Vec<T>, work: impl Fn(T) + Send + Sync) {
    if items.len() > 1 {
        items.into_par_iter().for_each(work);
    } else if let Some(item) = items.pop() {
        work(item);
    }
}

/// `work` of 0 to `count - 1`, in order; a single one on this thread.
pub fn map<R: Send>(count: usize, work: impl Fn(usize) -> R + Send + Sync) -> Vec<R> {
    if count > 1 {
        (0..count).into_par_iter().map(work).collect()
    } else {
        (0..count).map(work).collect()
    }
}

thread_local! {
    static SCRATCH: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
}

/// Lends `work` this thread's scratch memory, `len` values left over from earlier work. It is kept from call to call:
/// fresh memory would have to be cleared by the system page by page each time. Work that asks again meanwhile, on the
/// same thread, gets other memory.
pub fn with_scratch<R>(len: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    let mut scratch = SCRATCH.take();
    if scratch.len() < len {
        // Not `resize`, which would copy what nobody needs.
        scratch = vec![0.0; len];
    }
    let result = work(&mut scratch[..len]);
    SCRATCH.set(scratch);
    result
}
