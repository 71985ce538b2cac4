//! What is to be said of a checkpoint, in Chinese.
//!
//! The engine says it in English, as text: it stands in files, too, and comes back from recorded runs as it was written
//! there. So its forms are known here, and a test has the engine say what it can.

/// Forms of notes, English and Chinese: `{}` stands for what differs, and `{n}` in the Chinese one for the `n`th of it.
/// What stands before the first colon of a note of a configuration is the file's name.
const FORMS: &[[&str; 2]] = &[
    [
        "{}: {} does not know {}; it is ignored, as in diffusers",
        "{0}：{1} 不认识 {2}；忽略它，与 diffusers 一样",
    ],
    [
        "{}: {} does not know {}; they are ignored, as in diffusers",
        "{0}：{1} 不认识 {2}；忽略它们，与 diffusers 一样",
    ],
    [
        "{}: this program does not know {}; it is ignored",
        "{0}：本程序不认识 {1}；忽略它",
    ],
    [
        "{}: this program does not know {}; they are ignored",
        "{0}：本程序不认识 {1}；忽略它们",
    ],
    [
        "{}: _class_name is {}, and it is run as {} runs it: from noise, guided by the prompt alone",
        "{0}：_class_name 是 {1}，这里按 {2} 的方式运行：从噪声开始，只由提示词引导",
    ],
    [
        "{}: safety_checker is {}, and no pictures are checked here: {}",
        "{0}：safety_checker 是 {1}，而这里不检查图片：diffusers 会用黑图代替它认为不安全的图片",
    ],
    [
        "{}: {} is {}, which StableDiffusionPipeline does not apply: latents are divided by scaling_factor alone",
        "{0}：{1} 是 {2}，而 StableDiffusionPipeline 不用它：潜变量只除以 scaling_factor",
    ],
    [
        "{}: {} is not set and taken to be {} for {}, as StableDiffusionPipeline corrects old configurations",
        "{0}：没有写 {1}，对 {3} 当作 {2}，与 StableDiffusionPipeline 纠正旧配置的做法一样",
    ],
    [
        "{}: {} is {} and taken to be {}, as StableDiffusionPipeline corrects old configurations",
        "{0}：{1} 是 {2}，当作 {3}，与 StableDiffusionPipeline 纠正旧配置的做法一样",
    ],
    [
        "{}: it is for {}, which is not among the schedulers here: unless another is asked for, {} runs, with what is set here, as {} takes it",
        "{0}：它是为 {1} 写的，这里没有这个采样器：没有另外指定时用 {2}，设定照这里的，与 {3} 的做法一样",
    ],
    [
        "{}: {} runs unless another is asked for, because {}",
        "{0}：没有另外指定时用 {1}，因为 {2}",
    ],
    [
        "{}: {} is true: lms, euler and dpm++-2m take {}",
        "{0}：{1} 是 true：lms、euler 和 dpm++-2m 用它的 sigma",
    ],
    [
        "{}: sample_size is not set: latents are taken to be 64x64, as in Stable Diffusion",
        "{0}：没有写 sample_size：潜变量当作 64x64，与 Stable Diffusion 一样",
    ],
    [
        "{}: sample_size is {}, and _diffusers_version is before 0.9: it is taken to be 64, as StableDiffusionPipeline corrects it",
        "{0}：sample_size 是 {1}，而 _diffusers_version 早于 0.9：当作 64，与 StableDiffusionPipeline 的纠正一样",
    ],
    [
        "{}: tensor {} holds {} of {} numbers{}: pictures will most likely be black; {}",
        "{0}：张量 {1} 的 {3} 个数里有不是有限数的（{2}）：图片很可能是全黑的；文件损坏了，或出自失败的训练：请重新复制或下载，或打开另一个模型",
    ],
    [
        "running on the CUDA device; --device cpu does not",
        "在 CUDA 设备上运行；用 --device cpu 则不在",
    ],
    ["running on the CPU: {}", "在 CPU 上运行：{0}"],
    [
        "running on the CUDA device with candle's kernels, which are slower, for our own do not work there: {}",
        "在 CUDA 设备上用 candle 的内核运行，慢一些，因为我们自己的在那里不能用：{0}",
    ],
    [
        "{} will need about {} of memory in {}, {} of it for the weights; only {} are available, and the run may end on the way",
        "{0} 以 {2} 运行大约需要 {1} 内存，其中权重占 {3}；可用的只有 {4}，运行可能半途中断",
    ],
    [
        "{} will need about {} of memory in {}, {} of it for the weights",
        "{0} 以 {2} 运行大约需要 {1} 内存，其中权重占 {3}",
    ],
    [
        "pictures are decoded in {}; the other networks compute in {}",
        "图片以 {0} 解码；其他网络以 {1} 计算",
    ],
];

/// `note` in Chinese; as it is where it has none of the known forms.
pub(crate) fn chinese(note: &str) -> String {
    let found = FORMS.iter().find_map(|[english, chinese]| {
        let parts = parts(note, english)?;
        Some(filled(chinese, &parts))
    });
    found.unwrap_or_else(|| note.to_owned())
}

/// `form` with `parts` in its places. In one go: what a part says is not looked at for places again.
fn filled(form: &str, parts: &[&str]) -> String {
    let mut said = String::new();
    let mut rest = form;
    while let Some((before, after)) = rest.split_once('{') {
        let (at, next) = after.split_once('}').unwrap_or((after, ""));
        let part = at.parse().ok().and_then(|at: usize| parts.get(at));
        said.push_str(before);
        said.push_str(part.copied().unwrap_or_default());
        rest = next;
    }
    said + rest
}

/// What stands in `text` at the places of `form`; `None` where it does not have that form.
fn parts<'a>(text: &'a str, form: &str) -> Option<Vec<&'a str>> {
    let mut literals = form.split("{}");
    let mut rest = text.strip_prefix(literals.next()?)?;
    let mut parts = Vec::new();
    let mut literals = literals.peekable();
    while let Some(literal) = literals.next() {
        // The last part goes as far as the text does.
        let at = match literals.peek() {
            Some(_) => rest.find(literal)?,
            None if rest.ends_with(literal) => rest.len() - literal.len(),
            None => return None,
        };
        parts.push(&rest[..at]);
        rest = &rest[at + literal.len()..];
    }
    rest.is_empty().then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_said_in_chinese_with_all_that_is_particular_to_it() {
        for (english, expected) in [
            (
                "unet/config.json: UNet2DConditionModel does not know a (1); it is ignored, as in diffusers",
                "unet/config.json：UNet2DConditionModel 不认识 a (1)；忽略它，与 diffusers 一样",
            ),
            (
                "scheduler_config.json: steps_offset is 0 and taken to be 1, as StableDiffusionPipeline corrects old configurations",
                "scheduler_config.json：steps_offset 是 0，当作 1，与 StableDiffusionPipeline 纠正旧配置的做法一样",
            ),
            (
                "x will need about 4.50 GB of memory in f32, 4.00 GB of it for the weights",
                "x 以 f32 运行大约需要 4.50 GB 内存，其中权重占 4.00 GB",
            ),
            ("what nobody knows", "what nobody knows"),
            ("running on the CPU: {0} {0}", "在 CPU 上运行：{0} {0}"),
        ] {
            assert_eq!(chinese(english), expected);
        }
    }
}
