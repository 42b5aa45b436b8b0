//! Concurrent look-ups, and senders with many of them: which wait, which are refused, and that other senders are not affected.

use super::*;
use crate::base::clock;

/// Looks up one document from each of these addresses while the server answers once.
fn found_by_all(web: &Web, peers: &[[u8; 4]], bytes: &[u8]) -> Vec<bool> {
    thread::scope(|scope| {
        let finders: Vec<_> =
            peers.iter().map(|peer| scope.spawn(|| web.look_from(URL, *peer).is_some())).collect();
        let (_, mut socket) = web.request();
        while web.documents.flights.lookups() < peers.len() {
            thread::yield_now();
        }
        send(&mut socket, bytes);
        finders.into_iter().map(|finder| finder.join().unwrap()).collect()
    })
}

/// I3: ten people with one client at the first login of the day, in one office or in ten, cause one fetch and share its outcome.
#[test]
fn one_url_is_fetched_once_at_a_time() {
    let office = [[192, 0, 2, 1]; 10];
    let homes: [[u8; 4]; 10] = std::array::from_fn(|number| [192, 0, 2, u8::try_from(number).unwrap()]);
    for peers in [office, homes] {
        for (bytes, expected) in [(document(URL), true), (answer("404 Not Found", ""), false)] {
            let web = Web::new();
            assert_eq!(found_by_all(&web, &peers, &bytes), [expected; 10]);
            web.assert_silent();
            assert_eq!(web.documents.flights.lookups(), 0);
        }
    }
}

/// I3: waiting for another's fetch costs a sender nothing if the fetch succeeds.
#[test]
fn waiting_for_a_successful_fetch_is_not_charged() {
    let web = Web::new();
    assert_eq!(found_by_all(&web, &[[192, 0, 2, 1]; 10], &document(URL)), [true; 10]);
    for number in 1..limits::DOCUMENT_LOOKUPS {
        assert!(web.find(&format!("https://b{number}.example/c"), &document(URL)).is_none());
    }
}

/// Whether the sender of [`Web::look`] has used up its allowance.
fn has_spent_all(web: &Web) -> bool {
    web.documents.allowances.check(Some(IpAddr::from([192, 0, 2, 1])), web.clock.monotonic()).is_err()
}

/// I3: otherwise senders could wait for a slow server again and again, in places that others need.
#[test]
fn waiting_for_a_fetch_that_brings_nothing_costs_as_much_as_fetching() {
    let web = Web::new();
    for left in [20, 10, 0] {
        assert!(!has_spent_all(&web));
        assert_eq!(found_by_all(&web, &[[192, 0, 2, 1]; 10], &answer("404 Not Found", "")), [false; 10]);
        assert_eq!(has_spent_all(&web), left == 0);
    }
    assert!(web.look("https://b.example/c").is_none());
    web.assert_silent();
}

/// I3: the refresh of a cached document is free, and a failure of its host costs as much as any other.
#[test]
fn refreshing_a_document_costs_only_if_it_fails() {
    let urls: Vec<String> =
        (0..limits::DOCUMENT_LOOKUPS).map(|number| format!("https://a{number}.example/c")).collect();
    for (is_up, costs) in [(true, false), (false, true)] {
        let web = Web::new();
        assert!(urls.iter().all(|url| web.find(url, &document(url)).is_some()));
        web.clock.advance(Duration::from_secs(600));
        for url in &urls {
            let bytes = if is_up { document(url) } else { answer("503 Oops", "") };
            assert!(web.find(url, &bytes).is_some());
        }
        assert_eq!(has_spent_all(&web), costs);
    }
}

/// I3: no look-up waits for the refresh of a known client's document, which could be slow.
#[test]
fn a_copy_is_used_while_another_refreshes_it() {
    let web = Web::new();
    assert!(web.find(URL, &document(URL)).is_some());
    web.clock.advance(Duration::from_secs(60));
    thread::scope(|scope| {
        let first = scope.spawn(|| web.look(URL).is_some());
        let (_, mut socket) = web.request();
        let begun = clock::instant();
        assert!(web.look_from(URL, [10, 0, 0, 1]).is_some());
        assert!(begun.elapsed() < limits::DOCUMENT_WAIT);
        assert_eq!(web.documents.flights.lookups(), 1);
        send(&mut socket, &document(URL));
        assert!(first.join().unwrap());
    });
    web.assert_silent();
}

/// I3: a /56 has 256 networks; as many of them as there are places, all waiting for one slow server, leave room for others.
#[test]
fn networks_of_one_ipv6_site_cannot_take_all_places() {
    let web = Web::new();
    let slow = ClientUrl::parse("https://slow.example/c").unwrap();
    thread::scope(|scope| {
        let finders: Vec<_> = (0..u16::try_from(limits::DOCUMENT_CALLERS).unwrap())
            .map(|network| IpAddr::from([0x2001, 0xdb8, 0, network, 0, 0, 0, 1]))
            .map(|peer| {
                scope.spawn({
                    let (web, slow) = (&web, &slow);
                    move || web.documents.find(slow, Some(peer))
                })
            })
            .collect();
        let (_, mut socket) = web.request();
        while web.documents.flights.lookups() < limits::DOCUMENT_CALLERS {
            thread::yield_now();
        }
        assert!(web.find(URL, &document(URL)).is_some());
        send(&mut socket, &answer("404 Not Found", ""));
        assert!(finders.into_iter().all(|finder| finder.join().unwrap().is_none()));
    });
}

/// I3: eight fetches at once; the ninth waits, and starts when one of the eight has ended.
#[test]
fn few_documents_are_fetched_at_once() {
    let web = Web::new();
    let urls: Vec<String> =
        (0..limits::DOCUMENT_FETCHES).map(|n| format!("https://a{n}.example/client.json")).collect();
    thread::scope(|scope| {
        let web = &web;
        let finders: Vec<_> = (0_u8..)
            .zip(&urls)
            .map(|(peer, url)| scope.spawn(move || web.look_from(url, [10, 0, 0, peer])))
            .collect();
        let mut waiting: Vec<_> = urls.iter().map(|_| web.request()).collect();
        let next = scope.spawn(|| web.look(URL));
        while web.documents.flights.lookups() <= limits::DOCUMENT_FETCHES {
            thread::yield_now();
        }
        web.assert_silent();
        send(&mut waiting.pop().unwrap().1, &answer("404 Not Found", ""));
        send(&mut web.request().1, &document(URL));
        assert!(next.join().unwrap().is_some());
        waiting.iter_mut().for_each(|(_, socket)| send(socket, &answer("404 Not Found", "")));
        assert!(finders.into_iter().all(|finder| finder.join().unwrap().is_none()));
    });
}

/// I3: one sender has one place: a sender who waits for a slow server of their own does not lock out others.
#[test]
fn one_sender_holds_one_place() {
    let web = Web::new();
    let [first, second] =
        ["2001:db8:0:1::1", "2001:db8:0:1:ffff::2"].map(|text| text.parse::<IpAddr>().unwrap());
    let find = |url: &str, peer| web.documents.find(&ClientUrl::parse(url).unwrap(), Some(peer)).is_some();
    thread::scope(|scope| {
        let slow = scope.spawn(|| find("https://slow.example/c", first));
        let (_, mut socket) = web.request();
        let next = scope.spawn(|| find("https://next.example/c", second));
        while web.documents.flights.lookups() < 2 {
            thread::yield_now();
        }
        web.assert_silent();
        let other = scope.spawn(|| web.look(URL).is_some());
        send(&mut web.request().1, &document(URL));
        assert!(other.join().unwrap());
        send(&mut socket, &document("https://slow.example/c"));
        assert!(slow.join().unwrap());
        send(&mut web.request().1, &document("https://next.example/c"));
        assert!(next.join().unwrap());
    });
    // A sender on this machine may be a proxy for many people.
    thread::scope(|scope| {
        let here = IpAddr::from([127, 0, 0, 1]);
        let finders =
            [0, 1].map(|number| scope.spawn(move || find(&format!("https://c{number}.example/c"), here)));
        let sockets = [web.request(), web.request()];
        sockets.into_iter().for_each(|(_, mut socket)| send(&mut socket, &answer("404 Not Found", "")));
        assert!(finders.into_iter().all(|finder| !finder.join().unwrap()));
    });
}

/// I3: the limit on fetches per sender. Cached documents cost nothing, and are used even if the allowance is used up.
#[test]
fn document_lookups_per_sender_are_bounded() {
    let web = Web::new();
    assert!(web.find(URL, &document(URL)).is_some());
    for number in 1..limits::DOCUMENT_LOOKUPS {
        assert!(web.find(&format!("https://b{number}.example/c"), &answer("404 Not Found", "")).is_none());
        assert!(web.look(URL).is_some());
    }
    assert!(web.look("https://c.example/c").is_none());
    web.assert_silent();
    assert!(web.look(URL).is_some());
    web.clock.advance(Duration::from_secs(60));
    for number in 0..3 {
        web.look(&format!("https://gone.example/{number}"));
    }
    assert!(web.look(URL).is_some());
    web.assert_silent();
    web.clock.advance(Duration::from_secs(60));
    assert!(web.find(URL, &document(URL)).is_some());
}

/// I3: requests of nine addresses in an hour, for names that do not exist or paths of a client's own host, lock nobody out.
#[test]
fn strangers_lock_no_client_out() {
    let web = Web::new();
    let ask =
        |number: u32, peer: u8| web.look_from(&format!("https://gone.example/{number}"), [10, 0, 0, peer]);
    for _ in 0..6 {
        for peer in 0..9 {
            assert!((0..limits::DOCUMENT_LOOKUPS).all(|number| ask(number, peer).is_none()));
        }
        web.clock.advance(Duration::from_secs(600));
    }
    web.assert_silent();
    for number in 0..limits::DOCUMENT_LOOKUPS {
        let bytes = answer("404 Not Found", "");
        assert!(web.find(&format!("https://a.example/{number}"), &bytes).is_none());
    }
    let newcomer = thread::scope(|scope| {
        let finder = scope.spawn(|| web.look_from(URL, [10, 1, 0, 1]).is_some());
        send(&mut web.request().1, &document(URL));
        finder.join().unwrap()
    });
    assert!(newcomer);
}

/// I3: a known client is admitted although its document has expired and other senders hold every place.
#[test]
fn a_known_client_is_served_though_all_places_are_taken() {
    let web = Web::with_timeout(Duration::from_secs(60));
    assert!(web.find(URL, &document(URL)).is_some());
    web.clock.advance(Duration::from_secs(60));
    thread::scope(|scope| {
        let web = &web;
        let finders: Vec<_> = (0_u8..)
            .take(limits::DOCUMENT_CALLERS)
            .map(|peer| {
                scope.spawn(move || web.look_from(&format!("https://b{peer}.example/c"), [10, 0, 0, peer]))
            })
            .collect();
        let fetched: Vec<_> = (0..limits::DOCUMENT_FETCHES).map(|_| web.request()).collect();
        while web.documents.flights.lookups() < limits::DOCUMENT_CALLERS {
            thread::yield_now();
        }
        assert!(web.look(URL).is_some());
        web.assert_silent();
        fetched.into_iter().for_each(|(_, mut socket)| send(&mut socket, &answer("404 Not Found", "")));
        // Not a fixed number: on a slow machine, look-ups give up while they wait for their turn.
        while !finders.iter().all(|finder| finder.is_finished()) {
            if let Ok((_, mut socket)) = web.requests.recv_timeout(Duration::from_millis(5)) {
                send(&mut socket, &answer("404 Not Found", ""));
            }
        }
        assert!(finders.into_iter().all(|finder| finder.join().unwrap().is_none()));
    });
}

/// L2: unauthenticated clients can cause any number of failed look-ups; the log has one line per second.
#[test]
fn the_log_is_told_once_a_second() {
    let web = Web::new();
    for number in 0..10 {
        assert!(web.look(&format!("https://gone.example/{number}")).is_none());
    }
    let told = || web.documents.log_limit.pass("not_fetched", web.clock.monotonic());
    assert_eq!(told(), None);
    web.clock.advance(Duration::from_secs(1));
    assert_eq!(told(), Some(10));
}
