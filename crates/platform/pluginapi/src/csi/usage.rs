//! How full a volume is.

use crate::proto::csi::NodeGetVolumeStatsResponse;
use crate::proto::csi::volume_usage::Unit;

/// Numbers of one unit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Usage {
    /// How much is left.
    pub available: u64,
    /// How much there is.
    pub total: u64,
    /// How much is used.
    pub used: u64,
}

/// What a driver says about a volume. What it does not say is `None`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct VolumeUsage {
    /// In bytes.
    pub bytes: Option<Usage>,
    /// In inodes.
    pub inodes: Option<Usage>,
    /// Why the volume is not well; only of drivers with the capability to say so.
    pub abnormal: Option<String>,
}

/// Negative numbers count as none.
impl From<NodeGetVolumeStatsResponse> for VolumeUsage {
    fn from(answer: NodeGetVolumeStatsResponse) -> Self {
        let mut all = Self {
            abnormal: answer.volume_condition.filter(|condition| condition.abnormal).map(|c| c.message),
            ..Self::default()
        };
        for usage in &answer.usage {
            let number = |number: i64| u64::try_from(number).unwrap_or(0);
            let numbers = Usage {
                available: number(usage.available),
                total: number(usage.total),
                used: number(usage.used),
            };
            match usage.unit() {
                Unit::Bytes => all.bytes = Some(numbers),
                Unit::Inodes => all.inodes = Some(numbers),
                Unit::Unknown => {}
            }
        }
        all
    }
}
