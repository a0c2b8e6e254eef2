//! The public log in the formats of C2SP: tlog-checkpoint and tlog-tiles. Existing tools and witnesses follow it by these.
//!
//! Entry bundles are not served: leaves belong to tenants.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use http::HeaderValue;
use http::header::CACHE_CONTROL;
use kapsel_store::attestation::{TILE_HASHES, TileId};

use super::views::NotYet;
use crate::Shared;
use crate::openapi::parameters::TilePath;
use crate::openapi::refusals::Unavailable;
use crate::openapi::shown::{Bytes, Text};
use crate::problem::{self, Problem, Reply};

/// A tile under its path never changes: a wider one has another path.
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
const NEVER: HeaderValue = HeaderValue::from_static("no-cache");

/// `GET /checkpoint`: the last head as a signed note.
#[utoipa::path(
    get,
    path = "/checkpoint",
    tag = "attestation",
    operation_id = "checkpoint",
    summary = "The last head of the log as a signed note",
    description = "",
    responses(
        (status = 200, description = "A signed note (C2SP tlog-checkpoint).", body = Text, content_type = "text/plain; charset=utf-8", headers(("Cache-Control" = String, description = "For how long it may be kept."))),
        (status = 202, description = "Not yet; ask again.", body = NotYet),
        Unavailable,
    ),
)]
pub(crate) async fn checkpoint(State(shared): State<Arc<Shared>>) -> Result<Response, Problem> {
    let Some(head) = shared.prover.head().await? else {
        return Ok(problem::json(Reply::NotYet, &NotYet::new("no head of the log has been signed yet")));
    };
    let mut response = problem::bytes(problem::TEXT, head.checkpoint.into());
    response.headers_mut().insert(CACHE_CONTROL, NEVER);
    Ok(response)
}

/// `GET /tile/{level}/{index}`, with `.p/{width}` for a tile that is not full.
#[utoipa::path(
    get,
    path = "/tile/{level}/{*index}",
    tag = "attestation",
    operation_id = "tile",
    summary = "A tile of the log",
    description = "",
    params(TilePath),
    responses(
        (status = 200, description = "The hashes of the tile, 32 bytes each (C2SP tlog-tiles).", body = Bytes, content_type = "application/octet-stream", headers(("Cache-Control" = String, description = "For how long it may be kept."))),
        Unavailable,
    ),
)]
pub(crate) async fn tile(
    State(shared): State<Arc<Shared>>,
    Path((level, index)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let (id, width) = tile_of(&level, &index).ok_or_else(Problem::not_found)?;
    let tile = shared.prover.tile(id, width).await?.ok_or_else(Problem::not_found)?;
    let mut response = problem::bytes(problem::BYTES, tile.hashes);
    response.headers_mut().insert(CACHE_CONTROL, FOR_EVER);
    Ok(response)
}

/// The tile that a path names (C2SP tlog-tiles, "Merkle tree"): the index in groups of three digits, all but the last with
/// an `x` in front.
fn tile_of(level: &str, path: &str) -> Option<(TileId, usize)> {
    let level: u8 = plain(level, 63)?.try_into().ok()?;
    let (path, width) = match path.split_once(".p/") {
        Some((path, width)) => (path, usize::try_from(plain(width, TILE_HASHES as u64 - 1)?).ok().filter(|w| *w > 0)?),
        None => (path, TILE_HASHES),
    };
    let groups: Vec<&str> = path.split('/').collect();
    let (last, before) = groups.split_last()?;
    let mut index = 0_u64;
    let leading = before.iter().map(|group| group.strip_prefix('x'));
    for (place, digits) in leading.chain([Some(*last)]).enumerate() {
        let digits = digits.filter(|digits| digits.len() == 3 && digits.bytes().all(|digit| digit.is_ascii_digit()))?;
        // One path for each index.
        if place == 0 && !before.is_empty() && digits == "000" {
            return None;
        }
        index = index.checked_mul(1_000)?.checked_add(digits.parse().ok()?)?;
    }
    Some((TileId { level, index }, width))
}

/// A number without leading zeros, up to `max`.
fn plain(text: &str, max: u64) -> Option<u64> {
    let is_plain = text.bytes().all(|digit| digit.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|number| is_plain && *number <= max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_tlog_tiles() {
        let cases = [
            ("0", "000", 0, 0, 256),
            ("0", "067", 0, 67, 256),
            ("1", "000.p/1", 1, 0, 1),
            ("2", "255.p/255", 2, 255, 255),
            ("0", "x001/x234/067", 0, 1_234_067, 256),
            ("3", "x999/999.p/17", 3, 999_999, 17),
        ];
        for (level, path, expected, index, width) in cases {
            assert_eq!(tile_of(level, path), Some((TileId { level: expected, index }, width)), "{level}/{path}");
        }
    }

    #[test]
    fn what_is_no_path_names_no_tile() {
        for (level, path) in [
            ("64", "000"),
            ("00", "000"),
            ("-1", "000"),
            ("x", "000"),
            ("entries", "000"),
            ("0", ""),
            ("0", "0"),
            ("0", "0000"),
            ("0", "x000"),
            ("0", "x000/000"),
            ("0", "001/000"),
            ("0", "000.p/0"),
            ("0", "000.p/256"),
            ("0", "000.p/01"),
            ("0", "000.p"),
            ("0", "000/"),
            ("0", "+00"),
            ("0", "x018/x446/x744/x073/x709/x551/616"),
        ] {
            assert_eq!(tile_of(level, path), None, "{level}/{path}");
        }
    }
}
