use super::*;

/// Sealed states name the operation by its method, so no two may share one.
#[test]
fn each_operation_has_one_row() {
    let named = |operation| match operation {
        Operation::List(List::Tools) => "tools/list",
        Operation::CallTool => "tools/call",
        Operation::List(List::Prompts) => "prompts/list",
        Operation::GetPrompt => "prompts/get",
        Operation::List(List::Resources) => "resources/list",
        Operation::List(List::ResourceTemplates) => "resources/templates/list",
        Operation::ReadResource => "resources/read",
        Operation::Complete => "completion/complete",
    };
    let rows: Vec<(&str, Operation)> =
        METHODS.iter().filter_map(|row| Some((row.name, row.operation?))).collect();
    assert_eq!(rows.len(), 8);
    assert!(rows.iter().all(|&(name, operation)| name == named(operation) && name == operation.method()));
}
