use proptest::prelude::*;

use super::*;

const IQN: &str = "iqn.2001-04.com.example:storage.disk1";

fn disk() -> Disk {
    Disk {
        volume: "pv-1".into(),
        portals: vec!["10.0.0.1:3260".into(), "10.0.0.2:3260".into()],
        iqn: IQN.into(),
        lun: 3,
        initial_iface: "default".into(),
        iface: "default".into(),
        initiator: String::new(),
        chap_discovery: false,
        chap_session: false,
        secret: Credentials::default(),
        fs_type: String::new(),
    }
}

fn own() -> Disk {
    Disk { iface: "10.0.0.1:3260:pv-1".into(), initiator: "iqn.1994-05.com.example:me".into(), ..disk() }
}

fn lines(commands: impl IntoIterator<Item = Command>) -> Vec<String> {
    commands.into_iter().map(|command| command.to_string()).collect()
}

#[test]
fn names_and_note() {
    for (given, expected) in [
        ("10.0.0.1", "10.0.0.1:3260"),
        ("10.0.0.1:860", "10.0.0.1:860"),
        ("fd00::1", "[fd00::1]:3260"),
        ("[fd00::1]", "[fd00::1]:3260"),
        ("[fd00::1]:860", "[fd00::1]:860"),
        ("nas", "nas:3260"),
    ] {
        assert_eq!(portal(given), expected);
    }
    let device = disk().device(VolumeMode::Filesystem).unwrap();
    assert_eq!(
        device.to_string(),
        format!("plugins/kubernetes.io/iscsi/iface-default/10.0.0.1:3260-{IQN}-lun-3")
    );
    assert_eq!(
        disk().note(),
        format!(
            "{{\"VolName\":\"pv-1\",\"Portals\":[\"10.0.0.1:3260\",\"10.0.0.2:3260\"],\"Iqn\":\"{IQN}\",\"Lun\":\"3\",\
             \"InitIface\":\"default\",\"Iface\":\"default\",\"InitiatorName\":\"\",\"MetricsProvider\":null}}\n"
        )
    );
    assert_eq!(disk().link("[fd00::1]:3260", "tcp"), ("", format!("ip-fd00::1:3260-iscsi-{IQN}-lun-3")));
    let (before, after) = disk().link("10.0.0.1:3260", "be2iscsi");
    assert_eq!((before, after), ("pci-", format!("-ip-10.0.0.1:3260-iscsi-{IQN}-lun-3")));
}

#[test]
fn the_commands_that_attach() {
    let disk = disk();
    let at = "10.0.0.1:3260";
    let expected = [
        "iscsiadm -m iface -I default -o show".to_owned(),
        format!("iscsiadm -m discoverydb -t sendtargets -p {at} -I default -o new"),
        format!("iscsiadm -m discoverydb -t sendtargets -p {at} -I default -o new --discover"),
        format!("iscsiadm -m discoverydb -t sendtargets -p {at} -I default -o delete"),
        format!("iscsiadm -m node -p {at} -T {IQN} -I default -o update -n node.session.scan -v manual"),
        format!("iscsiadm -m node -p {at} -T {IQN} -I default --login"),
        format!("iscsiadm -m node -p {at} -I default -T {IQN} -o delete"),
        format!("iscsiadm -m node -p {at} -T {IQN} -o update -n node.startup -v manual"),
    ];
    let commands = [
        disk.show_iface(),
        disk.begin_discovery(at),
        disk.discover(at),
        disk.forget_discovery(at),
        disk.scan_manually(at),
        disk.log_in(at),
        disk.forget_node(at),
        disk.start_manually(at),
    ];
    assert_eq!(lines(commands), expected);
    assert!(disk.authenticate_discovery(at).is_empty() && disk.authenticate_session(at).is_empty());
}

#[test]
fn chap_without_showing_it() {
    let secret = [
        ("discovery.sendtargets.auth.username", "d"),
        ("discovery.sendtargets.auth.password", "hunter1"),
        ("node.session.auth.password", "hunter2"),
        ("node.session.auth.username_in", ""),
        ("other", "x"),
    ];
    let secret = Credentials(secret.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
    let disk = Disk { chap_discovery: true, chap_session: true, secret, ..disk() };
    let at = "10.0.0.1:3260";
    let discovery = format!("iscsiadm -m discoverydb -t sendtargets -p {at} -I default -o update -n");
    assert_eq!(
        lines(disk.authenticate_discovery(at)),
        [
            format!("{discovery} discovery.sendtargets.auth.authmethod -v CHAP"),
            format!("{discovery} discovery.sendtargets.auth.username -v ***"),
            format!("{discovery} discovery.sendtargets.auth.password -v ***"),
        ]
    );
    let session = format!("iscsiadm -m node -p {at} -T {IQN} -I default -o update -n");
    let commands = disk.authenticate_session(at);
    assert_eq!(commands[1].exposed().last().unwrap(), "hunter2");
    assert_eq!(
        lines(commands),
        [
            format!("{session} node.session.auth.authmethod -v CHAP"),
            format!("{session} node.session.auth.password -v ***"),
        ]
    );
    assert!(!format!("{disk:?}").contains("hunter") && !disk.note().contains("hunter"));
}

const SHOWN: &str = "# BEGIN RECORD 2.1.8\niface.iscsi_ifacename = default\niface.net_ifacename = <empty>\n\
                     iface.transport_name = tcp\niface.initiatorname = <empty>\niface.mtu = 9000\n# END RECORD\n";

#[test]
fn an_interface_of_its_own() {
    let like = iface("default", SHOWN).unwrap();
    assert_eq!(like.transport, "tcp");
    let own = own();
    assert!(own.has_own_iface() && !disk().has_own_iface());
    let update = "iscsiadm -m iface -I 10.0.0.1:3260:pv-1 -o update -n";
    assert_eq!(own.make_iface().to_string(), "iscsiadm -m iface -I 10.0.0.1:3260:pv-1 -o new");
    assert_eq!(
        lines(own.set_iface(&like)),
        [
            format!("{update} iface.initiatorname -v iqn.1994-05.com.example:me"),
            format!("{update} iface.mtu -v 9000"),
            format!("{update} iface.transport_name -v tcp"),
        ]
    );
    let empty = iface("default", "iface.transport_name = <empty>\n").unwrap();
    assert_eq!(empty.transport, "tcp");
    assert_eq!(iface("x", "iface.mtu = 1\n"), Err(IscsiError::Transport("x".into())));
    assert!(matches!(iface("x", "iface.mtu 1\n"), Err(IscsiError::Setting(_))));
}

#[test]
fn the_commands_that_detach() {
    let logout = |iface: &str| {
        ["10.0.0.1:3260", "10.0.0.2:3260"].map(|at| {
            let node = format!("iscsiadm -m node -p {at} -T {IQN}");
            [format!("{node} --logout -I {iface}"), format!("{node} -o delete -I {iface}")]
        })
    };
    let log_out = |attached: &Attached| {
        let ends: Vec<_> = attached.portals.iter().map(|portal| lines(attached.log_out(portal))).collect();
        ends.concat()
    };
    let twice = Disk { portals: [disk().portals, disk().portals].concat(), ..disk() };
    let attached = Attached::by_note(twice.note().as_bytes()).unwrap();
    assert_eq!((attached.iqn.as_str(), attached.lun), (IQN, Some(3)));
    assert_eq!(attached.session(), format!("10.0.0.1:3260-{IQN}-lun-"));
    assert_eq!(attached.same_disk(), Some(format!("-{IQN}-lun-3")));
    let show = attached.show("10.0.0.1:3260").to_string();
    assert_eq!(show, format!("iscsiadm -m node -p 10.0.0.1:3260 -T {IQN} -o show -I default"));
    assert_eq!(log_out(&attached), logout("default").concat());
    assert_eq!(attached.delete_iface(), None);
    let attached = Attached::by_note(own().note().as_bytes()).unwrap();
    assert_eq!(log_out(&attached), logout("10.0.0.1:3260:pv-1").concat());
    let delete = attached.delete_iface().unwrap().to_string();
    assert_eq!(delete, "iscsiadm -m iface -I 10.0.0.1:3260:pv-1 -o delete");

    // Without a note the name of the directory says what it can.
    let attached = Attached::by_device(&disk().device(VolumeMode::Filesystem).unwrap()).unwrap();
    assert_eq!((attached.iqn.as_str(), attached.lun), (IQN, Some(3)));
    assert_eq!(log_out(&attached), logout("default")[0]);
    let naa = Disk { iqn: "naa.52004567BA64678D".into(), ..disk() };
    let attached = Attached::by_device(&naa.device(VolumeMode::Block).unwrap()).unwrap();
    assert_eq!((attached.iqn, attached.lun), (naa.iqn, Some(3)));
    for text in ["", "{", "{}", "{\"Portals\": [], \"Iqn\": \"x\"}"] {
        assert_eq!(Attached::by_note(text.as_bytes()), None, "{text}");
    }
    for (shown, expected) in [
        ("node.name = x\nnode.session.scan = auto\n", true),
        ("node.session.scan = manual\n", false),
        // An iscsiadm that does not know it.
        ("node.name = x\n", false),
        ("", false),
    ] {
        assert_eq!(is_of_others(shown), expected, "{shown}");
    }
    assert!(is_ended_already(Some(21)) && is_ended_already(Some(2)) && !is_ended_already(Some(8)));
}

proptest! {
    #[test]
    fn any_note_and_any_words_are_survived(text in "\\PC{0,80}", tail in "[-a-z0-9.:]{1,60}") {
        let _ = Attached::by_note(text.as_bytes());
        let _ = iface("default", &format!("iface.{text}\n{text}"));
        if let Some(device) = Device::iscsi("default", &tail, VolumeMode::Filesystem) {
            let _ = Attached::by_device(&device);
        }
    }
}
