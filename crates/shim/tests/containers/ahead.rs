//! Shims that are there before their containers are known.

use crate::Test;
use crate::fixture::*;
use dhow_runtime::Kind;
use dhow_shim::handle::{Error, Prepared, Spawner};
use dhow_shim::head::Head;
use dhow_sys::process::{pidfd_open, pidfd_signal};
use oci_spec::runtime::LinuxNamespaceType;
use serde_json::json;
use std::time::{Duration, Instant};

pub(crate) const TESTS: &[Test] = &[
    ("ahead::a_container_in_one", a_container_in_one),
    ("ahead::what_comes_before_the_program", what_comes_before_the_program),
    ("ahead::descriptors_that_do_not_fit", descriptors_that_do_not_fit),
    ("ahead::a_failure_leaves_nothing", a_failure_leaves_nothing),
    ("ahead::a_network_with_settings", a_network_with_settings),
    ("ahead::one_that_nobody_wants_ends", one_that_nobody_wants_ends),
    ("ahead::one_that_stands_by", one_that_stands_by),
    ("ahead::one_that_has_died_is_replaced", one_that_has_died_is_replaced),
    ("ahead::a_user_namespace_owns_its_network", a_user_namespace_owns_its_network),
    ("ahead::a_root_that_cannot_be_mounted", a_root_that_cannot_be_mounted),
    ("ahead::a_root_of_many_layers", a_root_of_many_layers),
    ("ahead::its_memory_is_given_back", its_memory_is_given_back),
];

/// The spawner's children, once there are that many.
fn children(spawner: &Spawner, count: usize) -> Vec<i32> {
    let pid = spawner.pid().unwrap();
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        let found: Vec<i32> = text.split_whitespace().map(|pid| pid.parse().unwrap()).collect();
        if found.len() == count {
            return found;
        }
        assert!(Instant::now() < end, "{found:?} are not {count}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

async fn prepare(spawner: &Spawner) -> (Prepared, i32) {
    let prepared = spawner.prepare().await.unwrap();
    (prepared, children(spawner, 1)[0])
}

fn a_container_in_one() {
    block_on(async {
        let spawner = Spawner::start().await.unwrap();
        let (prepared, pid) = prepare(&spawner).await;
        let place = Place::new();
        let script = "cat /sys/class/net/lo/flags; ls /sys/class/net; stat -L -c %i /proc/self/ns/net; exit 3";
        let mut running = spawner.spawn_with(Some(prepared), place.script(script), Vec::new()).await.unwrap();
        assert_eq!(running.shim.pid(), pid);
        assert_eq!(exit_and_release(&place, &mut running).await, 3);
        // Its root came from the daemon, and the shim did not only wait for its program.
        for phase in ["root", "create.rest"] {
            assert!(running.timings.iter().any(|(name, _)| name == phase), "{phase}: {:?}", running.timings);
        }
        let own = std::os::unix::fs::MetadataExt::ino(&std::fs::metadata("/proc/self/ns/net").unwrap());
        let logged = place.logged();
        let [flags, link, number] = logged.lines().collect::<Vec<_>>()[..] else { panic!("{logged}") };
        assert_eq!((flags, link), ("0x9", "lo"));
        assert_ne!(number, own.to_string());
        children(&spawner, 0);
    });
}

/// What a client is told first comes before the program's output, once: from the shim, or, where nothing runs, from whoever asked.
fn what_comes_before_the_program() {
    block_on(async {
        let spawner = Spawner::start().await.unwrap();
        for (ahead, joins_host, program, expect) in [
            (true, false, "echo", "head out\n"),
            (true, true, "echo", "head out\n"),
            (false, false, "echo", "head out\n"),
            (true, false, "nosuch", "head "),
            (false, false, "nosuch", "head "),
        ] {
            let what = format!("{program}, ahead: {ahead}, host's network: {joins_host}");
            let prepared = if ahead { Some(prepare(&spawner).await.0) } else { None };
            let place = Place::new();
            let mut config = place.config(&[&format!("/bin/{program}"), "out"]);
            if joins_host {
                let namespaces = config.spec.linux_mut().as_mut().unwrap().namespaces_mut().as_mut().unwrap();
                namespaces.retain(|namespace| namespace.typ() != LinuxNamespaceType::Network);
            }
            config.attach = vec![everything(), everything()];
            config.head = Some(1);
            let (mut other, first) = client();
            let (mut theirs, ours) = client();
            let head = Head::new(b"head ").unwrap();
            let fallback = ours.try_clone().unwrap();
            let came = spawner.spawn_with(prepared, config, vec![first, ours, head.share().unwrap()]).await;
            match came {
                Ok(mut running) => assert_eq!(exit_and_release(&place, &mut running).await, 0, "{what}"),
                Err(error) => assert!(program == "nosuch" && matches!(error, Error::Refused(_)), "{what}: {error:?}"),
            }
            head.give(&fallback).unwrap();
            drop(fallback);
            assert_eq!(rest(&mut theirs), expect, "{what}");
            assert_eq!(rest(&mut other), expect.trim_start_matches("head "), "{what}");
        }
        children(&spawner, 0);
    });
}

/// A message that does not say what its descriptors are is refused as a whole.
fn descriptors_that_do_not_fit() {
    block_on(async {
        let spawner = Spawner::start().await.unwrap();
        for (head, pipes) in [(Some(1), 1), (Some(0), 0), (None, 1)] {
            let place = Place::new();
            let mut config = place.config(&["/bin/true"]);
            config.attach = vec![everything()];
            config.head = head;
            let (mut theirs, ours) = client();
            let pipes = (0..pipes).map(|_| Head::new(b"head").unwrap().share().unwrap());
            let error = spawner.spawn(config, std::iter::once(ours).chain(pipes).collect()).await.unwrap_err();
            let Error::Refused(failure) = error else { panic!("{error:?}") };
            assert!(failure.message.contains("descriptors for 1 clients"), "{failure:?}");
            assert_eq!(rest(&mut theirs), "");
            assert!(!place.dir().exists());
        }
    });
}

fn a_failure_leaves_nothing() {
    block_on(async {
        let spawner = Spawner::start().await.unwrap();
        let (prepared, _) = prepare(&spawner).await;
        let place = Place::new();
        let mut config = place.config(&["/bin/nosuch"]);
        let pin = place.path().join("netns/x");
        config.pin_netns = Some(pin.clone());
        let error = spawner.spawn_with(Some(prepared), config, Vec::new()).await.unwrap_err();
        let Error::Refused(failure) = error else { panic!("{error:?}") };
        assert_eq!(failure.kind, Kind::NotFound, "{failure:?}");
        assert!(!place.dir().exists());
        // It was made before the program was looked for.
        assert!(pin.parent().unwrap().is_dir() && !pin.exists());
        children(&spawner, 0);
    });
}

/// Settings of the network are written before the loopback is switched on, which has to be all the same.
fn a_network_with_settings() {
    block_on(async {
        let spawner = Spawner::start().await.unwrap();
        let (prepared, _) = prepare(&spawner).await;
        let place = Place::new();
        let mut config = place.script("cat /sys/class/net/lo/flags /proc/sys/net/core/somaxconn");
        config.spec.linux_mut().as_mut().unwrap().set_sysctl(Some([("net.core.somaxconn".to_owned(), "77".to_owned())].into()));
        let mut running = spawner.spawn_with(Some(prepared), config, Vec::new()).await.unwrap();
        assert_eq!(exit_and_release(&place, &mut running).await, 0);
        assert_eq!(place.logged(), "0x9\n77\n");
    });
}

/// The daemon mounts its root; where it cannot, the shim tells why, as it does without.
fn a_root_that_cannot_be_mounted() {
    block_on(async {
        let spawner = Spawner::start().await.unwrap();
        let mut told = Vec::new();
        for ahead in [true, false] {
            let prepared = if ahead { Some(prepare(&spawner).await.0) } else { None };
            let place = Place::new();
            let mut config = place.config(&["/bin/true"]);
            config.root.upper = Some("/nosuch/upper".into());
            let error = spawner.spawn_with(prepared, config, Vec::new()).await.unwrap_err();
            let Error::Refused(failure) = error else { panic!("{error:?}") };
            told.push((failure.step, failure.object, failure.errno));
            assert!(!place.dir().exists());
        }
        assert_eq!(told[0], told[1]);
        children(&spawner, 0);
    });
}

/// More than fit into a message: the shim mounts it, and nobody has before, since a volatile overlay can be mounted only once.
fn a_root_of_many_layers() {
    block_on(async {
        let spawner = Spawner::start().await.unwrap();
        let (prepared, _) = prepare(&spawner).await;
        let place = Place::new();
        let mut config = place.config(&["/bin/true"]);
        let layers = (0..dhow_sys::fdpass::MAX_FDS).map(|n| place.path().join(n.to_string()));
        config.root.lower.extend(layers.map(|dir| {
            std::fs::create_dir(&dir).unwrap();
            dir.into()
        }));
        let mut running = spawner.spawn_with(Some(prepared), config, Vec::new()).await.unwrap();
        assert!(running.timings.iter().all(|(name, _)| name != "root"), "{:?}", running.timings);
        assert_eq!(exit_and_release(&place, &mut running).await, 0);
        children(&spawner, 0);
    });
}

fn one_that_nobody_wants_ends() {
    block_on(async {
        let spawner = Spawner::start().await.unwrap();
        drop(spawner.prepare().await.unwrap());
        children(&spawner, 0);
        let all = [spawner.prepare().await.unwrap(), spawner.prepare().await.unwrap(), spawner.prepare().await.unwrap()];
        children(&spawner, 3);
        drop(all);
        children(&spawner, 0);
        // With the daemon they all go, and then the spawner.
        let (_prepared, pid) = prepare(&spawner).await;
        let pidfd = pidfd_open(pid).unwrap();
        drop((_prepared, spawner));
        rustix::event::poll(&mut [rustix::event::PollFd::new(&pidfd, rustix::event::PollFlags::IN)], None).unwrap();
    });
}

/// It has no network namespace before a container is expected, and is a container's shim then. Nobody's, it ends; one that has ended is told of.
fn one_that_stands_by() {
    block_on(async {
        let spawner = Spawner::start().await.unwrap();
        let spare = spawner.spare().await.unwrap();
        let pid = children(&spawner, 1)[0];
        // A namespace that was made is a descriptor of it.
        let namespaces = || {
            let all = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().filter_map(|fd| std::fs::read_link(fd.unwrap().path()).ok());
            let mut all: Vec<_> = all.filter(|link| link.to_string_lossy().starts_with("net:[")).collect();
            all.sort();
            all
        };
        let host = std::fs::read_link("/proc/self/ns/net").unwrap();
        // It may be on its way still, and then it has what the spawner has.
        assert_eq!(namespaces(), std::slice::from_ref(&host));
        let prepared = spare.expect_container().unwrap();
        let end = Instant::now() + Duration::from_secs(10);
        while namespaces().is_empty() || namespaces().contains(&host) {
            assert!(Instant::now() < end, "no namespace was made");
            std::thread::sleep(Duration::from_millis(5));
        }
        let place = Place::new();
        let mut running = spawner.spawn_with(Some(prepared), place.script("cat /sys/class/net/lo/flags"), Vec::new()).await.unwrap();
        assert_eq!(running.shim.pid(), pid);
        assert_eq!(exit_and_release(&place, &mut running).await, 0);
        assert_eq!(place.logged(), "0x9\n");

        drop(spawner.spare().await.unwrap());
        children(&spawner, 0);
        let spare = spawner.spare().await.unwrap();
        pidfd_signal(pidfd_open(children(&spawner, 1)[0]).unwrap(), 9).unwrap();
        children(&spawner, 0);
        assert!(matches!(spare.expect_container(), Err(Error::Spawner(_))));
    });
}

fn one_that_has_died_is_replaced() {
    block_on(async {
        let spawner = Spawner::start().await.unwrap();
        let (prepared, pid) = prepare(&spawner).await;
        pidfd_signal(pidfd_open(pid).unwrap(), 9).unwrap();
        children(&spawner, 0);
        let place = Place::new();
        let mut running = spawner.spawn_with(Some(prepared), place.script("exit 5"), Vec::new()).await.unwrap();
        assert_ne!(running.shim.pid(), pid);
        assert_eq!(exit_and_release(&place, &mut running).await, 5);
    });
}

fn a_user_namespace_owns_its_network() {
    block_on(async {
        let spawner = Spawner::start().await.unwrap();
        let (prepared, _) = prepare(&spawner).await;
        let place = Place::new();
        // Only who owns the namespace may set a link up.
        let mut config = place.script("ip link set lo down && exit 6");
        let mut spec = serde_json::to_value(&config.spec).unwrap();
        let linux = &mut spec["linux"];
        linux["namespaces"].as_array_mut().unwrap().push(json!({"type": "user"}));
        let ids = json!([{"containerID": 0, "hostID": 200_000, "size": 65536}]);
        (linux["uidMappings"], linux["gidMappings"]) = (ids.clone(), ids);
        spec["process"]["capabilities"] =
            json!({"bounding": ["CAP_NET_ADMIN"], "effective": ["CAP_NET_ADMIN"], "permitted": ["CAP_NET_ADMIN"]});
        config.spec = serde_json::from_value(spec).unwrap();
        let mut running = spawner.spawn_with(Some(prepared), config, Vec::new()).await.unwrap();
        assert_eq!(exit_and_release(&place, &mut running).await, 6, "{}", place.logged());
    });
}

fn its_memory_is_given_back() {
    block_on(async {
        let spawner = Spawner::start().await.unwrap();
        let mut both = Vec::new();
        for ahead in [false, true] {
            let prepared = if ahead { Some(spawner.prepare().await.unwrap()) } else { None };
            let place = Place::new();
            let running = spawner.spawn_with(prepared, place.script("sleep 100"), Vec::new()).await.unwrap();
            both.push((place, running));
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        let [plain, ahead] = [0, 1].map(|at: usize| memory(both[at].1.shim.pid(), "Private_Dirty:"));
        println!("memory of its own: {plain} kB, prepared {ahead} kB");
        assert!(ahead <= plain + 60, "{plain} kB, prepared {ahead} kB");
        for (place, running) in &mut both {
            running.shim.kill(9, false).await.unwrap();
            assert_eq!(exit_and_release(place, running).await, 137);
        }
    });
}
