import NIOCore

/// The first message of a session.
package struct StartupMessage: Hashable, Sendable {
    package struct Parameter: Hashable, Sendable {
        package var name: String
        package var value: String

        package init(name: String, value: String) {
            self.name = name
            self.value = value
        }
    }

    package var majorVersion: UInt16
    package var minorVersion: UInt16
    /// In order of arrival, `user` and `database` included.
    package var parameters: [Parameter]

    package init(majorVersion: UInt16 = 3, minorVersion: UInt16 = 0, parameters: [Parameter]) {
        self.majorVersion = majorVersion
        self.minorVersion = minorVersion
        self.parameters = parameters
    }

    /// The last `user` given, as the server takes it; nil where there is none or it is empty.
    package var user: String? { nonEmptyValue("user") }

    /// The database asked for; the user's name where none is.
    package var database: String? { nonEmptyValue("database") ?? user }

    /// Names of the `_pq_.` protocol options asked for; none of them is supported.
    package var protocolOptions: [String] {
        parameters.lazy.map(\.name).filter { $0.hasPrefix("_pq_.") }
    }

    /// The newest minor version spoken: 3.2, in which keys for CancelRequest may be long.
    package static let newestMinorVersion: UInt16 = 2

    /// The minor version that is spoken with this frontend.
    package var agreedMinorVersion: UInt16 { min(minorVersion, Self.newestMinorVersion) }

    /// Whether the frontend must be told, by NegotiateProtocolVersion, that it does not get all that
    /// it asks for. https://www.postgresql.org/docs/18/protocol-flow.html
    package var needsNegotiation: Bool {
        minorVersion > Self.newestMinorVersion
            || parameters.contains { $0.name.hasPrefix("_pq_.") }
    }

    /// Writes the NegotiateProtocolVersion message where one is needed.
    package func writeNegotiation(to buffer: inout ByteBuffer) {
        guard needsNegotiation else { return }
        buffer.writeNegotiateProtocolVersion(
            minor: agreedMinorVersion, unsupported: protocolOptions)
    }

    private func nonEmptyValue(_ name: String) -> String? {
        guard let value = parameters.last(where: { $0.name == name })?.value, !value.isEmpty
        else { return nil }
        return value
    }

    /// Decodes what follows the version. The list must end exactly at the packet's end.
    init(
        majorVersion: UInt16, minorVersion: UInt16, decodingParameters body: ByteBuffer
    ) throws(PostgresError) {
        var body = body
        self.init(majorVersion: majorVersion, minorVersion: minorVersion, parameters: [])
        while true {
            let name = try body.readText()
            if name.isEmpty { break }
            parameters.append(Parameter(name: name, value: try body.readText()))
        }
        guard body.readableBytes == 0 else {
            throw PostgresError(
                .protocolViolation,
                "invalid startup packet layout: expected terminator as last byte",
                severity: .fatal)
        }
    }

    package func write(to buffer: inout ByteBuffer) {
        let start = buffer.writerIndex
        buffer.writeInteger(Int32(0))
        buffer.writeInteger(majorVersion)
        buffer.writeInteger(minorVersion)
        for parameter in parameters where !parameter.name.isEmpty {
            buffer.writeText(parameter.name)
            buffer.writeText(parameter.value)
        }
        buffer.writeInteger(UInt8(0))
        buffer.setInteger(Int32(buffer.writerIndex - start), at: start)
    }
}
