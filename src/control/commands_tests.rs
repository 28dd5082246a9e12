//! Requests carried out on a fake director.

use super::*;
use crate::control::api::{DestinationRef, ServiceRef};
use crate::control::fake::{self, Fake};
use crate::model::Time;

fn answer(commands: &mut Commands<Fake>, request: Request) -> Response {
    match commands.handle(request) {
        Next::Last(response) => response,
        other => panic!("a short answer was expected, not {other:?}"),
    }
}

fn refusal(commands: &mut Commands<Fake>, request: Request) -> String {
    match answer(commands, request) {
        Response::Error { message } => message,
        other => panic!("a refusal was expected, not {other:?}"),
    }
}

fn web() -> ServiceRef {
    ServiceRef::Tcp("192.0.2.10:80".parse().unwrap())
}

fn spec(service: ServiceRef) -> ServiceSpec {
    ServiceSpec {
        service,
        scheduler: None,
        scheduler_flags: None,
        persistence_timeout_s: None,
        persistence_mask: None,
        persistence_engine: None,
        one_packet: None,
        strict: None,
        port: None,
        tcp_established_s: None,
        tcp_fin_wait_s: None,
        udp_s: None,
        drain_deadline_s: None,
        reset_on_idle_expiry: None,
        reschedule_udp: None,
    }
}

fn at(address: &str) -> DestinationSpec {
    let destination = DestinationRef { service: web(), address: address.parse().unwrap(), port: None };
    DestinationSpec {
        destination,
        forward: None,
        tunnel: None,
        tunnel_port: None,
        tunnel_checksum: None,
        weight: None,
        threshold_upper: None,
        threshold_lower: None,
    }
}

#[test]
fn every_change_is_published_once_and_a_refusal_is_not() {
    let mut commands = fake::commands();
    let weight = DestinationSpec { weight: Some(0), ..at("10.1.0.2") };
    answer(&mut commands, Request::DestinationEdit(weight));
    refusal(&mut commands, Request::DestinationEdit(DestinationSpec { weight: Some(0), ..at("10.1.0.9") }));
    assert_eq!(answer(&mut commands, Request::Reload), {
        let line = "destination 10.1.0.2:80 of TCP 192.0.2.10:80: weight 0 -> 1".to_owned();
        Response::Done { changes: vec![line] }
    });
    assert_eq!(answer(&mut commands, Request::Reload), Response::Done { changes: vec![] });
    assert_eq!(commands.runtime.published, [2, 3]);
}

#[test]
fn an_edit_leaves_what_it_does_not_name() {
    let mut commands = fake::commands();
    answer(&mut commands, Request::DestinationEdit(DestinationSpec { weight: Some(7), ..at("10.1.0.2") }));
    let destination = commands.state.service(&web().into()).unwrap().destinations[1];
    assert_eq!((destination.weight, destination.threshold_upper, destination.threshold_lower), (7, 40, 30));
    assert_eq!(destination.forward, Forward::Dr);
    let flags = Some(vec!["sh-port".to_owned()]);
    let sh = ServiceSpec { scheduler: Some("sh".to_owned()), scheduler_flags: flags, ..spec(web()) };
    answer(&mut commands, Request::ServiceEdit(sh));
    answer(&mut commands, Request::ServiceEdit(ServiceSpec { port: Some("server".to_owned()), ..spec(web()) }));
    let service = commands.state.service(&web().into()).unwrap();
    assert_eq!((service.scheduler.name(), service.options.port, service.port), ("sh", true, Some(1)));
}

#[test]
fn a_service_is_strict_until_told_otherwise() {
    let mut commands = fake::commands();
    let is_strict = |commands: &Commands<Fake>| commands.state.service(&web().into()).unwrap().strict;
    assert!(!is_strict(&commands), "as the file says nothing of it");
    answer(&mut commands, Request::ServiceEdit(ServiceSpec { strict: Some(true), ..spec(web()) }));
    answer(&mut commands, Request::ServiceEdit(ServiceSpec { scheduler: Some("rr".to_owned()), ..spec(web()) }));
    assert!(is_strict(&commands), "an edit of something else leaves it");
    let change = "service TCP 192.0.2.10:80: strict true -> false";
    let Response::Done { changes } = answer(&mut commands, Request::Reload) else { panic!("it is reloaded") };
    assert!(changes.iter().any(|line| line == change), "{changes:?}");
    assert!(!is_strict(&commands));
}

#[test]
fn a_bad_reload_says_where_and_changes_nothing() {
    let mut commands = fake::commands();
    commands.runtime.file = fake::CONFIG.replace("weight = 3", "weight = -3");
    let message = refusal(&mut commands, Request::Reload);
    assert!(message.starts_with("pollux.toml:"), "{message}");
    commands.runtime.file = fake::CONFIG.replace("net_null1", "net_null2");
    let message = refusal(&mut commands, Request::Reload);
    assert!(message.ends_with("restart needed; nothing was changed"), "{message}");
    assert!(commands.runtime.published.is_empty());
}

#[test]
fn commands_get_the_refusals_of_the_file() {
    let mut commands = fake::commands();
    let mut refuse = |request| refusal(&mut commands, request);
    let address = |address: &str| ServiceRef::Tcp(address.parse().unwrap());
    let rrr = ServiceSpec { scheduler: Some("rrr".to_owned()), ..spec(address("192.0.2.11:80")) };
    assert!(refuse(Request::ServiceAdd(rrr)).starts_with("Scheduler not found: rrr; there are: rr, wrr"));
    let port = ServiceSpec { port: Some("lan".to_owned()), ..spec(address("192.0.2.11:80")) };
    let expected = "no [[port]] is named \"lan\"; there are: client, server";
    assert_eq!(refuse(Request::ServiceAdd(port)), expected);
    let masked = ServiceSpec { persistence_mask: Some("255.255.255.0".to_owned()), ..spec(web()) };
    assert!(refuse(Request::ServiceEdit(masked)).contains("needs a persistence timeout"));
    assert!(
        refuse(Request::ServiceAdd(spec(address("192.0.2.11:0"))))
            .contains("zero port specified for non-persistent service")
    );
    assert!(refuse(Request::ServiceAdd(spec(address("10.1.0.1:80")))).contains("is a destination"));
    assert!(refuse(Request::DestinationAdd(at("192.0.2.10"))).contains("is a virtual address"));
    assert!(refuse(Request::DestinationAdd(at("10.0.0.254"))).contains("is the address of port \"server\""));
    assert!(refuse(Request::DestinationAdd(at("2001:db8::1"))).contains("is of another address family"));
    let mapped = DestinationSpec { forward: Some(ForwardWord::Nat), ..at("10.1.0.2") };
    let to_tun = DestinationRef { port: Some(8080), ..at("10.1.0.1").destination };
    let to_tun = DestinationSpec { destination: to_tun, forward: Some(ForwardWord::Tun), ..mapped };
    assert!(refuse(Request::DestinationEdit(to_tun)).contains("\"tun\" leaves the packet as it is"));
    assert!(commands.runtime.published.is_empty());
}

#[test]
fn a_mask_alone_changes_the_mask_of_the_persistence_there_is() {
    let mask = |length: u8| ClientMask::V4(std::net::Ipv4Addr::from_bits(u32::MAX << (32 - length)));
    let old = Some(Persistence { timeout_s: 60, mask: mask(32), engine: None });
    let edit = |timeout_s, length: Option<u8>, old| {
        let persistence_mask = length.map(|length| length.to_string());
        let spec = ServiceSpec { persistence_timeout_s: timeout_s, persistence_mask, ..spec(web()) };
        persistence_edit(&spec, old)
    };
    let persistence = |timeout_s, length| Ok(Some(Some(Persistence { timeout_s, mask: mask(length), engine: None })));
    assert_eq!(edit(None, Some(24), old), persistence(60, 24));
    assert_eq!(edit(Some(5), None, None), persistence(5, 32));
    assert_eq!(
        edit(Some(5), None, Some(Persistence { timeout_s: 60, mask: mask(24), engine: None })),
        persistence(5, 24)
    );
    assert_eq!(edit(Some(0), None, old), Ok(Some(None)));
    assert_eq!(edit(None, None, old), Ok(None));
    assert!(edit(None, Some(24), None).is_err());
}

#[test]
fn an_engine_needs_persistence_and_stays_until_it_is_taken_back() {
    let engine = |name: &str| ServiceSpec { persistence_engine: Some(name.to_owned()), ..spec(web()) };
    let mut commands = fake::commands();
    assert!(refusal(&mut commands, Request::ServiceEdit(engine("sip"))).contains("needs a persistence timeout"));
    let unknown = refusal(&mut commands, Request::ServiceEdit(engine("h323")));
    assert_eq!(unknown, "no persistence engine \"h323\"; there is: sip");
    let has = |commands: &Commands<Fake>| commands.state.service(&web().into()).unwrap().persistence.map(|p| p.engine);
    let timed = ServiceSpec { persistence_timeout_s: Some(60), ..engine("sip") };
    for (request, expected) in [
        (timed, Some(Some(PersistenceEngine::Sip))),
        (ServiceSpec { persistence_timeout_s: Some(30), ..spec(web()) }, Some(Some(PersistenceEngine::Sip))),
        (engine(""), Some(None)),
        (ServiceSpec { persistence_timeout_s: Some(0), ..spec(web()) }, None),
    ] {
        answer(&mut commands, Request::ServiceEdit(request));
        assert_eq!(has(&commands), expected);
    }
}

#[test]
fn departures_change_one_by_one() {
    let mut commands = fake::commands();
    let mut edit = |request: ServiceSpec| {
        answer(&mut commands, Request::ServiceEdit(request));
        commands.state.service(&web().into()).unwrap().departures
    };
    let first = ServiceSpec { tcp_established_s: Some(7200), reset_on_idle_expiry: Some(true), ..spec(web()) };
    let timeouts = OwnTimeouts { tcp_established_s: 7200, ..OwnTimeouts::default() };
    let expected = Departures { timeouts, reset_on_idle_expiry: true, ..Departures::default() };
    assert_eq!(edit(first), expected);
    let second = ServiceSpec {
        tcp_fin_wait_s: Some(9),
        udp_s: Some(8),
        drain_deadline_s: Some(600),
        reset_on_idle_expiry: Some(false),
        reschedule_udp: Some(true),
        ..spec(web())
    };
    let timeouts = OwnTimeouts { tcp_established_s: 7200, tcp_fin_wait_s: 9, udp_s: 8 };
    let expected = Departures { timeouts, drain_deadline_s: 600, reset_on_idle_expiry: false, reschedule_udp: true };
    assert_eq!(edit(second), expected);
    assert_eq!(edit(ServiceSpec { scheduler: Some("wrr".to_owned()), ..spec(web()) }), expected, "the rest stays");
    let forever = ServiceSpec { drain_deadline_s: Some(u32::MAX), ..spec(web()) };
    assert!(refusal(&mut commands, Request::ServiceEdit(forever)).contains("at most 31 days"));
}

#[test]
fn a_tunnel_is_edited_word_by_word() {
    let mut commands = fake::commands();
    let has = |commands: &Commands<Fake>| commands.state.service(&web().into()).unwrap().destinations[1].forward;
    let tun = DestinationSpec { forward: Some(ForwardWord::Tun), ..at("10.1.0.2") };
    for (request, kind, port, checksum) in [
        (tun, TunnelKind::Ipip, 0, TunnelChecksum::None),
        (
            DestinationSpec { tunnel: Some(TunnelWord::Gue), tunnel_port: Some(6080), ..at("10.1.0.2") },
            TunnelKind::Gue,
            6080,
            TunnelChecksum::None,
        ),
        (
            DestinationSpec { tunnel_checksum: Some(ChecksumWord::Remote), ..at("10.1.0.2") },
            TunnelKind::Gue,
            6080,
            TunnelChecksum::Remote,
        ),
        (tun, TunnelKind::Gue, 6080, TunnelChecksum::Remote),
        (DestinationSpec { tunnel: Some(TunnelWord::Gre), ..at("10.1.0.2") }, TunnelKind::Gre, 0, TunnelChecksum::None),
    ] {
        answer(&mut commands, Request::DestinationEdit(request));
        assert_eq!(has(&commands), Forward::Tun(Tunnel { kind, port, checksum }));
    }
    let port = DestinationSpec { tunnel_port: Some(6080), ..at("10.1.0.2") };
    assert!(refusal(&mut commands, Request::DestinationEdit(port)).contains("only tunnel = \"gue\" has a port"));
    let gue = DestinationSpec { tunnel: Some(TunnelWord::Gue), ..at("10.1.0.2") };
    assert!(refusal(&mut commands, Request::DestinationEdit(gue)).contains("needs the port it goes to"));
    let other = DestinationSpec { forward: Some(ForwardWord::Dr), tunnel: Some(TunnelWord::Gre), ..at("10.1.0.2") };
    assert_eq!(
        refusal(&mut commands, Request::DestinationEdit(other)),
        "\"dr\" has no tunnel; use --forward tun with it"
    );
}

#[test]
fn the_trash_is_collected_and_published() {
    let mut commands = fake::commands();
    answer(&mut commands, Request::DestinationDelete(at("10.1.0.2").destination));
    commands.runtime.now = Time::from_s(119);
    commands.collect(&|_| 0);
    assert_eq!(commands.runtime.published, [2]);
    commands.runtime.now = Time::from_s(120);
    commands.collect(&|_| 0);
    assert_eq!(commands.runtime.published, [2, 3]);
}

#[test]
fn many_services_come_in_pages_that_lose_none() {
    let mut commands = fake::commands();
    for i in 0..3000_u32 {
        let address = SocketAddr::from(([198, 18, (i / 256) as u8, (i % 256) as u8], 80));
        answer(&mut commands, Request::ServiceAdd(spec(ServiceRef::Tcp(address))));
    }
    let (mut pages, mut services) = (0, 0);
    let mut next = commands.handle(Request::Show(Topic::Services));
    loop {
        pages += 1;
        let (response, listing) = match next {
            Next::Page(response, listing) => (response, Some(listing)),
            Next::Last(response) => (response, None),
            Next::Later(_) => panic!("services are known at once"),
        };
        let Response::Services { rows, more, .. } = response else { panic!("{response:?}") };
        assert!(rows.len() <= PAGE_ROWS);
        assert_eq!(more, listing.is_some());
        services += rows.len();
        let Some(listing) = listing else { break };
        let Poll::Ready(following) = commands.next_page(&listing) else { panic!("services are known at once") };
        next = following;
    }
    assert_eq!((services, pages), (3001, 4));
}

fn ipvsadm(commands: &mut Commands<Fake>, line: &str) -> (u8, String) {
    let arguments = line.split_whitespace().map(str::to_owned).collect();
    match answer(commands, Request::Ipvsadm { arguments }) {
        Response::Ipvsadm { code, message } => (code, message),
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn ipvsadms_edit_names_everything() {
    let mut commands = fake::commands();
    assert_eq!(ipvsadm(&mut commands, "-e -t 192.0.2.10:80 -r 10.1.0.2 -x 7"), (0, String::new()));
    assert_eq!(ipvsadm(&mut commands, "-E -t 192.0.2.10:80"), (0, String::new()));
    assert_eq!(commands.runtime.published, [2, 3]);
    let service = commands.state.service(&web().into()).unwrap();
    assert_eq!(service.scheduler.name(), "wlc", "no longer rr");
    let edited = &service.destinations[1];
    assert_eq!((edited.threshold_upper, edited.threshold_lower, edited.weight), (7, 0, 1));
}

#[test]
fn ipvsadm_is_refused_what_the_kernel_refuses_and_what_the_director_cannot_do_yet() {
    let mut commands = fake::commands();
    for (line, code, message) in [
        ("-A -t 192.0.2.10:80", 255, "Service already exists"),
        ("-a -t 192.0.2.10:81 -r 10.1.0.3 -m", 255, "Service not defined"),
        ("-a -t 192.0.2.10:80 -r 10.1.0.3 -m -x 3 -y 9", 255, "Numerical result out of range"),
        (
            "-a -t 192.0.2.10:80 -r 10.1.0.3 -i --tun-type gue",
            2,
            "You need to supply the 'tun-port' option for the 'gue' tunnel type",
        ),
        ("--start-daemon master --mcast-interface client", 255, "connection synchronisation is not supported yet"),
        ("--stop-daemon master", 255, "No daemon is running"),
    ] {
        assert_eq!(ipvsadm(&mut commands, line), (code, message.to_owned()), "{line}");
    }
    assert!(commands.runtime.published.is_empty(), "nothing was changed");
}

#[test]
fn counters_set_to_zero_count_from_there() {
    let mut commands = fake::commands();
    let connections = |commands: &mut Commands<Fake>| match answer(commands, Request::Show(Topic::Services)) {
        Response::Services { rows, .. } => rows[0].destinations[0].counts.connections,
        other => panic!("{other:?}"),
    };
    assert_ne!(connections(&mut commands), 0);
    assert_eq!(ipvsadm(&mut commands, "-Z -t 192.0.2.10:80"), (0, String::new()));
    assert_eq!(connections(&mut commands), 0);
}

#[test]
fn what_is_counted_before_a_start_or_a_change_has_ended_is_shown() {
    let mut commands = fake::commands();
    assert_eq!(ipvsadm(&mut commands, "-a -t 192.0.2.10:80 -r 10.1.0.3 -g"), (0, String::new()));
    let Response::Services { rows, .. } = answer(&mut commands, Request::Show(Topic::Services)) else { panic!() };
    let mut packets: Vec<_> = rows[0].destinations.iter().map(|d| d.counts.in_packets).collect();
    packets.sort_unstable();
    assert_eq!(packets, [10, 17, 17]);
}

#[test]
fn a_change_is_answered_when_all_workers_go_by_it() {
    let mut commands = fake::commands();
    commands.runtime.late.set(2);
    let Next::Later(answer) =
        commands.handle(Request::DestinationEdit(DestinationSpec { weight: Some(7), ..at("10.1.0.2") }))
    else {
        panic!("the workers are late")
    };
    assert!(commands.next_page(&answer).is_pending());
    let Poll::Ready(Next::Last(Response::Done { changes })) = commands.next_page(&answer) else {
        panic!("they have it now")
    };
    assert_eq!(changes, ["destination 10.1.0.2:80 of TCP 192.0.2.10:80 edited"]);
    commands.runtime.late.set(1);
    refusal(&mut commands, Request::DestinationEdit(DestinationSpec { weight: Some(7), ..at("10.1.0.9") }));
}
