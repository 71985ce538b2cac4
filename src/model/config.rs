//! The shapes of the networks: what a checkpoint's configuration files say, once they have been read and checked.
//!
//! Names are those of the keys in diffusers' and transformers' files.

/// The activation between the two layers of a transformer block's MLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `x * sigmoid(1.702 x)`: CLIP ViT-L/14, so Stable Diffusion v1.
    QuickGelu,
    /// `x * Φ(x)` with the exact error function: OpenCLIP, so Stable Diffusion v2.
    Gelu,
}

/// The shape of CLIP's text model; keys and defaults are those of transformers' `CLIPTextConfig`.
#[derive(Debug, Clone, PartialEq)]
pub struct TextEncoderConfig {
    /// Rows of the token embedding.
    pub vocab_size: usize,
    /// Width of the residual stream, and of the prompt embedding.
    pub hidden_size: usize,
    /// Width inside the MLP.
    pub intermediate_size: usize,
    /// How many transformer blocks.
    pub num_hidden_layers: usize,
    /// Heads of each block's self-attention; divides `hidden_size`.
    pub num_attention_heads: usize,
    /// Rows of the position embedding: the number of token positions, 77 in CLIP.
    pub max_position_embeddings: usize,
    /// The MLP's activation.
    pub hidden_act: Activation,
    /// Added to the variance in every layer norm.
    pub layer_norm_eps: f64,
}

/// A block on the way down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DownBlockType {
    /// `CrossAttnDownBlock2D`: each ResNet layer is followed by a transformer that looks at the prompt.
    CrossAttn,
    /// `DownBlock2D`: ResNet layers alone.
    Plain,
}

/// A block on the way up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpBlockType {
    /// `CrossAttnUpBlock2D`: each ResNet layer is followed by a transformer that looks at the prompt.
    CrossAttn,
    /// `UpBlock2D`: ResNet layers alone.
    Plain,
}

/// The shape of the UNet; keys and defaults are those of diffusers' `UNet2DConditionModel`.
#[derive(Debug, Clone, PartialEq)]
pub struct UNetConfig {
    /// Width and height of the latents it was trained on.
    pub sample_size: (usize, usize),
    /// Channels of the latents: 4.
    pub in_channels: usize,
    /// Channels of the noise prediction: 4.
    pub out_channels: usize,
    /// Channels of each level, from the finest down.
    pub block_out_channels: Vec<usize>,
    /// The block of each level on the way down, finest first.
    pub down_block_types: Vec<DownBlockType>,
    /// The block of each level on the way up, coarsest first.
    pub up_block_types: Vec<UpBlockType>,
    /// ResNet layers of each block on the way down; blocks on the way up have one more.
    pub layers_per_block: usize,
    /// Width of the prompt embedding.
    pub cross_attention_dim: usize,
    /// Attention heads of each level, finest first; the middle block has those of the last level. The key
    /// `attention_head_dim` is misnamed: diffusers reads it as the number of heads.
    pub attention_heads: Vec<usize>,
    /// Groups of every group norm; divides all channel counts.
    pub norm_num_groups: usize,
    /// Added to the variance in the ResNet layers' group norms.
    pub norm_eps: f64,
    /// Does the time embedding have its cosines first?
    pub flip_sin_to_cos: bool,
    /// Subtracted from the number of frequencies in the time embedding's exponent.
    pub freq_shift: f64,
    /// Do the transformers begin and end with a linear layer instead of a 1x1 convolution?
    pub use_linear_projection: bool,
    /// Transformer blocks in each transformer of each level on the way down, finest first; the middle block has those of
    /// the last level.
    pub transformer_layers: Vec<usize>,
    /// The same on the way up, coarsest first.
    pub up_transformer_layers: Vec<usize>,
    /// The middle block's ResNet outputs are divided by this.
    pub mid_block_scale_factor: f64,
    /// Is the input mapped from `x` to `2 x - 1` first?
    pub center_input_sample: bool,
}

/// The shape of the autoencoder; keys and defaults are those of diffusers' `AutoencoderKL`.
#[derive(Debug, Clone, PartialEq)]
pub struct VaeConfig {
    /// Channels of a picture: 3.
    pub in_channels: usize,
    /// Channels of the decoded picture: 3.
    pub out_channels: usize,
    /// Channels of the latents: 4.
    pub latent_channels: usize,
    /// Channels of each level, from the picture down; each level but the last halves the picture.
    pub block_out_channels: Vec<usize>,
    /// ResNet layers of each level of the encoder; the decoder has one more.
    pub layers_per_block: usize,
    /// Groups of every group norm; divides all channel counts.
    pub norm_num_groups: usize,
    /// Latents are multiplied by this after encoding and divided by it before decoding.
    pub scaling_factor: f64,
    /// Width and height of the pictures it was trained on, in pixels.
    pub sample_size: usize,
    /// Is there a 1x1 convolution after the encoder?
    pub use_quant_conv: bool,
    /// Is there a 1x1 convolution before the decoder?
    pub use_post_quant_conv: bool,
    /// Is it to decode in f32 where the other networks compute in f16? Where the file says nothing, diffusers' class
    /// has true and its pipeline for v1 and v2 does not look; here that is false, and a picture that outgrows f16 is decoded
    /// again in f32 unless a type was asked for.
    pub force_upcast: bool,
}

impl VaeConfig {
    /// Pixels for each latent, along one side: 8 in Stable Diffusion v1.
    pub fn scale(&self) -> usize {
        1 << (self.block_out_channels.len() - 1)
    }
}
