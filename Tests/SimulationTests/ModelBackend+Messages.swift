import NIOCore
import PostgresWire

/// The wire protocol's side of a backend.
extension ModelBackend {
    func take(_ frame: MessageFrame) {
        if isUnmet { meet(frame) }
        if isSkippingToSync, frame.tag != FrontendTag.sync, frame.tag != FrontendTag.terminate {
            return
        }
        do throws(PostgresError) {
            switch frame.tag {
            case FrontendTag.query: query(try QueryMessage(decoding: frame.body).query)
            case FrontendTag.parse: parse(try ParseMessage(decoding: frame.body))
            case FrontendTag.bind: bind(try BindMessage(decoding: frame.body))
            case FrontendTag.describe: describe(try DescribeMessage(decoding: frame.body))
            case FrontendTag.execute: execute(try ExecuteMessage(decoding: frame.body).portal)
            case FrontendTag.close: close(try CloseMessage(decoding: frame.body))
            case FrontendTag.sync: sync()
            case FrontendTag.flush: break
            default: end()
            }
        } catch {
            fail(error.sqlState.rawValue, error.message)
        }
    }

    // MARK: Simple

    private func query(_ text: String) {
        statements[""] = nil
        portals[""] = nil
        let parsed = simulation.statements(in: text)
        guard let parsed else {
            work = [.ready]
            fail("42601", "syntax error")
            return
        }
        work = parsed.enumerated().map {
            .statement($0.element, isLast: $0.offset == parsed.count - 1)
        }
        work.append(.ready)
    }

    func runSimple(_ statement: ModelStatement, isLast: Bool) {
        switch perform(statement, [], parseZone: settings.zone, answered: nil) {
        case .rows(let answer):
            writeDescription(columns: answer.columns, isBinary: false)
            write(answer, isBinary: false)
            if case .read(let read) = statement.meaning {
                unfinished = Execution(
                    read: read, parameters: [], answer: answer, parseZone: settings.zone)
            }
            finish("SELECT \(answer.rowCount)", isLast: isLast)
        case .settings(let rows):
            for (name, value) in rows {
                leaving.writeDataRow(columnCount: 2) {
                    $0.writeDataRowText(name)
                    $0.writeDataRowText(value)
                }
            }
            finish("SELECT \(rows.count)", isLast: isLast)
        case .done(let tag):
            finish(tag, isLast: isLast)
        case .ends(let committing, let tag):
            endTransaction(committing: committing, tag: tag)
        case .failed:
            break
        }
    }

    /// The last statement of a Query that began no block is answered when it has been committed.
    private func finish(_ tag: String, isLast: Bool) {
        if isLast, let transaction, !transaction.isBlock {
            work.insert(.commit(thenComplete: tag), at: 0)
        } else {
            complete(tag)
        }
    }

    /// Writes CommandComplete, and lets the client compare what it gets with what was answered.
    func complete(_ tag: String) {
        leaving.writeCommandComplete(tag)
        guard let execution = unfinished else { return }
        unfinished = nil
        guard !isOrphan, let client, client.backend === self else { return }
        client.executions.append(execution)
    }

    // MARK: Extended

    private func parse(_ message: ParseMessage) {
        guard message.statement.isEmpty || statements[message.statement] == nil else {
            fail("42P05", "prepared statement already exists")
            return
        }
        let statement = simulation.texts.byText[message.query]
        // An empty one is what the proxy makes of a name that a client has in use.
        guard statement != nil || message.query.isEmpty else {
            fail("42601", "syntax error")
            return
        }
        guard !hasFailed || statement?.endsBlock ?? false else {
            failInFailedBlock()
            return
        }
        statements[message.statement] = Prepared(
            statement: statement, parseZone: settings.zone,
            parameterTypes: message.parameterTypes, client: client?.name)
        leaving.writeParseComplete()
    }

    private func bind(_ message: BindMessage) {
        guard let prepared = statements[message.statement] else {
            fail("26000", "prepared statement does not exist")
            return
        }
        guard !hasFailed || prepared.statement?.endsBlock ?? false else {
            failInFailedBlock()
            return
        }
        if !message.statement.isEmpty, prepared.client != client?.name {
            simulation.counters.sharedStatements += 1
        }
        let parameters = message.parameters.enumerated().map { index, value in
            Self.value(value, isBinary: message.parameterFormat(at: index) == 1)
        }
        var portal = Portal(
            statement: prepared.statement, parameters: parameters,
            isBinary: message.resultFormat(at: 0) == 1, parseZone: prepared.parseZone)
        if case .read(let read) = prepared.statement?.meaning {
            portal.answer = answer(read, parameters, parseZone: prepared.parseZone)
        }
        portals[message.portal] = portal
        leaving.writeBindComplete()
    }

    private static func value(_ bytes: ByteBuffer?, isBinary: Bool) -> Int32? {
        guard var bytes else { return nil }
        if isBinary { return bytes.readInteger() }
        return Int32(String(buffer: bytes))
    }

    private func describe(_ message: DescribeMessage) {
        let statement: ModelStatement?
        var isBinary = false
        if message.target == .statement {
            let prepared = statements[message.name]
            statement = prepared?.statement
            if let statement {
                leaving.writeParameterDescription(
                    Array(repeating: 23, count: statement.parameterCount))
            }
        } else {
            statement = portals[message.name]?.statement
            isBinary = portals[message.name]?.isBinary ?? false
        }
        guard let statement else {
            fail("26000", "there is no such statement or portal")
            return
        }
        if case .read(let read) = statement.meaning {
            writeDescription(columns: read.columns, isBinary: isBinary)
        } else if statement.meaning == .one {
            writeDescription(columns: 1, isBinary: isBinary)
        } else {
            leaving.writeNoData()
        }
    }

    private func execute(_ name: String) {
        guard let portal = portals[name], let statement = portal.statement else {
            fail("34000", "portal does not exist")
            return
        }
        let performed = perform(
            statement, portal.parameters, parseZone: portal.parseZone, answered: portal.answer)
        switch performed {
        case .rows(let answer):
            write(answer, isBinary: portal.isBinary)
            if case .read(let read) = statement.meaning {
                unfinished = Execution(
                    read: read, parameters: portal.parameters, answer: answer,
                    parseZone: portal.parseZone)
            }
            complete("SELECT \(answer.rowCount)")
        case .settings, .failed:
            break
        case .done(let tag):
            leaving.writeCommandComplete(tag)
        case .ends(let committing, let tag):
            endTransaction(committing: committing, tag: tag)
        }
    }

    private func close(_ message: CloseMessage) {
        if message.target == .statement {
            statements[message.name] = nil
        } else {
            portals[message.name] = nil
        }
        leaving.writeCloseComplete()
    }

    private func sync() {
        let wasSkipping = isSkippingToSync
        isSkippingToSync = false
        work = [.ready]
        if let transaction, !transaction.isBlock {
            endTransaction(committing: !wasSkipping, tag: nil)
        }
        if transaction == nil { portals = [:] }
    }

    // MARK: Replies

    private func writeDescription(columns: Int, isBinary: Bool) {
        leaving.writeRowDescription(
            (0..<columns).map { _ in
                FieldDescription(
                    name: "c", tableOID: 0, columnNumber: 0, typeOID: 23, typeSize: 4,
                    typeModifier: -1, format: isBinary ? 1 : 0)
            })
    }

    private func write(_ answer: ModelAnswer, isBinary: Bool) {
        for row in 0..<answer.rowCount {
            let values = answer.values[row * answer.columns..<(row + 1) * answer.columns]
            leaving.writeDataRow(columnCount: answer.columns) { message in
                for value in values {
                    if isBinary {
                        message.writeInteger(Int32(4))
                        message.writeInteger(value)
                    } else {
                        message.writeDataRowText(String(value))
                    }
                }
            }
        }
    }
}
