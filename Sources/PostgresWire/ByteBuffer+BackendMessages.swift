import NIOCore

/// Backend messages, each written whole.
extension ByteBuffer {
    package mutating func writeAuthenticationOk() {
        writeMessage(BackendTag.authentication) { $0.writeInteger(Int32(0)) }
    }

    package mutating func writeParameterStatus(_ name: String, _ value: String) {
        writeMessage(BackendTag.parameterStatus) { body in
            body.writeText(name)
            body.writeText(value)
        }
    }

    package mutating func writeParameterStatus(name: String, value: String) {
        writeParameterStatus(name, value)
    }

    package mutating func writeBackendKeyData(_ key: BackendKey) {
        writeMessage(BackendTag.backendKeyData) { body in
            body.writeInteger(key.processID)
            body.writeBytes(key.secret)
        }
    }

    package mutating func writeReadyForQuery(_ status: TransactionStatus) {
        writeMessage(BackendTag.readyForQuery) { $0.writeInteger(status.rawValue) }
    }

    package mutating func writeRowDescription(_ fields: [FieldDescription]) {
        writeMessage(BackendTag.rowDescription) { body in
            body.writeInteger(UInt16(fields.count))
            for field in fields {
                body.writeText(field.name)
                body.writeInteger(field.tableOID)
                body.writeInteger(field.columnNumber)
                body.writeInteger(field.typeOID)
                body.writeInteger(field.typeSize)
                body.writeInteger(field.typeModifier)
                body.writeInteger(field.format)
            }
        }
    }

    package mutating func writeNoData() {
        writeEmptyMessage(BackendTag.noData)
    }

    package mutating func writeParameterDescription(_ types: [UInt32]) {
        writeMessage(BackendTag.parameterDescription) { body in
            body.writeInteger(UInt16(types.count))
            for type in types { body.writeInteger(type) }
        }
    }

    /// `body` writes exactly `columnCount` values, each with its Int32 length (-1 for NULL) in
    /// front; `writeDataRowValue` writes one.
    package mutating func writeDataRow(columnCount: Int, _ body: (inout ByteBuffer) -> Void) {
        writeMessage(BackendTag.dataRow) { message in
            message.writeInteger(UInt16(columnCount))
            body(&message)
        }
    }

    /// One value of a DataRow; nil is NULL.
    package mutating func writeDataRowValue(_ value: ByteBuffer?) {
        writeValue(value)
    }

    /// One value of a DataRow in text format; nil is NULL.
    package mutating func writeDataRowText(_ text: String?) {
        guard let text else {
            writeInteger(Int32(-1))
            return
        }
        let start = writerIndex
        writeInteger(Int32(0))
        WireText.write(text, to: &self)
        setInteger(Int32(writerIndex - start - 4), at: start)
    }

    package mutating func writeCommandComplete(_ commandTag: String) {
        writeMessage(BackendTag.commandComplete) { $0.writeText(commandTag) }
    }

    package mutating func writeParseComplete() {
        writeEmptyMessage(BackendTag.parseComplete)
    }

    package mutating func writeBindComplete() {
        writeEmptyMessage(BackendTag.bindComplete)
    }

    package mutating func writeCloseComplete() {
        writeEmptyMessage(BackendTag.closeComplete)
    }

    package mutating func writeEmptyQueryResponse() {
        writeEmptyMessage(BackendTag.emptyQueryResponse)
    }

    package mutating func writePortalSuspended() {
        writeEmptyMessage(BackendTag.portalSuspended)
    }

    package mutating func writeErrorResponse(_ error: PostgresError) {
        writeMessage(BackendTag.errorResponse) { $0.writeErrorFields(error) }
    }

    package mutating func writeNoticeResponse(_ notice: PostgresError) {
        writeMessage(BackendTag.noticeResponse) { $0.writeErrorFields(notice) }
    }

    /// Tells the newest minor version of protocol 3, and the `_pq_.` options that were not
    /// understood. The server sends, and libpq expects, the full version number.
    package mutating func writeNegotiateProtocolVersion(minor: UInt16, unsupported: [String]) {
        writeMessage(BackendTag.negotiateProtocolVersion) { body in
            body.writeInteger(UInt16(3))
            body.writeInteger(minor)
            body.writeInteger(Int32(unsupported.count))
            for option in unsupported { body.writeText(option) }
        }
    }

    private mutating func writeErrorFields(_ error: PostgresError) {
        writeErrorField("S", error.severity.rawValue)
        writeErrorField("V", error.severity.rawValue)
        writeErrorField("C", error.sqlState.rawValue)
        writeErrorField("M", error.message)
        if let detail = error.detail { writeErrorField("D", detail) }
        if let hint = error.hint { writeErrorField("H", hint) }
        if let position = error.position { writeErrorField("P", String(position)) }
        if let routine = error.routine { writeErrorField("R", routine) }
        writeInteger(UInt8(0))
    }

    private mutating func writeErrorField(_ code: Unicode.Scalar, _ value: String) {
        writeInteger(UInt8(ascii: code))
        writeText(value)
    }
}
