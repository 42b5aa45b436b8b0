//! How a server starts and ends.

use crate::check;
use crate::config::{Invocation, Program};
use crate::mcp::{Consent, Context, Description, Error, Principal, Publisher, ToolRules, ToolServer};
use crate::store::fake::TestDirectory;

use super::*;

/// H13: a disk that does not answer holds up the last sweep, not the end.
#[test]
fn a_hanging_sweep_does_not_delay_the_shutdown() {
    let (_hanging, ended) = channel();
    let stop = CancelToken::new();
    Sweeper { stop: stop.clone(), ended }.stop(Duration::from_millis(1));
    assert!(stop.is_tripped());
}

/// After a panic, grants still expire and revoked streams end.
#[test]
fn a_panic_does_not_end_the_sweeps() {
    let (sweeps, swept) = channel();
    let sweep = move || {
        sweeps.send(()).unwrap();
        panic!("in a backend");
    };
    let sweeper = Sweeper::start(sweep, None).unwrap();
    swept.recv().unwrap();
    sweeper.stop(Duration::from_secs(10));
    assert_eq!(swept.try_iter().count(), 1, "the last sweep");
}

/// A tool server, and the patience of each call of its `stop`.
struct Stopped(ToolServer, Sender<Duration>);

impl Backend for Stopped {
    fn consent(&self) -> &Consent {
        self.0.consent()
    }

    fn description(&self, caller: &Principal) -> Result<Arc<Description>, Error> {
        self.0.description(caller)
    }

    fn call(&self, context: Context) {
        self.0.call(context);
    }

    fn connect(&self, publisher: Publisher) {
        self.0.connect(publisher);
    }

    fn tool_rules(&self, caller: &Principal, tool: &str) -> Option<Arc<ToolRules>> {
        self.0.tool_rules(caller, tool)
    }

    fn stop(&self, patience: Duration) {
        self.1.send(patience).unwrap();
    }
}

#[test]
fn a_backend_starts_with_the_server_and_is_stopped_twice() {
    let test = TestDirectory::new();
    let options = ["GITHUB_CLIENT_ID", "GITHUB_CLIENT_SECRET", "MCP_ALLOW", "MCP_LISTEN", "MCP_STATE_DIR"];
    let values = ["Ov23li", "x", "id:7", "127.0.0.1:0", test.path().to_str().unwrap()];
    let env =
        options.iter().zip(values).map(|(name, value)| ((*name).to_owned(), value.to_owned())).collect();
    let parsed = Config::from(Program::new("test", "1").unwrap(), std::iter::empty(), &env);
    let Ok(Invocation::Serve(config)) = parsed else { panic!("{parsed:?}") };
    let ((starts, started), (stops, stopped)) = (channel(), channel());
    let tools = || -> MakeBackend<'static> {
        let (starts, stops) = (starts.clone(), stops.clone());
        let server = ToolServer::builder("n", "1").on_start(move |_| starts.send(()).unwrap());
        Box::new(move |_| Ok(Arc::new(Stopped(server.build().unwrap(), stops))))
    };
    assert!(check::check(&config, tools()).is_good());
    assert!(started.try_recv().is_err(), "a check starts nothing");
    let server = Server::start(&config, tools()).map_err(|errors| errors[0].to_string()).unwrap();
    assert_eq!(started.try_iter().count(), 1);
    assert!(stopped.try_recv().is_err());
    server.stop().unwrap();
    let patience: Vec<Duration> = stopped.try_iter().collect();
    assert!(matches!(patience[..], [Duration::ZERO, rest] if !rest.is_zero()), "{patience:?}");
}
