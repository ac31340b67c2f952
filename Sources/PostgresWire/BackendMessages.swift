import NIOCore

/// ParameterStatus: a setting that the server reports.
package struct ParameterStatusMessage: Hashable, Sendable {
    package var name: String
    package var value: String

    /// Throws `protocolViolation`.
    package init(decoding body: ByteBuffer) throws(PostgresError) {
        var body = body
        name = try body.readText()
        value = try body.readText()
        try body.requireEnd()
    }
}

/// DataRow: the values of one row.
package struct DataRowMessage: Hashable, Sendable {
    /// nil is NULL. Values share storage with the message.
    package var values: [ByteBuffer?]

    /// Throws `protocolViolation`.
    package init(decoding body: ByteBuffer) throws(PostgresError) {
        var body = body
        let count = try body.readCount(elementSize: 4)
        values = []
        values.reserveCapacity(count)
        for _ in 0..<count { values.append(try body.readValue()) }
        try body.requireEnd()
    }

    /// The value of a column in text format; nil where it is NULL or there is no such column.
    package func text(at column: Int) -> String? {
        guard values.indices.contains(column), let value = values[column] else { return nil }
        return WireText.string(value.readableBytesView)
    }
}

extension BackendKey {
    /// Decodes BackendKeyData. Throws `protocolViolation`.
    package init(decoding body: ByteBuffer) throws(PostgresError) {
        var body = body
        self.init(processID: try body.readField(), secret: try body.readField(Int32.self))
        try body.requireEnd()
    }
}

extension TransactionStatus {
    /// Decodes ReadyForQuery. Throws `protocolViolation`.
    package init(decodingReadyForQuery body: ByteBuffer) throws(PostgresError) {
        var body = body
        guard let status = TransactionStatus(rawValue: try body.readField()) else {
            throw PostgresError(.protocolViolation, "invalid transaction status from server")
        }
        try body.requireEnd()
        self = status
    }
}

extension ByteBuffer {
    /// The tag that a CommandComplete body holds (`SELECT 3`). Throws `protocolViolation`.
    package func decodeCommandComplete() throws(PostgresError) -> String {
        var body = self
        let commandTag = try body.readText()
        try body.requireEnd()
        return commandTag
    }

    /// The type OIDs that a ParameterDescription body holds. Throws `protocolViolation`.
    package func decodeParameterDescription() throws(PostgresError) -> [UInt32] {
        var body = self
        let count = try body.readCount(elementSize: 4)
        var types: [UInt32] = []
        types.reserveCapacity(count)
        for _ in 0..<count { types.append(try body.readField()) }
        try body.requireEnd()
        return types
    }
}
