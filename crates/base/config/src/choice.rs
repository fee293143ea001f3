//! Fields that take one of a few words.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A field's word; any other is kept, so that validation can name all mistakes at once.
pub(crate) trait Choice: fmt::Display {
    /// The words that are allowed.
    const ALLOWED: &'static [&'static str];
    /// Whether it is one of them.
    fn is_allowed(&self) -> bool;
}

macro_rules! choices {
    ($($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Debug)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
            /// Something else. Validation refuses it, so a loaded configuration never has it.
            Other(Box<str>),
        }

        impl $name {
            /// Kubernetes' spelling.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)*
                    Self::Other(text) => text,
                }
            }
        }

        impl Choice for $name {
            const ALLOWED: &'static [&'static str] = &[$($text),*];

            fn is_allowed(&self) -> bool {
                !matches!(self, Self::Other(_))
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                match text {
                    $($text => Self::$variant,)*
                    _ => Self::Other(text.into()),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Ok(Self::from(String::deserialize(deserializer)?.as_str()))
            }
        }
    )*};
}

choices! {
    /// `authorization.mode`: who may use the server.
    AuthorizationMode {
        /// Everybody who is authenticated, or anonymous if that is allowed.
        AlwaysAllow = "AlwaysAllow",
        /// Whom the API server allows (SubjectAccessReview).
        Webhook = "Webhook",
    }
    /// `imagePullCredentialsVerificationPolicy`: when a pod must show that it may use an image that is here already.
    PullVerification {
        /// Nothing is chosen: the feature gate is off.
        Unset = "",
        /// Never.
        NeverVerify = "NeverVerify",
        /// Unless the image was not pulled by the kubelet.
        NeverVerifyPreloadedImages = "NeverVerifyPreloadedImages",
        /// Unless the image is on the list.
        NeverVerifyAllowlistedImages = "NeverVerifyAllowlistedImages",
        /// Always.
        AlwaysVerify = "AlwaysVerify",
    }
    /// `cgroupDriver`: who makes cgroups. A runtime that tells its own driver overrides it.
    CgroupDriver {
        /// Directories made in the cgroup file system.
        Cgroupfs = "cgroupfs",
        /// Transient units of systemd.
        Systemd = "systemd",
    }
    /// `cpuManagerPolicy`.
    CpuManagerPolicy {
        /// All containers share all CPUs.
        None = "none",
        /// Guaranteed containers with whole CPUs have them alone.
        Static = "static",
    }
    /// `memoryManagerPolicy`.
    MemoryManagerPolicy {
        /// Memory is taken from any NUMA node.
        None = "None",
        /// Guaranteed pods have their memory reserved on NUMA nodes.
        Static = "Static",
    }
    /// `topologyManagerPolicy`.
    TopologyPolicy {
        /// Nothing is aligned.
        None = "none",
        /// Aligned where possible.
        BestEffort = "best-effort",
        /// A pod that cannot be aligned is refused.
        Restricted = "restricted",
        /// A pod that does not fit one NUMA node is refused.
        SingleNumaNode = "single-numa-node",
    }
    /// `topologyManagerScope`.
    TopologyScope {
        /// Each container on its own.
        Container = "container",
        /// The pod as a whole.
        Pod = "pod",
    }
    /// `hairpinMode`: without effect, since runtimes set up the network.
    HairpinMode {
        /// The bridge accepts packets back.
        PromiscuousBridge = "promiscuous-bridge",
        /// Each port accepts packets back.
        HairpinVeth = "hairpin-veth",
        /// Not at all.
        None = "none",
    }
    /// `memorySwap.swapBehavior`.
    SwapBehavior {
        /// Nothing is chosen: as `NoSwap`.
        Unset = "",
        /// Containers do not swap.
        NoSwap = "NoSwap",
        /// Burstable containers swap in proportion to their memory request.
        LimitedSwap = "LimitedSwap",
    }
    /// `configMapAndSecretChangeDetectionStrategy`.
    ChangeDetection {
        /// Asked for each time.
        Get = "Get",
        /// Asked for when older than a while.
        Cache = "Cache",
        /// Watched.
        Watch = "Watch",
    }
    /// `memoryReservationPolicy`.
    MemoryReservation {
        /// Nothing is reserved.
        None = "None",
        /// `memory.min` for Guaranteed, `memory.low` for Burstable pods.
        TieredReservation = "TieredReservation",
    }
    /// `logging.format`.
    LogFormat {
        /// klog's text lines.
        Text = "text",
        /// One JSON object per line.
        Json = "json",
    }
}
