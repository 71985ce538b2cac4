//! Is `run.json` what this program writes? Screens index by these numbers, so all of them are looked at.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{ReplayError, values};
use crate::export::document::{
    Architecture, Number, RunDocument, Step, TensorEntry, TokenEntry, Tokens,
};
use crate::export::selection::{ATTENTION, STEP_TENSORS};
use crate::generation::Request;
use crate::model::tokenizer::TokenKind;
use crate::scheduler::{MAX_TRAIN_TIMESTEPS, Schedule};

/// More steps than any sampler makes of the largest number that can be asked for.
const MOST_STEPS: usize = 2000;
const MOST_TOKENS: usize = 1024;
const MOST_LAYERS: usize = 1024;
const MOST_HEADS: usize = 1024;
/// Width and height of a picture.
const MOST_PIXELS: usize = 16384;
const MOST_FEATURES: usize = 1 << 16;
/// Values of one tensor: 1 GiB in f32.
const MOST_VALUES: usize = 1 << 28;

/// What the screens need, complete.
pub(super) struct Checked {
    pub architecture: Architecture,
    pub schedule: Schedule,
}

/// `run.json`, as its errors name it.
pub(super) struct Document(pub PathBuf);

impl Document {
    /// An error of a member: what it is, and what was expected.
    fn wrong(&self, member: String, found: String, expected: String) -> ReplayError {
        ReplayError::Value {
            path: self.0.clone(),
            member,
            found,
            expected,
        }
    }

    /// An error of a member that documents of this version may lack, and that a replay needs.
    fn missing(&self, member: &str) -> ReplayError {
        ReplayError::Missing {
            path: self.0.clone(),
            member: member.to_owned(),
        }
    }
}

/// Checks every member.
pub(super) fn check(document: &RunDocument, at: &Document) -> Result<Checked, ReplayError> {
    let Some(architecture) = &document.architecture else {
        return Err(at.missing("architecture"));
    };
    check_architecture(architecture, at)?;
    let layers = architecture.text_layers;
    check_request("request", &document.request, layers, at)?;
    for (index, branch) in document.branches.iter().enumerate() {
        let member = format!("branches[{index}].request");
        check_request(&member, &branch.request, layers, at)?;
    }
    check_tokens(document, at)?;
    let schedule = schedule(document, at)?;
    let tokens = document.tokens.prompt.len();
    check_tensors("tensors", &document.tensors, at, |name| {
        run_shape(name, architecture, tokens)
    })?;
    for (index, step) in document.steps.iter().enumerate() {
        check_step(index, step, at)?;
        let member = format!("steps[{index}].tensors");
        check_tensors(&member, &step.tensors, at, |name| {
            step_shape(name, architecture, tokens)
        })?;
    }
    let image = &document.image;
    let size = (image.width as usize, image.height as usize);
    if size != architecture.image_size {
        let (width, height) = architecture.image_size;
        return Err(at.wrong(
            "image".to_owned(),
            format!("{}x{}", size.0, size.1),
            format!("{width}x{height}, the model's"),
        ));
    }
    Ok(Checked {
        architecture: architecture.clone(),
        schedule,
    })
}

/// What a special token of a document without kinds is for.
pub(super) fn kind_of(entry: &TokenEntry) -> TokenKind {
    match (entry.special, entry.position) {
        (false, _) => TokenKind::Word,
        (true, 0) => TokenKind::Start,
        (true, _) => TokenKind::Padding,
    }
}

fn check_request(
    member: &str,
    request: &Request,
    text_layers: usize,
    at: &Document,
) -> Result<(), ReplayError> {
    let valid = request.validate();
    let valid = valid.and_then(|()| request.validate_text_layers(text_layers));
    valid.map_err(|error| {
        let found = format!("one that cannot be carried out ({error})");
        at.wrong(
            member.to_owned(),
            found,
            "one that `run` accepts".to_owned(),
        )
    })
}

fn check_architecture(architecture: &Architecture, at: &Document) -> Result<(), ReplayError> {
    let range = |member: &str, found: usize, largest: usize| {
        if (1..=largest).contains(&found) {
            return Ok(());
        }
        let member = format!("architecture.{member}");
        Err(at.wrong(member, found.to_string(), format!("1 to {largest}")))
    };
    range("image_size", architecture.image_size.0, MOST_PIXELS)?;
    range("image_size", architecture.image_size.1, MOST_PIXELS)?;
    for size in architecture.latent_shape {
        range("latent_shape", size, MOST_PIXELS)?;
    }
    range(
        "latent_shape",
        product(&architecture.latent_shape),
        MOST_VALUES,
    )?;
    range("text_layers", architecture.text_layers, MOST_LAYERS)?;
    range("hidden_size", architecture.hidden_size, MOST_FEATURES)?;
    if architecture.cross_attention.len() > MOST_LAYERS {
        let found = architecture.cross_attention.len();
        range("cross_attention", found, MOST_LAYERS)?;
    }
    for layer in &architecture.cross_attention {
        range("cross_attention.heads", layer.heads, MOST_HEADS)?;
        range("cross_attention.height", layer.height, MOST_PIXELS)?;
        range("cross_attention.width", layer.width, MOST_PIXELS)?;
    }
    let map = &architecture.latent_rgb;
    let mut numbers = map.weight.iter().chain([&map.bias]).flatten();
    if !architecture.default_guidance.is_finite() || !numbers.all(|value| value.is_finite()) {
        let member = "architecture.latent_rgb".to_owned();
        return Err(at.wrong(member, "not finite".to_owned(), "numbers".to_owned()));
    }
    Ok(())
}

fn check_tokens(document: &RunDocument, at: &Document) -> Result<(), ReplayError> {
    let Tokens {
        prompt,
        negative_prompt,
        prompt_rest,
        negative_prompt_rest,
        ..
    } = &document.tokens;
    let request = &document.request;
    for (member, entries, rest, text) in [
        ("tokens.prompt", prompt, prompt_rest, &request.prompt),
        (
            "tokens.negative_prompt",
            negative_prompt,
            negative_prompt_rest,
            &request.negative_prompt,
        ),
    ] {
        if !(1..=MOST_TOKENS).contains(&entries.len()) {
            let found = format!("a list of {}", entries.len());
            let expected = format!("1 to {MOST_TOKENS} tokens");
            return Err(at.wrong(member.to_owned(), found, expected));
        }
        for (index, entry) in entries.iter().enumerate() {
            let member = format!("{member}[{index}]");
            if entry.position != index {
                let found = entry.position.to_string();
                return Err(at.wrong(member + ".position", found, index.to_string()));
            }
            if entry.kind.is_none() {
                return Err(at.missing(&(member + ".kind")));
            }
        }
        for entry in entries.iter().chain(rest) {
            let Some([start, end]) = entry.span else {
                continue;
            };
            if text.get(start..end).is_none() {
                let found = format!("[{start}, {end}]");
                let expected = "a place in the prompt, in bytes".to_owned();
                return Err(at.wrong(format!("{member}: a span"), found, expected));
            }
        }
    }
    let (found, expected) = (negative_prompt.len(), prompt.len());
    if found != expected {
        return Err(at.wrong(
            "tokens.negative_prompt".to_owned(),
            format!("a list of {found}"),
            format!("{expected}, as the prompt has"),
        ));
    }
    Ok(())
}

fn schedule(document: &RunDocument, at: &Document) -> Result<Schedule, ReplayError> {
    let schedule = &document.schedule;
    let Some(space) = schedule.space else {
        return Err(at.missing("schedule.space"));
    };
    let steps = schedule.timesteps.len();
    let length = |member: &str, found: usize, is_right: bool, expected: String| {
        if is_right {
            return Ok(());
        }
        let found = format!("a list of {found}");
        Err(at.wrong(member.to_owned(), found, expected))
    };
    length(
        "schedule.timesteps",
        steps,
        (1..=MOST_STEPS).contains(&steps),
        format!("1 to {MOST_STEPS} steps"),
    )?;
    let sigmas = schedule.sigmas.len();
    let one_more = format!("{}, one more than timesteps", steps + 1);
    length("schedule.sigmas", sigmas, sigmas == steps + 1, one_more)?;
    let betas = schedule.betas.len();
    let in_range = (1..=MAX_TRAIN_TIMESTEPS).contains(&betas);
    let expected = format!("1 to {MAX_TRAIN_TIMESTEPS} training timesteps");
    length("schedule.betas", betas, in_range, expected)?;
    let alphas = schedule.alphas_cumprod.len();
    let expected = format!("{betas}, as betas has");
    length("schedule.alphas_cumprod", alphas, alphas == betas, expected)?;
    let (done, expected) = match &document.stopped {
        None => (steps, format!("{steps}, as schedule.timesteps has")),
        Some(stopped) if stopped.step < steps => {
            let done = stopped.step + 1;
            (done, format!("{done}, the last of them stopped.step"))
        }
        Some(stopped) => {
            let expected = format!("below {steps}, the number of schedule.timesteps");
            return Err(at.wrong(
                "stopped.step".to_owned(),
                stopped.step.to_string(),
                expected,
            ));
        }
    };
    let found = document.steps.len();
    length("steps", found, found == done, expected)?;
    for (member, numbers) in [
        ("schedule.timesteps", &schedule.timesteps),
        ("schedule.sigmas", &schedule.sigmas),
        ("schedule.betas", &schedule.betas),
        ("schedule.alphas_cumprod", &schedule.alphas_cumprod),
        (
            "schedule.init_noise_sigma",
            &vec![schedule.init_noise_sigma],
        ),
    ] {
        numbers
            .iter()
            .try_for_each(|number| check_number(member, *number, at))?;
    }
    Ok(Schedule {
        timesteps: values(&schedule.timesteps),
        sigmas: values(&schedule.sigmas),
        init_noise_sigma: schedule.init_noise_sigma.0,
        alphas_cumprod: values(&schedule.alphas_cumprod),
        betas: values(&schedule.betas),
        space,
    })
}

fn check_number(member: &str, number: Number, at: &Document) -> Result<(), ReplayError> {
    // A schedule's numbers are all zero or more.
    if number.0.is_finite() && number.0 >= 0.0 {
        return Ok(());
    }
    let found = number.0.to_string();
    Err(at.wrong(member.to_owned(), found, "a number, 0 or more".to_owned()))
}

fn check_step(index: usize, step: &Step, at: &Document) -> Result<(), ReplayError> {
    let member = |name: &str| format!("steps[{index}].{name}");
    if step.index != index {
        let found = step.index.to_string();
        return Err(at.wrong(member("index"), found, index.to_string()));
    }
    check_number(&member("timestep"), step.timestep, at)?;
    check_number(&member("sigma"), step.sigma, at)?;
    check_number(&member("sigma_next"), step.sigma_next, at)?;
    match step.preview_scale {
        None => Err(at.missing(&member("preview_scale"))),
        Some(scale) if scale.0.is_finite() && scale.0 > 0.0 => Ok(()),
        Some(scale) => {
            let found = scale.0.to_string();
            Err(at.wrong(
                member("preview_scale"),
                found,
                "a number above 0".to_owned(),
            ))
        }
    }
}

/// Every tensor that has a shape of its own by `shapes` must have it, and none may be huge.
fn check_tensors(
    member: &str,
    tensors: &BTreeMap<String, TensorEntry>,
    at: &Document,
    shapes: impl Fn(&str) -> Option<Vec<Vec<usize>>>,
) -> Result<(), ReplayError> {
    for (name, entry) in tensors {
        let wrong = |expected: String| {
            let member = format!("{member}.{name}.shape");
            Err(at.wrong(member, format!("{:?}", entry.shape), expected))
        };
        if product(&entry.shape) > MOST_VALUES {
            return wrong(format!("at most {MOST_VALUES} values"));
        }
        match shapes(name) {
            None => return wrong("no tensor of that name here".to_owned()),
            Some(shapes) if !shapes.contains(&entry.shape) => {
                let shapes: Vec<_> = shapes.iter().map(|shape| format!("{shape:?}")).collect();
                return wrong(shapes.join(" or "));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// The shapes that a tensor of the whole run may have.
fn run_shape(name: &str, architecture: &Architecture, tokens: usize) -> Option<Vec<Vec<usize>>> {
    let states = || Some(vec![vec![tokens, architecture.hidden_size]]);
    let layer = name.strip_prefix("text_model.encoder.layers.");
    let is_layer = |layer: &str| {
        layer
            .parse::<usize>()
            .is_ok_and(|layer| layer < architecture.text_layers)
    };
    match (name, layer) {
        ("initial_noise", _) => Some(vec![architecture.latent_shape.to_vec()]),
        (
            "token_embedding"
            | "position_embedding"
            | "prompt_embedding"
            | "negative_prompt_embedding",
            _,
        ) => states(),
        (_, Some(layer)) => match layer.strip_suffix(".self_attn") {
            Some(layer) if is_layer(layer) => Some(vec![vec![tokens, tokens]]),
            None if is_layer(layer) => states(),
            _ => None,
        },
        _ => None,
    }
}

/// The shapes that a step's tensor may have.
fn step_shape(name: &str, architecture: &Architecture, tokens: usize) -> Option<Vec<Vec<usize>>> {
    if STEP_TENSORS.contains(&name) {
        return Some(vec![architecture.latent_shape.to_vec()]);
    }
    let path = name.strip_prefix(ATTENTION)?;
    let mut layers = architecture.cross_attention.iter();
    let layer = layers.find(|layer| layer.path == path)?;
    let mean = vec![tokens, layer.height, layer.width];
    let heads = [&[layer.heads], mean.as_slice()].concat();
    Some(vec![mean, heads])
}

/// As large as can be where it does not fit.
fn product(shape: &[usize]) -> usize {
    shape
        .iter()
        .try_fold(1_usize, |product, size| product.checked_mul(*size))
        .unwrap_or(usize::MAX)
}
