//! The documented examples under `config/` are configurations that Pollux takes.

use pollux::control::config::Config;

fn example(name: &str) -> Config {
    let path = format!("{}/config/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    Config::load(path).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn every_example_is_valid_and_forwards_by_the_method_it_is_named_after() {
    for name in ["nat", "dr", "tun"] {
        let services = example(name).services;
        let destinations: Vec<_> = services.iter().flat_map(|service| &service.destinations).collect();
        assert_eq!(destinations.len(), 6, "{name}: three real servers for each of two services");
        assert!(destinations.iter().all(|destination| destination.forward.word() == name), "{name}");
    }
}

#[test]
fn the_example_of_marks_has_rules_and_services_of_every_kind() {
    let config = example("marks");
    assert_eq!((config.marks.len(), config.services.len()), (3, 3));
    assert!(config.settings.cache_bypass);
    assert_eq!(config.services[2].departures.drain_deadline_s, 600);
}
