//! What a pod uses, as the node's own API tells it.

use serde_json::Value;
use testkit::pod::pod;

use crate::port::served;
use crate::rig::FOREVER;

#[tokio::test]
async fn real_usage_of_a_pod_is_in_the_summary() {
    let (mut rig, client) = served().await;
    rig.put("web", &pod("web").container("main", &FOREVER));
    rig.until_ready("web").await;
    let (status, text) = client.get("/stats/summary").await.unwrap();
    assert_eq!(status, 200, "{text}");
    let summary: Value = serde_json::from_str(&text).unwrap();
    let pods = summary["pods"].as_array().unwrap();
    let web = pods.iter().find(|pod| pod["podRef"]["name"] == rig.full("web")).expect("the pod is there");
    for used in [&summary["node"], web, &web["containers"][0]] {
        for (group, field) in [("cpu", "usageCoreNanoSeconds"), ("memory", "workingSetBytes")] {
            let value = used[group][field].as_u64().unwrap_or(0);
            assert!(value > 0, "{group}.{field}: {used}");
        }
    }
    for path in ["/metrics/resource", "/metrics/cadvisor"] {
        let (status, text) = client.get(path).await.unwrap();
        assert_eq!(status, 200, "{path}: {text}");
        assert!(text.contains(&format!("pod=\"{}\"", rig.full("web"))), "{path}: {text}");
    }
    rig.finish().await;
}
