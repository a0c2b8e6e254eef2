//! The files of the repository, as the rules see them.

use std::collections::BTreeMap;

use crate::error::Error;
use crate::workspace::Workspace;

/// Each file with its text; without a text where it is not UTF-8.
#[derive(Debug, Default)]
pub(super) struct Tree {
    files: BTreeMap<String, Option<String>>,
}

impl Tree {
    /// Reads everything that belongs to the repository.
    pub(super) fn read(workspace: &Workspace) -> Result<Tree, Error> {
        let mut files = BTreeMap::new();
        for path in workspace.files()? {
            let text = workspace.text(&path)?;
            files.insert(path, text);
        }
        Ok(Tree { files })
    }

    /// A made-up tree for a test.
    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Tree {
        let files = files.iter().map(|(path, text)| ((*path).to_owned(), Some((*text).to_owned())));
        Tree { files: files.collect() }
    }

    /// The number of files.
    pub(super) fn count(&self) -> usize {
        self.files.len()
    }

    /// The files that are text, in order of their paths.
    pub(super) fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().filter_map(|(path, text)| Some((path.as_str(), text.as_deref()?)))
    }

    /// The text of one file.
    pub(super) fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path)?.as_deref()
    }

    /// Whether the path is a file or a folder of the repository. Folders have no `/` at the end here.
    pub(super) fn has(&self, path: &str) -> bool {
        if path.is_empty() || self.files.contains_key(path) {
            return true;
        }
        let folder = format!("{path}/");
        self.files.range(folder.clone()..).next().is_some_and(|(file, _)| file.starts_with(&folder))
    }

    /// Whether `target`, written in the file `from`, leads to something. It may be meant from the folder of that file
    /// or from the root.
    pub(super) fn has_from_either(&self, from: &str, target: &str) -> bool {
        self.has_relative(from, target) || resolve("", target).is_some_and(|path| self.has(&path))
    }

    /// Whether `target` leads to something from the folder of the file `from`.
    pub(super) fn has_relative(&self, from: &str, target: &str) -> bool {
        let folder = from.rsplit_once('/').map_or("", |(folder, _)| folder);
        resolve(folder, target).is_some_and(|path| self.has(&path))
    }
}

/// Joins the two and takes `.` and `..` out; `None` when that leads out of the repository.
fn resolve(folder: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_folders_are_found_from_where_they_are_named() {
        let tree = Tree::of(&[("docs/adr/0001.md", ""), ("src/main.rs", "")]);
        assert!(tree.has("docs") && tree.has("docs/adr") && tree.has("src/main.rs"));
        assert!(!tree.has("doc") && !tree.has("src/main"));
        assert!(tree.has_relative("docs/adr/0001.md", "../../src/main.rs"));
        assert!(tree.has_relative("docs/TESTING.md", "adr/"));
        assert!(!tree.has_relative("docs/TESTING.md", "src/main.rs"));
        assert!(tree.has_from_either("docs/TESTING.md", "src/main.rs"));
        assert!(!tree.has_from_either("docs/TESTING.md", "../../src/main.rs"));
    }
}
