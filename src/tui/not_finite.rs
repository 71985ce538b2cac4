//! Values that are NaN or infinite, in words: where they arose first, and what helps.

use crate::generation::ModelInfo;
use crate::lesson::Language;
use crate::trace::{Cause, ImageTrace, NotFinite, TraceStage};

/// What happened, and where.
pub(crate) fn what(found: &NotFinite, language: Language) -> String {
    let NotFinite {
        non_finite,
        count,
        tensor,
        ..
    } = found;
    let step = found.step.unwrap_or(0) + 1;
    match (language, found.stage) {
        (Language::En, TraceStage::Image) => format!(
            "{non_finite} of the {count} values of the decoded picture are NaN or infinite: \
             it is not what the model means"
        ),
        (Language::En, stage) => {
            let place = match stage {
                TraceStage::Text => "in the text encoder".to_owned(),
                TraceStage::Noise => "before the first step".to_owned(),
                TraceStage::Step | TraceStage::Image => format!("at step {step}"),
            };
            format!(
                "{non_finite} of the {count} values of {tensor} {place} are NaN or infinite: \
                 from here on the picture is not what the model means"
            )
        }
        (Language::Zh, TraceStage::Image) => format!(
            "解码出的图像有 {count} 个值，其中 {non_finite} 个是 NaN 或无穷大：图像不是模型的本意"
        ),
        (Language::Zh, stage) => {
            let place = match stage {
                TraceStage::Text => "文本编码器里".to_owned(),
                TraceStage::Noise => "第一步之前".to_owned(),
                TraceStage::Step | TraceStage::Image => format!("第 {step} 步"),
            };
            format!(
                "{place}，{tensor} 有 {count} 个值，其中 {non_finite} 个是 NaN 或无穷大：从这里起，图像不再是模型的本意"
            )
        }
    }
}

/// The same in a few words, for a line that has others, too.
pub(crate) fn short(found: &NotFinite, language: Language) -> String {
    let step = found.step.unwrap_or(0) + 1;
    match (language, found.stage) {
        (Language::En, TraceStage::Text) => "NaN or infinite since the text encoder".to_owned(),
        (Language::En, TraceStage::Noise) => "NaN or infinite since the noise".to_owned(),
        (Language::En, TraceStage::Step) => format!("NaN or infinite since step {step}"),
        (Language::En, TraceStage::Image) => "NaN or infinite in the picture".to_owned(),
        (Language::Zh, TraceStage::Text) => "从文本编码器起有 NaN 或无穷大".to_owned(),
        (Language::Zh, TraceStage::Noise) => "从噪声起有 NaN 或无穷大".to_owned(),
        (Language::Zh, TraceStage::Step) => format!("从第 {step} 步起有 NaN 或无穷大"),
        (Language::Zh, TraceStage::Image) => "图像里有 NaN 或无穷大".to_owned(),
    }
}

/// What helps, on the model that `info` describes: in the numbers and on the device that it ran with.
pub(crate) fn advice(found: &NotFinite, info: &ModelInfo, language: Language) -> String {
    let cause = found.cause(&info.dtype);
    let is_decoder = found.stage == TraceStage::Image;
    let dtype = found.dtype.as_deref().unwrap_or(&info.dtype);
    // On the CPU there is no bf16.
    let or_bf16 = info.device != "cpu";
    match language {
        Language::En => english(cause, dtype, is_decoder, or_bf16),
        Language::Zh => chinese(cause, dtype, is_decoder, or_bf16),
    }
}

fn english(cause: Cause, dtype: &str, is_decoder: bool, or_bf16: bool) -> String {
    let wider = match (is_decoder, or_bf16) {
        (true, _) => "--vae-dtype f32 decodes in f32, and --dtype f32 computes everything in it.",
        (false, true) => "try --dtype f32, or bf16.",
        (false, false) => "try --dtype f32.",
    };
    match cause {
        Cause::Weight(weight) => format!(
            "{} of the {} values of the weight {} in {} are NaN or infinite: the file is damaged, or was made so. \
             Copy or download it again, or open another model.",
            weight.non_finite, weight.count, weight.tensor, weight.file
        ),
        Cause::LargeWeight(weight) => format!(
            "{} of the {} values of the weight {} in {} are too large for {dtype}: {wider}",
            weight.non_finite, weight.count, weight.tensor, weight.file
        ),
        Cause::F16InDecoder | Cause::F16 => {
            format!("In f16, numbers above 65504 are infinite: {wider}")
        }
        Cause::Network => format!(
            "The network's numbers outgrow even {dtype}, which holds up to 3.4e38: the model itself leads there. \
             Open another one."
        ),
        Cause::Sampler => {
            "The network's numbers are finite, and outgrow f32 in guidance or in the sampler: \
             lower the guidance, or take another scheduler."
                .to_owned()
        }
    }
}

fn chinese(cause: Cause, dtype: &str, is_decoder: bool, or_bf16: bool) -> String {
    let wider = match (is_decoder, or_bf16) {
        (true, _) => "用 --vae-dtype f32 以 f32 解码，或用 --dtype f32 全部以 f32 计算。",
        (false, true) => "试试 --dtype f32，或 bf16。",
        (false, false) => "试试 --dtype f32。",
    };
    match cause {
        Cause::Weight(weight) => format!(
            "{} 里的权重 {} 有 {} 个值，其中 {} 个是 NaN 或无穷大：文件损坏了，或本来就是这样。重新复制或下载，或打开另一个模型。",
            weight.file, weight.tensor, weight.count, weight.non_finite
        ),
        Cause::LargeWeight(weight) => format!(
            "{} 里的权重 {} 有 {} 个值，其中 {} 个太大，{dtype} 放不下：{wider}",
            weight.file, weight.tensor, weight.count, weight.non_finite
        ),
        Cause::F16InDecoder | Cause::F16 => {
            format!("在 f16 里，大于 65504 的数就是无穷大：{wider}")
        }
        Cause::Network => format!(
            "网络算出的数超出了 {dtype} 能放下的 3.4e38：问题在模型本身。请打开另一个模型。"
        ),
        Cause::Sampler => {
            "网络给出的数是有限的，但在引导或采样器里超出了 f32：降低引导，或换一个调度器。"
                .to_owned()
        }
    }
}

/// What to say of a picture that was decoded again in f32, and is sound now.
pub(crate) fn decoded_again(
    image: &ImageTrace,
    info: &ModelInfo,
    language: Language,
) -> Option<String> {
    let broken = image.overflowed?;
    let stats = image.stats.filter(|stats| stats.non_finite == 0)?;
    let (dtype, count) = (&info.dtype, stats.count);
    Some(match language {
        Language::En => format!(
            "the picture was decoded in f32: in {dtype}, {broken} of its {count} values were NaN or infinite"
        ),
        Language::Zh => format!(
            "图像以 f32 解码：以 {dtype} 解码时，{count} 个值中有 {broken} 个是 NaN 或无穷大"
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::BrokenWeight;

    #[test]
    fn nobody_is_advised_what_he_does_already() {
        for language in [Language::En, Language::Zh] {
            let say = match language {
                Language::En => english,
                Language::Zh => chinese,
            };
            let on_cpu = say(Cause::F16, "f16", false, false);
            assert!(
                on_cpu.contains("--dtype f32") && !on_cpu.contains("bf16"),
                "{on_cpu}"
            );
            assert!(say(Cause::F16, "f16", false, true).contains("bf16"));
            let decoder = say(Cause::F16InDecoder, "f16", true, false);
            assert!(decoder.contains("--vae-dtype f32"), "{decoder}");
            for cause in [Cause::Network, Cause::Sampler] {
                let advice = say(cause, "f32", false, true);
                assert!(!advice.contains("--dtype"), "{advice}");
            }
            let weight = BrokenWeight {
                tensor: "conv_in.weight".into(),
                file: "unet/diffusion_pytorch_model.safetensors".into(),
                non_finite: 1,
                count: 9,
                too_large: false,
            };
            let named = say(Cause::Weight(&weight), "f32", false, false);
            assert!(
                named.contains("conv_in.weight") && named.contains("unet/"),
                "{named}"
            );
            assert!(!named.contains("--dtype"), "{named}");
            let large = say(Cause::LargeWeight(&weight), "f16", false, false);
            assert!(large.contains("--dtype f32"), "{large}");
        }
    }
}
