import PostgresWire
import SQLAnalysis

/// The extended query protocol.
/// https://www.postgresql.org/docs/15/protocol-flow.html#PROTOCOL-FLOW-EXT-QUERY
extension SQLiteSession {
    func parse(_ message: ParseMessage) throws {
        guard message.statement.isEmpty || statements[message.statement] == nil else {
            throw Self.duplicateStatement(message.statement)
        }
        _ = try Self.utf8(message.statement)
        let statement = try makeStatement(
            Self.utf8(message.query), declared: message.parameterTypes)
        try remember(statement, as: message.statement)
        write { $0.writeParseComplete() }
    }

    static func duplicateStatement(_ name: String) -> PostgresError {
        PostgresError(
            .duplicatePreparedStatement, "prepared statement \"\(name)\" already exists")
    }

    /// PREPARE in SQL.
    func prepare(_ name: String, _ types: [UInt32], _ text: String) throws {
        guard statements[name] == nil else { throw Self.duplicateStatement(name) }
        try remember(makeStatement(text, declared: types), as: name)
    }

    private func remember(_ statement: PreparedStatement, as name: String) throws {
        guard name.isEmpty || statements.count < database.settings.maximumNamedObjects else {
            throw PostgresError(
                .programLimitExceeded, "too many prepared statements",
                hint: "DEALLOCATE those that are no longer needed.")
        }
        statements[name] = statement
    }

    private func makeStatement(_ text: String, declared: [UInt32]) throws -> PreparedStatement {
        let pieces = StatementSplitter.split(text)
        guard pieces.count <= 1 else {
            throw PostgresError(
                .syntaxError, "cannot insert multiple commands into a prepared statement")
        }
        guard let source = pieces.first else {
            return PreparedStatement(text: text, index: 0, plan: nil, parameterTypes: declared)
        }
        if transaction.status == .failed {
            // Only what ends the block gets further.
            let control = try ControlStatementReader.read(source)
            let plan = control.map {
                StatementPlan(
                    source: source, action: .control($0), schemaVersion: 0)
            }
            try checkNotFailed(plan)
            return PreparedStatement(text: text, index: 0, plan: plan, parameterTypes: declared)
        }
        let plan = try plan(source)
        let types = PreparedStatement.parameterTypes(
            declared: declared, inferred: plan.parameterTypes)
        return PreparedStatement(text: text, index: 0, plan: plan, parameterTypes: types)
    }

    func bind(_ message: BindMessage) throws {
        guard let known = statements[message.statement] else {
            throw Self.unknownStatement(message.statement)
        }
        guard message.parameters.count == known.parameterTypes.count else {
            throw PostgresError(
                .protocolViolation,
                "bind message supplies \(message.parameters.count) parameters, but prepared statement \"\(message.statement)\" requires \(known.parameterTypes.count)"
            )
        }
        try checkNotFailed(known.plan)
        let statement = transaction.status == .failed ? known : try revalidated(known)
        if message.portal.isEmpty {
            portals.removeValue(forKey: "")?.finish()
        } else {
            guard portals[message.portal] == nil else {
                throw PostgresError(
                    .duplicateCursor, "cursor \"\(message.portal)\" already exists")
            }
            guard portals.count < database.settings.maximumNamedObjects else {
                throw PostgresError(.programLimitExceeded, "too many portals")
            }
        }
        var values: [SQLiteValue] = []
        values.reserveCapacity(message.parameters.count)
        for (index, bytes) in message.parameters.enumerated() {
            values.append(
                try ParameterDecoder.value(
                    bytes, format: message.parameterFormat(at: index),
                    typeOID: statement.parameterTypes[index]))
        }
        if case .control(.execute(let name, let arguments))? = statement.plan?.action {
            portals[message.portal] = try makeExecutePortal(
                name, arguments, text: statement.text, index: statement.index,
                formats: message.resultFormats)
        } else {
            portals[message.portal] = Portal(
                statement: statement, values: values,
                encoder: try RowEncoder(
                    columns: statement.plan?.columns ?? [], formats: message.resultFormats))
        }
        write { $0.writeBindComplete() }
    }

    func describe(_ message: DescribeMessage) throws {
        switch message.target {
        case .statement:
            guard let statement = statements[message.name] else {
                throw Self.unknownStatement(message.name)
            }
            try checkNotFailed(statement.plan)
            let columns = try announcedColumns(of: statement)
            write { output in
                output.writeParameterDescription(statement.parameterTypes)
                if columns.isEmpty {
                    output.writeNoData()
                } else {
                    output.writeRowDescription(columns.map { $0.description(format: 0) })
                }
            }
        case .portal:
            guard let portal = portals[message.name] else {
                throw Self.unknownPortal(message.name)
            }
            try checkNotFailed(portal.statement.plan)
            if portal.encoder.columns.isEmpty {
                write { $0.writeNoData() }
            } else {
                writeDescription(portal)
            }
        }
    }

    private func announcedColumns(of statement: PreparedStatement) throws -> [ResultColumn] {
        // EXECUTE shows the columns of what it names.
        if case .control(.execute(let name, _))? = statement.plan?.action {
            guard let named = statements[name] else { throw Self.unknownStatement(name) }
            return named.plan?.columns ?? []
        }
        return statement.plan?.columns ?? []
    }

    private static func unknownPortal(_ name: String) -> PostgresError {
        PostgresError(.invalidCursorName, "portal \"\(name)\" does not exist")
    }

    func execute(_ message: ExecuteMessage) throws {
        guard let portal = portals[message.portal] else {
            throw Self.unknownPortal(message.portal)
        }
        guard portal.statement.plan != nil else {
            write { $0.writeEmptyQueryResponse() }
            return
        }
        do {
            switch try run(portal, limit: max(0, Int(message.maximumRows))) {
            case .suspended: write { $0.writePortalSuspended() }
            case .complete(let tag): write { $0.writeCommandComplete(tag) }
            }
        } catch is StalePlan {
            throw Self.changedResultType
        }
    }

    func close(_ message: CloseMessage) throws {
        switch message.target {
        case .statement: statements[message.name] = nil
        case .portal: portals.removeValue(forKey: message.name)?.finish()
        }
        write { $0.writeCloseComplete() }
    }
}
