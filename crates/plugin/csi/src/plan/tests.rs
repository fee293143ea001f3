use super::*;

mod model;

fn target(pod: &str) -> Target {
    Target { pod: PodUid::from(pod), mode: VolumeMode::Filesystem, spec_name: "pv".into() }
}

fn desired(wishes: &[(&str, Wish)]) -> Desired {
    let wishes = wishes.iter().map(|(pod, wish)| (target(pod), *wish)).collect();
    Desired { wishes, keep_staged: false }
}

fn actual(staged: Place, published: &[(&str, Place)]) -> Actual {
    let published = published.iter().map(|(pod, place)| (target(pod), *place)).collect();
    Actual { staged, published }
}

#[test]
fn what_comes_next() {
    use Place::{Nothing, Prepared, Ready, Remains, Stray, Uncertain};
    use Wish::{Leaving, Wanted};
    type Row = (
        &'static str,
        &'static [(&'static str, Wish)],
        Place,
        &'static [(&'static str, Place)],
        Option<Step>,
    );
    let a = || target("a");
    let table: [Row; 23] = [
        ("nothing wanted, nothing there", &[], Nothing, &[], None),
        ("a new volume", &[("a", Wanted)], Nothing, &[], Some(Step::PrepareTarget(a()))),
        ("noted", &[("a", Wanted)], Nothing, &[("a", Prepared)], Some(Step::PrepareStaging)),
        ("prepared to be staged", &[("a", Wanted)], Prepared, &[("a", Prepared)], Some(Step::Stage)),
        ("a stage cut short", &[("a", Wanted)], Uncertain, &[("a", Prepared)], Some(Step::Stage)),
        ("a mount nobody noted", &[("a", Wanted)], Stray, &[("a", Prepared)], Some(Step::PrepareStaging)),
        ("staged already", &[("a", Wanted)], Ready, &[], Some(Step::PrepareTarget(a()))),
        (
            "failed for good before",
            &[("a", Wanted)],
            Ready,
            &[("a", Remains)],
            Some(Step::PrepareTarget(a())),
        ),
        ("prepared", &[("a", Wanted)], Ready, &[("a", Prepared)], Some(Step::Publish(a()))),
        (
            "a publish that was cut short",
            &[("a", Wanted)],
            Ready,
            &[("a", Uncertain)],
            Some(Step::Publish(a())),
        ),
        ("there", &[("a", Wanted)], Ready, &[("a", Ready)], None),
        ("there since before a restart", &[("a", Wanted)], Uncertain, &[("a", Ready)], None),
        (
            "not confirmed after a restart",
            &[("a", Wanted)],
            Uncertain,
            &[("a", Uncertain)],
            Some(Step::Stage),
        ),
        ("a second pod", &[("b", Wanted)], Ready, &[("a", Ready)], Some(Step::PrepareTarget(target("b")))),
        ("a pod leaves", &[("a", Leaving)], Ready, &[("a", Ready)], Some(Step::Unpublish(a()))),
        ("a pod leaves half way", &[("a", Leaving)], Ready, &[("a", Uncertain)], Some(Step::Unpublish(a()))),
        ("never asked for", &[("a", Leaving)], Ready, &[("a", Prepared)], Some(Step::ForgetTarget(a()))),
        ("unpublished", &[("a", Leaving)], Ready, &[("a", Remains)], Some(Step::ForgetTarget(a()))),
        ("the last one left", &[("a", Leaving)], Ready, &[("a", Nothing)], Some(Step::Unstage)),
        ("one of two left", &[("a", Leaving)], Ready, &[("a", Nothing), ("b", Uncertain)], None),
        ("another one comes", &[("a", Leaving), ("b", Wanted)], Ready, &[("b", Ready)], None),
        ("unstaged", &[], Remains, &[], Some(Step::ForgetStaging)),
        ("staged for nobody", &[], Uncertain, &[], Some(Step::Unstage)),
    ];
    for (name, wishes, staged, published, expected) in table {
        assert_eq!(next(&desired(wishes), &actual(staged, published), true), expected, "{name}");
    }
}

#[test]
fn of_pods_of_whom_nothing_is_known_nothing_is_touched() {
    for place in [Place::Remains, Place::Stray, Place::Uncertain, Place::Ready] {
        assert_eq!(next(&desired(&[]), &actual(Place::Ready, &[("a", place)]), true), None, "{place:?}");
    }
}

#[test]
fn staged_is_kept_for_who_may_still_come() {
    let keep = Desired { keep_staged: true, ..desired(&[("a", Wish::Leaving)]) };
    assert_eq!(next(&keep, &actual(Place::Ready, &[]), true), None);
}

#[test]
fn a_driver_that_does_not_stage() {
    let wanted = desired(&[("a", Wish::Wanted)]);
    let prepare = Some(Step::PrepareTarget(target("a")));
    assert_eq!(next(&wanted, &actual(Place::Nothing, &[]), false), prepare);
    let forget = Some(Step::ForgetStaging);
    assert_eq!(next(&desired(&[]), &actual(Place::Uncertain, &[]), false), forget);
}
