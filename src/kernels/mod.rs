//! The arithmetic that takes the time, on the [CPU](cpu) and on a [GPU](cuda). Numbers only: these know no network, no
//! weights' names and no hooks.

pub(crate) mod cpu;
pub(crate) mod cuda;
