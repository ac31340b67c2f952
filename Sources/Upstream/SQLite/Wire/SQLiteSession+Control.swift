import PostgresWire
import SQLAnalysis

/// Statements about the session: SET, SHOW, PREPARE, DISCARD and the like.
extension SQLiteSession {
    /// Carries out `control`, writing rows where it has some, and returns the command tag.
    func perform(
        _ control: ControlStatement, encoder: RowEncoder, describes: Bool
    ) throws -> String {
        switch control {
        case .transaction(let request): return try perform(request)
        case .set(let name, let value, let isLocal):
            return try set(name, value, isLocal: isLocal)
        case .setTransaction(let modes, let isSessionDefault):
            try setModes(modes, isSessionDefault: isSessionDefault)
            return "SET"
        case .show(let name): return try show(name, encoder, describes)
        case .resetAll:
            changingSettings { settings in
                settings.transactionBegan()
                settings.resetAll()
            }
            return "RESET"
        case .discard(let all, let tag):
            if all { try discardAll() }
            return tag
        case .prepare(let name, let types, let text):
            try prepare(name, types, text)
            return "PREPARE"
        case .execute:
            // Replaced by the statement it names before it gets here.
            throw PostgresError(.internalError, "EXECUTE was not resolved")
        case .deallocate(let name):
            guard let name else {
                statements = [:]
                return "DEALLOCATE ALL"
            }
            guard statements.removeValue(forKey: name) != nil else {
                throw Self.unknownStatement(name)
            }
            return "DEALLOCATE"
        case .nothing(let tag): return tag
        case .lockTable:
            guard transaction.status != .idle else {
                throw PostgresError(
                    .noActiveTransaction, "LOCK TABLE can only be used in transaction blocks")
            }
            if !transaction.holdsWriter, !database.isReadOnly { try takeWriter(place) }
            return "LOCK TABLE"
        case .vacuum(let rewrites, let analyzes):
            try vacuum(rewritesFile: rewrites, analyzes: analyzes)
            return "VACUUM"
        case .unsupported(let error): throw error
        }
    }

    static func unknownStatement(_ name: String) -> PostgresError {
        PostgresError(
            .invalidStatementName,
            name.isEmpty
                ? "unnamed prepared statement does not exist"
                : "prepared statement \"\(name)\" does not exist")
    }

    private func set(_ name: String, _ value: String?, isLocal: Bool) throws -> String {
        guard let value else {
            try changingSettings { settings in
                settings.transactionBegan()
                try settings.reset(name)
            }
            return "RESET"
        }
        switch name.lowercased() {
        case "role", "session_authorization":
            guard ["none", "default", user.lowercased()].contains(value.lowercased()) else {
                throw PostgresError(
                    .featureNotSupported, "SQLite has no roles to change to",
                    hint: "Connect as the user instead.")
            }
            return "SET"
        default: break
        }
        if isLocal, transaction.status == .idle {
            write {
                $0.writeNoticeResponse(
                    PostgresError(
                        .noActiveTransaction, "SET LOCAL can only be used in transaction blocks",
                        severity: .warning))
            }
            // It lasts until the transaction ends, which is at once; but it must be a good value.
            var trial = settings
            try trial.set(name, value, local: true)
            return "SET"
        }
        try changingSettings { settings in
            settings.transactionBegan()
            try settings.set(name, value, local: isLocal)
        }
        return "SET"
    }

    private func show(_ name: String, _ encoder: RowEncoder, _ describes: Bool) throws -> String {
        var rows: [[String?]]
        switch name.lowercased() {
        case "all":
            rows = settings.all.sorted { $0.key.lowercased() < $1.key.lowercased() }
                .map { [$0.key, $0.value, ""] }
        case "transaction_isolation": rows = [[transactionIsolationText]]
        case "transaction_read_only": rows = [[transactionReadOnlyText]]
        default:
            guard let value = settings[name] else { throw SessionSettings.unknown(name) }
            rows = [[value]]
        }
        if describes { write { $0.writeRowDescription(encoder.descriptions) } }
        for row in rows { try encoder.write(row, to: &output) }
        return "SHOW"
    }

    private func discardAll() throws {
        guard transaction.status == .idle, !transaction.holdsWriter else {
            throw PostgresError(
                .activeTransaction, "DISCARD ALL cannot run inside a transaction block")
        }
        closeAllPortals()
        statements = [:]
        changingSettings { settings in settings.resetAll() }
    }

    private func vacuum(rewritesFile: Bool, analyzes: Bool) throws {
        guard transaction.status == .idle, !transaction.holdsWriter else {
            throw PostgresError(
                .activeTransaction, "VACUUM cannot run inside a transaction block")
        }
        guard rewritesFile || analyzes else { return }
        guard !database.isReadOnly else {
            throw PostgresError(
                .readOnlyTransaction, "cannot execute VACUUM: the SQLite database is read-only")
        }
        let place = try place
        guard place.isWriter else { throw Handover.toWriter }
        try place.connection.whileCancellable(by: cancellation) {
            if rewritesFile { try place.connection.vacuum() }
            if analyzes { try place.connection.execute("ANALYZE") }
        }
        // A foreign change of the schema meanwhile is covered by this invalidation too.
        database.foreignWrites.schemaChangedByUs(
            to: try place.connection.integer("PRAGMA schema_version"))
        database.cells.invalidate(catalogToo: true)
        database.lookNow(place.connection)
    }
}
