//! Folders are layers: a crate depends only on crates of lower layers, and on none of its own layer except where
//! the table below says why.

use anyhow::{Context, Result};
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

use super::Findings;
use crate::workspace;

/// The folders under `crates/` and beside it, from the ground up.
const LAYERS: [&str; 8] = [
    "crates/base",
    "crates/platform",
    "crates/pod",
    "crates/node",
    "crates/plugin",
    "crates/edge",
    "crates/berth",
    "dev",
];

/// Dependencies inside a layer that are meant to be: from, to, why. `*` stands for every crate of the layer.
const EXCEPTIONS: [(&str, &str, &str); 12] = [
    ("*", "types", "the words that the other base crates speak"),
    ("config", "document", "a configuration file is a document with positions"),
    ("schema", "document", "a manifest is a document with positions"),
    ("cgroup", "linux", "cgroups are files and mounts; system calls live in one crate"),
    ("profile", "linux", "which processors there are, and what is in memory, are files of the kernel"),
    ("cri", "linux", "sockets and log files; system calls live in one crate"),
    ("sync", "image", "the executor pulls images while it starts a pod"),
    ("sync", "volume", "the executor prepares volumes before the first container"),
    ("sync", "containerconfig", "the executor sends what containerconfig computes"),
    ("sync", "pleg", "the executor has the generator look at a pod right after it acted on it"),
    ("csi", "registry", "CSI drivers are plugins of one type, and registry says what a handler of a type is"),
    ("sync", "logs", "the executor names the log files that logs reads"),
];

/// The number of the layer in which the package's folder is.
fn layer(package: &Package) -> Option<usize> {
    let folder = package.manifest_path.as_std_path().parent()?.strip_prefix(workspace::root()).ok()?;
    LAYERS.iter().position(|layer| folder.starts_with(layer))
}

fn is_excepted(from: &str, to: &str) -> bool {
    EXCEPTIONS.iter().any(|(f, t, _)| (*f == "*" || *f == from) && *t == to)
}

/// Why the edge is not allowed; nothing if it is.
fn breach(from: (&str, usize), to: (&str, usize), kind: DependencyKind) -> Option<String> {
    let dev = LAYERS.len() - 1;
    let ((from, from_layer), (to, to_layer)) = (from, to);
    if from_layer == dev || (kind == DependencyKind::Development && to_layer == dev) {
        return None;
    }
    if to_layer > from_layer {
        return Some(format!(
            "{from} ({}) depends on {to} ({}), which is above it: move what is shared down, or declare a trait in {from}",
            LAYERS[from_layer], LAYERS[to_layer]
        ));
    }
    // Unit tests may build their input with a neighbour: nothing of it is compiled into the program.
    let neighbours = to_layer == from_layer && kind != DependencyKind::Development;
    (neighbours && !is_excepted(from, to)).then(|| {
        format!(
            "{from} depends on its neighbour {to} in {}: pass the value in, or give the reason in xtask's table of exceptions",
            LAYERS[from_layer]
        )
    })
}

pub(super) fn check() -> Result<Findings> {
    let metadata: Metadata = MetadataCommand::new()
        .manifest_path(workspace::root().join("Cargo.toml"))
        .no_deps()
        .exec()
        .context("read cargo metadata")?;
    let packages = metadata.workspace_packages();
    let mut findings = Findings::default();
    let mut edges = 0;
    for package in &packages {
        let Some(from_layer) = layer(package) else {
            findings.errors.push(format!("{} is in none of the layers {}", package.name, LAYERS.join(", ")));
            continue;
        };
        for dependency in &package.dependencies {
            let Some(target) = packages.iter().find(|p| *p.name == dependency.name) else { continue };
            let Some(to_layer) = layer(target) else { continue };
            edges += 1;
            findings.errors.extend(breach(
                (&package.name, from_layer),
                (&dependency.name, to_layer),
                dependency.kind,
            ));
        }
    }
    findings.notes.push(format!("{} crates, {edges} edges between them", packages.len()));
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_goes_down_or_is_excepted() {
        let allowed = |from, to, kind| breach(from, to, kind).is_none();
        assert!(allowed(("sync", 2), ("types", 0), DependencyKind::Normal));
        assert!(allowed(("sync", 2), ("image", 2), DependencyKind::Normal));
        assert!(!allowed(("image", 2), ("sync", 2), DependencyKind::Normal));
        assert!(!allowed(("types", 0), ("linux", 1), DependencyKind::Normal));
        assert!(allowed(("berth", 6), ("sync", 2), DependencyKind::Normal));
        assert!(allowed(("berth", 6), ("testkit", 7), DependencyKind::Development));
        assert!(!allowed(("berth", 6), ("testkit", 7), DependencyKind::Normal));
        assert!(allowed(("testkit", 7), ("berth", 6), DependencyKind::Normal));
    }
}
