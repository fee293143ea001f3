//! Container images made on the spot: an OCI image layout in one tar file, with a static busybox as its only layer.

use std::fs::File;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

/// The image that keeps a sandbox's namespaces.
pub const PAUSE: &str = "localhost/pause:1";

/// The image that the examples and the tests run. Its name is the public one's, so that a manifest that uses it
/// runs anywhere; its content is this machine's busybox.
pub const BUSYBOX: &str = "docker.io/library/busybox:stable";

const BUSYBOX_PROGRAM: &str = "/bin/busybox";
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// An image to make of the busybox layer.
struct Image {
    name: &'static str,
    command: Vec<&'static str>,
}

/// Writes [`PAUSE`] and [`BUSYBOX`] into an archive that `ctr images import` reads.
///
/// # Errors
/// The machine has no busybox, or the file cannot be written.
pub fn write_archive(path: &Path) -> Result<()> {
    let layer = busybox_layer()?;
    // The shell reaps what is orphaned in a shared process namespace, and ends when it is told to.
    let pause = vec!["/bin/sh", "-c", "trap 'exit 0' TERM INT; sleep 2147483647 & wait"];
    let images = [Image { name: PAUSE, command: pause }, Image { name: BUSYBOX, command: vec!["sh"] }];

    let file = File::create(path).with_context(|| format!("create {}", path.display()))?;
    let mut archive = Layout { tar: Builder::new(file) };
    archive.file("oci-layout", json!({"imageLayoutVersion": "1.0.0"}).to_string().as_bytes())?;
    let layer = archive.blob("application/vnd.oci.image.layer.v1.tar", &layer)?;
    let mut manifests = Vec::new();
    for image in images {
        manifests.push(archive.image(&image, &layer)?);
    }
    archive.file("index.json", json!({"schemaVersion": 2, "manifests": manifests}).to_string().as_bytes())?;
    archive.tar.finish().with_context(|| format!("write {}", path.display()))
}

/// The machine's architecture as OCI names it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

struct Layout {
    tar: Builder<File>,
}

impl Layout {
    fn file(&mut self, name: &str, content: &[u8]) -> Result<()> {
        append(&mut self.tar, name, content, 0o644)
    }

    /// Adds a blob and returns its descriptor.
    fn blob(&mut self, media_type: &str, content: &[u8]) -> Result<Value> {
        let digest = hex(&Sha256::digest(content));
        self.file(&format!("blobs/sha256/{digest}"), content)?;
        Ok(json!({"mediaType": media_type, "digest": format!("sha256:{digest}"), "size": content.len()}))
    }

    /// Adds an image and returns its manifest's descriptor.
    fn image(&mut self, image: &Image, layer: &Value) -> Result<Value> {
        let config = json!({
            "architecture": architecture(),
            "os": "linux",
            "config": {"Env": [PATH], "Cmd": image.command},
            "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
        });
        let config = self.blob("application/vnd.oci.image.config.v1+json", config.to_string().as_bytes())?;
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        let manifest =
            json!({"schemaVersion": 2, "mediaType": media_type, "config": config, "layers": [layer]});
        let mut descriptor = self.blob(media_type, manifest.to_string().as_bytes())?;
        descriptor["annotations"] = json!({"io.containerd.image.name": image.name});
        descriptor["platform"] = json!({"architecture": architecture(), "os": "linux"});
        Ok(descriptor)
    }
}

/// A root file system of busybox and its applets.
fn busybox_layer() -> Result<Vec<u8>> {
    let program = std::fs::read(BUSYBOX_PROGRAM)
        .with_context(|| format!("read {BUSYBOX_PROGRAM}: install busybox-static"))?;
    let listed = Command::new(BUSYBOX_PROGRAM)
        .arg("--list")
        .output()
        .with_context(|| format!("start {BUSYBOX_PROGRAM}"))?;
    if !listed.status.success() {
        bail!("{BUSYBOX_PROGRAM} --list ended with {}", listed.status);
    }
    let applets = String::from_utf8_lossy(&listed.stdout);

    let mut tar = Builder::new(Vec::new());
    for folder in ["bin/", "dev/", "etc/", "proc/", "root/", "sys/", "var/", "usr/", "usr/bin/"] {
        entry(&mut tar, EntryType::Directory, folder, None, &[], 0o755)?;
    }
    entry(&mut tar, EntryType::Directory, "tmp/", None, &[], 0o1777)?;
    append(&mut tar, "bin/busybox", &program, 0o755)?;
    for applet in applets.lines().map(str::trim).filter(|applet| !applet.is_empty() && *applet != "busybox") {
        entry(&mut tar, EntryType::Symlink, &format!("bin/{applet}"), Some("busybox"), &[], 0o777)?;
    }
    entry(&mut tar, EntryType::Symlink, "usr/bin/env", Some("../../bin/busybox"), &[], 0o777)?;
    append(
        &mut tar,
        "etc/passwd",
        b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
        0o644,
    )?;
    append(&mut tar, "etc/group", b"root:x:0:\nnogroup:x:65534:\n", 0o644)?;
    tar.into_inner().context("write the busybox layer")
}

fn append<W: std::io::Write>(tar: &mut Builder<W>, name: &str, content: &[u8], mode: u32) -> Result<()> {
    entry(tar, EntryType::Regular, name, None, content, mode)
}

/// Adds an entry of root's, without a date: the same input makes the same archive.
fn entry<W: std::io::Write>(
    tar: &mut Builder<W>,
    kind: EntryType,
    name: &str,
    link: Option<&str>,
    content: &[u8],
    mode: u32,
) -> Result<()> {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(content.len() as u64);
    if let Some(link) = link {
        header.set_link_name(link).with_context(|| format!("link {name} to {link}"))?;
    }
    tar.append_data(&mut header, name, content).with_context(|| format!("add {name} to the archive"))
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_names_its_images_and_contains_every_blob_it_refers_to() {
        if !Path::new(BUSYBOX_PROGRAM).exists() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("images.tar");
        write_archive(&path).unwrap();

        let mut files = std::collections::BTreeMap::new();
        for file in tar::Archive::new(File::open(&path).unwrap()).entries().unwrap() {
            let mut file = file.unwrap();
            let name = file.path().unwrap().display().to_string();
            let mut content = Vec::new();
            std::io::Read::read_to_end(&mut file, &mut content).unwrap();
            files.insert(name, content);
        }
        let index: Value = serde_json::from_slice(&files["index.json"]).unwrap();
        let manifests = index["manifests"].as_array().unwrap();
        let names: Vec<_> = manifests
            .iter()
            .map(|m| m["annotations"]["io.containerd.image.name"].as_str().unwrap())
            .collect();
        assert_eq!(names, [PAUSE, BUSYBOX]);
        for manifest in manifests {
            let blob = |digest: &Value| {
                &files[&format!("blobs/sha256/{}", &digest.as_str().unwrap()["sha256:".len()..])]
            };
            let manifest: Value = serde_json::from_slice(blob(&manifest["digest"])).unwrap();
            assert_eq!(
                blob(&manifest["layers"][0]["digest"]).len() as u64,
                manifest["layers"][0]["size"].as_u64().unwrap()
            );
            assert!(!blob(&manifest["config"]["digest"]).is_empty());
        }
    }
}
