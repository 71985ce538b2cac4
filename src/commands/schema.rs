//! `diffuscope schema`: the JSON Schema of exported documents.

use crate::cli::{SchemaArgs, SchemaChoice};
use crate::export::document;

use super::print;

/// Prints the schema.
pub fn schema(args: &SchemaArgs) -> anyhow::Result<()> {
    let schema = match args.document {
        SchemaChoice::Run => document::run_schema(),
        SchemaChoice::Tensor => document::tensor_schema(),
        SchemaChoice::Step => document::step_schema(),
    };
    let json = serde_json::to_string_pretty(&schema)?;
    print(|out| writeln!(out, "{json}"))
}
