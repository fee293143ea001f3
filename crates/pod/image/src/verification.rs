//! Whether a pod may use an image that is on the node already, or has to show the registry that it may (KEP-2535).

use crate::records::{PulledRecord, SecretUser};

/// `imagePullCredentialsVerificationPolicy`: which images are looked after.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verification {
    /// None.
    Never,
    /// Those that a kubelet pulled; who put others on the node meant them for everybody.
    Pulled,
    /// All but those on the list: names without tag and digest, or beginnings that end in `/*`
    /// (`preloadedImagesVerificationAllowlist`).
    Unlisted(Vec<String>),
    /// All.
    Always,
}

/// What came of a check; the words are values of a metric's label.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Check {
    /// The policy asks for nothing.
    PolicyAllowed,
    /// It was pulled in a way that lets the pod use it.
    RecordFound,
    /// The pod has to pull it.
    MustAuthenticate,
    /// It is not known what was pulled, so the pod has to pull it.
    Failed,
}

impl Check {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::PolicyAllowed => "credentialPolicyAllowed",
            Self::RecordFound => "credentialRecordFound",
            Self::MustAuthenticate => "mustAuthenticate",
            Self::Failed => "error",
        }
    }

    /// Whether the image may be used as it is.
    pub(crate) fn allows(self) -> bool {
        matches!(self, Self::PolicyAllowed | Self::RecordFound)
    }
}

impl Verification {
    fn looks_after(&self, name: &str, pulled: bool) -> bool {
        match self {
            Self::Never => false,
            Self::Pulled => pulled,
            Self::Unlisted(list) => !list.iter().any(|pattern| match pattern.strip_suffix('*') {
                Some(beginning) => name.starts_with(beginning),
                None => name == pattern,
            }),
            Self::Always => true,
        }
    }

    /// Whether a pod whose credentials for it are from `secrets` may use the image that it calls `name`, without tag and
    /// digest. `record` is that of the image; `begun` is whether a pull of it was begun and not recorded.
    pub(crate) fn check(
        &self,
        name: &str,
        record: Option<&PulledRecord>,
        begun: bool,
        secrets: &[SecretUser],
    ) -> Check {
        if !self.looks_after(name, begun || record.is_some()) {
            return Check::PolicyAllowed;
        }
        let users = record.and_then(|record| record.credential_mapping.get(name));
        let may_use = users.is_some_and(|users| {
            let known = &users.kubernetes_secrets;
            users.node_pods_accessible
                || known.iter().any(|known| secrets.iter().any(|own| known.vouches_for(own)))
        });
        if may_use { Check::RecordFound } else { Check::MustAuthenticate }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use types::k8s::apimachinery::pkg::apis::meta::v1::ObjectMeta;

    use super::*;
    use Check::{MustAuthenticate, PolicyAllowed, RecordFound};

    #[test]
    fn checks() {
        let empty = PulledRecord::new("i", Timestamp::UNIX_EPOCH);
        let mut open = empty.clone();
        open.let_all_pods_use("r/a", Timestamp::UNIX_EPOCH);
        let listed = Verification::Unlisted(vec!["r/b".to_owned(), "s/*".to_owned()]);
        for (policy, name, record, begun, expected) in [
            (Verification::Never, "r/a", Some(&empty), true, PolicyAllowed),
            (Verification::Pulled, "r/a", None, false, PolicyAllowed),
            (Verification::Pulled, "r/a", None, true, MustAuthenticate),
            (Verification::Pulled, "r/a", Some(&empty), false, MustAuthenticate),
            (Verification::Pulled, "r/a", Some(&open), false, RecordFound),
            // The same image under another name is another right.
            (Verification::Pulled, "r/b", Some(&open), false, MustAuthenticate),
            (listed.clone(), "r/b", Some(&empty), true, PolicyAllowed),
            (listed.clone(), "s/x/y", None, false, PolicyAllowed),
            (listed.clone(), "r/bb", None, false, MustAuthenticate),
            (listed, "r/a", Some(&open), false, RecordFound),
            (Verification::Always, "r/a", None, false, MustAuthenticate),
            (Verification::Always, "r/a", Some(&open), true, RecordFound),
        ] {
            assert_eq!(
                policy.check(name, record, begun, &[]),
                expected,
                "{policy:?} {name} {record:?} {begun}"
            );
        }
    }

    #[test]
    fn secrets_open_what_was_pulled_with_them() {
        let secret = |name: &str, hash: &str| {
            let meta = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
            SecretUser::new(&meta, hash.to_owned())
        };
        let mut record = PulledRecord::new("i", Timestamp::UNIX_EPOCH);
        record.let_secret_use("r/a", &secret("s", "1"), Timestamp::UNIX_EPOCH);
        for (secrets, expected) in [
            (vec![], MustAuthenticate),
            (vec![secret("t", "2")], MustAuthenticate),
            (vec![secret("t", "2"), secret("t", "1")], RecordFound),
            (vec![secret("s", "2")], RecordFound),
        ] {
            let check = Verification::Pulled.check("r/a", Some(&record), false, &secrets);
            assert_eq!(check, expected, "{secrets:?}");
        }
    }
}
