//! The version of CSI that a driver speaks.

/// A version of CSI.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Version(Vec<u64>);

/// Why a driver has no version that berth speaks.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum VersionError {
    /// It named none.
    #[error("it names no version of CSI that it speaks")]
    None,
    /// None of them is 1.x.
    #[error("it speaks CSI {0}, and berth speaks 1.x")]
    Other(String),
}

impl Version {
    /// The highest version 1.x among `versions`.
    pub(crate) fn highest(versions: &[String]) -> Result<Self, VersionError> {
        if versions.is_empty() {
            return Err(VersionError::None);
        }
        let spoken = versions.iter().filter_map(|text| Self::parse(text)).filter(|version| version.0[0] == 1);
        spoken.max().ok_or_else(|| VersionError::Other(versions.join(", ")))
    }

    /// Numbers with dots between them, with or without a `v` before and anything behind.
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim().trim_start_matches('v');
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let numbers: Option<Vec<u64>> = text[..end].split('.').map(|number| number.parse().ok()).collect();
        numbers.filter(|numbers| numbers.len() >= 2).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_of_those_we_speak() {
        let highest = |versions: &[&str]| {
            Version::highest(&versions.iter().map(|v| (*v).to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(highest(&["1.0.0"]), Ok(Version(vec![1, 0, 0])));
        assert_eq!(highest(&["0.3.0", "1.2.0", "1.10.0", "2.0.0"]), Ok(Version(vec![1, 10, 0])));
        assert_eq!(highest(&["v1.1-rc1"]), Ok(Version(vec![1, 1])));
        assert_eq!(highest(&[]), Err(VersionError::None));
        for bad in ["0.3.0", "2.0.0", "", "1", "one.two", "1..2"] {
            assert_eq!(highest(&[bad]), Err(VersionError::Other(bad.into())), "{bad}");
        }
    }
}
