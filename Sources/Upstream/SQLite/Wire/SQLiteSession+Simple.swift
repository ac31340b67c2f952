import PostgresWire
import SQLAnalysis

/// The statements of one Query message, as far as they have been carried out.
struct SimpleQueryScript {
    let text: String
    let statements: [String]
    var next = 0
}

/// The simple query protocol.
/// https://www.postgresql.org/docs/15/protocol-flow.html#id-1.10.6.7.4
extension SQLiteSession {
    func beginScript(_ text: String) throws {
        // A simple query takes the place of the unnamed statement and portal.
        statements[""] = nil
        portals.removeValue(forKey: "")?.finish()
        let pieces = StatementSplitter.split(text)
        if pieces.isEmpty {
            write { $0.writeEmptyQueryResponse() }
            readyForQuery()
            return
        }
        script = SimpleQueryScript(text: text, statements: pieces)
    }

    /// Carries out the script's next statement, or ends it. A `Handover` leaves it as it was.
    func continueScript() throws {
        guard var current = script else { return }
        guard current.next < current.statements.count else {
            script = nil
            readyForQuery()
            return
        }
        let isLast = current.next == current.statements.count - 1
        let tag = try runFreshly(current)
        // An error of the commit comes in place of the last statement's completion.
        if isLast { try endImplicitTransaction() }
        write { $0.writeCommandComplete(tag) }
        current.next += 1
        script = current
    }

    /// Runs the script's next statement with a plan of the schema as it is, and returns its tag.
    private func runFreshly(_ script: SimpleQueryScript) throws -> String {
        // The schema can change between the plan and the run, but hardly twice.
        for _ in 0..<4 {
            do {
                let portal = try makePortal(script)
                guard case .complete(let tag) = try run(portal, limit: 0, describes: true) else {
                    throw PostgresError(.internalError, "a simple query cannot be suspended")
                }
                return tag
            } catch is StalePlan {}
        }
        throw Self.changedResultType
    }

    private func makePortal(_ current: SimpleQueryScript) throws -> Portal {
        let source = current.statements[current.next]
        let portal: Portal
        if transaction.status == .failed {
            // PostgreSQL looks no further than what kind of statement it is.
            guard let control = try ControlStatementReader.read(source) else {
                throw Self.failedBlock
            }
            portal = try makePortal(
                StatementPlan(
                    source: source, action: .control(control), schemaVersion: 0),
                current)
            try checkNotFailed(portal.statement.plan)
        } else {
            portal = try makePortal(plan(source), current)
        }
        if case .control(.execute(let name, let arguments))? = portal.statement.plan?.action {
            return try makeExecutePortal(
                name, arguments, text: current.text, index: current.next)
        }
        return portal
    }

    private func makePortal(_ plan: StatementPlan, _ script: SimpleQueryScript) throws -> Portal {
        if !plan.parameterTypes.isEmpty {
            throw PostgresError("42P02", "there is no parameter $1")
        }
        return Portal(
            statement: PreparedStatement(
                text: script.text, index: script.next, plan: plan, parameterTypes: []),
            values: [], encoder: try RowEncoder(columns: plan.columns, formats: []))
    }

    /// The statement that EXECUTE names, with its arguments.
    func makeExecutePortal(
        _ name: String, _ arguments: [SQLiteValue], text: String, index: Int,
        formats: [Int16] = []
    ) throws -> Portal {
        guard let known = statements[name] else { throw Self.unknownStatement(name) }
        let statement = try revalidated(known)
        guard arguments.count == statement.parameterTypes.count else {
            throw PostgresError(
                .syntaxError,
                "wrong number of parameters for prepared statement \"\(name)\"",
                detail:
                    "Expected \(statement.parameterTypes.count) parameters but got \(arguments.count)."
            )
        }
        let values = try zip(arguments, statement.parameterTypes).map { value, oid in
            // A quoted constant has no type of its own; a number keeps its own.
            guard case .text(let text) = value, let type = PostgresType(oid: oid) else {
                return value
            }
            return try ParameterDecoder.value(ofText: text, type: type)
        }
        // Its writes were foretold, if at all, by the profile of the EXECUTE.
        return Portal(
            statement: PreparedStatement(
                text: text, index: index, plan: statement.plan,
                parameterTypes: statement.parameterTypes),
            values: values,
            encoder: try RowEncoder(columns: statement.plan?.columns ?? [], formats: formats))
    }
}
