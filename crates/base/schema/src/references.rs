//! What a static pod may not ask for: objects that only the API server has.

use types::Pod;
use types::corev1::{EnvFromSource, EnvVar, PodSpec, Volume};
use types::pod;

use crate::FieldError;
use crate::field::{Errors, Path, list};

/// The references of `pod` to API objects, each as a `Forbidden` error. A static pod with any is refused (feature
/// gate `PreventStaticPodAPIReferences`): its mirror pod would be, and its node would wait for the object forever.
#[must_use]
pub fn api_references(pod: &Pod) -> Vec<FieldError> {
    let mut errors = Errors::default();
    let spec = pod::spec(pod);
    let path = Path::root("spec");
    for (field, name) in
        [("serviceAccountName", &spec.service_account_name), ("serviceAccount", &spec.service_account)]
    {
        if name.as_deref().is_some_and(|name| !name.is_empty()) {
            refuse(&mut errors, &path.key(field), "a service account");
        }
    }
    for (index, _) in list(&spec.image_pull_secrets).iter().enumerate() {
        refuse(&mut errors, &path.key("imagePullSecrets").index(index), "a Secret");
    }
    claims(&mut errors, &path, spec);
    for (field, containers) in
        [("initContainers", pod::init_containers(pod)), ("containers", pod::regular_containers(pod))]
    {
        for (index, container) in containers.iter().enumerate() {
            let path = path.key(field).index(index);
            environment(&mut errors, &path, list(&container.env), list(&container.env_from));
        }
    }
    for (index, container) in pod::ephemeral_containers(pod).iter().enumerate() {
        let path = path.key("ephemeralContainers").index(index);
        environment(&mut errors, &path, list(&container.env), list(&container.env_from));
    }
    for (index, found) in list(&spec.volumes).iter().enumerate() {
        volume(&mut errors, &path.key("volumes").index(index), found);
    }
    errors.finish()
}

/// The references of `pod` to API objects that a static pod may never have, also while the gate is off: those to
/// ResourceClaims and ClusterTrustBundles.
#[must_use]
pub fn claims_and_bundles(pod: &Pod) -> Vec<FieldError> {
    let mut errors = Errors::default();
    let spec = pod::spec(pod);
    let path = Path::root("spec");
    claims(&mut errors, &path, spec);
    for (index, volume) in list(&spec.volumes).iter().enumerate() {
        let sources = volume.projected.as_ref().map(|projected| list(&projected.sources)).unwrap_or_default();
        let path = path.key("volumes").index(index).key("projected").key("sources");
        for (index, _) in
            sources.iter().enumerate().filter(|(_, source)| source.cluster_trust_bundle.is_some())
        {
            refuse(&mut errors, &path.index(index).key("clusterTrustBundle"), "a ClusterTrustBundle");
        }
    }
    errors.finish()
}

fn claims(errors: &mut Errors, path: &Path, spec: &PodSpec) {
    for (index, _) in list(&spec.resource_claims).iter().enumerate() {
        refuse(errors, &path.key("resourceClaims").index(index), "a ResourceClaim");
    }
}

fn refuse(errors: &mut Errors, path: &Path, what: &str) {
    errors.forbidden(path, &format!("a static pod may not refer to {what} of the API server"));
}

fn environment(errors: &mut Errors, path: &Path, env: &[EnvVar], env_from: &[EnvFromSource]) {
    for (index, variable) in env.iter().enumerate() {
        let Some(from) = &variable.value_from else { continue };
        let path = path.key("env").index(index).key("valueFrom");
        if from.config_map_key_ref.is_some() {
            refuse(errors, &path.key("configMapKeyRef"), "a ConfigMap");
        }
        if from.secret_key_ref.is_some() {
            refuse(errors, &path.key("secretKeyRef"), "a Secret");
        }
    }
    for (index, from) in env_from.iter().enumerate() {
        let path = path.key("envFrom").index(index);
        if from.config_map_ref.is_some() {
            refuse(errors, &path.key("configMapRef"), "a ConfigMap");
        }
        if from.secret_ref.is_some() {
            refuse(errors, &path.key("secretRef"), "a Secret");
        }
    }
}

fn volume(errors: &mut Errors, path: &Path, volume: &Volume) {
    let v = volume;
    for (set, field, what) in [
        (v.secret.is_some(), "secret", "a Secret"),
        (v.config_map.is_some(), "configMap", "a ConfigMap"),
        (v.persistent_volume_claim.is_some(), "persistentVolumeClaim", "a PersistentVolumeClaim"),
        (v.ephemeral.is_some(), "ephemeral", "a PersistentVolumeClaim"),
        (v.azure_file.is_some(), "azureFile", "a Secret"),
        (v.glusterfs.is_some(), "glusterfs", "Endpoints"),
        (v.cephfs.as_ref().is_some_and(|v| v.secret_ref.is_some()), "cephfs.secretRef", "a Secret"),
        (v.cinder.as_ref().is_some_and(|v| v.secret_ref.is_some()), "cinder.secretRef", "a Secret"),
        (v.flex_volume.as_ref().is_some_and(|v| v.secret_ref.is_some()), "flexVolume.secretRef", "a Secret"),
        (v.iscsi.as_ref().is_some_and(|v| v.secret_ref.is_some()), "iscsi.secretRef", "a Secret"),
        (v.rbd.as_ref().is_some_and(|v| v.secret_ref.is_some()), "rbd.secretRef", "a Secret"),
        (v.scale_io.is_some(), "scaleIO.secretRef", "a Secret"),
        (v.storageos.as_ref().is_some_and(|v| v.secret_ref.is_some()), "storageos.secretRef", "a Secret"),
        (
            v.csi.as_ref().is_some_and(|v| v.node_publish_secret_ref.is_some()),
            "csi.nodePublishSecretRef",
            "a Secret",
        ),
    ] {
        if set {
            refuse(errors, &path.key(field), what);
        }
    }
    let sources = v.projected.as_ref().map(|projected| list(&projected.sources)).unwrap_or_default();
    for (index, source) in sources.iter().enumerate() {
        let path = path.key("projected").key("sources").index(index);
        for (set, field, what) in [
            (source.secret.is_some(), "secret", "a Secret"),
            (source.config_map.is_some(), "configMap", "a ConfigMap"),
            (source.service_account_token.is_some(), "serviceAccountToken", "a service account"),
            (source.cluster_trust_bundle.is_some(), "clusterTrustBundle", "a ClusterTrustBundle"),
            (source.pod_certificate.is_some(), "podCertificate", "a PodCertificateRequest"),
        ] {
            if set {
                refuse(errors, &path.key(field), what);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_is_named() {
        let pod: Pod = serde_json::from_value(serde_json::json!({"spec": {
            "serviceAccountName": "sa", "imagePullSecrets": [{"name": "s"}], "resourceClaims": [{"name": "c"}],
            "containers": [{"name": "a", "env": [
                {"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
                {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "s", "key": "k"}}}],
                "envFrom": [{"secretRef": {"name": "s"}}, {"configMapRef": {"name": "s"}}]}],
            "volumes": [{"name": "a", "secret": {}}, {"name": "b", "configMap": {}},
                {"name": "c", "persistentVolumeClaim": {"claimName": "c"}}, {"name": "d", "ephemeral": {}},
                {"name": "e", "projected": {"sources": [{"secret": {}}, {"configMap": {}}, {"serviceAccountToken": {"path": "t"}},
                    {"clusterTrustBundle": {"path": "p"}}, {"downwardAPI": {}}]}},
                {"name": "f", "csi": {"driver": "d", "nodePublishSecretRef": {"name": "s"}}},
                {"name": "g", "hostPath": {"path": "/"}}, {"name": "h", "emptyDir": {}}]
        }}))
        .unwrap();
        let paths: Vec<String> = api_references(&pod).into_iter().map(|error| error.path).collect();
        assert_eq!(
            paths,
            [
                "spec.serviceAccountName",
                "spec.imagePullSecrets[0]",
                "spec.resourceClaims[0]",
                "spec.containers[0].env[0].valueFrom.secretKeyRef",
                "spec.containers[0].env[1].valueFrom.configMapKeyRef",
                "spec.containers[0].envFrom[0].secretRef",
                "spec.containers[0].envFrom[1].configMapRef",
                "spec.volumes[0].secret",
                "spec.volumes[1].configMap",
                "spec.volumes[2].persistentVolumeClaim",
                "spec.volumes[3].ephemeral",
                "spec.volumes[4].projected.sources[0].secret",
                "spec.volumes[4].projected.sources[1].configMap",
                "spec.volumes[4].projected.sources[2].serviceAccountToken",
                "spec.volumes[4].projected.sources[3].clusterTrustBundle",
                "spec.volumes[5].csi.nodePublishSecretRef",
            ]
        );
        let never: Vec<String> = claims_and_bundles(&pod).into_iter().map(|error| error.path).collect();
        assert_eq!(
            never,
            ["spec.resourceClaims[0]", "spec.volumes[4].projected.sources[3].clusterTrustBundle"]
        );
    }
}
