//! The engine's errors in both languages. Its own words are English; here are the Chinese ones of what a reader of the
//! inspector can come upon. A reason that comes from further down, the system's or a parser's, stays as it is.

use std::error::Error;
use std::io::{self, ErrorKind};

use crate::checkpoint::CheckpointError;
use crate::export::{DestinationError, ExportError, ReplayError, SaveRunError};
use crate::generation::{self, DeviceError, MAX_STEPS, RequestError, StepRange};
use crate::lesson::ProgressError;
use crate::model;
use crate::scheduler::SchedulerError;

/// `error` in English and in Chinese.
pub(crate) fn said(error: &(dyn Error + 'static)) -> [String; 2] {
    [error.to_string(), chinese(error)]
}

/// The same with what brought it about, as far as it does not say so itself.
pub(crate) fn with_causes(error: &generation::Error) -> [String; 2] {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    let causes: Vec<String> = causes.map(ToString::to_string).collect();
    said(error).map(|mut what| {
        for cause in &causes {
            if !what.contains(cause.as_str()) {
                what = format!("{what}: {cause}");
            }
        }
        what
    })
}

/// `error` in Chinese; in its own words where there are no others.
pub(crate) fn chinese(error: &(dyn Error + 'static)) -> String {
    let known = [
        error.downcast_ref().map(generation),
        error.downcast_ref().map(request),
        error.downcast_ref().map(device),
        error.downcast_ref().map(checkpoint),
        error.downcast_ref().map(scheduler),
        error.downcast_ref().map(save_run),
        error.downcast_ref().map(export),
        error.downcast_ref().map(destination),
        error.downcast_ref().map(replay),
        error.downcast_ref().map(progress),
        error.downcast_ref().map(system),
    ];
    let known = known.into_iter().flatten().next();
    known.unwrap_or_else(|| error.to_string())
}

/// The same of a model that does not load, with what brought it about.
pub(crate) fn chinese_of(error: &anyhow::Error) -> String {
    let mut what = String::new();
    for cause in error.chain().map(chinese) {
        if what.is_empty() {
            what = cause;
        } else if !what.contains(&cause) {
            what = format!("{what}：{cause}");
        }
    }
    what
}

fn generation(error: &generation::Error) -> String {
    use generation::Error as E;
    match error {
        E::Cancelled => "已中止".to_owned(),
        E::Request(error) => request(error),
        E::Branch { steps } => {
            format!("分支的步数与原来的运行相同，是 {steps}；要改步数，请开始新的运行")
        }
        E::ImageSize {
            width,
            height,
            multiple,
            least,
            most,
        } => format!(
            "画不出 {width}x{height} 像素的图片：长和宽都应是 {multiple} 的倍数，从 {least} 到 {most}"
        ),
        E::NoSuchStep(step) => format!("还没有做到第 {step} 步"),
        E::Checkpoint(error) => checkpoint(error),
        E::Device(error) => device(error),
        E::Scheduler(error) => scheduler(error),
        E::Model(model::Error::DeviceMemory(_)) => "显存不够".to_owned(),
        E::Model(model::Error::Tensor(why)) => format!("张量运算失败：{why}"),
        E::Model(_) | E::Tokenizer(_) => error.to_string(),
    }
}

/// What is wrong with a request.
pub(crate) fn request(error: &RequestError) -> String {
    match error {
        RequestError::Steps(steps) => format!("步数是 {steps}，应在 1 到 {MAX_STEPS} 之间"),
        RequestError::Guidance(scale) => format!("引导强度是 {scale}，应是 0 到 100 的数"),
        RequestError::GuidanceRescale(phi) => {
            format!("引导重缩放是 {phi}，应是 0 到 1 的数")
        }
        RequestError::StepsBeyond { what, steps, len } => format!(
            "{what} 要在{}起作用，而这次运行只有 {len} 步；请写 1 到 {len} 之间的步",
            steps_in_chinese(*steps)
        ),
        RequestError::Patch { module, reason } => format!("对 {module} 的改动不能用：{reason}"),
        RequestError::NoSuchModule { module, near } => {
            format!(
                "UNet 里没有输出可以改动的模块 {module}；有 {near}（`run --modules` 导出所有名字）"
            )
        }
        RequestError::NoDonor { run } => format!("要从 `{run}` 取值，但没有打开这次运行"),
        RequestError::NoDonorStep { run, step, len } => format!(
            "要从 `{run}` 的第 {step} 步取值，而它只有 {len} 步；请写它有的步，如 {run}@{len}，或写改动在哪些步起作用"
        ),
        RequestError::Seed(seed) => format!(
            "种子 {seed} 超出 torch 生成器接受的范围（{} 到 {}）",
            i64::MIN,
            u64::MAX
        ),
        RequestError::Factor(factor) => format!("词的倍数是 {factor}，应是 0 到 100 的数"),
        RequestError::Positions { word, reason } => format!("“{word}”的位置不能用：{reason}"),
        RequestError::LeftOutInSteps { word } => {
            format!("“{word}”只能在整个运行中去掉；要从某一步起去掉，请在那一步之前分支")
        }
        RequestError::TextLayers { layers, most } => format!(
            "text_layers 是 {layers}，而模型的文本编码器有 {most} 层：请写 0 到 {most} 的数"
        ),
        RequestError::StepRange { first, last } => {
            format!("改动要从第 {first} 步到第 {last} 步，而后者在前者之前")
        }
        RequestError::NoSuchWord { word, words } if words.is_empty() => {
            format!("提示词里没有“{word}”这个词；一个词也没有")
        }
        RequestError::NoSuchWord { word, words } => {
            format!("提示词里没有“{word}”这个词；有：{words}")
        }
        RequestError::WordCutOff { word } => {
            format!("“{word}”在模型看得到的部分之外；请缩短提示词")
        }
    }
}

/// The Chinese of a range's own words: counted from 1, as everywhere on the screen.
pub(crate) fn steps_in_chinese(StepRange { first, last }: StepRange) -> String {
    let (first, last) = (first.saturating_add(1), last.saturating_add(1));
    if first == last {
        format!("第 {first} 步")
    } else {
        format!("第 {first} 到 {last} 步")
    }
}

pub(crate) fn device(error: &DeviceError) -> String {
    match error {
        DeviceError::NotBuilt => {
            "这个程序编译时没有 CUDA：请用 `--device cpu`，或在有 CUDA 13 库的机器上用 `--features cuda` 编译"
                .to_owned()
        }
        DeviceError::NoBf16 => {
            "CPU 在这里不能以 bf16 计算：请用 `--dtype f32`，或用 f16 省一半内存".to_owned()
        }
        DeviceError::Cuda(why) => {
            format!("CUDA 设备打不开：{why}；请检查驱动（`nvidia-smi`），或用 `--device cpu`")
        }
    }
}

fn checkpoint(error: &CheckpointError) -> String {
    use CheckpointError as E;
    match error {
        E::NotFound { path } => format!(
            "{path}：没有这个文件或文件夹；模型可以是 `little-world`（内嵌的），Stable Diffusion 检查点的路径\
             （diffusers 格式的文件夹，或单个 .safetensors 文件），或已用 `diffuscope model fetch` 下载的名字\
             （`sd-v1-5`，owner/name）"
        ),
        E::UnknownFile { path } => format!(
            "{path} 不是文件夹，也不是 .safetensors 文件；检查点是 diffusers 格式的文件夹，或单个 .safetensors 文件"
        ),
        E::HoldsSingleFile { folder, file } => format!(
            "{folder} 不是检查点的文件夹，但其中的 {file} 可能是单个文件的检查点；请写那个文件的路径"
        ),
        E::OtherKind { file, reason } => format!(
            "{file}：{reason}；单个文件应含有 Stable Diffusion v1 的文本编码器、UNet 和自编码器，\
             用最初发布时（LDM）的名字"
        ),
        E::NotFetched { name, cache, fetch } => format!(
            "{name} 不在已下载的模型里（{cache}），这台机器上也没有这个名字；用 `diffuscope model fetch {fetch}` 下载"
        ),
        E::NotACheckpoint { path, looked_for } => {
            format!("{path} 不是检查点：里面没有 {looked_for}")
        }
        E::Missing {
            folder, looked_for, ..
        } => format!("{folder} 不完整：缺少 {looked_for}"),
        E::Pickle { file, convert } => format!(
            "{file}：不读取 Python pickle 格式的权重，因为加载它可能运行其中的代码；请在 Python 里用 diffusers 转换：{convert}"
        ),
        E::DanglingLink { file, target } => format!(
            "{file}：它是指向 {target} 的链接，那里什么也没有：下载或复制没有完成；请重新下载或复制"
        ),
        E::Read { file, source } => format!("{file}：读不出来：{}", system(source)),
        E::Json { file, reason } => {
            format!("{file}：不是有效的 JSON 对象：{reason}；文件损坏了，或名不副实")
        }
        E::Config {
            file,
            key,
            found,
            expected,
        } => format!("{file}：{key} 是 {found}，应是 {expected}"),
        E::Unsupported {
            file,
            key,
            found,
            reason,
        } => {
            format!("{file}：{key} 是 {found}：{reason}；支持的是 Stable Diffusion v1 结构的检查点")
        }
        other => other.to_string(),
    }
}

/// What is wrong with a schedule.
pub(crate) fn scheduler(error: &SchedulerError) -> String {
    use SchedulerError as E;
    match error {
        E::Steps { found, largest } => format!("步数是 {found}，应在 1 到 {largest} 之间"),
        E::TooFewForPrk { found } => {
            format!("步数是 {found}；没有 skip_prk_steps 的 PNDM 至少要 4 步")
        }
        E::TimestepOutOfRange { found, last } => format!(
            "噪声调度到了时间步 {found}，而模型训练时只有 0 到 {last}；请减少步数，或减小 steps_offset"
        ),
        E::TakeOver {
            kind, step, reason, ..
        } => format!("{kind} 不能从第 {step} 步接手：{reason}；请在别的步换采样器，或开始新的运行"),
        E::Unsupported {
            file,
            key,
            found,
            kind,
            supported,
            ..
        } => format!("{file}{key} 是 {found}，{kind} 做不到：它接受 {supported}"),
        E::Tensor(why) => format!("张量运算失败：{why}"),
        other => other.to_string(),
    }
}

fn save_run(error: &SaveRunError) -> String {
    match error {
        SaveRunError::Selection(error) => error.to_string(),
        SaveRunError::Export(error) => export(error),
        SaveRunError::Generation(error) => generation(error),
    }
}

fn export(error: &ExportError) -> String {
    match error {
        ExportError::Destination(error) => destination(error),
        ExportError::Order(why) => format!("运行不能导出：{why}"),
    }
}

fn destination(error: &DestinationError) -> String {
    use DestinationError as E;
    match error {
        E::NotEmpty(path) => format!("文件夹 `{}` 不是空的", path.display()),
        E::InTheWay(path) => format!(
            "`{}` 挡在那里，而且不是以前导出的；请移开它，或换一个文件夹",
            path.display()
        ),
        E::NotAFolder(path) => {
            format!("`{}` 不是文件夹，导出需要文件夹；请换一个", path.display())
        }
        E::NotAFile(path) => format!(
            "`{}` 是文件夹；请写其中一个文件的名字，例如 `{}`",
            path.display(),
            path.join("picture.png").display()
        ),
        E::OtherFormat(path) => format!(
            "`{}` 是另一种文件的名字，而图片写成 PNG；请写 `{}`",
            path.display(),
            path.with_extension("png").display()
        ),
        E::StandardOutput => {
            "`-` 是标准输出，不能写到那里；若文件就叫这个名字，请写 `./-`".to_owned()
        }
        E::Write { path, source } => {
            let todo = match source.kind() {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "；请腾出空间",
                ErrorKind::NotFound => "；请先建立它所在的文件夹",
                ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                    "；请选一个可以写入的地方"
                }
                _ => "",
            };
            format!("写不进 `{}`：{}{todo}", path.display(), system(source))
        }
    }
}

fn replay(error: &ReplayError) -> String {
    use ReplayError as E;
    match error {
        E::Read { path, source } => format!("`{}` 读不出来：{}", path.display(), system(source)),
        E::TooLarge {
            path,
            found,
            largest,
        } => format!(
            "`{}` 有 {found} 字节，而它最多应有 {largest}",
            path.display()
        ),
        E::Format { path, reason } => format!("`{}` 损坏了：{reason}", path.display()),
        E::Version { path, found } => format!(
            "`{}` 的格式版本是 {found}，这个程序读的是另一个版本；请用写出它的程序",
            path.display()
        ),
        E::Missing { path, member } => format!("`{}`：缺少 {member}", path.display()),
        E::Value {
            path,
            member,
            found,
            expected,
        } => format!("`{}`：{member} 是 {found}，应是 {expected}", path.display()),
    }
}

fn progress(error: &ProgressError) -> String {
    use ProgressError as E;
    match error {
        E::Unreadable { path, why } => format!(
            "{} 不是这个程序写的学习进度（{why}）；删掉它就重新开始",
            path.display()
        ),
        E::Read { path, source } => format!(
            "读不出 {}，那里保存着你做过的：{}",
            path.display(),
            system(source)
        ),
        E::Write(error) => format!("你做过的没能保存：{}", destination(error)),
        E::Held(path) => format!("你做过的暂时没能保存：另一个进程占用着 {}", path.display()),
    }
}

/// The system's reason: in Chinese for what is common.
fn system(error: &io::Error) -> String {
    let said = match error.kind() {
        ErrorKind::NotFound => "没有这个文件或文件夹",
        ErrorKind::PermissionDenied => "没有权限",
        ErrorKind::AlreadyExists => "已经有了",
        ErrorKind::StorageFull => "磁盘满了",
        ErrorKind::QuotaExceeded => "超出了配额",
        ErrorKind::FileTooLarge => "文件太大",
        ErrorKind::ReadOnlyFilesystem => "文件系统是只读的",
        ErrorKind::NotADirectory => "不是文件夹",
        ErrorKind::IsADirectory => "是文件夹",
        _ => return error.to_string(),
    };
    said.to_owned()
}
