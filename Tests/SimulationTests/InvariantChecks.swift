import ResultCache
import SQLAnalysis

@testable import Session

/// What must hold of each answer, and of each commit (correctness: the invariants in checkable
/// form).
extension Simulation {
    /// Checks the answer to one read.
    func check(
        _ answer: ModelAnswer, to read: Read, of statement: ModelStatement,
        _ parameters: [Int32?], preparedAs name: String?, _ reply: ExpectedReply,
        for client: SimulatedClient
    ) throws {
        counters.reads += 1
        if !client.executions.isEmpty {
            // The upstream has run it: the proxy must not have touched the answer.
            let execution = client.executions.removeFirst()
            guard execution.read == read, execution.parameters == parameters else {
                throw Violation(
                    .order, "client \(client.name) got another's answer to \(statement.text)")
            }
            guard execution.answer == answer else {
                throw Violation(.answer, "the answer to \(statement.text) was changed on its way")
            }
            if let name, let zone = client.prepared[name]?.zone, execution.parseZone != zone {
                throw Violation(
                    .answer, "\(statement.text) was prepared with another time zone")
            }
            noteFill(statement, parameters)
            trace("client \(client.name) gets \(answer.values) from upstream: \(statement.text)")
            return
        }
        counters.hits += 1
        trace("client \(client.name) gets \(answer.values) from memory: \(statement.text)")
        try checkMayHit(statement, client)
        try checkLinearizable(answer, read, statement, parameters, name, reply, client)
        countSurvival(read, statement, parameters, client)
    }

    /// Nothing is outstanding when a read is answered from memory, so its backend is exactly where
    /// the session is.
    private func checkMayHit(_ statement: ModelStatement, _ client: SimulatedClient) throws {
        let backend = client.backend.flatMap { $0.isOrphan ? nil : $0 }
        if let transaction = backend?.transaction, transaction.isBlock {
            if transaction.hasWritten {
                throw Violation(
                    .transaction, "answered after the transaction's own write: \(statement.text)")
            }
            if transaction.isRepeatableRead {
                throw Violation(
                    .transaction, "answered in a REPEATABLE READ transaction: \(statement.text)")
            }
            if backend?.hasFailed ?? false {
                throw Violation(
                    .transaction, "answered in a failed transaction: \(statement.text)")
            }
        } else if client.status != .idle, client.isBlockRepeatable {
            throw Violation(
                .transaction, "answered in a REPEATABLE READ block: \(statement.text)")
        }
    }

    private func checkLinearizable(
        _ answer: ModelAnswer, _ read: Read, _ statement: ModelStatement, _ parameters: [Int32?],
        _ name: String?, _ reply: ExpectedReply, _ client: SimulatedClient
    ) throws {
        guard let arrival = reply.arrival else {
            throw Violation(.order, "answered before it was asked: \(statement.text)")
        }
        let settings = client.settings
        var zone = settings.zone
        if let name {
            // With which zone it was parsed may be unknown: then nothing can be said.
            guard let parsed = client.prepared[name]?.zone else { return }
            zone = parsed
        }
        for version in (arrival...database.version).reversed() {
            let possible = read.answer(
                parameters, in: database.state(version), settings, parseZone: zone)
            if possible == answer { return }
        }
        let now = read.answer(parameters, in: database.current, settings, parseZone: zone)
        throw Violation(
            .answer,
            "client \(client.name) got \(answer.values) for \(statement.text) "
                + "\(parameters.map { $0.map(String.init) ?? "NULL" }) with \(settings); "
                + "arrived at version \(arrival), now \(database.version) says \(now.values)")
    }

    // MARK: Windows

    /// Called just before a transaction changes what is visible: each changed table must have a
    /// writer in flight, or its whole database.
    func checkWindow(_ changed: UInt32) throws {
        let schema = services.cells.cell(.schema(database: Self.databaseName))
        if schema.writersInFlight > 0 { return }
        if changed & DatabaseState.catalogBit != 0 {
            throw Violation(.window, "the catalog changed outside of a window")
        }
        for table in ModelTable.allCases where changed & 1 << UInt32(table.rawValue) != 0 {
            let cell = services.cells.cell(
                .all(database: Self.databaseName, relation: String(table.family)))
            if cell.writersInFlight == 0 {
                throw Violation(.window, "a change of \(table) became visible outside of a window")
            }
        }
    }

    /// When all is quiet.
    func checkNoWriters() throws {
        var names: [CellName] = [
            .schema(database: Self.databaseName), .catalog(database: Self.databaseName), .cluster,
        ]
        names += ModelTable.allCases.map {
            .all(database: Self.databaseName, relation: String($0.family))
        }
        let leaked = names.filter { services.cells.cell($0).writersInFlight > 0 }
        guard leaked.isEmpty else {
            throw Violation(.leak, "writers are in flight on \(leaked) though nothing is running")
        }
    }

    func checkMemory() throws {
        let bytes = services.cache.statistics.bytes
        if bytes > services.cache.limits.memory {
            throw Violation(.memory, "\(bytes) bytes are held")
        }
    }

    // MARK: Counting

    private func noteFill(_ statement: ModelStatement, _ parameters: [Int32?]) {
        lastExecution["\(statement.text) \(parameters)"] = database.version
    }

    /// Whether the table of a keyed read has changed since the read was last executed.
    private func countSurvival(
        _ read: Read, _ statement: ModelStatement, _ parameters: [Int32?], _ client: SimulatedClient
    ) {
        guard case .rows(let source, .some) = read,
            let filled = lastExecution["\(statement.text) \(parameters)"]
        else { return }
        if database.lastChange[source.table(client.settings).rawValue] > filled {
            counters.survivingHits += 1
        }
    }
}
