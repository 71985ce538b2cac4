//! Values that are NaN or infinite, in words, English and Chinese: where they arose first, and what helps.

use crate::generation::ModelInfo;
use crate::trace::{Cause, ImageTrace, NotFinite, TraceStage};

/// What happened, and where.
pub(crate) fn what(found: &NotFinite) -> [String; 2] {
    let NotFinite {
        non_finite,
        count,
        tensor,
        ..
    } = found;
    let step = found.step.unwrap_or(0) + 1;
    let place = match found.stage {
        TraceStage::Text => ["in the text encoder", "文本编码器里"].map(str::to_owned),
        TraceStage::Noise => ["before the first step", "第一步之前"].map(str::to_owned),
        TraceStage::Step => [format!("at step {step}"), format!("第 {step} 步")],
        TraceStage::Image => {
            return [
                format!(
                    "{non_finite} of the {count} values of the decoded picture are NaN or infinite: \
                     it is not what the model means"
                ),
                format!(
                    "解码出的图片有 {count} 个值，其中 {non_finite} 个是 NaN 或无穷大：图片不是模型的本意"
                ),
            ];
        }
    };
    [
        format!(
            "{non_finite} of the {count} values of {tensor} {} are NaN or infinite: \
             from here on the picture is not what the model means",
            place[0]
        ),
        format!(
            "{}，{tensor} 有 {count} 个值，其中 {non_finite} 个是 NaN 或无穷大：从这里起，图片不再是模型的本意",
            place[1]
        ),
    ]
}

/// The same in a few words, for a line that has others, too.
pub(crate) fn short(found: &NotFinite) -> [String; 2] {
    let step = found.step.unwrap_or(0) + 1;
    match found.stage {
        TraceStage::Text => [
            "NaN or infinite since the text encoder",
            "从文本编码器起有 NaN 或无穷大",
        ],
        TraceStage::Noise => ["NaN or infinite since the noise", "从噪声起有 NaN 或无穷大"],
        TraceStage::Image => ["NaN or infinite in the picture", "图片里有 NaN 或无穷大"],
        TraceStage::Step => {
            return [
                format!("NaN or infinite since step {step}"),
                format!("从第 {step} 步起有 NaN 或无穷大"),
            ];
        }
    }
    .map(str::to_owned)
}

/// What helps, on the model that `info` describes: in the numbers and on the device that it ran with.
pub(crate) fn advice(found: &NotFinite, info: &ModelInfo) -> [String; 2] {
    let dtype = found.dtype.as_deref().unwrap_or(&info.dtype);
    let is_decoder = found.stage == TraceStage::Image;
    // On the CPU there is no bf16.
    let or_bf16 = info.device != "cpu";
    against(found.cause(&info.dtype), dtype, is_decoder, or_bf16)
}

fn against(cause: Cause, dtype: &str, is_decoder: bool, or_bf16: bool) -> [String; 2] {
    let wider = match (is_decoder, or_bf16) {
        (true, _) => [
            "--vae-dtype f32 decodes in f32, and --dtype f32 computes everything in it.",
            "用 --vae-dtype f32 以 f32 解码，或用 --dtype f32 全部以 f32 计算。",
        ],
        (false, true) => ["try --dtype f32, or bf16.", "试试 --dtype f32，或 bf16。"],
        (false, false) => ["try --dtype f32.", "试试 --dtype f32。"],
    };
    match cause {
        Cause::Weight(weight) => [
            format!(
                "{} of the {} values of the weight {} in {} are NaN or infinite: the file is damaged, or was made so. \
                 Copy or download it again, or open another model.",
                weight.non_finite, weight.count, weight.tensor, weight.file
            ),
            format!(
                "{} 里的权重 {} 有 {} 个值，其中 {} 个是 NaN 或无穷大：文件损坏了，或本来就是这样。重新复制或下载，或打开另一个模型。",
                weight.file, weight.tensor, weight.count, weight.non_finite
            ),
        ],
        Cause::LargeWeight(weight) => [
            format!(
                "{} of the {} values of the weight {} in {} are too large for {dtype}: {}",
                weight.non_finite, weight.count, weight.tensor, weight.file, wider[0]
            ),
            format!(
                "{} 里的权重 {} 有 {} 个值，其中 {} 个太大，{dtype} 放不下：{}",
                weight.file, weight.tensor, weight.count, weight.non_finite, wider[1]
            ),
        ],
        Cause::F16InDecoder | Cause::F16 => [
            format!("In f16, numbers above 65504 are infinite: {}", wider[0]),
            format!("在 f16 里，大于 65504 的数就是无穷大：{}", wider[1]),
        ],
        Cause::Network => [
            format!(
                "The network's numbers outgrow even {dtype}, which holds up to 3.4e38: the model itself leads there. \
                 Open another one."
            ),
            format!(
                "网络算出的数超出了 {dtype} 能放下的 3.4e38：问题在模型本身。请打开另一个模型。"
            ),
        ],
        Cause::Sampler => [
            "The network's numbers are finite, and outgrow f32 in guidance or in the sampler: \
             lower the guidance, or take another scheduler.",
            "网络给出的数是有限的，但在引导或采样器里超出了 f32：降低引导强度，或换一个采样器。",
        ]
        .map(str::to_owned),
    }
}

/// What to say of a picture that was decoded again in f32, and is sound now.
pub(crate) fn decoded_again(image: &ImageTrace, info: &ModelInfo) -> Option<[String; 2]> {
    let broken = image.overflowed?;
    let stats = image.stats.filter(|stats| stats.non_finite == 0)?;
    let (dtype, count) = (&info.dtype, stats.count);
    Some([
        format!(
            "the picture was decoded in f32: in {dtype}, {broken} of its {count} values were NaN or infinite"
        ),
        format!("图片以 f32 解码：以 {dtype} 解码时，{count} 个值中有 {broken} 个是 NaN 或无穷大"),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::BrokenWeight;

    #[test]
    fn nobody_is_advised_what_he_does_already() {
        for language in [0, 1] {
            let say = |cause, dtype, is_decoder, or_bf16| {
                against(cause, dtype, is_decoder, or_bf16)[language].clone()
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
