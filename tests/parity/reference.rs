//! The goldens of `make_goldens.py`: what diffusers computed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use diffuscope::generation::{Intervention, Patch, Request, StepRange};
use diffuscope::scheduler::SchedulerKind;
use image::RgbImage;
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

/// How to make the goldens again.
pub const REMAKE: &str =
    "python tests/parity/make_goldens.py lessons/little-world/checkpoint tests/parity/goldens";

/// `goldens.json` and `goldens.safetensors`.
pub struct Goldens {
    pub document: Document,
    folder: PathBuf,
    bytes: Vec<u8>,
}

#[derive(Deserialize)]
pub struct Document {
    pub layers_of: String,
    pub attention_positions: Vec<usize>,
    /// Maxima of PyTorch against itself, by kind of tensor.
    pub noise_floor: BTreeMap<String, f32>,
    /// Tensors for which PyTorch itself comes near the bound, with its distance from itself.
    pub ill_conditioned: BTreeMap<String, f32>,
    /// The case in whose first step `modules` were measured.
    pub modules_of: String,
    /// Number of values, norm and mean of each UNet module's output, by the module's path.
    pub modules: BTreeMap<String, (usize, f64, f64)>,
    /// Changes of one module each, of which the first step of the first case is kept.
    pub patches: Vec<Patch>,
    pub texts: Vec<String>,
    /// Number of tokens of each text, start and end included, before it is cut to 77.
    pub lengths: Vec<usize>,
    pub cases: Vec<Case>,
    weights_sha256: BTreeMap<String, String>,
}

/// One generation.
#[derive(Deserialize)]
pub struct Case {
    pub name: String,
    pub prompt: String,
    pub negative_prompt: String,
    pub seed: i128,
    pub steps: usize,
    pub guidance_scale: f64,
    pub scheduler: SchedulerKind,
    /// The steps in which there is guidance.
    #[serde(default)]
    pub guidance_steps: Option<StepRange>,
    #[serde(default)]
    pub guidance_rescale: f64,
    /// The step of which every head is kept.
    pub heads: Option<usize>,
    /// Changes of the prompt's cross-attention.
    #[serde(default)]
    pub interventions: Vec<Intervention>,
    /// Changes of modules' outputs; a run that values are taken from is the case of its name.
    #[serde(default)]
    pub patches: Vec<Patch>,
    /// Width and height of the picture, where they are not the model's own.
    pub size: Option<(usize, usize)>,
}

impl Case {
    pub fn request(&self) -> Request {
        Request {
            prompt: self.prompt.clone(),
            negative_prompt: self.negative_prompt.clone(),
            seed: self.seed,
            steps: self.steps,
            guidance_scale: self.guidance_scale,
            scheduler: self.scheduler,
            text_layers: None,
            guidance_steps: self.guidance_steps,
            guidance_rescale: self.guidance_rescale,
            interventions: self.interventions.clone(),
            patches: self.patches.clone(),
        }
    }
}

impl Goldens {
    /// Reads the goldens, and makes sure that they are of the checkpoint that is embedded.
    pub fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folder = root.join("tests/parity/goldens");
        let read = |name: &str| {
            let path = folder.join(name);
            std::fs::read(&path)
                .unwrap_or_else(|error| panic!("{}: {error}; run `{REMAKE}`", path.display()))
        };
        let document: Document =
            serde_json::from_slice(&read("goldens.json")).expect("goldens.json is valid");
        for (file, expected) in &document.weights_sha256 {
            let path = root.join("lessons/little-world/checkpoint").join(file);
            let weights = std::fs::read(&path).expect("the embedded checkpoint is in the tree");
            let found = format!("{:x}", Sha256::digest(&weights));
            assert_eq!(
                &found, expected,
                "the goldens are of other weights ({file}); run `{REMAKE}`"
            );
        }
        let bytes = read("goldens.safetensors");
        Self {
            document,
            folder,
            bytes,
        }
    }

    /// The f32 tensor called `name`, if there is one.
    pub fn find(&self, name: &str) -> Option<Vec<f32>> {
        let tensors = SafeTensors::deserialize(&self.bytes).expect("goldens.safetensors is valid");
        let tensor = tensors.tensor(name).ok()?;
        assert_eq!(tensor.dtype(), Dtype::F32, "{name}");
        let (values, _) = tensor.data().as_chunks::<4>();
        Some(
            values
                .iter()
                .map(|value| f32::from_le_bytes(*value))
                .collect(),
        )
    }

    /// The f32 tensor called `name`.
    pub fn get(&self, name: &str) -> Vec<f32> {
        self.find(name)
            .unwrap_or_else(|| panic!("there is no golden {name}; run `{REMAKE}`"))
    }

    /// Token ids of the `index`-th text.
    pub fn ids(&self, index: usize) -> Vec<u32> {
        let tensors = SafeTensors::deserialize(&self.bytes).expect("goldens.safetensors is valid");
        let tensor = tensors
            .tensor(&format!("texts/{index}/ids"))
            .expect("every text has ids");
        assert_eq!(tensor.dtype(), Dtype::I32);
        let (values, _) = tensor.data().as_chunks::<4>();
        values
            .iter()
            .map(|value| u32::from_le_bytes(*value))
            .collect()
    }

    /// Names of all tensors that begin with `prefix`, without it.
    pub fn names(&self, prefix: &str) -> Vec<String> {
        let tensors = SafeTensors::deserialize(&self.bytes).expect("goldens.safetensors is valid");
        let mut names: Vec<String> = tensors
            .names()
            .into_iter()
            .filter_map(|name| name.strip_prefix(prefix).map(str::to_owned))
            .collect();
        names.sort();
        names
    }

    /// The picture of `case`.
    pub fn image(&self, case: &str) -> RgbImage {
        image::open(self.folder.join(format!("{case}.png")))
            .expect("every case has a picture")
            .into_rgb8()
    }
}
