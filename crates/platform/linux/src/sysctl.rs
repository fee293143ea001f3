//! Reading and writing sysctls under `/proc/sys`.

use std::path::PathBuf;

use crate::PathError;

/// The file of a sysctl. Both spellings are understood: `net.ipv4.ip_forward` and `net/ipv4/conf/eth0.100/forwarding`
/// (the one with slashes, where the first separator is a slash, for names that contain dots). `None` if the name could
/// lead out of `/proc/sys`.
#[must_use]
pub fn path(name: &str) -> Option<PathBuf> {
    let separator = name.chars().find(|c| matches!(c, '.' | '/'))?;
    let mut path = PathBuf::from("/proc/sys");
    for part in name.split(separator) {
        if part.is_empty() || part == "." || part == ".." || part.contains(['/', '\0']) {
            return None;
        }
        path.push(part);
    }
    Some(path)
}

fn checked(name: &str, doing: &'static str) -> Result<PathBuf, PathError> {
    path(name).ok_or_else(|| PathError {
        doing,
        path: PathBuf::from(name),
        source: std::io::Error::new(std::io::ErrorKind::InvalidInput, "this is no name of a sysctl"),
    })
}

/// The value of the sysctl `name`, without the line break at its end.
///
/// # Errors
/// If the kernel has no such sysctl.
pub fn read(name: &str) -> Result<String, PathError> {
    let path = checked(name, "read sysctl")?;
    let text = std::fs::read_to_string(&path).map_err(PathError::on("read sysctl", &path))?;
    Ok(text.trim_end().to_owned())
}

/// Sets the sysctl `name`, of the namespaces that this process is in.
///
/// # Errors
/// If the kernel has no such sysctl, refuses the value, or the caller may not.
pub fn write(name: &str, value: &str) -> Result<(), PathError> {
    let path = checked(name, "write sysctl")?;
    std::fs::write(&path, value).map_err(PathError::on("write sysctl", &path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (name, expected) in [
            ("vm.overcommit_memory", Some("/proc/sys/vm/overcommit_memory")),
            ("net/ipv4/conf/eth0.1/forwarding", Some("/proc/sys/net/ipv4/conf/eth0.1/forwarding")),
            ("net.ipv4/x", None),
            ("vm../..", None),
            ("vm/../../etc/passwd", None),
            ("nothing", None),
            ("", None),
        ] {
            assert_eq!(path(name), expected.map(PathBuf::from), "{name}");
        }
    }

    #[test]
    fn values_have_no_line_break() {
        assert!(!read("kernel.ostype").unwrap().ends_with('\n'));
        assert!(read("kernel.no_such_thing").is_err());
    }
}
