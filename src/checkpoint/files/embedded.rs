//! The checkpoint inside the program: Little World, as the files of an ordinary diffusers folder.

/// The name of the embedded checkpoint.
pub const NAME: &str = "little-world";

/// A file of the embedded checkpoint: its path in the folder, and its contents.
macro_rules! files {
    ($($path:literal),* $(,)?) => {
        &[$((
            $path,
            include_bytes!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/lessons/little-world/checkpoint/",
                $path
            )) as &[u8],
        )),*]
    };
}

/// All files of the embedded checkpoint: their paths in the folder, and their contents.
pub const FILES: &[(&str, &[u8])] = files![
    "diffuscope.json",
    "model_index.json",
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "text_encoder/model.safetensors",
    "tokenizer/merges.txt",
    "tokenizer/tokenizer_config.json",
    "tokenizer/vocab.json",
    "unet/config.json",
    "unet/diffusion_pytorch_model.safetensors",
    "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
];
