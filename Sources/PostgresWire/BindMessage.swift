import NIOCore

/// Bind: makes a portal of a prepared statement and parameter values.
package struct BindMessage: Hashable, Sendable {
    package var portal: String
    package var statement: String
    /// 0 is text, 1 binary. None: all text; one: it holds for all parameters.
    package var parameterFormats: [Int16]
    /// nil is NULL. Decoded values share storage with the message.
    package var parameters: [ByteBuffer?]
    package var resultFormats: [Int16]

    package init(
        portal: String = "", statement: String = "", parameterFormats: [Int16] = [],
        parameters: [ByteBuffer?] = [], resultFormats: [Int16] = []
    ) {
        self.portal = portal
        self.statement = statement
        self.parameterFormats = parameterFormats
        self.parameters = parameters
        self.resultFormats = resultFormats
    }

    /// Throws `protocolViolation` for a body that is not exactly one Bind message, or whose number
    /// of parameter formats fits no reading of the protocol.
    package init(decoding body: ByteBuffer) throws(PostgresError) {
        var body = body
        portal = try body.readText()
        statement = try body.readText()
        parameterFormats = try Self.readFormats(&body)
        let count = try body.readCount(elementSize: 4)
        guard parameterFormats.count <= 1 || parameterFormats.count == count else {
            throw PostgresError(
                .protocolViolation,
                "bind message has \(parameterFormats.count) parameter formats "
                    + "but \(count) parameters"
            )
        }
        parameters = []
        parameters.reserveCapacity(count)
        for _ in 0..<count { parameters.append(try body.readValue()) }
        resultFormats = try Self.readFormats(&body)
        try body.requireEnd()
    }

    /// The format code that holds for the parameter at `index`.
    package func parameterFormat(at index: Int) -> Int16 {
        Self.format(at: index, in: parameterFormats)
    }

    /// The format code that holds for the result column at `index`.
    package func resultFormat(at index: Int) -> Int16 {
        Self.format(at: index, in: resultFormats)
    }

    private static func format(at index: Int, in formats: [Int16]) -> Int16 {
        switch formats.count {
        case 0: 0
        case 1: formats[0]
        default: formats.indices.contains(index) ? formats[index] : 0
        }
    }

    private static func readFormats(_ body: inout ByteBuffer) throws(PostgresError) -> [Int16] {
        let count = try body.readCount(elementSize: 2)
        var formats: [Int16] = []
        formats.reserveCapacity(count)
        for _ in 0..<count {
            let format = try body.readField(Int16.self)
            guard format == 0 || format == 1 else {
                throw PostgresError("22023", "unsupported format code: \(format)")
            }
            formats.append(format)
        }
        return formats
    }

    package func write(to buffer: inout ByteBuffer) {
        buffer.writeMessage(FrontendTag.bind) { body in
            body.writeText(portal)
            body.writeText(statement)
            body.writeInteger(UInt16(parameterFormats.count))
            for format in parameterFormats { body.writeInteger(format) }
            body.writeInteger(UInt16(parameters.count))
            for parameter in parameters { body.writeValue(parameter) }
            body.writeInteger(UInt16(resultFormats.count))
            for format in resultFormats { body.writeInteger(format) }
        }
    }
}
