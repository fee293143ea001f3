//! Names of cgroups, and how each driver spells them.

/// A cgroup by its parts from the root down, such as `kubepods`, `burstable`, `pod1234`: what the two drivers spell
/// in different ways.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct CgroupName(Vec<String>);

/// Why a text is no name of a cgroup.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NameError {
    /// A part has a character that one of the two spellings has no place for.
    #[error(
        "{part:?} cannot be part of a cgroup's name: letters, digits, '-', '.' and ':' can, up to 200 of them, and neither '.' nor '..'"
    )]
    Part {
        /// The part in question, cut to 64 characters.
        part: String,
    },
    /// The text is not a slice of systemd.
    #[error("{text:?} is not the name of a systemd slice")]
    Slice {
        /// The text in question, cut to 64 characters.
        text: String,
    },
}

/// Longest part: with its parents before it, a unit's name has to fit in a file name.
const MAX_PART: usize = 200;

impl CgroupName {
    /// The root of all cgroups.
    #[must_use]
    pub fn root() -> Self {
        Self::default()
    }

    /// A name from its parts.
    ///
    /// # Errors
    /// If a part has a character that a part cannot have: `_` stands for `-` in systemd's spelling, `/` divides parts.
    pub fn new<P: Into<String>>(parts: impl IntoIterator<Item = P>) -> Result<Self, NameError> {
        parts.into_iter().map(|part| check(part.into(), false)).collect::<Result<_, _>>().map(Self)
    }

    /// The cgroup `part` right below this one.
    ///
    /// # Errors
    /// As [`CgroupName::new`].
    pub fn child(&self, part: &str) -> Result<Self, NameError> {
        let part = check(part.to_owned(), false)?;
        Ok(Self(self.0.iter().cloned().chain([part]).collect()))
    }

    /// The name of a path below the mount point, such as `/kubepods/burstable` (`cgroupRoot`, `systemReservedCgroup`).
    /// Here, where somebody else chose the name, `_` may be part of it.
    ///
    /// # Errors
    /// If a part has a character that a part cannot have.
    pub fn parse_cgroupfs(path: &str) -> Result<Self, NameError> {
        let parts = path.split('/').filter(|part| !part.is_empty());
        parts.map(|part| check(part.to_owned(), true)).collect::<Result<_, _>>().map(Self)
    }

    /// The name of a slice, given as the unit (`kubepods-burstable.slice`) or as the path to it.
    ///
    /// # Errors
    /// If it is no slice's name.
    pub fn parse_systemd(text: &str) -> Result<Self, NameError> {
        let refuse = || NameError::Slice { text: text.chars().take(64).collect() };
        let unit = text.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        let stem = unit.strip_suffix(".slice").ok_or_else(refuse)?;
        if stem == "-" {
            return Ok(Self::root());
        }
        Self::new(stem.split('-').map(|part| part.replace('_', "-"))).map_err(|_| refuse())
    }

    /// The cgroup above, unless this is the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        let (_, above) = self.0.split_last()?;
        Some(Self(above.to_vec()))
    }

    /// The last part; nothing of the root.
    #[must_use]
    pub fn leaf(&self) -> Option<&str> {
        self.0.last().map(String::as_str)
    }

    /// The path below the mount point of a hierarchy, as the cgroupfs driver spells it: `/kubepods/burstable`.
    #[must_use]
    pub fn cgroupfs_path(&self) -> String {
        format!("/{}", self.0.join("/"))
    }

    /// The unit: `kubepods-burstable-pod12_34.slice`.
    #[must_use]
    pub fn slice(&self) -> String {
        if self.0.is_empty() {
            return "-.slice".to_owned();
        }
        let parts: Vec<String> = self.0.iter().map(|part| part.replace('-', "_")).collect();
        format!("{}.slice", parts.join("-"))
    }

    /// The path below the mount point of a hierarchy, as systemd lays it out:
    /// `/kubepods.slice/kubepods-burstable.slice`.
    #[must_use]
    pub fn slice_path(&self) -> String {
        let depths = 1..=self.0.len();
        let units: Vec<String> = depths.map(|depth| Self(self.0[..depth].to_vec()).slice()).collect();
        format!("/{}", units.join("/"))
    }
}

/// Shown as a path: `/kubepods/burstable`.
impl std::fmt::Display for CgroupName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.cgroupfs_path())
    }
}

fn check(part: String, underscore: bool) -> Result<String, NameError> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-.:".contains(c) || (underscore && c == '_');
    if part.is_empty() || part.len() > MAX_PART || matches!(&*part, "." | "..") || !part.chars().all(fits) {
        return Err(NameError::Part { part: part.chars().take(64).collect() });
    }
    Ok(part)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn both_spellings() {
        let pod = CgroupName::new(["kubepods", "burstable", "pod12-34"]).unwrap();
        assert_eq!(pod.cgroupfs_path(), "/kubepods/burstable/pod12-34");
        assert_eq!(pod.slice(), "kubepods-burstable-pod12_34.slice");
        assert_eq!(
            pod.slice_path(),
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod12_34.slice"
        );
        assert_eq!(CgroupName::parse_systemd(&pod.slice_path()), Ok(pod.clone()));
        assert_eq!(pod.parent().unwrap().leaf(), Some("burstable"));
    }

    #[test]
    fn the_root() {
        assert_eq!(CgroupName::root().cgroupfs_path(), "/");
        assert_eq!(CgroupName::root().slice(), "-.slice");
        assert_eq!(CgroupName::root().slice_path(), "/");
        assert_eq!(CgroupName::parse_cgroupfs("/"), Ok(CgroupName::root()));
        assert_eq!(CgroupName::parse_systemd("-.slice"), Ok(CgroupName::root()));
        assert_eq!(CgroupName::root().parent(), None);
    }

    #[test]
    fn refused() {
        for part in ["", ".", "..", "a/b", "a_b", "a b", "é", "a\0"] {
            assert!(CgroupName::new([part]).is_err(), "{part:?}");
        }
        assert!(CgroupName::new(["a".repeat(201)]).is_err());
        assert!(CgroupName::parse_cgroupfs("/a/../b").is_err());
        assert!(CgroupName::parse_cgroupfs("/my_pods").is_ok());
        for text in ["kubepods", "kubepods.scope", "a--b.slice", ".slice", ""] {
            assert!(CgroupName::parse_systemd(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn spellings_round_trip(parts in prop::collection::vec("[a-z0-9][a-z0-9.:-]{0,20}", 0..5)) {
            let name = CgroupName::new(parts).unwrap();
            prop_assert_eq!(&CgroupName::parse_cgroupfs(&name.cgroupfs_path()).unwrap(), &name);
            prop_assert_eq!(&CgroupName::parse_systemd(&name.slice()).unwrap(), &name);
        }

        #[test]
        fn never_panics(text in "\\PC{0,60}") {
            let _ = CgroupName::parse_cgroupfs(&text);
            let _ = CgroupName::parse_systemd(&text);
        }
    }
}
