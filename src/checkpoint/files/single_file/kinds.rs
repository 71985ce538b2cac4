//! The kinds of weights files that are known and not read, by what betrays them.
//!
//! The names are those that the programs write which make such files: kohya's scripts, `LyCORIS` and peft for `LoRA`s, the
//! original code of each network and diffusers for whole models (its `single_file_utils.py` tells models apart by the
//! same names).

/// How tensors' names betray a kind of file.
pub enum Sign {
    /// One begins so.
    Begins(&'static str),
    /// One has this in it.
    Has(&'static str),
    /// One ends so.
    Ends(&'static str),
    /// There are names like both.
    Both(&'static Sign, &'static Sign),
    /// One begins with a number, has a number second and then this: `768.0.linear.0.weight`.
    Numbered(&'static str),
    /// All begin so.
    All(&'static str),
}

use Sign::{All, Begins, Both, Ends, Has, Numbered};

/// A kind of file that is not read.
pub struct Kind {
    /// Any of these betrays it.
    pub signs: &'static [Sign],
    /// What it is.
    pub name: &'static str,
    /// What it means, and what to do.
    pub todo: &'static str,
}

const LORA: &str = "which changes a checkpoint and is none itself; in Python with diffusers, load_lora_weights and fuse_lora on the pipeline and then save_pretrained make a folder to give here";
pub const EMBEDDING: &str = "which adds a word to a checkpoint and is none itself; in Python with diffusers, load_textual_inversion on the pipeline and then save_pretrained make a folder to give here, with that word in its vocabulary";
const ADDITION: &str = "which works beside a checkpoint and is none itself; it is not supported";
const OTHER_MODEL: &str =
    "which is another structure than Stable Diffusion v1's and v2's, and is not supported";
const PART: &str =
    "of a folder in diffusers' layout; give the folder that has model_index.json in it";
const ALONE: &str = "alone; a checkpoint has a text encoder, a UNet and an autoencoder";
const NO_MODEL: &str = "which is no part of a diffusion model";

impl Kind {
    /// Is it one part of a checkpoint?
    pub fn is_part(&self) -> bool {
        [PART, ALONE].contains(&self.todo)
    }
}

const fn kind(signs: &'static [Sign], name: &'static str, todo: &'static str) -> Kind {
    Kind { signs, name, todo }
}

/// Kinds of files that are not read; the first that fits is named. Small changes of a model come first, since they have
/// the names of what they change in theirs.
pub const OTHERS: [Kind; 67] = [
    kind(&[Begins("lllite_")], "a ControlNet-LLLite", ADDITION),
    kind(
        &[Begins("lora_controlnet")],
        "a Control-LoRA, a small ControlNet,",
        ADDITION,
    ),
    kind(
        &[Ends(".dora_scale"), Has("lora_magnitude_vector")],
        "a DoRA, a kind of LoRA,",
        LORA,
    ),
    kind(
        &[Has(".hada_w")],
        "a LoHa of LyCORIS, a kind of LoRA,",
        LORA,
    ),
    kind(
        &[Has(".lokr_w")],
        "a LoKr of LyCORIS, a kind of LoRA,",
        LORA,
    ),
    kind(
        &[Has(".oft_blocks"), Has(".oft_diag"), Has(".oft_R.")],
        "an OFT, a kind of LoRA,",
        LORA,
    ),
    kind(
        &[Ends(".on_input")],
        "an IA3 of LyCORIS, a kind of LoRA,",
        LORA,
    ),
    kind(
        &[Both(&Begins("lora_"), &Ends(".a1.weight"))],
        "a GLoRA of LyCORIS, a kind of LoRA,",
        LORA,
    ),
    kind(
        &[
            Both(&Has("motion_modules."), &Has("_lora.")),
            Both(&Has("motion_modules."), &Has(".lora_")),
        ],
        "a motion LoRA of AnimateDiff",
        ADDITION,
    ),
    kind(
        &[
            Begins("lora_unet_"),
            Begins("lora_te"),
            Begins("lora_transformer_"),
        ],
        "a LoRA (kohya's names),",
        LORA,
    ),
    kind(
        &[Has(".lora_A."), Has(".lora_B.")],
        "a LoRA (peft's names),",
        LORA,
    ),
    kind(
        &[
            Has("_lora."),
            Has(".lora."),
            Has("lora_linear_layer"),
            Has(".lora_down."),
            Has(".lora_up."),
            Has("lora_"),
        ],
        "a LoRA (diffusers' names),",
        LORA,
    ),
    kind(
        &[Begins("unet:"), Begins("text_encoder:")],
        "a LoRA (the first names of all),",
        LORA,
    ),
    kind(
        &[Begins("lycoris_"), Ends(".diff"), Ends(".diff_b")],
        "a LyCORIS, a kind of LoRA,",
        LORA,
    ),
    kind(
        &[Has("_custom_diffusion.")],
        "an adapter of Custom Diffusion,",
        LORA,
    ),
    kind(
        &[
            Begins("emb_params"),
            Begins("string_to_param"),
            Begins("bundle_emb."),
            All("<"),
            All("clip_"),
        ],
        "a textual inversion,",
        EMBEDDING,
    ),
    kind(
        &[
            Begins("ip_adapter."),
            Begins("image_proj."),
            Has("ip_adapter_"),
        ],
        "an IP-Adapter,",
        ADDITION,
    ),
    kind(
        &[Both(
            &Has("motion_modules."),
            &Begins("controlnet_cond_embedding"),
        )],
        "a SparseCtrl, a ControlNet for AnimateDiff,",
        ADDITION,
    ),
    kind(
        &[Has("motion_modules.")],
        "a motion module (AnimateDiff),",
        ADDITION,
    ),
    kind(
        &[
            Has("time_mixer."),
            Has("time_stack."),
            Has("temporal_transformer_blocks."),
        ],
        "a checkpoint of Stable Video Diffusion,",
        OTHER_MODEL,
    ),
    kind(
        &[
            Has(".temp_convs."),
            Has(".temp_attentions."),
            Has("temopral_conv"),
        ],
        "a text-to-video model (ModelScope),",
        OTHER_MODEL,
    ),
    kind(
        &[
            Begins("control_model."),
            Begins("controlnet_"),
            Has(".controlnet_"),
            Begins("input_hint_block."),
            Begins("zero_convs."),
            Has("control_add_embedding"),
        ],
        "a ControlNet,",
        ADDITION,
    ),
    kind(
        &[
            Begins("adapter."),
            Both(&Begins("body."), &Ends(".block1.weight")),
            Begins("transformer_layes."),
        ],
        "a T2I-Adapter,",
        ADDITION,
    ),
    kind(
        &[Has("position_net."), Has(".fuser.")],
        "a GLIGEN, which is grounded in boxes,",
        OTHER_MODEL,
    ),
    kind(
        &[
            Begins("model.1.sub."),
            Has(".rdb1."),
            Has(".RDB1."),
            Has("RRDB_trunk."),
            Has(".residual_group."),
            Begins("conv_first."),
            All("body."),
        ],
        "an upscaler of pictures (ESRGAN or alike),",
        NO_MODEL,
    ),
    kind(
        &[Begins("concept_embeds"), Begins("special_care_embeds")],
        "the safety checker",
        PART,
    ),
    kind(
        &[Both(&Begins("vision_model."), &Begins("text_model."))],
        "CLIP with both its halves,",
        NO_MODEL,
    ),
    kind(
        &[
            Begins("vision_model."),
            Begins("visual."),
            Begins("embeddings.class_embedding"),
            Begins("embeddings.patch_embedding"),
        ],
        "CLIP's image encoder,",
        NO_MODEL,
    ),
    kind(
        &[Both(
            &Begins("transformer.resblocks."),
            &Begins("token_embedding."),
        )],
        "CLIP's text encoder in OpenCLIP's names,",
        ALONE,
    ),
    kind(&[Has(".SelfAttention.")], "a T5 text encoder,", OTHER_MODEL),
    kind(&[Numbered("linear")], "a hypernetwork,", ADDITION),
    kind(
        &[Begins("conditioner.embedders.1.")],
        "a checkpoint of Stable Diffusion XL,",
        OTHER_MODEL,
    ),
    kind(
        &[Begins("conditioner.embedders.0.model.")],
        "the refiner of Stable Diffusion XL,",
        OTHER_MODEL,
    ),
    kind(
        &[Begins("conditioner.")],
        "a checkpoint of Stable Diffusion XL or a relative,",
        OTHER_MODEL,
    ),
    kind(
        &[Begins("cond_stage_model.model.")],
        "a single file of Stable Diffusion 2;",
        "convert it with diffusers (StableDiffusionPipeline.from_single_file, then save_pretrained) and give the folder",
    ),
    kind(
        &[Has("joint_blocks.")],
        "a checkpoint of Stable Diffusion 3,",
        OTHER_MODEL,
    ),
    kind(
        &[Has("individual_token_refiner.")],
        "a checkpoint of HunyuanVideo,",
        OTHER_MODEL,
    ),
    kind(
        &[Has("distilled_guidance_layer.")],
        "a checkpoint of Chroma,",
        OTHER_MODEL,
    ),
    kind(
        &[Has("single_stream_modulation")],
        "a checkpoint of FLUX.2,",
        OTHER_MODEL,
    ),
    kind(
        &[Has("double_blocks."), Begins("single_transformer_blocks.")],
        "a checkpoint of FLUX,",
        OTHER_MODEL,
    ),
    kind(
        &[Has("double_layers.")],
        "a checkpoint of AuraFlow,",
        OTHER_MODEL,
    ),
    kind(
        &[Has("double_stream_blocks.")],
        "a checkpoint of HiDream,",
        OTHER_MODEL,
    ),
    kind(
        &[Has("clip_txt_mapper."), Has(".channelwise.")],
        "a part of Stable Cascade,",
        OTHER_MODEL,
    ),
    kind(
        &[Has("patchify_proj.")],
        "a checkpoint of LTX-Video,",
        OTHER_MODEL,
    ),
    kind(
        &[Has(".attn.qkv_x.")],
        "a checkpoint of Mochi,",
        OTHER_MODEL,
    ),
    kind(
        &[Has("cap_embedder.")],
        "a checkpoint of Lumina or Z-Image,",
        OTHER_MODEL,
    ),
    kind(
        &[
            Has(".cross_attn.q_linear."),
            Both(&Has("y_embedder.y_embedding"), &Has("t_block.")),
            Both(&Has("adaln_single."), &Has("caption_projection.")),
        ],
        "a checkpoint of PixArt or Sana,",
        OTHER_MODEL,
    ),
    kind(
        &[Has("head.modulation")],
        "a checkpoint of Wan,",
        OTHER_MODEL,
    ),
    kind(
        &[Begins("net.x_embedder.")],
        "a checkpoint of Cosmos,",
        OTHER_MODEL,
    ),
    kind(
        &[Has("mlp_t5.")],
        "a checkpoint of Hunyuan-DiT,",
        OTHER_MODEL,
    ),
    kind(
        &[Begins("clip_mean")],
        "a prior (unCLIP, Kandinsky), which makes an image's embedding of a text's,",
        OTHER_MODEL,
    ),
    kind(
        &[Begins("txt_in."), Begins("transformer_blocks.")],
        "a diffusion transformer,",
        OTHER_MODEL,
    ),
    kind(
        &[Has("model.diffusion_model.label_emb.")],
        "a checkpoint of Stable Diffusion unCLIP or XL,",
        OTHER_MODEL,
    ),
    kind(
        &[Begins("ztsnr")],
        "a checkpoint that was trained with a noise schedule that ends without signal (zero terminal SNR),",
        "which is not supported",
    ),
    kind(
        &[
            Begins("decoder.layers."),
            Begins("taesd_"),
            Numbered("conv"),
            Has(".conv.0."),
        ],
        "a tiny autoencoder (TAESD),",
        "which stands in for a checkpoint's own; it is not supported",
    ),
    kind(
        &[Begins("encoder.stages."), Begins("decoder.stages.")],
        "a deep compression autoencoder,",
        OTHER_MODEL,
    ),
    kind(
        &[Begins("quantize.embedding"), Begins("encoder.quantize")],
        "an autoencoder with a codebook (VQ),",
        OTHER_MODEL,
    ),
    kind(
        &[
            Both(&Begins("encoder.down_blocks."), &Has(".resnets.")),
            Both(&Begins("decoder.up_blocks."), &Has(".resnets.")),
        ],
        "the autoencoder",
        PART,
    ),
    kind(
        &[Begins("encoder.down_blocks."), Begins("decoder.up_blocks.")],
        "an autoencoder of another structure,",
        OTHER_MODEL,
    ),
    kind(
        &[Begins("encoder.down."), Begins("decoder.up.")],
        "an autoencoder",
        ALONE,
    ),
    kind(
        &[Begins("add_embedding.")],
        "the UNet of Stable Diffusion XL,",
        OTHER_MODEL,
    ),
    kind(
        &[Both(&Begins("time_embedding."), &Has(".attn2."))],
        "the UNet",
        PART,
    ),
    kind(
        &[Begins("time_embedding.")],
        "a UNet that takes no prompt,",
        OTHER_MODEL,
    ),
    kind(
        &[
            Begins("text_model."),
            Begins("embeddings.token_embedding."),
            Begins("encoder.layers."),
        ],
        "the text encoder",
        PART,
    ),
    kind(
        &[Begins("input_blocks.")],
        "a UNet, with its original names and no prefix,",
        ALONE,
    ),
    kind(
        &[Begins("transformer.text_model.")],
        "a text encoder",
        ALONE,
    ),
    kind(
        &[Begins("unet."), Begins("vae."), Begins("text_encoder.")],
        "a whole pipeline in one file with diffusers' names;",
        "save it with diffusers' save_pretrained and give the folder",
    ),
];
