/// Which database a statement needs to have to itself: PostgreSQL refuses it while any session,
/// the proxy's own included, is connected to that one.
struct ExclusiveDatabaseReader {
    let tag: String
    let fields: SyntaxTree

    /// nil for statements that need none.
    var name: String? {
        switch tag {
        case "DropdbStmt":
            return fields["dbname"]?.text
        case "RenameStmt" where fields["renameType"]?.text == "OBJECT_DATABASE":
            return fields["subname"]?.text
        case "CreatedbStmt":
            return option("template") ?? "template1"
        case "AlterDatabaseStmt" where option("tablespace") != nil:
            return fields["dbname"]?.text
        default:
            return nil
        }
    }

    private func option(_ name: String) -> String? {
        for element in fields["options"]?.elements ?? [] {
            guard let option = element.fields(of: "DefElem"), option["defname"]?.text == name
            else { continue }
            return option["arg"]?.fields(of: "String")?["sval"]?.text
        }
        return nil
    }
}
