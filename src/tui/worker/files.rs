//! Files that a user asks for while looking around: written on a thread of their own, complete or not at all.

use std::path::PathBuf;
use std::sync::Arc;

use image::RgbImage;

use super::Failure;
use crate::export::{
    DestinationError, HeatMap, OutputFile, RunMetadata, save_animation, save_attention, save_map,
    save_step, save_tensor, write_png,
};
use crate::trace::{AttentionMaps, StepTrace, TensorData};
use crate::tui::errors;

/// A file to write: what is in it, and what it says about where that came from.
#[derive(Debug, Clone)]
pub struct NewFile {
    /// The file; a number is added to its name where there is one already.
    pub name: PathBuf,
    pub metadata: RunMetadata,
    pub content: Content,
    /// The run that is kept with it, because it can be made again from what the file says.
    pub keeps: Option<u64>,
}

#[derive(Debug, Clone)]
pub enum Content {
    Picture(Arc<RgbImage>),
    Tensor(TensorData),
    /// A layer's cross-attention, as JSON.
    Attention(AttentionMaps),
    /// A step with its tensors and its cross-attention, as JSON.
    Step(Arc<StepTrace>, Vec<AttentionMaps>),
    Map(HeatMap),
    /// Heat maps one after the other, as GIF.
    Animation(Vec<HeatMap>),
}

impl NewFile {
    pub(super) fn write(&self) -> Result<PathBuf, Failure> {
        self.publish().map_err(|error| {
            let (name, [english, chinese]) = (self.name.display(), errors::said(&error));
            Failure::new(
                [
                    format!("`{name}` was not written: {english}"),
                    format!("没有写入 `{name}`：{chinese}"),
                ],
                [
                    "Start the program in a folder that you can write to, or make room.",
                    "请在可以写入的文件夹里启动程序，或腾出空间。",
                ],
            )
        })
    }

    fn publish(&self) -> Result<PathBuf, DestinationError> {
        let file = OutputFile::new_at(&self.name)?;
        let RunMetadata { request, model, .. } = &self.metadata;
        match &self.content {
            Content::Picture(image) => file.publish(|out| write_png(out, image, &self.metadata)),
            Content::Tensor(tensor) => save_tensor(file, tensor),
            Content::Attention(maps) => save_attention(file, maps),
            Content::Step(step, attention) => save_step(file, &self.metadata, step, attention),
            Content::Map(map) => save_map(file, map, request, model),
            Content::Animation(maps) => save_animation(file, maps),
        }
    }
}
