import NIOCore

/// Frontend messages without a type of their own.
extension ByteBuffer {
    package mutating func writeQuery(_ query: String) {
        writeMessage(FrontendTag.query) { $0.writeText(query) }
    }

    /// A Bind of the unnamed statement to the unnamed portal: `tail` is what follows their names.
    package mutating func writeBind(tail: ByteBuffer) {
        writeMessage(FrontendTag.bind) { body in
            body.writeText("")
            body.writeText("")
            body.writeImmutableBuffer(tail)
        }
    }

    package mutating func writeSync() {
        writeEmptyMessage(FrontendTag.sync)
    }

    package mutating func writeFlush() {
        writeEmptyMessage(FrontendTag.flush)
    }

    package mutating func writeTerminate() {
        writeEmptyMessage(FrontendTag.terminate)
    }

    /// A clear-text or MD5 answer to an authentication request.
    package mutating func writePasswordMessage(_ password: String) {
        writeMessage(FrontendTag.password) { $0.writeText(password) }
    }

    /// SASLInitialResponse.
    package mutating func writeSASLInitialResponse(mechanism: String, data: String) {
        writeMessage(FrontendTag.password) { body in
            body.writeText(mechanism)
            body.writeInteger(Int32(data.utf8.count))
            body.writeString(data)
        }
    }

    /// SASLResponse.
    package mutating func writeSASLResponse(_ data: String) {
        writeMessage(FrontendTag.password) { $0.writeString(data) }
    }

    package mutating func writeStartup(_ message: StartupMessage) {
        message.write(to: &self)
    }

    package mutating func writeStartup(parameters: [StartupMessage.Parameter]) {
        StartupMessage(parameters: parameters).write(to: &self)
    }

    package mutating func writeCancelRequest(_ key: BackendKey) {
        writeInteger(Int32(12 + key.secret.count))
        writeInteger(StartupPacket.cancelCode)
        writeInteger(key.processID)
        writeBytes(key.secret)
    }

    package mutating func writeSSLRequest() {
        writeInteger(Int32(8))
        writeInteger(StartupPacket.sslCode)
    }
}
