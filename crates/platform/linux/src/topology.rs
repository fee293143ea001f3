//! How the machine's CPUs and memory modules are put together, as sysfs shows it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Where the CPUs that are online sit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Topology {
    /// Logical CPUs.
    pub cpus: u64,
    /// Cores; those of one core share it as hardware threads.
    pub cores: u64,
    /// Sockets.
    pub sockets: u64,
    /// Books, which hold sockets (s390x only, else 0).
    pub books: u64,
    /// Drawers, which hold books (s390x only, else 0).
    pub drawers: u64,
}

/// Memory modules of one type.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Modules {
    /// How many.
    pub count: u64,
    /// What they hold together, in bytes.
    pub bytes: u64,
}

/// Where one logical CPU sits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Place {
    socket: i64,
    core: i64,
    book: Option<i64>,
    drawer: Option<i64>,
}

/// The topology of this machine; nothing where sysfs does not tell.
#[must_use]
pub fn read() -> Topology {
    topology_in(Path::new("/sys/devices/system/cpu"))
}

/// The memory modules of this machine by type, such as `Registered-DDR4`, where the kernel has a driver that knows
/// them (EDAC).
#[must_use]
pub fn modules() -> BTreeMap<String, Modules> {
    modules_in(Path::new("/sys/devices/system/edac/mc"))
}

fn topology_in(root: &Path) -> Topology {
    count(numbered(root, "cpu").filter_map(|cpu| {
        let dir = cpu.join("topology");
        let number = |name| std::fs::read_to_string(dir.join(name)).ok()?.trim().parse().ok();
        Some(Place {
            socket: number("physical_package_id")?,
            core: number("core_id")?,
            book: number("book_id"),
            drawer: number("drawer_id"),
        })
    }))
}

fn count(places: impl Iterator<Item = Place>) -> Topology {
    let (mut cpus, mut cores, mut sockets) = (0, BTreeSet::new(), BTreeSet::new());
    let (mut books, mut drawers) = (BTreeSet::new(), BTreeSet::new());
    for place in places {
        cpus += 1;
        cores.insert((place.socket, place.core));
        sockets.insert(place.socket);
        books.extend(place.book);
        drawers.extend(place.drawer);
    }
    let number = |length: usize| length as u64;
    Topology {
        cpus,
        cores: number(cores.len()),
        sockets: number(sockets.len()),
        books: number(books.len()),
        drawers: number(drawers.len()),
    }
}

fn modules_in(root: &Path) -> BTreeMap<String, Modules> {
    let mut found: BTreeMap<String, Modules> = BTreeMap::new();
    for module in numbered(root, "mc").flat_map(|controller| numbered(&controller, "dimm")) {
        let text = |name| std::fs::read_to_string(module.join(name)).ok();
        let (Some(kind), Some(mebibytes)) = (text("dimm_mem_type"), text("size")) else { continue };
        let Ok(mebibytes) = mebibytes.trim().parse::<u64>() else { continue };
        let modules = found.entry(kind.trim().to_owned()).or_default();
        modules.count += 1;
        modules.bytes = modules.bytes.saturating_add(mebibytes.saturating_mul(1 << 20));
    }
    found
}

/// The entries of `root` whose name is `prefix` and a number.
fn numbered(root: &Path, prefix: &'static str) -> impl Iterator<Item = PathBuf> + use<> {
    let is_one = move |name: &str| {
        let number = name.strip_prefix(prefix).unwrap_or_default();
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    };
    let entries = std::fs::read_dir(root).into_iter().flatten().flatten();
    entries.filter(move |entry| entry.file_name().to_str().is_some_and(is_one)).map(|entry| entry.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, text: &str) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    #[test]
    fn threads_of_one_core_are_counted_once() {
        let dir = tempfile::tempdir().unwrap();
        for (cpu, socket, core) in
            [("cpu0", "0", "0"), ("cpu1", "0", "0"), ("cpu2", "0", "1"), ("cpu3", "1", "0")]
        {
            write(&dir.path().join(cpu).join("topology/physical_package_id"), &format!("{socket}\n"));
            write(&dir.path().join(cpu).join("topology/core_id"), &format!("{core}\n"));
        }
        write(&dir.path().join("cpufreq/boost"), "1");
        write(&dir.path().join("cpu9/online"), "0");
        let expected = Topology { cpus: 4, cores: 3, sockets: 2, books: 0, drawers: 0 };
        assert_eq!(topology_in(dir.path()), expected);
    }

    #[test]
    fn modules_by_type() {
        let dir = tempfile::tempdir().unwrap();
        for (name, kind, size) in [
            ("mc0/dimm0", "Registered-DDR4", "1024"),
            ("mc0/dimm1", "Registered-DDR4", "2048"),
            ("mc1/dimm0", "Non-volatile-RAM", "x"),
        ] {
            write(&dir.path().join(name).join("dimm_mem_type"), &format!("{kind}\n"));
            write(&dir.path().join(name).join("size"), &format!("{size}\n"));
        }
        let expected = Modules { count: 2, bytes: 3 << 30 };
        assert_eq!(modules_in(dir.path()), BTreeMap::from([("Registered-DDR4".to_owned(), expected)]));
        assert!(modules_in(&dir.path().join("none")).is_empty());
    }

    #[test]
    fn this_machine_has_cpus() {
        let topology = read();
        assert!(topology.cpus >= topology.cores && topology.cores >= topology.sockets, "{topology:?}");
    }
}
