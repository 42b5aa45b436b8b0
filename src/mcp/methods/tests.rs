use super::*;

/// Sealed states name the operation by its method, so no two may share one.
#[test]
fn each_operation_has_one_row() {
    let named = |operation| match operation {
        Operation::ListTools => "tools/list",
        Operation::CallTool => "tools/call",
        Operation::ListPrompts => "prompts/list",
        Operation::GetPrompt => "prompts/get",
        Operation::ListResources => "resources/list",
        Operation::ListResourceTemplates => "resources/templates/list",
        Operation::ReadResource => "resources/read",
        Operation::Complete => "completion/complete",
    };
    let operations: Vec<Operation> = METHODS.iter().filter_map(|row| row.operation).collect();
    assert_eq!(operations.len(), 8);
    assert!(operations.iter().all(|&operation| operation.method() == named(operation)));
}
