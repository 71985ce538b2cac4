//! Filters: questions about a run, in the language of jq.
//!
//! Claims, tasks and answers of lessons are filters. Anybody may have written a lesson, so a filter can only look at
//! the values that it is given, and its work is limited: see [`sandbox`] and [`meter`].

mod meter;
mod natives;
mod sandbox;
mod tensors;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::thread;

use jaq_core::load::parse::{Def, Term};
use jaq_core::load::{self, Arena, File, Lexer, Loader, Parser};
use jaq_core::{Compiler, Ctx, Vars};
use jaq_json::Val;

pub use meter::Limit;
use meter::Meter;
use natives::{Data, Host};
use sandbox::Sandbox;
pub use tensors::{Tensor, Tensors};

/// The longest filter, in bytes.
const LONGEST: usize = 4000;
/// Stack for reading and running a filter: both go as deep as its brackets do.
const STACK: usize = 64 << 20;
/// The name under which a lesson's filter is compiled.
const ENTRY: &str = "the_filter_of_the_lesson";

/// A filter that has been parsed, and calls only filters that exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    code: String,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct FilterSyntaxError {
    pub message: String,
    /// Where, in bytes from its start.
    pub at: usize,
}

/// Why a filter gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// It does too much.
    #[error("the filter was stopped: {0}")]
    Limit(#[from] Limit),
    /// It says that something is wrong.
    #[error("the filter failed: {0}")]
    Error(String),
    /// It gives none, or more than one.
    #[error("the filter gives {0}; one value was expected")]
    Count(&'static str),
    /// There was nothing to ask it about.
    #[error("the run's document cannot be read: {0}")]
    Document(String),
}

/// Why work on a thread of its own gave nothing.
#[derive(Debug, thiserror::Error)]
enum ThreadError {
    #[error("no thread could be started for it: {0}")]
    Start(#[from] std::io::Error),
    #[error("it cannot be worked out")]
    Panic,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Bool(bool),
    Number(f64),
    Text(String),
    /// Something else, by its type's name.
    Other(&'static str),
}

/// What filters are asked about.
#[derive(Debug, Clone, Default)]
pub struct Input {
    document: Val,
    /// The tensors that it speaks of.
    tensors: Tensors,
}

impl Input {
    /// A document in JSON, and the tensors that it speaks of.
    ///
    /// # Errors
    /// [`FilterError::Document`] for what is no JSON.
    pub fn new(json: &[u8], tensors: Tensors) -> Result<Self, FilterError> {
        let document = jaq_json::read::parse_single(json)
            .map_err(|error| FilterError::Document(error.to_string()))?;
        Ok(Self { document, tensors })
    }
}

impl Filter {
    /// Reads a filter.
    ///
    /// # Errors
    /// A syntax error, a call of a filter that does not exist, or a part of the language that is switched off here.
    pub fn parse(code: &str) -> Result<Self, FilterSyntaxError> {
        if code.len() > LONGEST {
            let message = format!("it has {} bytes; {LONGEST} are the most", code.len());
            return Err(FilterSyntaxError { message, at: 0 });
        }
        let owned = code.to_owned();
        on_deep_stack(move || compile(&owned).map(|_| ())).unwrap_or_else(|error| {
            Err(FilterSyntaxError {
                message: error.to_string(),
                at: 0,
            })
        })?;
        Ok(Self {
            code: code.to_owned(),
        })
    }

    pub fn code(&self) -> &str {
        &self.code
    }

    /// The one value that it gives for `input`.
    ///
    /// # Errors
    /// A filter that fails, does too much, or does not give exactly one value.
    pub fn run(&self, input: &Input) -> Result<Value, FilterError> {
        let (code, input) = (self.code.clone(), input.clone());
        on_deep_stack(move || run(&code, &input))
            .unwrap_or_else(|error| Err(FilterError::Error(error.to_string())))
    }
}

/// Runs `work` on a thread of its own, with room for deep brackets; a panic there becomes an error.
fn on_deep_stack<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ThreadError> {
    let thread = thread::Builder::new()
        .name("filter".into())
        .stack_size(STACK)
        .spawn(work)?;
    thread.join().map_err(|_| ThreadError::Panic)
}

fn run(code: &str, input: &Input) -> Result<Value, FilterError> {
    let filter = compile(code).map_err(|bad| FilterError::Error(bad.message))?;
    let meter = Meter::new();
    let read = RefCell::new(BTreeMap::new());
    let data = Data::new(&filter.lut, &meter, &input.tensors, &read);
    let context = Ctx::<Host>::new(data, Vars::new([]));
    let mut outputs = filter.id.run((context, input.document.clone()));
    let first = outputs.next();
    let more = matches!(first, Some(Ok(_))) && outputs.next().is_some();
    if let Some(limit) = meter.exceeded() {
        return Err(limit.into());
    }
    match first {
        None => Err(FilterError::Count("none")),
        Some(Ok(_)) if more => Err(FilterError::Count("several")),
        Some(Ok(value)) => Ok(Value::of(&value)),
        Some(Err(exception)) => Err(FilterError::Error(match exception.get_err() {
            Ok(error) => shortened(&error),
            Err(_) => "it broke off".to_owned(),
        })),
    }
}

impl Value {
    fn of(value: &Val) -> Self {
        use jaq_std::ValT as _;
        match value {
            Val::Bool(value) => Self::Bool(*value),
            Val::TStr(text) | Val::BStr(text) => Self::Text(String::from_utf8_lossy(text).into()),
            Val::Num(_) => value.as_f64().map_or(Self::Other("number"), Self::Number),
            value => Self::Other(natives::kind(value)),
        }
    }
}

impl std::fmt::Display for Value {
    fn fmt(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Self::Bool(value) => write!(formatter, "{value}"),
            Self::Number(value) => write!(formatter, "{value}"),
            Self::Text(text) => {
                let shown: String = text.chars().take(80).collect();
                write!(formatter, "“{shown}”")
            }
            Self::Other(kind @ ("array" | "object")) => write!(formatter, "an {kind}"),
            Self::Other(kind) => formatter.write_str(kind),
        }
    }
}

/// The first part of what `error` says: it may quote a whole value.
fn shortened(error: &jaq_json::Error) -> String {
    struct Limited(String);
    impl Write for Limited {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            let room = 200_usize.saturating_sub(self.0.chars().count());
            self.0.extend(text.chars().take(room));
            if text.chars().count() > room {
                self.0.push('…');
                return Err(std::fmt::Error);
            }
            Ok(())
        }
    }
    let mut message = Limited(String::new());
    // Where it is cut, this fails.
    let _ = write!(message, "{error}");
    message.0
}

fn compile(code: &str) -> Result<jaq_core::Filter<Host>, FilterSyntaxError> {
    let at = |part: &str| {
        let (start, part) = (code.as_ptr() as usize, part.as_ptr() as usize);
        let at = part.wrapping_sub(start);
        if at <= code.len() { at } else { 0 }
    };
    let bad = |part: &str, message: String| FilterSyntaxError {
        at: at(part),
        message,
    };
    let mut sandbox = Sandbox::default();
    let mut definitions = Vec::new();
    for definition in library() {
        definitions.push(
            sandbox
                .definition(definition)
                .map_err(|(name, what)| bad("", format!("the library's {name}: {what}")))?,
        );
    }
    let entry = Def {
        name: ENTRY,
        args: Vec::new(),
        body: parse(code, &bad)?,
    };
    definitions.push(
        sandbox
            .definition(entry)
            .map_err(|(place, what)| bad(place, what))?,
    );
    let arena = Arena::default();
    let file = File {
        code: ENTRY,
        path: (),
    };
    let modules = Loader::new(definitions)
        .load(&arena, file)
        .map_err(|_| bad("", "it cannot be read".to_owned()))?;
    Compiler::default()
        .with_funs(natives::all())
        .compile(modules)
        .map_err(|errors| {
            let first = errors.into_iter().flat_map(|(_, errors)| errors).next();
            match first {
                None => bad("", "it cannot be compiled".to_owned()),
                Some((name, what)) => bad(name, undefined(name, &what)),
            }
        })
}

fn undefined(name: &str, what: &jaq_core::compile::Undefined) -> String {
    let shown: String = name.chars().take(40).collect();
    match what {
        jaq_core::compile::Undefined::Filter(0) => format!("there is no filter `{shown}`"),
        jaq_core::compile::Undefined::Filter(arguments) => {
            format!("there is no filter `{shown}` with {arguments} arguments")
        }
        what => format!("there is no {} `{shown}`", what.as_str()),
    }
}

fn library() -> Vec<Def<&'static str>> {
    load::parse(include_str!("prelude.jq"), |parser| parser.defs()).unwrap_or_default()
}

fn parse<'s>(
    code: &'s str,
    bad: &impl Fn(&str, String) -> FilterSyntaxError,
) -> Result<Term<&'s str>, FilterSyntaxError> {
    let tokens = Lexer::new(code).lex().map_err(|errors| {
        let first = errors.into_iter().next();
        first.map_or_else(
            || bad("", "it cannot be read".to_owned()),
            |(expected, found)| bad(found, expectation(expected.as_str(), found)),
        )
    })?;
    Parser::new(&tokens).parse(Parser::term).map_err(|errors| {
        let first = errors.into_iter().next();
        first.map_or_else(
            || bad("", "it cannot be read".to_owned()),
            |(expected, found)| {
                let found = found.map_or(&code[code.len()..], |token| token.as_str());
                bad(found, expectation(expected.as_str(), found))
            },
        )
    })
}

fn expectation(expected: &str, found: &str) -> String {
    let shown: String = found.trim().chars().take(30).collect();
    if shown.is_empty() {
        format!("expected {expected}, found its end")
    } else {
        format!("expected {expected}, found `{shown}`")
    }
}

#[cfg(test)]
mod tests;
