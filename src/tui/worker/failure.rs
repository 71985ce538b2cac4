//! What goes wrong in the worker, in words for the screen.

use crate::export::{ExportError, ReplayError};
use crate::generation::{self, Decoded};
use crate::lesson::{Language, Said};
use crate::model;
use crate::tui::errors;

/// Something went wrong: what, and what to do about it, each in English and in Chinese.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub what: [String; 2],
    pub advice: [String; 2],
}

impl Failure {
    pub fn new<T: Into<String>>(what: [T; 2], advice: Said) -> Self {
        Self {
            what: what.map(Into::into),
            advice: advice.map(Into::into),
        }
    }

    pub fn what(&self, language: Language) -> &str {
        &self.what[language as usize]
    }

    pub fn advice(&self, language: Language) -> &str {
        &self.advice[language as usize]
    }

    /// A run that could not be written.
    pub(super) fn not_written(error: &(dyn std::error::Error + 'static)) -> Self {
        let [english, chinese] = errors::said(error);
        Self::new(
            [
                format!("The run was not written: {english}"),
                format!("运行没有写入：{chinese}"),
            ],
            [
                "Choose another place, or make room.",
                "请换一个地方，或腾出空间。",
            ],
        )
    }

    /// A panic, with where it was.
    pub(super) fn defect(message: &str) -> Self {
        Self::new(
            [
                format!("Diffuscope has a defect: {message}"),
                format!("Diffuscope 有缺陷：{message}"),
            ],
            [
                "The program goes on. r runs again; please report what you did and this message.",
                "程序继续工作。按 r 再运行；请报告你做了什么，并附上这条消息。",
            ],
        )
    }

    /// The same of looking into a network: what was cancelled there is no run.
    #[must_use]
    pub(super) fn while_looking(self) -> Self {
        let cancelled = Self::from(generation::Error::Cancelled);
        if self != cancelled {
            return self;
        }
        let advice = [
            "Nothing of the run is lost. esc and enter compute it again.",
            "运行没有任何损失。按 esc 再按 enter 会重新计算。",
        ];
        Self {
            advice: advice.map(Into::into),
            ..self
        }
    }

    /// A picture that would be shown black where it is nothing.
    pub(super) fn unsound(decoded: &Decoded, step: usize) -> Self {
        let broken = decoded.values.iter().filter(|value| !value.is_finite());
        let (broken, count) = (broken.count(), decoded.values.len());
        let (step, dtype) = (step + 1, decoded.dtype.as_str());
        Self::new(
            [
                format!(
                    "x0 of step {step} cannot be decoded: {broken} of the picture's {count} values are NaN or infinite in {dtype}"
                ),
                format!(
                    "第 {step} 步的 x0 无法解码：以 {dtype} 解码时，图片的 {count} 个值中有 {broken} 个是 NaN 或无穷大"
                ),
            ],
            [
                "The quick preview stands in its place.",
                "这里仍显示快速预览。",
            ],
        )
    }

    /// The same of a variant of a run.
    pub(super) fn unsound_variant() -> Self {
        Self::new(
            [
                "this variant's picture cannot be decoded: values of it are NaN or infinite",
                "这个变体的图片无法解码：其中有 NaN 或无穷大",
            ],
            [
                "Its row stays empty; the others are made.",
                "这一行空着，其余的照常生成。",
            ],
        )
    }

    /// A run whose state the worker does not have any more.
    pub(super) fn forgotten() -> Self {
        Self::new(
            [
                "This run was forgotten to save memory: its steps cannot be computed again.",
                "为了节省内存，这个运行已被忘记：它的各步不能重新计算。",
            ],
            [
                "What was recorded can still be looked at; r runs it once more.",
                "记录下来的仍可以看；按 r 再运行一次。",
            ],
        )
    }
}

impl From<generation::Error> for Failure {
    fn from(error: generation::Error) -> Self {
        let advice = match error {
            generation::Error::Cancelled => ["space goes on from there.", "按空格从那里继续。"],
            generation::Error::Model(model::Error::DeviceMemory(_)) => [
                "Close other programs that use it, or start again with --dtype f16 or --device cpu.",
                "请关闭占用显存的其他程序，或用 --dtype f16 或 --device cpu 重新启动。",
            ],
            _ => [
                "p changes the request, r runs it again.",
                "按 p 改动请求，按 r 再运行。",
            ],
        };
        Self::new(errors::with_causes(&error), advice)
    }
}

impl From<ReplayError> for Failure {
    fn from(error: ReplayError) -> Self {
        Self::new(
            errors::said(&error),
            [
                "Record the run once more: diffuscope run --json DIR.",
                "请重新记录一次运行：diffuscope run --json DIR。",
            ],
        )
    }
}

impl From<ExportError> for Failure {
    fn from(error: ExportError) -> Self {
        Self::not_written(&error)
    }
}
