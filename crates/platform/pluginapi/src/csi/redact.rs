//! Debug output of messages that carry secrets: which keys there are, never what they hold. The volume's context counts
//! as secret too, since a pod's tokens may be in it.

use std::collections::HashMap;
use std::fmt;

use crate::proto::csi::{NodeExpandVolumeRequest, NodePublishVolumeRequest, NodeStageVolumeRequest};

fn keys(map: &HashMap<String, String>) -> Vec<&str> {
    let mut keys: Vec<_> = map.keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

impl fmt::Debug for NodeStageVolumeRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeStageVolumeRequest")
            .field("volume_id", &self.volume_id)
            .field("staging_target_path", &self.staging_target_path)
            .field("volume_capability", &self.volume_capability)
            .field("publish_context", &self.publish_context)
            .field("volume_context", &keys(&self.volume_context))
            .field("secrets", &keys(&self.secrets))
            .finish()
    }
}

impl fmt::Debug for NodePublishVolumeRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodePublishVolumeRequest")
            .field("volume_id", &self.volume_id)
            .field("staging_target_path", &self.staging_target_path)
            .field("target_path", &self.target_path)
            .field("volume_capability", &self.volume_capability)
            .field("readonly", &self.readonly)
            .field("publish_context", &self.publish_context)
            .field("volume_context", &keys(&self.volume_context))
            .field("secrets", &keys(&self.secrets))
            .finish()
    }
}

impl fmt::Debug for NodeExpandVolumeRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeExpandVolumeRequest")
            .field("volume_id", &self.volume_id)
            .field("volume_path", &self.volume_path)
            .field("staging_target_path", &self.staging_target_path)
            .field("capacity_range", &self.capacity_range)
            .field("volume_capability", &self.volume_capability)
            .field("secrets", &keys(&self.secrets))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::csi::Secrets;

    #[test]
    fn no_value_is_shown() {
        let secret = || HashMap::from([("password".to_owned(), "hunter2".to_owned())]);
        let stage =
            NodeStageVolumeRequest { secrets: secret(), volume_context: secret(), ..Default::default() };
        let publish =
            NodePublishVolumeRequest { secrets: secret(), volume_context: secret(), ..Default::default() };
        let expand = NodeExpandVolumeRequest { secrets: secret(), ..Default::default() };
        let ours: Secrets = secret().into_iter().collect();
        for shown in
            [format!("{stage:?}"), format!("{publish:?}"), format!("{expand:?}"), format!("{ours:?}")]
        {
            assert!(shown.contains("password") && !shown.contains("hunter2"), "{shown}");
        }
    }
}
