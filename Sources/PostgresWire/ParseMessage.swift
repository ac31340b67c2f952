import NIOCore

/// Parse: makes a prepared statement; the empty name is the unnamed one.
package struct ParseMessage: Hashable, Sendable {
    package var statement: String
    package var query: String
    /// Type OIDs as far as the frontend gave them; 0 is unspecified.
    package var parameterTypes: [UInt32]

    package init(statement: String, query: String, parameterTypes: [UInt32] = []) {
        self.statement = statement
        self.query = query
        self.parameterTypes = parameterTypes
    }

    /// Throws `protocolViolation` for a body that is not exactly one Parse message.
    package init(decoding body: ByteBuffer) throws(PostgresError) {
        var body = body
        statement = try body.readText()
        query = try body.readText()
        let count = try body.readCount(elementSize: 4)
        parameterTypes = []
        parameterTypes.reserveCapacity(count)
        for _ in 0..<count { parameterTypes.append(try body.readField()) }
        try body.requireEnd()
    }

    package func write(to buffer: inout ByteBuffer) {
        buffer.writeMessage(FrontendTag.parse) { body in
            body.writeText(statement)
            body.writeText(query)
            body.writeInteger(UInt16(parameterTypes.count))
            for type in parameterTypes { body.writeInteger(type) }
        }
    }
}
