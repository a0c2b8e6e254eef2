//! Prints the OpenAPI document that the program serves. `cargo xtask openapi` writes it to `openapi/kapsel.json`.

use std::io::Write as _;

fn main() -> std::io::Result<()> {
    std::io::stdout().write_all(&kapsel_api::openapi_json())
}
