use cri::v1::IdMapping;
use cri::v1::security_profile::ProfileType;
use serde_json::{Value, json};

use super::*;
use crate::tests::facts;

fn pod(spec: Value, container: Value) -> Pod {
    let mut spec = spec;
    let mut all = json!({"name": "c"});
    all.as_object_mut().unwrap().extend(container.as_object().unwrap().clone());
    spec["containers"] = json!([all]);
    serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": spec})).unwrap()
}

/// The context of the one container of a pod with these two security contexts.
fn context(of_pod: Value, own: Value) -> Result<LinuxContainerSecurityContext, ConfigError> {
    build(
        &pod(json!({"securityContext": of_pod}), json!({"securityContext": own})),
        &ImageUser::default(),
        None,
    )
}

fn build(
    pod: &Pod,
    image_user: &ImageUser,
    userns: Option<&IdMappings>,
) -> Result<LinuxContainerSecurityContext, ConfigError> {
    let container = &pod::regular_containers(pod)[0];
    container_context(&SecurityInput {
        pod,
        container,
        image_user,
        target_container_id: None,
        userns,
        facts: &facts(),
    })
}

#[test]
fn the_containers_own_fields_go_before_the_pods() {
    let of_pod = json!({"runAsUser": 1, "runAsGroup": 2, "fsGroup": 3, "supplementalGroups": [4, 5],
        "supplementalGroupsPolicy": "Strict", "seLinuxOptions": {"level": "s0:c1"}});
    let from_pod = context(of_pod.clone(), json!({})).unwrap();
    assert_eq!((from_pod.run_as_user, from_pod.run_as_group), (int(Some(1)), int(Some(2))));
    assert_eq!(from_pod.supplemental_groups, [3, 4, 5]);
    assert_eq!(from_pod.supplemental_groups_policy(), SupplementalGroupsPolicy::Strict);
    assert_eq!(from_pod.selinux_options.unwrap().level, "s0:c1");
    let mut groups = from_pod.supplemental_groups;
    add_groups(&mut groups, &[4, 9, 9]);
    assert_eq!(groups, [3, 4, 5, 9]);
    let own = json!({"runAsUser": 10, "runAsGroup": 20, "seLinuxOptions": {"type": "t"}, "privileged": true,
        "readOnlyRootFilesystem": true, "allowPrivilegeEscalation": false,
        "capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]}});
    let own = context(of_pod, own).unwrap();
    assert_eq!((own.run_as_user, own.run_as_group), (int(Some(10)), int(Some(20))));
    let selinux = own.selinux_options.unwrap();
    assert_eq!((selinux.r#type.as_str(), selinux.level.as_str()), ("t", ""));
    assert!(own.privileged && own.readonly_rootfs && own.no_new_privs);
    let capabilities = own.capabilities.unwrap();
    assert_eq!(
        (capabilities.add_capabilities, capabilities.drop_capabilities),
        (vec!["NET_ADMIN".into()], vec!["ALL".into()])
    );
}

#[test]
fn users_of_the_image() {
    let plain = pod(json!({}), json!({}));
    let number = build(&plain, &ImageUser { uid: Some(7), name: String::new() }, None).unwrap();
    assert_eq!((number.run_as_user, number.run_as_username.as_str()), (int(Some(7)), ""));
    let name = ImageUser { uid: None, name: "nginx".into() };
    let named = build(&plain, &name, None).unwrap();
    assert_eq!((named.run_as_user, named.run_as_username.as_str()), (None, "nginx"));
    let none = build(&plain, &ImageUser::default(), None).unwrap();
    assert_eq!((none.run_as_user, none.run_as_username.as_str()), (int(Some(0)), ""));
    let chosen = build(&pod(json!({"securityContext": {"runAsUser": 5}}), json!({})), &name, None).unwrap();
    assert_eq!((chosen.run_as_user, chosen.run_as_username.as_str()), (int(Some(5)), ""));
}

#[test]
fn run_as_non_root() {
    let user = |uid: Option<i64>, name: &str| ImageUser { uid, name: name.into() };
    let name_error = SecurityError::ImageUserIsAName { container: "c".into(), user: "nginx".into() };
    for (of_pod, own, image, expected) in [
        (json!({"runAsNonRoot": true}), json!({}), user(Some(1000), ""), None),
        (
            json!({"runAsNonRoot": true}),
            json!({}),
            user(None, ""),
            Some(SecurityError::ImageRunsAsRoot("c".into())),
        ),
        (json!({"runAsNonRoot": true}), json!({"runAsNonRoot": false}), user(Some(0), ""), None),
        (json!({"runAsNonRoot": true}), json!({"runAsUser": 5}), user(Some(0), ""), None),
        (
            json!({"runAsUser": 0}),
            json!({"runAsNonRoot": true}),
            user(Some(5), ""),
            Some(SecurityError::RunsAsRoot("c".into())),
        ),
        (
            json!({}),
            json!({"runAsNonRoot": true}),
            user(Some(0), ""),
            Some(SecurityError::ImageRunsAsRoot("c".into())),
        ),
        (json!({}), json!({"runAsNonRoot": true}), user(None, "nginx"), Some(name_error)),
    ] {
        let pod = pod(json!({"securityContext": of_pod}), json!({"securityContext": own}));
        let error = build(&pod, &image, None).err();
        assert_eq!(error, expected.map(ConfigError::Security), "{of_pod} {own} {image:?}");
    }
}

#[test]
fn seccomp() {
    let of = |kind: &str| json!({"seccompProfile": {"type": kind}});
    let local = |path: Value| json!({"seccompProfile": {"type": "Localhost", "localhostProfile": path}});
    for (of_pod, own, kind, path) in [
        (json!({}), json!({}), ProfileType::Unconfined, ""),
        (of("RuntimeDefault"), json!({}), ProfileType::RuntimeDefault, ""),
        (of("RuntimeDefault"), of("Unconfined"), ProfileType::Unconfined, ""),
        (json!({}), local(json!("a/b.json")), ProfileType::Localhost, "/var/lib/kubelet/seccomp/a/b.json"),
    ] {
        let profile = context(of_pod, own).unwrap().seccomp.unwrap();
        assert_eq!((profile.profile_type(), profile.localhost_ref.as_str()), (kind, path));
    }
    for path in [json!(null), json!(""), json!("../x"), json!("/etc/passwd"), json!("a/../../b")] {
        let error = context(json!({}), local(path)).unwrap_err();
        assert!(matches!(error, ConfigError::Security(SecurityError::Profile { kind: "seccomp", .. })));
    }
    let plain = pod(json!({}), json!({}));
    let input = SecurityInput {
        pod: &plain,
        container: &pod::regular_containers(&plain)[0],
        image_user: &ImageUser::default(),
        target_container_id: None,
        userns: None,
        facts: &NodeFacts { seccomp_default: true, ..facts() },
    };
    let profile = container_context(&input).unwrap().seccomp.unwrap();
    assert_eq!(profile.profile_type(), ProfileType::RuntimeDefault);
}

#[test]
#[allow(deprecated)]
fn apparmor() {
    let annotated = |text: &str| {
        let mut pod = pod(json!({}), json!({}));
        pod.metadata.annotations =
            Some([(format!("{}c", types::labels::APPARMOR_PREFIX), text.to_owned())].into());
        build(&pod, &ImageUser::default(), None)
    };
    let field = |kind: &str, name: Value| {
        context(json!({"appArmorProfile": {"type": kind, "localhostProfile": name}}), json!({}))
    };
    for (built, kind, reference, legacy) in [
        (annotated("runtime/default"), ProfileType::RuntimeDefault, "", "runtime/default"),
        (annotated("unconfined"), ProfileType::Unconfined, "", "unconfined"),
        (annotated("localhost/mine"), ProfileType::Localhost, "mine", "localhost/mine"),
        (field("RuntimeDefault", json!(null)), ProfileType::RuntimeDefault, "", "runtime/default"),
        (field("Localhost", json!("mine")), ProfileType::Localhost, "mine", "localhost/mine"),
    ] {
        let built = built.unwrap();
        let profile = built.apparmor.unwrap();
        assert_eq!((profile.profile_type(), profile.localhost_ref.as_str()), (kind, reference));
        assert_eq!(built.apparmor_profile, legacy);
    }
    assert_eq!(context(json!({}), json!({})).unwrap().apparmor, None);
    assert!(annotated("mine").is_err() && annotated("localhost/").is_err());
    assert!(field("Localhost", json!(null)).is_err() && field("Other", json!(null)).is_err());
}

#[test]
fn paths_of_proc() {
    let masked = context(json!({}), json!({})).unwrap();
    assert_eq!((masked.masked_paths.len(), masked.readonly_paths.len()), (12, 5));
    let unmasked = context(json!({}), json!({"procMount": "Unmasked"})).unwrap();
    assert!(unmasked.masked_paths.is_empty() && unmasked.readonly_paths.is_empty());
}

#[test]
fn namespaces_of_the_pod_and_of_a_target() {
    use NamespaceMode::{Container as Own, Node, Pod as Shared, Target};
    for (spec, network, pid, ipc) in [
        (json!({}), Shared, Own, Shared),
        (json!({"hostNetwork": true, "hostPID": true, "hostIPC": true}), Node, Node, Node),
        (json!({"shareProcessNamespace": true}), Shared, Shared, Shared),
    ] {
        let options = sandbox_context(&pod(spec, json!({})), None).unwrap().namespace_options.unwrap();
        assert_eq!((options.network(), options.pid(), options.ipc()), (network, pid, ipc));
        assert_eq!(options.userns_options.unwrap().mode(), Node);
    }
    let plain = pod(json!({}), json!({}));
    let input = SecurityInput {
        pod: &plain,
        container: &pod::regular_containers(&plain)[0],
        image_user: &ImageUser::default(),
        target_container_id: Some("id-1"),
        userns: None,
        facts: &facts(),
    };
    let options = container_context(&input).unwrap().namespace_options.unwrap();
    assert_eq!((options.pid(), options.target_id.as_str()), (Target, "id-1"));
}

#[test]
fn user_namespaces() {
    let own = pod(json!({"hostUsers": false}), json!({}));
    let ids = vec![IdMapping { host_id: 65536, container_id: 0, length: 65536 }];
    let mappings = IdMappings { uids: ids.clone(), gids: ids.clone() };
    let options = build(&own, &ImageUser::default(), Some(&mappings)).unwrap().namespace_options.unwrap();
    let users = options.userns_options.unwrap();
    assert_eq!((users.mode(), users.uids, users.gids), (NamespaceMode::Pod, ids.clone(), ids));
    assert_eq!(sandbox_context(&own, None), Err(ConfigError::UserNamespace));
}

#[test]
fn a_sandbox_is_privileged_if_any_container_is() {
    let sandbox =
        |own: Value| sandbox_context(&pod(json!({}), json!({"securityContext": own})), None).unwrap();
    assert!(sandbox(json!({"privileged": true})).privileged);
    let plain = sandbox(json!({}));
    assert!(!plain.privileged);
    assert_eq!(plain.seccomp.unwrap().profile_type(), ProfileType::RuntimeDefault);
}
