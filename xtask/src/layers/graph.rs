//! The dependencies that the workspace's manifests declare, in the shape that the check wants.

use std::collections::BTreeMap;

use cargo_metadata::{DependencyKind, MetadataCommand, Package};

use crate::error::Error;
use crate::workspace::Workspace;

/// One package of the workspace.
#[derive(Debug, Clone, Default)]
pub(super) struct Crate {
    pub(super) name: String,
    pub(super) dependencies: Vec<Dependency>,
    /// Each feature with what it switches on, as in the manifest.
    pub(super) features: BTreeMap<String, Vec<String>>,
}

/// One declared dependency; the name is the package's, whatever the manifest calls it.
#[derive(Debug, Clone)]
pub(super) struct Dependency {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) optional: bool,
    pub(super) features: Vec<String>,
}

/// In which section of the manifest a dependency stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Normal,
    Build,
    Dev,
}

impl Kind {
    /// For messages.
    pub(super) fn words(self) -> &'static str {
        match self {
            Kind::Normal => "normal dependency",
            Kind::Build => "build dependency",
            Kind::Dev => "dev-dependency",
        }
    }
}

/// Asks cargo. Only the manifests are read: what other packages depend on does not matter here.
pub(super) fn read(workspace: &Workspace) -> Result<Vec<Crate>, Error> {
    let metadata = MetadataCommand::new()
        .manifest_path(workspace.root().join("Cargo.toml"))
        .no_deps()
        .exec()
        .map_err(Error::Metadata)?;
    Ok(metadata.workspace_packages().into_iter().map(crate_of).collect())
}

fn crate_of(package: &Package) -> Crate {
    let dependencies = package.dependencies.iter().map(|dependency| Dependency {
        name: dependency.name.clone(),
        kind: match dependency.kind {
            DependencyKind::Development => Kind::Dev,
            DependencyKind::Build => Kind::Build,
            // A kind that this version does not know is judged by the strictest rule.
            _ => Kind::Normal,
        },
        optional: dependency.optional,
        features: dependency.features.clone(),
    });
    let features = package.features.iter().map(|(name, members)| (name.clone(), members.clone()));
    Crate { name: package.name.to_string(), dependencies: dependencies.collect(), features: features.collect() }
}
