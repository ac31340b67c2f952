// The statements whose whole purpose is the session's own state.

extension SessionEffect {
    /// LISTEN, UNLISTEN, PREPARE, DEALLOCATE and CLOSE; nil where a name is missing that has to be
    /// there.
    init?(ofStatement tag: String, _ fields: SyntaxTree) {
        switch tag {
        case "ListenStmt":
            guard let channel = fields["conditionname"]?.text else { return nil }
            self = .listen(channel: channel)
        case "UnlistenStmt": self = .unlisten(channel: fields["conditionname"]?.text)
        case "PrepareStmt":
            guard let name = fields["name"]?.text else { return nil }
            self = .prepare(name: name)
        case "DeallocateStmt": self = .deallocate(name: fields["name"]?.text)
        case "ClosePortalStmt": self = .closeCursor(name: fields["portalname"]?.text)
        default: return nil
        }
    }

    /// CURSOR_OPT_HOLD in PostgreSQL's `parsenodes.h`.
    private static let holdOption = 0x20

    /// DECLARE: nil for a cursor that ends with its transaction.
    init?(ofDeclaration fields: SyntaxTree) {
        guard let options = fields["options"]?.integer, options & Self.holdOption != 0 else {
            return nil
        }
        self = .holdCursor(name: fields["portalname"]?.text ?? "")
    }

    /// The database that nobody may be connected to; nil for other statements.
    static func databaseNeededAlone(by tag: String, _ fields: SyntaxTree) -> String? {
        switch tag {
        case "DropdbStmt": return fields["dbname"]?.text
        case "CreatedbStmt":
            return option("template", of: fields) ?? "template1"
        case "AlterDatabaseStmt" where option("tablespace", of: fields) != nil:
            return fields["dbname"]?.text
        case "RenameStmt":
            return fields["renameType"]?.text == "OBJECT_DATABASE" ? fields["subname"]?.text : nil
        default: return nil
        }
    }

    private static func option(_ name: String, of statement: SyntaxTree) -> String? {
        for element in statement["options"]?.elements ?? [] {
            guard let option = element.fields(of: "DefElem"), option["defname"]?.text == name
            else { continue }
            return option["arg"]?.fields(of: "String")?["sval"]?.text
        }
        return nil
    }
}
