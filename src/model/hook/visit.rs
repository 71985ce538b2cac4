//! What a hook is, and how a network calls it.

use candle_core::Tensor;

use crate::kernels::attention::{AttentionDetail, BatchItems};
use crate::model::Error;

/// Something that looks at, or replaces, values on their way through a network.
///
/// All methods have defaults that want nothing, so a hook implements only what it is for. It is called on another
/// thread than the one that asked for the forward pass, which waits meanwhile.
pub trait Hook: Send {
    /// Called between modules. An error stops the forward pass; [`Error::Cancelled`] is how a run is cancelled.
    fn check(&mut self) -> Result<(), Error> {
        Ok(())
    }

    /// Does the hook want the output of the module at `path`?
    fn wants_output(&self, path: &str) -> bool {
        let _ = path;
        false
    }

    /// The output of the module at `path`. `Some` replaces it.
    fn output(&mut self, path: &str, value: &Tensor) -> Result<Option<Tensor>, Error> {
        let _ = (path, value);
        Ok(None)
    }

    /// Does the hook want values inside of modules at all? Where it does not, it is not asked for any by its path.
    fn looks_inside(&self) -> bool {
        false
    }

    /// Does the hook want the value inside of a module at `path`: one line of its computation, see
    /// [`Hook::intermediate`]?
    fn wants_intermediate(&self, path: &str) -> bool {
        let _ = path;
        false
    }

    /// A value inside of a module, to be looked at. Where the computation itself goes another way, as kernels do that
    /// take several lines at once, the value is computed beside it, and for nobody but the hook that wants it. Its path
    /// is that of the submodule whose output it is in diffusers and transformers (`….norm1`, `….proj_in`); what is no
    /// submodule's output has a name of its own behind the path: `.input` what goes into a module, `.silu` after the
    /// activation, `.sum` after what the module gives was added.
    fn intermediate(&mut self, path: &str, value: &Tensor) -> Result<(), Error> {
        let _ = (path, value);
        Ok(())
    }

    /// How much of the attention probabilities at `path` does the hook want to look at?
    fn wants_attention(&self, path: &str) -> AttentionDetail {
        let _ = path;
        AttentionDetail::None
    }

    /// Which items of the batch does it look at in them? The others may be missing in what [`Hook::attention`] is given,
    /// which spares the device the work.
    fn attention_items(&self, path: &str) -> BatchItems {
        let _ = path;
        BatchItems::All
    }

    /// The attention probabilities at `path`, in the detail that was asked for: rows sum to 1, unless they were
    /// replaced.
    fn attention(&mut self, path: &str, probs: &Tensor) -> Result<(), Error> {
        let _ = (path, probs);
        Ok(())
    }

    /// Does the hook want to replace attention probabilities at `path`?
    fn replaces_attention(&self, path: &str) -> bool {
        let _ = path;
        false
    }

    /// Probabilities of all heads at `path`, `(batch, heads, queries, keys)`, before they weigh the values; returns
    /// those to use instead. Called only where [`Hook::replaces_attention`] said so; what [`Hook::attention`] then
    /// sees is the replacement.
    fn replace_attention(&mut self, path: &str, probs: &Tensor) -> Result<Tensor, Error> {
        let _ = path;
        Ok(probs.clone())
    }
}

/// The hook that wants nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoHook;

impl Hook for NoHook {}

/// Hands `value` to the hook if it wants it, and returns what goes on: the value or its replacement.
pub(in crate::model) fn visit(
    hook: &mut dyn Hook,
    path: &str,
    value: Tensor,
) -> Result<Tensor, Error> {
    hook.check()?;
    if hook.wants_output(path) {
        Ok(hook.output(path, &value)?.unwrap_or(value))
    } else {
        Ok(value)
    }
}

/// Hands what `compute` gives to the hook, if it wants the value inside of a module that `path` with `name` after it says;
/// nothing is computed otherwise.
pub(in crate::model) fn show(
    hook: &mut dyn Hook,
    path: &str,
    name: &str,
    compute: impl FnOnce() -> candle_core::Result<Tensor>,
) -> Result<(), Error> {
    if !hook.looks_inside() {
        return Ok(());
    }
    let path = format!("{path}.{name}");
    if hook.wants_intermediate(&path) {
        hook.intermediate(&path, &compute()?)?;
    }
    Ok(())
}
