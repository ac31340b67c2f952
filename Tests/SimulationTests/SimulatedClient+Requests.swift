import NIOCore
import PostgresWire

/// Requests as bytes, with what they will be answered by.
extension SimulatedClient {
    func send(_ planned: PlannedRequest) {
        if planned.isSimple {
            sendQuery(planned.calls.map(\.statement))
        } else {
            sendSegment(planned.calls)
        }
    }

    private func append(_ bytes: ByteBuffer) {
        outbox.writeImmutableBuffer(bytes)
        writtenBytes += bytes.readableBytes
    }

    private func sendQuery(_ statements: [ModelStatement]) {
        var bytes = ByteBuffer()
        let text = statements.map(\.text).joined(separator: "; ")
        bytes.writeQuery(text)
        append(bytes)
        simulation.trace("client \(name) sends Query \(text)")
        requests.append(
            Request(
                replies: statements.map {
                    ExpectedReply(
                        .statement($0, parameters: [], isBinary: false, prepared: nil),
                        offset: writtenBytes)
                }))
    }

    /// Parse where it has to be, Bind, often Describe, and Execute for each; then Sync.
    private func sendSegment(_ calls: [Call]) {
        var replies: [ExpectedReply] = []
        for call in calls { append(call, &replies) }
        var bytes = ByteBuffer()
        if simulation.chance.permille(30) { bytes.writeFlush() }
        bytes.writeSync()
        append(bytes)
        requests.append(Request(replies: replies))
    }

    private func append(_ call: Call, _ replies: inout [ExpectedReply]) {
        let chance = simulation.chance
        let statement = call.statement
        let isTyped = chance.permille(700)
        let isBinary = isTyped && chance.permille(300)
        var name = ""
        var bytes = ByteBuffer()
        if chance.permille(simulation.features.preparedShare) {
            name = (isTyped ? "t" : "u") + ownName(of: statement)
            if unconfirmedNames.contains(name) { name = "" }
        }
        if name.isEmpty || prepared[name]?.statement.text != statement.text {
            if prepared[name] != nil {
                if chance.permille(simulation.features.renamings) {
                    CloseMessage(target: .statement, name: name).write(to: &bytes)
                    replies.append(
                        ExpectedReply(
                            .close(name: name), offset: writtenBytes + bytes.readableBytes))
                } else {
                    name = ""
                }
            }
            ParseMessage(
                statement: name, query: statement.text,
                parameterTypes: isTyped
                    ? Array(repeating: 23, count: statement.parameterCount) : []
            ).write(to: &bytes)
            replies.append(
                ExpectedReply(
                    .parse(name: name, statement), offset: writtenBytes + bytes.readableBytes))
            if !name.isEmpty { unconfirmedNames.insert(name) }
        }
        BindMessage(
            statement: name, parameterFormats: isBinary ? [1] : [],
            parameters: call.parameters.map { Self.bytes(of: $0, isBinary: isBinary) },
            resultFormats: isBinary && statement.isRead ? [1] : []
        ).write(to: &bytes)
        let offset = writtenBytes + bytes.readableBytes
        replies.append(ExpectedReply(.bind, offset: offset))
        if chance.permille(600) {
            DescribeMessage(target: .portal, name: "").write(to: &bytes)
            replies.append(ExpectedReply(.describe, offset: offset))
        }
        ExecuteMessage(portal: "", maximumRows: 0).write(to: &bytes)
        replies.append(
            ExpectedReply(
                .statement(
                    statement, parameters: call.parameters,
                    isBinary: isBinary && statement.isRead, prepared: name), offset: offset))
        append(bytes)
        simulation.trace(
            "client \(self.name) sends \(name.isEmpty ? "unnamed" : "prepared") "
                + "\(statement.text) \(call.parameters.map { $0.map(String.init) ?? "NULL" })")
    }

    /// Clients that share connections have few names, each for several statements.
    private func ownName(of statement: ModelStatement) -> String {
        if simulation.features.pool != nil { return String(statement.text.utf8.count % 3) }
        return "\(statement.text.count)\(statement.text.suffix(12))"
    }

    private static func bytes(of value: Int32?, isBinary: Bool) -> ByteBuffer? {
        guard let value else { return nil }
        if isBinary { return ByteBuffer(integer: value) }
        return ByteBuffer(string: String(value))
    }
}
