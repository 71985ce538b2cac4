//! Networks in 16 bits: close to what they compute in f32, as close as PyTorch's are, and never silently broken.
//!
//! With the feature `cuda-emulated` it is our CUDA kernels that compute here, on an emulated GPU.

use std::sync::Arc;

use candle_core::{DType, Device};
use diffuscope::checkpoint::{Checkpoint, Source};
use diffuscope::generation::{Pipeline, Precision, Request};
use diffuscope::model::AttentionDetail;
use diffuscope::trace::{Event, RecordOptions, Recorder, StepTrace, TensorData};

/// How far `PyTorch` 2.15 is from its own f32 on the same checkpoint, prompt and noise: prompt embedding, noise prediction;
/// and the mean difference, in levels of 255, of the picture that it makes of the noise.
/// Printed by `parity/sixteen_bits.py`.
const TORCH_F16: (f64, f64, f64) = (7.1e-4, 3.7e-4, 0.028);

fn load(dtype: DType) -> Arc<Pipeline> {
    let checkpoint = Checkpoint::open(&Source::Embedded).unwrap();
    let pipeline = Pipeline::load_as(&checkpoint, &Device::Cpu, dtype, None).unwrap();
    assert_eq!(pipeline.info().dtype, dtype.as_str());
    Arc::new(pipeline)
}

/// The first step of a run and the prompt's embedding.
fn first_step(pipeline: Arc<Pipeline>, options: RecordOptions) -> (Arc<StepTrace>, TensorData) {
    let request = Request {
        steps: 4,
        ..pipeline.default_request("a photograph of an astronaut riding a horse")
    };
    let mut recorder = Recorder::new(pipeline, request, options).unwrap();
    let mut embedding = None;
    loop {
        match recorder.advance().unwrap() {
            Some(Event::Text(text)) => embedding = text.prompt.last().cloned(),
            Some(Event::Step(step)) => return (step, embedding.unwrap()),
            Some(_) => {}
            None => panic!("the run has no step"),
        }
    }
}

/// The root mean square of the differences, over that of `b`.
fn distance(a: &[f32], b: &[f32]) -> f64 {
    let square = |value: f32| f64::from(value).powi(2);
    let apart: f64 = a.iter().zip(b).map(|(a, b)| square(a - b)).sum();
    (apart / b.iter().map(|&b| square(b)).sum::<f64>()).sqrt()
}

#[test]
fn sixteen_bits_are_as_close_as_pytorchs() {
    let with_attention = || RecordOptions {
        attention: AttentionDetail::Mean,
        ..RecordOptions::default()
    };
    let (wide, narrow) = (load(DType::F32), load(DType::F16));
    let (exact, exact_text) = first_step(wide.clone(), with_attention());
    // Twice as far: rounding falls differently, but is of the same size.
    let dtype = DType::F16;
    let (text_bound, noise_bound) = (2.0 * TORCH_F16.0, 2.0 * TORCH_F16.1);
    let (step, text) = first_step(narrow.clone(), with_attention());
    let noise = |step: &StepTrace| step.tensor("noise_text").unwrap().data.clone();
    let text = distance(&text.data, &exact_text.data);
    let noise = distance(&noise(&step), &noise(&exact));
    println!("{dtype:?}: prompt embedding {text:.2e}, noise prediction {noise:.2e}");
    assert!(text < text_bound, "{dtype:?}: embedding {text}");
    assert!(noise < noise_bound, "{dtype:?}: noise {noise}");
    // It did compute in 16 bits, and from the very same noise.
    assert!(text > 1e-5 && noise > 1e-5);
    let latents = |step: &StepTrace| step.tensor("latents").unwrap().data.clone();
    assert_eq!(latents(&step), latents(&exact));
    // Softmax is taken in f32: probabilities sum to one as closely as 16 bits can hold them.
    for maps in &step.attention {
        let pixels = maps.height * maps.width;
        for pixel in 0..pixels {
            let sum: f32 = (0..77).map(|token| maps.map(None, token)[pixel]).sum();
            assert!((sum - 1.0).abs() < 0.02, "{}: {sum}", maps.path);
        }
    }
    let noise = &exact.tensor("latents").unwrap().data;
    let noise: Vec<f32> = noise.iter().map(|x| x / exact.preview_scale).collect();
    let picture = |pipeline: &Pipeline| pipeline.decode_values(&noise).unwrap().image.into_raw();
    let (narrow, wide) = (picture(&narrow), picture(&wide));
    let apart: u64 = narrow
        .iter()
        .zip(&wide)
        .map(|(a, b)| u64::from(a.abs_diff(*b)))
        .sum();
    let apart = apart as f64 / wide.len() as f64;
    println!("{dtype:?}: picture {apart:.3} levels");
    assert!(apart > 0.0 && apart < 2.0 * TORCH_F16.2, "{apart}");
}

#[test]
fn looking_changes_no_bit_in_sixteen_bits_either() {
    let pipeline = load(DType::F16);
    let (plain, _) = first_step(pipeline.clone(), RecordOptions::default());
    for attention in [AttentionDetail::Mean, AttentionDetail::Heads] {
        let options = RecordOptions {
            layers: true,
            modules: true,
            attention,
            ..RecordOptions::default()
        };
        let (watched, _) = first_step(pipeline.clone(), options);
        assert!(!watched.attention.is_empty() && !watched.modules.is_empty());
        assert_eq!(plain.tensors, watched.tensors);
    }
}

#[test]
fn the_type_that_suits_the_device_is_taken_unless_another_is_asked_for() {
    let on = |precision: Precision| precision.on(&Device::Cpu);
    assert_eq!(on(Precision::Auto).unwrap(), DType::F32);
    assert_eq!(on(Precision::F32).unwrap(), DType::F32);
    assert_eq!(on(Precision::F16).unwrap(), DType::F16);
    let error = on(Precision::Bf16).unwrap_err().to_string();
    assert!(error.contains("bf16"), "{error}");
}
