//! `ETag` and `If-Match`: a change that names the version it was made from (RFC 9110, sections 8.8.3 and 13.1.1).

use axum::response::Response;
use http::header::{ETAG, IF_MATCH};
use http::{HeaderMap, HeaderValue};

use crate::problem::Problem;

/// An answer that shows an object in `version`, with the tag of that version.
pub(crate) fn with_etag(mut response: Response, version: u64) -> Response {
    let etag = HeaderValue::try_from(format!("\"{version}\""));
    response.headers_mut().extend(etag.ok().map(|etag| (ETAG, etag)));
    response
}

/// What `If-Match` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum IfMatch {
    /// Nothing, or any version.
    Any,
    /// One of these.
    Versions(Vec<u64>),
}

impl IfMatch {
    /// Reads the header. Weak and foreign tags match no version.
    pub(crate) fn from_headers(headers: &HeaderMap) -> Result<Self, Problem> {
        let malformed = || Problem::bad_request("If-Match: must be the ETag of an earlier answer, such as \"3\"");
        let mut versions = None;
        for value in headers.get_all(IF_MATCH) {
            let value = value.to_str().map_err(|_| malformed())?;
            for tag in value.split(',').map(str::trim) {
                if tag == "*" {
                    return Ok(IfMatch::Any);
                }
                let (is_strong, quoted) = tag.strip_prefix("W/").map_or((true, tag), |weak| (false, weak));
                let inner = quoted.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).ok_or_else(malformed)?;
                versions.get_or_insert_with(Vec::new).extend(inner.parse::<u64>().ok().filter(|_| is_strong));
            }
        }
        Ok(versions.map_or(IfMatch::Any, IfMatch::Versions))
    }

    /// Whether a change may be made from `version`.
    pub(crate) fn check(&self, version: u64) -> Result<(), Problem> {
        match self {
            IfMatch::Versions(versions) if !versions.contains(&version) => Err(Problem::precondition_failed(format!(
                "it has changed: its version is {version}. Read it, then repeat the change with its ETag"
            ))),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&str]) -> Option<IfMatch> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(IF_MATCH, value.parse().unwrap());
        }
        IfMatch::from_headers(&headers).ok()
    }

    #[test]
    fn tags_are_read_as_the_rfc_writes_them() {
        assert_eq!(read(&[]), Some(IfMatch::Any));
        assert_eq!(read(&["*"]), Some(IfMatch::Any));
        assert_eq!(read(&["\"3\""]), Some(IfMatch::Versions(vec![3])));
        assert_eq!(read(&["\"3\", \"4\"", "\"5\""]), Some(IfMatch::Versions(vec![3, 4, 5])));
        assert_eq!(read(&["W/\"3\""]), Some(IfMatch::Versions(vec![])));
        assert_eq!(read(&["\"abc\""]), Some(IfMatch::Versions(vec![])));
        for malformed in ["3", "\"3", "", "\"3\" \"4"] {
            assert_eq!(read(&[malformed]), None, "{malformed}");
        }
    }

    #[test]
    fn only_named_versions_pass() {
        assert!(IfMatch::Any.check(7).is_ok());
        assert!(IfMatch::Versions(vec![6, 7]).check(7).is_ok());
        assert!(IfMatch::Versions(vec![6]).check(7).is_err());
        assert!(IfMatch::Versions(vec![]).check(7).is_err());
    }
}
