import PostgresWire
import SQLAnalysis

/// Questions about the session or PostgreSQL's catalog, which clients ask of every server and
/// which an embedded SQLite database cannot answer by itself.
///
/// A statement is such a question if it reads catalog relations alone, or no relation at all but
/// uses functions, session values or arrays that only PostgreSQL has.
package enum SessionQuestions {
    /// Answers a question; nil where `sql` is none, so that SQLite is to run it. Parameters are in
    /// text form. Throws where it is a question that the emulation cannot answer
    /// (`featureNotSupported`), or one whose answer is an error (`'x'::regclass`).
    ///
    /// May take some milliseconds: call where blocking is allowed.
    package static func answer(
        _ sql: String, parameters: [String?], session: EmulatedSession, schema: SQLiteSchema
    ) throws(PostgresError) -> EmulatedAnswer? {
        guard let translation = try translation(of: sql) else { return nil }
        let (rows, changes) = try schema.catalog.run(
            translation.sql, parameters: parameters, session: session)
        let output = CatalogOutput(objects: schema.catalog.objects, user: session.user)
        let texts = rows.map { row in
            zip(row, translation.columns).map { output.text($0, type: $1.typeOID) }
        }
        return EmulatedAnswer(
            columns: translation.columns, rows: texts, tag: "SELECT \(rows.count)",
            settingChanges: changes)
    }

    /// The types of a question's parameters and its result columns; nil where `sql` is none.
    /// Throws as `answer` does.
    package static func describe(
        _ sql: String, session: EmulatedSession, schema: SQLiteSchema
    ) throws(PostgresError) -> (parameters: [UInt32], columns: [EmulatedColumn])? {
        guard let translation = try translation(of: sql) else { return nil }
        try schema.catalog.check(translation.sql)
        return (translation.parameters, translation.columns)
    }

    private static func translation(
        of sql: String
    ) throws(PostgresError) -> CatalogTranslator.Translation? {
        guard mayBeQuestion(sql), let parsed = try? PgQuery.parse(sql), parsed.count == 1,
            let statement = SyntaxNode(parsed[0].tree), statement.kind == "SelectStmt",
            try isQuestion(statement)
        else { return nil }
        return try CatalogTranslator.translate(statement, of: sql)
    }

    /// Looks at the text alone, quickly: most statements end here.
    static func mayBeQuestion(_ sql: String) -> Bool {
        var word: [UInt8] = []
        word.reserveCapacity(32)
        for byte in sql.utf8 {
            let folded = byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte
            if folded >= 0x61 && folded <= 0x7a || folded == 0x5f
                || folded >= 0x30 && folded <= 0x39
            {
                if word.count < 32 { word.append(folded) }
                continue
            }
            // Arrays are PostgreSQL's as well.
            if byte == UInt8(ascii: "[") || isTelling(word) { return true }
            word.removeAll(keepingCapacity: true)
        }
        return isTelling(word)
    }

    private static func isTelling(_ word: [UInt8]) -> Bool {
        guard word.count >= 4 else { return false }
        if word[0] == 0x70, word[1] == 0x67, word[2] == 0x5f { return true }
        return tellingWords.contains(String(decoding: word, as: UTF8.self))
    }

    private static let tellingWords: Set<String> = Set(
        CatalogFunction.all.map(\.name) + [
            "information_schema", "current_user", "session_user", "current_role", "user",
            "current_catalog", "current_schema", "regclass", "regtype", "regnamespace", "regrole",
            "oidvector", "int2vector", "array", "unnest", "generate_series",
        ])

    private static func isQuestion(_ statement: SyntaxNode) throws(PostgresError) -> Bool {
        var commonTables: Set<String> = []
        statement.walk {
            if $0.kind == "CommonTableExpr" { commonTables.insert($0.text("ctename")) }
        }
        var catalogName: String?
        var hasOther = false
        var asksSession = false
        statement.walk { node in
            switch node.kind {
            case "RangeVar":
                let (schema, name) = (node.text("schemaname"), node.text("relname"))
                if schema.isEmpty, commonTables.contains(name) { return }
                let isCatalogSchema = schema == "pg_catalog" || schema == "information_schema"
                if isCatalogSchema || CatalogRelation.lookUp(schema: schema, name: name) != nil {
                    catalogName = name
                } else {
                    hasOther = true
                }
            case "FuncCall":
                let name = node.names("funcname").last ?? ""
                if CatalogTranslator.isCatalogFunction(name) || name == "unnest"
                    || name == "generate_series"
                {
                    asksSession = true
                }
            case "SQLValueFunction":
                // Times are SQLite's to tell.
                if !node.text("op").contains("TIME"), !node.text("op").contains("DATE") {
                    asksSession = true
                }
            case "A_ArrayExpr": asksSession = true
            case "TypeCast":
                guard let type = node.bare("typeName", as: "TypeName") else { return }
                let name = type.names("names").last ?? ""
                if type.has("arrayBounds") || name.hasPrefix("reg") { asksSession = true }
            default: break
            }
        }
        if let catalogName {
            guard !hasOther else {
                throw PostgresError(
                    .featureNotSupported,
                    "\"\(catalogName)\" cannot be joined with tables of an embedded SQLite database"
                )
            }
            return true
        }
        return asksSession && !hasOther
    }
}
