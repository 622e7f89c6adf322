//! The macro that reads a plugin's manifest: use it through the crate `gristmill`.

mod names;

use std::path::Path;

use proc_macro::TokenStream;
use proc_macro::TokenTree;

/// Embeds a manifest and names what it declares.
///
/// `gristmill::manifest!("plugin.toml")` in the root of a plugin crate makes the constant `MANIFEST`,
/// which [`export!`](https://docs.rs/gristmill) hands to the host, and the modules `sources`, `sinks`,
/// `tables`, `stores`, `indexes`, `jobs` and `endpoints`, with one constant for each source, each sink, each table
/// that the host keeps, each store, index, kind of job and endpoint. The path is relative to the crate's `Cargo.toml`.
#[proc_macro]
pub fn manifest(input: TokenStream) -> TokenStream {
    let code = path(input).and_then(|path| {
        let directory = std::env::var("CARGO_MANIFEST_DIR").map_err(|_| "cargo names no crate".to_owned())?;
        let file = Path::new(&directory).join(&path);
        let text = std::fs::read_to_string(&file)
            .map_err(|error| format!("cannot read the manifest `{}`: {error}", file.display()))?;
        names::generate(&text, &file.to_string_lossy()).map_err(|error| format!("`{path}`: {error}"))
    });
    let code = code.unwrap_or_else(|message| format!("::core::compile_error!({message:?});"));
    // What `generate` writes is made of names that it has checked.
    code.parse().unwrap_or_default()
}

/// The macro's argument: one string without escapes.
fn path(input: TokenStream) -> Result<String, String> {
    let mut tokens = input.into_iter();
    let literal = match (tokens.next(), tokens.next()) {
        (Some(TokenTree::Literal(literal)), None) => literal.to_string(),
        _ => String::new(),
    };
    let path = literal.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    path.filter(|path| !path.contains('\\'))
        .map(str::to_owned)
        .ok_or_else(|| "expected the path of the manifest: manifest!(\"plugin.toml\")".to_owned())
}
