//! What peers have listed, as far as calls are judged by it: names of tools and prompts for the log, and the arguments that 2026-07-28
//! repeats in headers. Learned from the lists that clients read; no list is read for it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::base::identity::GrantId;
use crate::base::limits;
use crate::base::lock::Mutex;
use crate::mcp::{Mirrored, Operation, Reply, ToolRules};

/// The lists of one server.
#[derive(Default)]
pub(super) struct Listed {
    /// Guards what was listed.
    state: Mutex<ListedState>,
}

#[derive(Default)]
struct ListedState {
    names: HashSet<(Operation, String)>,
    /// Of tools with mirrored arguments, as each grant was told of them.
    rules: HashMap<(GrantId, String), Arc<ToolRules>>,
}

impl Listed {
    /// Notes what stands in a list that this grant reads.
    pub(super) fn note(&self, grant: GrantId, operation: Operation, reply: &Reply) {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct ListedItem {
            name: String,
            #[serde(default)]
            input_schema: Option<Box<RawValue>>,
        }
        let (member, of_call) = match operation {
            Operation::ListTools => ("tools", Operation::CallTool),
            Operation::ListPrompts => ("prompts", Operation::GetPrompt),
            Operation::ListResources
            | Operation::ListResourceTemplates
            | Operation::CallTool
            | Operation::GetPrompt
            | Operation::ReadResource
            | Operation::Complete => return,
        };
        let Ok(Some(items)) = reply.read::<Vec<ListedItem>>(member) else { return };
        let mut state = self.state.lock();
        for ListedItem { name, input_schema } in items {
            if name.len() > limits::bridge::NAME_BYTES {
                continue;
            }
            let mirrored =
                input_schema.as_deref().and_then(mirrored).filter(|_| of_call == Operation::CallTool);
            let key = (grant, name.clone());
            match mirrored {
                Some(mirrored) if state.rules.len() < limits::bridge::NAMES => {
                    let rules = ToolRules { mirrored, ..ToolRules::default() };
                    state.rules.insert(key, Arc::new(rules));
                }
                Some(_) | None if of_call == Operation::CallTool => {
                    state.rules.remove(&key);
                }
                Some(_) | None => {}
            }
            if state.names.len() < limits::bridge::NAMES {
                state.names.insert((of_call, name));
            }
        }
    }

    /// Whether a tool or a prompt of this name was listed.
    pub(super) fn has(&self, operation: Operation, name: &str) -> bool {
        self.state.lock().names.contains(&(operation, name.to_owned()))
    }

    /// What holds for calls of a tool, if this grant was told of it.
    pub(super) fn rules(&self, grant: GrantId, tool: &str) -> Option<Arc<ToolRules>> {
        self.state.lock().rules.get(&(grant, tool.to_owned())).cloned()
    }

    /// Forgets what a grant was told.
    pub(super) fn end_grant(&self, grant: GrantId) {
        self.state.lock().rules.retain(|(other, _), _| *other != grant);
    }
}

/// The mirrored arguments of a schema that has some, and breaks no rule.
fn mirrored(schema: &RawValue) -> Option<Vec<Mirrored>> {
    let mirrored = schema.get().contains("x-mcp-header").then(|| serde_json::from_str(schema.get()).ok())?;
    Mirrored::of_schema(&mirrored?).filter(|mirrored| !mirrored.is_empty())
}
