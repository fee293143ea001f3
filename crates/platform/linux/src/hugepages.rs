//! Huge pages: which sizes the node has, and how many of each.

use std::path::Path;

use crate::PathError;

const ROOT: &str = "/sys/kernel/mm/hugepages";

/// One size of huge pages.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct HugePages {
    /// Size of a page, in bytes.
    pub page_bytes: u64,
    /// Pages that are set aside.
    pub count: u64,
}

/// The sizes that the kernel knows, smallest first. None when it has no huge pages.
///
/// # Errors
/// If they are there and cannot be read.
pub fn sizes() -> Result<Vec<HugePages>, PathError> {
    sizes_in(Path::new(ROOT))
}

fn sizes_in(root: &Path) -> Result<Vec<HugePages>, PathError> {
    let entries = match std::fs::read_dir(root) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(PathError::on("list huge page sizes in", root)(e)),
    };
    let mut sizes = Vec::new();
    for entry in entries {
        let entry = entry.map_err(PathError::on("list huge page sizes in", root))?;
        let Some(kibibytes) = entry.file_name().to_str().and_then(page_kib) else { continue };
        let path = entry.path().join("nr_hugepages");
        let text = std::fs::read_to_string(&path).map_err(PathError::on("read", &path))?;
        sizes.push(HugePages { page_bytes: kibibytes * 1024, count: text.trim().parse().unwrap_or(0) });
    }
    sizes.sort_unstable();
    Ok(sizes)
}

/// The size in the name `hugepages-2048kB`.
fn page_kib(name: &str) -> Option<u64> {
    name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok().filter(|kib| *kib <= u64::MAX / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_from_the_names() {
        let dir = tempfile::tempdir().unwrap();
        for (name, count) in [("hugepages-1048576kB", "0\n"), ("hugepages-2048kB", "12\n"), ("other", "1\n")]
        {
            std::fs::create_dir(dir.path().join(name)).unwrap();
            std::fs::write(dir.path().join(name).join("nr_hugepages"), count).unwrap();
        }
        assert_eq!(
            sizes_in(dir.path()).unwrap(),
            [HugePages { page_bytes: 2 << 20, count: 12 }, HugePages { page_bytes: 1 << 30, count: 0 }]
        );
        assert!(sizes_in(&dir.path().join("missing")).unwrap().is_empty());
    }
}
