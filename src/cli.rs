//! The command line: what can be asked for, and how it is explained.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::export::{ExportOptions, OnExisting};
use crate::generation::{
    DeviceChoice, LeftOutOf, MAX_STEPS, NoPatch, NoStepRange, Patch, Precision, Request,
    RequestPatch, StepRange,
};
use crate::lesson::{Language, Watch};
use crate::model::AttentionDetail;
use crate::random::random_seed;
use crate::scheduler::{BetaSchedule, SchedulerKind};
use crate::tui::{Colours, ImageMode, ScreenOptions};

/// What the inspector draws when no prompt is given.
pub const DEFAULT_PROMPT: &str = "a photograph of an astronaut riding a horse";

/// A microscope for text-to-image diffusion: a real Stable Diffusion run, in slow motion, in the terminal.
#[derive(Debug, Parser)]
#[command(
    name = "diffuscope",
    version,
    args_conflicts_with_subcommands = true,
    after_help = TOP_EXAMPLES
)]
pub struct Cli {
    /// What to do. Without a subcommand the inspector opens.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The inspector's options, so that `diffuscope -p "a cat"` opens it too.
    #[command(flatten)]
    pub inspect: InspectArgs,
}

/// A subcommand.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Step through a generation in a full-screen inspector (the default)
    #[command(after_help = INSPECT_EXAMPLES)]
    Inspect(InspectArgs),
    /// Generate a picture without a screen, and export what happened on the way
    #[command(after_help = RUN_EXAMPLES)]
    Run(RunArgs),
    /// Look at a recorded run again; needs no model
    #[command(after_help = REPLAY_EXAMPLES)]
    Replay(ReplayArgs),
    /// Learn how a prompt becomes a picture: guided lessons in the inspector
    #[command(after_help = LESSON_EXAMPLES, args_conflicts_with_subcommands = true)]
    Lesson(LessonArgs),
    /// Show how a text becomes tokens
    #[command(after_help = TOKENIZE_EXAMPLES)]
    Tokenize(TokenizeArgs),
    /// Print a noise schedule; needs no model
    ///
    /// A line a step: its timestep and sigma, the sigma after it, the cumulative product of the alphas and the
    /// signal-to-noise ratio. Steps count from 0, as they do in exported documents; the inspector says "step 1" of the
    /// first.
    #[command(after_help = SCHEDULE_EXAMPLES)]
    Schedule(ScheduleArgs),
    /// Download, list and check models
    #[command(after_help = MODEL_EXAMPLES)]
    Model(ModelCommandArgs),
    /// Print the JSON Schema of exported documents (`run --json`)
    #[command(after_help = SCHEMA_EXAMPLES)]
    Schema(SchemaArgs),
}

const TOP_EXAMPLES: &str = "\
Examples:
  diffuscope                                      the inspector, embedded model
  diffuscope -p \"a red fox in a forest\" --seed 7  the same on another prompt
  diffuscope run -p \"a red fox\" --png fox.png     a picture, without a screen
  diffuscope run -p \"a red fox\" --json fox/       every tensor of the run as JSON
  diffuscope lesson                               guided lessons
  diffuscope tokenize \"a red fox\"                 how the prompt is cut up
  diffuscope schedule --scheduler lms --steps 25  timesteps and noise levels
  diffuscope model fetch sd-v1-5                  download Stable Diffusion v1.5

`diffuscope <COMMAND> --help` explains each.
Exit status: 0 done, 1 failed, 2 wrong usage, 3 done with values that are NaN
or infinite, 128 and the number of the signal that ended it, as in 130 after Ctrl-C.";

const INSPECT_EXAMPLES: &str = "\
Examples:
  diffuscope inspect -p \"a blue cat on a sofa\" --negative \"dog\"
  diffuscope inspect --model ~/models/stable-diffusion-v1-5 --device cuda
  diffuscope inspect --model sd-v1-5 --size 256     a quarter of the pixels
  diffuscope inspect --images cells     pictures as coloured cells, everywhere
  diffuscope inspect -p \"a castle\" --json castle/ --png castle.png
      the first run that is finished is written, as `run` writes it";

const RUN_EXAMPLES: &str = "\
Examples:
  diffuscope run -p \"a photograph of an astronaut riding a horse\"
      writes diffuscope-42.png, or diffuscope-42-2.png where that exists,
      and prints its path
  diffuscope run -p \"a castle\" --seed -1 --steps 50 --png castle.png
  diffuscope run -p \"a castle\" --seed random
      another picture every time; the seed is said, and in the file's name
  diffuscope run -p \"a red apple on a table\" --weight apple=0 --swap red=table
      as if the picture did not attend to “apple”, and “red” were in the
      place of “table”; both are in the export's request
  diffuscope run -p \"a red apple on a table\" --leave-out red --leave-out table=reads
      as if padding stood where “red” does; and where “table” does, but with
      what the words after it took in of it
  diffuscope run -p \"a castle\" --text-layers 3
      what the first three layers of the text encoder make of the prompt
  diffuscope run -p \"a castle\" --patch mid_block.attentions.0=off
      as if the UNet's middle transformer were not there; of attention layers
      also one head, as in mid_block.attentions.0.transformer_blocks.0.attn2#3=0
  diffuscope run -p \"a cat\" --patch up_blocks.1.attentions.0=castle/ --patch-steps 4..10
      with what that module gave in the run that --json castle/ recorded
  diffuscope run -p \"a castle\" --json castle/ --attention heads
  diffuscope run -p \"a castle\" --json castle/ --tensors latents,x0
  diffuscope run -p \"a castle\" --json castle/ --tensors 'attention/mid_block.*'
  echo \"a castle\" | diffuscope run -p -
      takes the prompt from standard input

Questions (--watch, --break):
  filters in the language of jq over run.json, as far as the run has come:
    --break '.not_finite != null'         where values cease to be finite
    --break 'step.index == 11'            after step 12
    --watch 'share(\"castle\")'           the word's share of the attention
    --watch 'step.tensors.x0.stats.std'   a statistic of a tensor
    --watch 'step.modules[] | select(.path == \"conv_in\") | .stats.norm'
  `step` is the newest step. lessons/README.md lists what there is.

The export (--json):
  DIR/run.json has the request, the tokens, the schedule and the steps, and of
  each tensor its shape, its statistics and its file. A tensor's file has its
  \"name\", \"shape\", \"dtype\" and \"data\" (row-major). DIR/image.png is the
  picture. `diffuscope schema` prints the JSON Schema of both. Numbers read
  back as the very same f32; what JSON cannot write as a number is \"NaN\",
  \"Infinity\" or \"-Infinity\".

Names for --tensors:
  of the run      token_embedding, position_embedding,
                  text_model.encoder.layers.N, prompt_embedding,
                  negative_prompt_embedding, initial_noise
  of each step    latents, noise_uncond, noise_text, noise_guided,
                  latents_next, x0, attention/<module path>
  on request      text_model.encoder.layers.N.self_attn, the text encoder's
                  own attention; everything else is written by default
  `*` stands for any characters, `attention` for `attention/*`, `layers` for
  `text_model.encoder.layers.*`, and `all` for everything.

Where a value of the run is NaN or infinite, a warning says where that began
and what helps; everything is written all the same, run.json says it as
\"not_finite\", and the exit status is 3.

The first Ctrl-C cancels the run and takes back what was written.";

const REPLAY_EXAMPLES: &str = "\
Examples:
  diffuscope run -p \"a castle\" --json castle/
  diffuscope replay castle/             the same run in the inspector
  diffuscope replay --check castle/     is every file there, and as it should be?

What was not exported (--tensors, --attention) cannot be looked at, and the
screens say so. Nothing is computed: what needs the model needs `inspect`.";

const TOKENIZE_EXAMPLES: &str = "\
Examples:
  diffuscope tokenize \"dream beach\"     two words, two tokens
  diffuscope tokenize 苹果              six pieces: not in CLIP's vocabulary
  diffuscope tokenize --json \"a cat\"    all 77 positions, for scripts
  diffuscope tokenize - < prompt.txt    from standard input";

const SCHEDULE_EXAMPLES: &str = "\
Examples:
  diffuscope schedule                   Stable Diffusion v1's own schedule
  diffuscope schedule --scheduler dpm++-2m-karras --steps 12
  diffuscope schedule --betas linear --beta-start 0.0001 --beta-end 0.02 \\
                      --scheduler lms --steps 100
      that of the first diffusion models: from timestep 999, sigma 157.407
  diffuscope schedule --json | jq .sigmas

Columns:
  timestep        what the UNet is told
  sigma           the noise's standard deviation where the picture's is 1,
                  before the step; sigma_next: after it
  alpha_cumprod   1 / (sigma² + 1), the picture's share of the variance
  snr             1 / sigma², the signal-to-noise ratio";

const MODEL_EXAMPLES: &str = "\
Examples:
  diffuscope model fetch sd-v1-5                    Stable Diffusion v1.5
  diffuscope model fetch owner/name --variant fp16  weights of 16 bits
  diffuscope run -p \"a castle\" --model sd-v1-5      runs it, offline
  diffuscope model list                             what is there
  diffuscope model check ~/models/some.safetensors  what is in it; does it run?

Only `model fetch` reaches the network. Models lie in the cache that all
programs for the hub share: $HF_HUB_CACHE, else $HF_HOME/hub, else
~/.cache/huggingface/hub.";

const FETCH_EXAMPLES: &str = "\
Only the files that are needed are downloaded: the configurations, the
tokenizer and the weights of the text encoder, UNet and autoencoder as
safetensors. What is there is not downloaded again; after an interruption the
same command goes on where it stopped. Sizes and hashes are checked.

Environment:
  HF_TOKEN                 the token of an account, for gated repositories
                           (else the one that is stored in $HF_HOME/token)
  HF_HOME, HF_HUB_CACHE    where models lie
  HF_ENDPOINT              another hub
  HF_HUB_OFFLINE           1: do not reach the network
  HF_HUB_DOWNLOAD_TIMEOUT  seconds without an answer until a connection counts
                           as broken [default: 30]";

const CHECK_EXAMPLES: &str = "\
Examples:
  diffuscope model check little-world
  diffuscope model check ~/models/some.safetensors
  diffuscope model check sd-v1-5 --json | jq .problems

Every missing, wrong-shaped and unexpected tensor is named, and every file's
SHA-256 is printed. Exit status 1 when the model cannot be run.";

const LESSON_EXAMPLES: &str = "\
Examples:
  diffuscope lesson                     the lessons, and how far you are
  diffuscope lesson the-whole-way       starts one
  diffuscope lesson tokens --lang zh    in Chinese
  diffuscope lesson --dir my-lessons    lessons of your own
  diffuscope lesson check my-lessons    is everything in them so?

What you have solved is kept in the platform's folder for data.";

const LESSON_CHECK_EXAMPLES: &str = "\
Examples:
  diffuscope lesson check                       the program's own lessons
  diffuscope lesson check my-lessons            a folder, with en/ and zh/ or not
  diffuscope lesson check my-lessons/en/01-x.md one file
  diffuscope lesson check --files my-lessons    without running anything
  diffuscope lesson check --model sd-v1-5       what is about that model

Goes through every page in the real inspector: every claim must hold, every
task must be undone at first and done by its solution, every answer must be
accepted and wrong ones refused. What is about another model than the one that
is open is left out, and counted. Each problem is named with file and line, and
the exit status is 1 where there are any.";

const SCHEMA_EXAMPLES: &str = "\
Examples:
  diffuscope schema > run.schema.json            of run.json
  diffuscope schema tensor > tensor.schema.json  of a tensor's file
  diffuscope schema step > step.schema.json      of a step saved on its own";

/// Options of `inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// What to draw; `-` reads it from standard input [default: a photograph of an astronaut riding a horse]
    #[arg(short, long, value_name = "TEXT")]
    pub prompt: Option<String>,
    /// What to ask for, besides the prompt.
    #[command(flatten)]
    pub request: RequestArgs,
    /// The model and its device.
    #[command(flatten)]
    pub model: ModelArgs,
    /// How large the pictures are.
    #[command(flatten)]
    pub size: SizeArgs,
    /// The screen.
    #[command(flatten)]
    pub screen: ScreenArgs,
    /// What to write of the first run that is finished.
    #[command(flatten)]
    pub export: ExportArgs,
}

/// Options of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// What to draw; `-` reads it from standard input
    #[arg(short, long, value_name = "TEXT")]
    pub prompt: String,
    /// What to ask for, besides the prompt.
    #[command(flatten)]
    pub request: RequestArgs,
    /// The model and its device.
    #[command(flatten)]
    pub model: ModelArgs,
    /// How large the pictures are.
    #[command(flatten)]
    pub size: SizeArgs,
    /// What to write.
    #[command(flatten)]
    pub export: ExportArgs,
    /// Ask FILTER after every step, and say what it gave; also in run.json. May be repeated (see below)
    #[arg(long, value_name = "FILTER", value_parser = watch)]
    pub watch: Vec<Watch>,
    /// Stop after the step at which FILTER is true: the picture is the predicted one, the export what there is. May be
    /// repeated
    #[arg(long = "break", value_name = "FILTER", value_parser = breakpoint)]
    pub breakpoints: Vec<Watch>,
}

/// What to write of a run: the picture, and what happened on the way.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Write the picture to FILE as PNG, replacing it; `-` is standard output of `run`, and `run` without --png and --json writes diffuscope-SEED.png, a new file
    #[arg(long, value_name = "FILE")]
    pub png: Option<PathBuf>,
    /// Export the whole run to the folder DIR as JSON; it must be new or empty
    #[arg(long, value_name = "DIR")]
    pub json: Option<PathBuf>,
    /// Replace an earlier export in DIR; other files in it stay
    #[arg(long, requires = "json")]
    pub force: bool,
    /// Which tensors to export: names, with `*` for any characters, separated by commas (see below)
    #[arg(long, value_name = "LIST", requires = "json", value_delimiter = ',')]
    pub tensors: Option<Vec<String>>,
    /// How much of the UNet's cross-attention to export: its mean over heads, every head, or none of it
    #[arg(
        long,
        value_parser = one_of(ATTENTION),
        default_value = "mean",
        hide_possible_values = true,
        value_name = "mean|heads|none"
    )]
    pub attention: AttentionDetail,
    /// Export statistics of what every module of the UNet put out at every step, too
    #[arg(long, requires = "json")]
    pub modules: bool,
}

/// What to ask for, besides the prompt.
#[derive(Debug, Args)]
pub struct RequestArgs {
    /// What to steer away from
    #[arg(short, long, value_name = "TEXT")]
    pub negative: Option<String>,
    /// Seed of the noise, as torch reads it: 64 bits, negative ones too; or `random`, for one that nobody has chosen
    /// [default: 42]
    #[arg(short, long, value_name = "N|random", allow_negative_numbers = true, value_parser = seed)]
    pub seed: Option<Seed>,
    /// Denoising steps, 1 to 1000 [default: 25]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = steps)]
    pub steps: Option<usize>,
    /// Guidance scale, 0 to 100: how hard the prompt pulls; no guidance at 1 or below [default: the model's]
    #[arg(short, long, value_name = "G", allow_negative_numbers = true, value_parser = guidance)]
    pub guidance: Option<f64>,
    /// Guide in these steps alone, both included and counted from 1 as on the screen: 4..10; in the others the scale is 1,
    /// and the prediction without the prompt is not computed [default: all]
    #[arg(long, value_name = "A..B", value_parser = step_range)]
    pub guidance_steps: Option<StepRange>,
    /// Bring the guided prediction to the standard deviation of the one with the prompt, by PHI from 0, not at all, to 1:
    /// against overexposure (Lin et al. 2023) [default: 0]
    #[arg(long, value_name = "PHI", allow_negative_numbers = true, value_parser = guidance_rescale)]
    pub guidance_rescale: Option<f64>,
    /// The sampler: lms, euler, euler-a, ddim, dpm++-2m, dpm++-2m-karras or pndm [default: the model's]
    #[arg(long, value_parser = one_of(schedulers()), hide_possible_values = true, value_name = "NAME")]
    pub scheduler: Option<SchedulerKind>,
    /// Multiply the attention that WORD of the prompt gets by FACTOR, 0 to 100, wherever it stands; may be repeated
    #[arg(long, value_name = "WORD=FACTOR", value_parser = weight)]
    pub weight: Vec<(String, f32)>,
    /// Exchange the attention of two words of the prompt; may be repeated
    #[arg(long, value_name = "WORD=OTHER", value_parser = swap)]
    pub swap: Vec<(String, String)>,
    /// Leave WORD out wherever it stands, so that padding is in its place: of the text encoder's `input`, or only of what the
    /// UNet `reads`, so that the words after it still know of it; may be repeated [default: input]
    #[arg(long, value_name = "WORD[=input|reads]", value_parser = leave_out)]
    pub leave_out: Vec<(String, LeftOutOf)>,
    /// Let the prompt pass the first N layers of the text encoder alone, from 0, and then its final layer norm: N is the
    /// number of layers less diffusers' `clip_skip` [default: all]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = text_layers)]
    pub text_layers: Option<usize>,
    /// Change what a module of the UNet puts out, in both halves of guidance: off is zero, FACTOR (-100 to 100) multiplies
    /// it, RUNDIR is what it was in a run that `run --json` wrote, in its step STEP or in the one of the same number; #HEAD
    /// is one head of an attention layer, from 0; may be repeated
    #[arg(long, value_name = "PATH[#HEAD]=off|FACTOR|RUNDIR[@STEP]", value_parser = patch)]
    pub patch: Vec<Patch>,
    /// Do so in these steps alone, both included and counted from 1 as on the screen: 4..10 [default: all]
    #[arg(long, value_name = "A..B", requires = "patch", value_parser = step_range)]
    pub patch_steps: Option<StepRange>,
}

/// What `--seed` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seed {
    /// The seed.
    pub value: i128,
    /// Was it drawn at random?
    pub is_drawn: bool,
}

/// The model and its device.
#[derive(Debug, Args)]
pub struct ModelArgs {
    /// `little-world` (embedded), a downloaded model (`sd-v1-5`, owner/name, owner/name@revision), or the path of a
    /// Stable Diffusion v1 or v2 folder as diffusers stores it, or of a single .safetensors file of v1
    #[arg(long, value_name = "MODEL", default_value = "little-world")]
    pub model: OsString,
    /// Which weights of a folder that has several: `fp16` for model.fp16.safetensors [default: the plain ones]
    #[arg(long, value_parser = variant, value_name = "VARIANT")]
    pub variant: Option<String>,
    /// The device to run on; auto takes CUDA where there is one
    #[arg(
        long,
        value_parser = one_of(DEVICES),
        default_value = "auto",
        hide_possible_values = true,
        value_name = "auto|cpu|cuda"
    )]
    pub device: DeviceChoice,
    /// The numbers that the networks compute in; auto takes f16 on CUDA and f32 on the CPU, which has no bf16
    #[arg(
        long,
        value_parser = one_of(PRECISIONS),
        default_value = "auto",
        hide_possible_values = true,
        value_name = "auto|f32|f16|bf16"
    )]
    pub dtype: Precision,
    /// The numbers that pictures are decoded in; auto takes those of the other networks, f32 where the model asks for
    /// it (`force_upcast`), and f32 once more where a picture is NaN or infinite [default: auto with --dtype auto, else
    /// as --dtype]
    #[arg(
        long,
        value_parser = one_of(PRECISIONS),
        hide_possible_values = true,
        value_name = "auto|f32|f16|bf16"
    )]
    pub vae_dtype: Option<Precision>,
}

/// How large pictures are.
#[derive(Debug, Args)]
pub struct SizeArgs {
    /// Width and height of the pictures in pixels, or one number for both; the size that the model was trained for
    /// where it is not given
    #[arg(long, value_name = "WIDTHxHEIGHT", allow_negative_numbers = true, value_parser = size)]
    pub size: Option<(usize, usize)>,
}

/// How the inspector shows runs.
#[derive(Debug, Args)]
pub struct ScreenArgs {
    /// Memory for the attention maps of all runs together, in MiB; what does not fit is computed again, or of a
    /// recorded run read again, when it is looked at
    #[arg(
        long,
        value_name = "MIB",
        default_value_t = 512,
        value_parser = clap::value_parser!(u32).range(0..=1_048_576)
    )]
    pub attention_budget: u32,
    /// How pictures are drawn
    #[arg(
        long,
        value_enum,
        default_value_t,
        hide_possible_values = true,
        value_name = "auto|cells|pixels"
    )]
    pub images: ImageMode,
    /// How many colours the terminal has; auto goes by `NO_COLOR`, `COLORTERM` and `TERM`
    #[arg(
        long,
        alias = "colors",
        value_parser = one_of(COLOURS),
        default_value = "auto",
        hide_possible_values = true,
        value_name = "auto|truecolour|256|16|none"
    )]
    pub colours: ColoursChoice,
    /// Whether a click selects what it points at; with off, or after the key m, the terminal selects text with the
    /// mouse, as it does with Shift held
    #[arg(
        long,
        value_parser = one_of(ON_OFF),
        default_value = "on",
        hide_possible_values = true,
        value_name = "on|off"
    )]
    pub mouse: OnOff,
}

impl ScreenArgs {
    /// How the terminal is used.
    pub fn options(&self) -> ScreenOptions {
        ScreenOptions {
            attention_budget: self.attention_budget as usize * 1024 * 1024,
            images: self.images,
            colours: self.colours.0,
            mouse: self.mouse.0,
        }
    }
}

/// How many colours; as the environment says where none are named.
#[derive(Debug, Clone, Copy)]
pub struct ColoursChoice(Option<Colours>);

const COLOURS: [(&str, ColoursChoice); 6] = [
    ("auto", ColoursChoice(None)),
    ("truecolour", ColoursChoice(Some(Colours::True))),
    ("truecolor", ColoursChoice(Some(Colours::True))),
    ("256", ColoursChoice(Some(Colours::Indexed))),
    ("16", ColoursChoice(Some(Colours::Sixteen))),
    ("none", ColoursChoice(Some(Colours::None))),
];

/// Whether something is done.
#[derive(Debug, Clone, Copy)]
pub struct OnOff(bool);

const ON_OFF: [(&str, OnOff); 2] = [("on", OnOff(true)), ("off", OnOff(false))];

/// Options of `replay`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// The folder that `run --json` wrote
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// Read every file, say what is there, and open no screen
    #[arg(long)]
    pub check: bool,
    /// The screen.
    #[command(flatten)]
    pub screen: ScreenArgs,
}

/// Options of `lesson`.
#[derive(Debug, Args)]
pub struct LessonArgs {
    /// What to do with lessons. Without a subcommand they are listed, or one is started.
    #[command(subcommand)]
    pub command: Option<LessonCommand>,
    /// The lesson to start, by its name in the list; without it the lessons are listed
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// Lessons of your own: a folder with files like 01-name.md, or with folders en and zh of such files
    #[arg(long, value_name = "PATH")]
    pub dir: Option<PathBuf>,
    /// The lessons' language [default: that of the locale, else en]
    #[arg(long, value_parser = one_of(languages()), value_name = "en|zh", hide_possible_values = true)]
    pub lang: Option<Language>,
    /// The model and its device.
    #[command(flatten)]
    pub model: ModelArgs,
    /// The screen.
    #[command(flatten)]
    pub screen: ScreenArgs,
}

/// What to do with lessons.
#[derive(Debug, Subcommand)]
pub enum LessonCommand {
    /// Prove what lessons say, by really doing it
    #[command(after_help = LESSON_CHECK_EXAMPLES)]
    Check(LessonCheckArgs),
}

/// Options of `lesson check`.
#[derive(Debug, Args)]
pub struct LessonCheckArgs {
    /// A folder of lessons, or one lesson's file [default: the program's own lessons]
    #[arg(value_name = "PATH")]
    pub path: Option<PathBuf>,
    /// Check the files only, without running anything
    #[arg(long = "files")]
    pub files_only: bool,
    /// The model and its device.
    #[command(flatten)]
    pub model: ModelArgs,
}

/// Options of `tokenize`.
#[derive(Debug, Args)]
pub struct TokenizeArgs {
    /// The text; `-` reads it from standard input
    pub text: String,
    /// Print JSON: all 77 positions
    #[arg(long)]
    pub json: bool,
    /// The model whose tokenizer to use, as for `run`
    #[arg(long, value_name = "MODEL", default_value = "little-world")]
    pub model: OsString,
}

/// Options of `schedule`.
#[derive(Debug, Args)]
pub struct ScheduleArgs {
    /// The sampler: lms, euler, euler-a, ddim, dpm++-2m, dpm++-2m-karras or pndm
    #[arg(
        long,
        value_parser = one_of(schedulers()),
        hide_possible_values = true,
        value_name = "NAME",
        default_value = "lms"
    )]
    pub scheduler: SchedulerKind,
    /// Denoising steps, 1 to 1000
    #[arg(long, value_name = "N", default_value = "25", allow_negative_numbers = true, value_parser = steps)]
    pub steps: usize,
    /// How the betas grow: `linear`, or `scaled_linear` (their square roots do)
    #[arg(
        long,
        value_parser = one_of(BETAS),
        hide_possible_values = true,
        default_value = "scaled_linear",
        value_name = "linear|scaled_linear"
    )]
    pub betas: BetaSchedule,
    /// The first beta, the variance that the first of 1000 training steps adds
    #[arg(long, value_name = "X", default_value = "0.00085", allow_negative_numbers = true, value_parser = beta)]
    pub beta_start: f64,
    /// The last beta
    #[arg(long, value_name = "Y", default_value = "0.012", allow_negative_numbers = true, value_parser = beta)]
    pub beta_end: f64,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Options of `model`.
#[derive(Debug, Args)]
pub struct ModelCommandArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: ModelCommand,
}

/// What to do with models.
#[derive(Debug, Subcommand)]
pub enum ModelCommand {
    /// Download a model from the hub: the only command that reaches the network
    #[command(after_help = FETCH_EXAMPLES)]
    Fetch(FetchArgs),
    /// List the embedded model and the downloaded ones
    List,
    /// Say what is in a model, what is wrong with it, and whether it can be run
    #[command(after_help = CHECK_EXAMPLES)]
    Check(CheckArgs),
}

/// Options of `model fetch`.
#[derive(Debug, Args)]
pub struct FetchArgs {
    /// `sd-v1-5`, `sd-v1-4`, or any repository as owner/name
    #[arg(value_name = "NAME|OWNER/NAME")]
    pub name: String,
    /// A branch, tag or commit [default: main]
    #[arg(long, value_name = "REVISION")]
    pub revision: Option<String>,
    /// Which weights: `fp16` for those in half precision, where the repository has them [default: the plain ones]
    #[arg(long, value_parser = variant, value_name = "VARIANT")]
    pub variant: Option<String>,
}

/// Options of `model check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// A folder, a single file, a downloaded model's name or `little-world`
    #[arg(value_name = "MODEL")]
    pub model: OsString,
    /// Which weights of a folder that has several: `fp16` [default: the plain ones]
    #[arg(long, value_parser = variant, value_name = "VARIANT")]
    pub variant: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Options of `schema`.
#[derive(Debug, Args)]
pub struct SchemaArgs {
    /// Of which document: `run` (run.json), `tensor` (a tensor's file) or `step` (a step saved in the inspector)
    #[arg(
        value_enum,
        default_value_t,
        hide_possible_values = true,
        value_name = "run|tensor|step"
    )]
    pub document: SchemaChoice,
}

/// An exported document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum SchemaChoice {
    /// `run.json`.
    #[default]
    Run,
    /// A tensor's file.
    Tensor,
    /// A step on its own.
    Step,
}

/// What `--attention` takes.
const ATTENTION: [(&str, AttentionDetail); 3] = [
    ("mean", AttentionDetail::Mean),
    ("heads", AttentionDetail::Heads),
    ("none", AttentionDetail::None),
];

/// What `--device` takes.
const DEVICES: [(&str, DeviceChoice); 3] = [
    ("auto", DeviceChoice::Auto),
    ("cpu", DeviceChoice::Cpu),
    ("cuda", DeviceChoice::Cuda),
];

/// What `--dtype` takes.
const PRECISIONS: [(&str, Precision); 4] = [
    ("auto", Precision::Auto),
    ("f32", Precision::F32),
    ("f16", Precision::F16),
    ("bf16", Precision::Bf16),
];

/// What `schedule --betas` takes.
const BETAS: [(&str, BetaSchedule); 3] = [
    ("linear", BetaSchedule::Linear),
    ("scaled_linear", BetaSchedule::ScaledLinear),
    ("squaredcos_cap_v2", BetaSchedule::SquaredCosine),
];

/// What `--scheduler` takes.
fn schedulers() -> [(&'static str, SchedulerKind); SchedulerKind::ALL.len()] {
    SchedulerKind::ALL.map(|kind| (kind.name(), kind))
}

/// What `lesson --lang` takes.
fn languages() -> [(&'static str, Language); Language::ALL.len()] {
    Language::ALL.map(|language| (language.code(), language))
}

/// Takes one of `choices` by its name.
fn one_of<T: Clone + Send + Sync + 'static, const N: usize>(
    choices: [(&'static str, T); N],
) -> impl TypedValueParser<Value = T> {
    let names = choices.each_ref().map(|(name, _)| *name);
    PossibleValuesParser::new(names).try_map(move |name| {
        let choice = choices.iter().find(|(known, _)| *known == name);
        choice.map(|(_, choice)| choice.clone()).ok_or("is unknown")
    })
}

impl ExportArgs {
    /// What is to be written.
    pub fn options(self) -> ExportOptions {
        ExportOptions {
            png: self.png,
            json: self.json,
            existing: if self.force {
                OnExisting::Replace
            } else {
                OnExisting::Refuse
            },
            tensors: self.tensors,
            attention: self.attention,
            modules: self.modules,
        }
    }
}

impl RequestArgs {
    /// The request's named parts, with `prompt`.
    pub fn patch(self, prompt: String) -> RequestPatch {
        let steps = self.patch_steps;
        let patches = self.patch.into_iter();
        let patches = patches.map(|patch| Patch { steps, ..patch }).collect();
        RequestPatch {
            prompt: Some(prompt),
            negative_prompt: self.negative,
            seed: self.seed.map(|seed| seed.value),
            steps: self.steps,
            guidance_scale: self.guidance,
            guidance_steps: self.guidance_steps,
            guidance_rescale: self.guidance_rescale,
            scheduler: self.scheduler,
            weight: Some(self.weight),
            swap: Some(self.swap),
            leave_out: Some(self.leave_out),
            text_layers: self.text_layers,
            patches: Some(patches),
        }
    }
}

fn seed(text: &str) -> Result<Seed, String> {
    if text.eq_ignore_ascii_case("random") {
        let drawn = random_seed().map_err(|error| error.to_string())?;
        return Ok(Seed {
            value: drawn.into(),
            is_drawn: true,
        });
    }
    // Longer than i128 is as much out of range as 2^64: both get the range's message.
    let is_integer = |text: &str| {
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    let value = match text.parse::<i128>() {
        Ok(value) => value,
        Err(_) if is_integer(text) => i128::MAX,
        Err(_) => return Err("a seed is a whole number, or random".into()),
    };
    let request = Request {
        seed: value,
        ..Request::plain("")
    };
    match request.validate() {
        Ok(()) => Ok(Seed {
            value,
            is_drawn: false,
        }),
        Err(_) => Err(format!(
            "a seed is from {} to {}, as torch's generators take it",
            i64::MIN,
            u64::MAX
        )),
    }
}

fn size(text: &str) -> Result<(usize, usize), String> {
    let (width, height) = text.split_once('x').unwrap_or((text, text));
    match (width.parse(), height.parse()) {
        (Ok(width), Ok(height)) => Ok((width, height)),
        _ => Err("a size is WIDTHxHEIGHT or one number, as in 512x768 or 512".into()),
    }
}

fn steps(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(steps) if (1..=MAX_STEPS).contains(&steps) => Ok(steps),
        _ => Err(format!("steps is a whole number from 1 to {MAX_STEPS}")),
    }
}

fn guidance(text: &str) -> Result<f64, String> {
    let error = || "guidance is a number from 0 to 100".to_owned();
    let guidance_scale = text.parse().map_err(|_| error())?;
    let request = Request {
        guidance_scale,
        ..Request::plain("")
    };
    request.validate().map_err(|_| error())?;
    Ok(guidance_scale)
}

fn guidance_rescale(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(phi) if (0.0..=1.0).contains(&phi) => Ok(phi),
        _ => Err("guidance is rescaled by a number from 0 to 1".into()),
    }
}

fn step_range(text: &str) -> Result<StepRange, String> {
    text.parse().map_err(|error: NoStepRange| error.to_string())
}

fn weight(text: &str) -> Result<(String, f32), String> {
    let error = || "a weight is WORD=FACTOR with a factor from 0 to 100, as in apple=2".to_owned();
    let (word, factor) = pair(text).ok_or_else(error)?;
    match factor.parse::<f32>() {
        Ok(factor) if (0.0..=100.0).contains(&factor) => Ok((word.to_owned(), factor)),
        _ => Err(error()),
    }
}

fn patch(text: &str) -> Result<Patch, String> {
    text.parse().map_err(|error: NoPatch| error.to_string())
}

fn watch(text: &str) -> Result<Watch, String> {
    read_watch(text, false)
}

fn breakpoint(text: &str) -> Result<Watch, String> {
    read_watch(text, true)
}

fn read_watch(text: &str, breaks: bool) -> Result<Watch, String> {
    Watch::parse(text, breaks).map_err(|error| {
        let before = text.get(..error.at).unwrap_or_default();
        let column = before.chars().count() + 1;
        format!("at character {column}: {error}")
    })
}

fn swap(text: &str) -> Result<(String, String), String> {
    match pair(text) {
        Some((word, other)) => Ok((word.to_owned(), other.to_owned())),
        None => Err("a swap is WORD=OTHER, two words of the prompt, as in red=blue".into()),
    }
}

/// A word may have a sign of equality itself: what it is left out of is one of two words behind the last.
fn leave_out(text: &str) -> Result<(String, LeftOutOf), String> {
    let error = || {
        "what is left out is WORD, WORD=input or WORD=reads with a word of the prompt, as in apple=reads"
            .to_owned()
    };
    let (word, of) = match pair(text) {
        Some((word, of)) => (word, of.parse().map_err(|_| error())?),
        None => (text.trim(), LeftOutOf::Input),
    };
    if word.is_empty() || word.ends_with('=') {
        return Err(error());
    }
    Ok((word.to_owned(), of))
}

fn text_layers(text: &str) -> Result<usize, String> {
    let error = |_| "layers are a whole number from 0 to all that the text encoder has".to_owned();
    text.parse().map_err(error)
}

/// `A=B`, neither empty.
fn pair(text: &str) -> Option<(&str, &str)> {
    let (left, right) = text.rsplit_once('=')?;
    let (left, right) = (left.trim(), right.trim());
    (!left.is_empty() && !right.is_empty()).then_some((left, right))
}

fn beta(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(beta) if beta > 0.0 && beta < 1.0 => Ok(beta),
        _ => Err("a beta is a number between 0 and 1".into()),
    }
}

/// A word in a file's name: `fp16`, `non_ema`.
fn variant(text: &str) -> Result<String, String> {
    let is_word = !text.is_empty()
        && text.len() <= 64
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if is_word {
        Ok(text.to_owned())
    } else {
        Err("variants are words like fp16".to_owned())
    }
}
