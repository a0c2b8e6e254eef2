//! Each error code has its page in `docs/errors/`, and the page shows what the API really answers.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use kapsel_core::ErrorCode;
use serde_json::Value;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors")
}

fn page(code: ErrorCode) -> String {
    let path = folder().join(format!("{code}.md"));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_code_has_a_page_and_every_page_a_code() {
    let pages: BTreeSet<String> =
        fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let mut expected: BTreeSet<String> = ErrorCode::ALL.iter().map(|code| format!("{code}.md")).collect();
    expected.insert("README.md".to_owned());
    assert_eq!(pages, expected);
}

#[test]
fn a_page_opens_with_its_code_and_title_and_tells_what_to_do() {
    for code in ErrorCode::ALL {
        let page = page(*code);
        let title = format!("# {code}: {}\n", code.title());
        assert!(page.starts_with(&title), "{code}: does not begin with {title:?}");
        let retryable = if code.retryable() { "Retryable: yes" } else { "Retryable: no" };
        assert!(page.contains(retryable), "{code}: does not say {retryable:?}");
        for heading in ["## What it means", "## What to do", "## Example"] {
            assert!(page.contains(heading), "{code}: has no {heading:?}");
        }
    }
}

#[test]
fn the_example_of_a_page_is_of_its_code() {
    for code in ErrorCode::ALL {
        let page = page(*code);
        let (_, example) = page.split_once("```json\n").unwrap_or_else(|| panic!("{code}: no example"));
        let (example, _) = example.split_once("\n```").unwrap();
        let example: Value = serde_json::from_str(example).unwrap_or_else(|error| panic!("{code}: {error}"));
        // A delivery attempt shows its code in a field of its own.
        if let Some(shown) = example.get("error_code") {
            assert_eq!(shown, code.as_str());
            continue;
        }
        let error = &example["error"];
        assert_eq!(error["code"], code.as_str());
        assert_eq!(error["retryable"], code.retryable(), "{code}");
        assert!(error["request_id"].as_str().unwrap().starts_with("req_"), "{code}");
        assert!(!error["message"].as_str().unwrap().is_empty());
    }
}

#[test]
fn the_index_names_every_code_with_its_title() {
    let index = fs::read_to_string(folder().join("README.md")).unwrap();
    for code in ErrorCode::ALL {
        let row = format!("| [{code}]({code}.md) | {} |", code.title());
        assert!(index.contains(&row), "no row {row:?}");
    }
}
