//! The first line of a query is its name, so that a database's own logs and statistics show where it comes from.

use super::Finding;

/// Looks at each SQL file under `crates/*/sql/`.
pub(super) fn check(path: &str, text: &str) -> Option<Finding> {
    let is_query = path.strip_prefix("crates/").and_then(|rest| rest.split('/').nth(1)) == Some("sql");
    let stem = path.rsplit('/').next()?.strip_suffix(".sql").filter(|_| is_query)?;
    let wanted = format!("-- {stem}");
    (text.lines().next() != Some(wanted.as_str()))
        .then(|| Finding::at(path, 1, format!("the first line has to be `{wanted}`")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_without_its_name_is_found() {
        let path = "crates/kapsel-store-sqlite/sql/event_insert.sql";
        assert_eq!(check(path, "-- event_insert\nINSERT"), None);
        assert!(check(path, "-- event_get\nSELECT").is_some());
        assert!(check(path, "INSERT").is_some());
        assert!(check(path, "").is_some());
        assert!(check("crates/kapsel-store-sqlite/sql/delivery/claim.sql", "SELECT").is_some());
        assert_eq!(check("crates/kapsel-store-sqlite/migrations/0001_start.sql", "CREATE"), None);
    }
}
