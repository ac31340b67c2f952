import NIOCore
import Testing

@testable import PostgresWire

struct BackendMessageTests {
    static let error = PostgresError(
        .undefinedTable, "relation does not exist", severity: .error, detail: "d", hint: "h",
        position: 15, routine: "r")

    @Test("ErrorResponse and NoticeResponse survive the round trip")
    func errors() throws {
        let errorBody = try body(BackendTag.errorResponse) { $0.writeErrorResponse(Self.error) }
        #expect(try PostgresError(decodingErrorResponse: errorBody) == Self.error)
        try expectExact(errorBody) { _ = try PostgresError(decodingErrorResponse: $0) }
        let notice = PostgresError("00000", "note", severity: .notice)
        let noticeBody = try body(BackendTag.noticeResponse) { $0.writeNoticeResponse(notice) }
        #expect(try PostgresError(decodingErrorResponse: noticeBody) == notice)
    }

    @Test("An ErrorResponse without any field, or with odd ones, is still an error")
    func sparseErrors() throws {
        let empty = try PostgresError(decodingErrorResponse: ByteBuffer(bytes: [0]))
        #expect(empty == PostgresError(.internalError, ""))
        let odd = ByteBuffer(string: "SPANIK\0VPANIC\0C1\0P-x\0Zwhat\0Mm\0\0")
        #expect(
            try PostgresError(decodingErrorResponse: odd)
                == PostgresError(.internalError, "m", severity: .fatal))
    }

    @Test(
        "ParameterStatus, BackendKeyData, ReadyForQuery and CommandComplete survive the round trip")
    func sessionMessages() throws {
        let status = try body(BackendTag.parameterStatus) {
            $0.writeParameterStatus("TimeZone", "UTC")
        }
        #expect(try ParameterStatusMessage(decoding: status).name == "TimeZone")
        #expect(try ParameterStatusMessage(decoding: status).value == "UTC")
        try expectExact(status) { _ = try ParameterStatusMessage(decoding: $0) }

        let key = BackendKey(processID: -1, secret: .max)
        let keyBody = try body(BackendTag.backendKeyData) { $0.writeBackendKeyData(key) }
        #expect(try BackendKey(decoding: keyBody) == key)
        try expectExact(keyBody) { _ = try BackendKey(decoding: $0) }

        for state in [TransactionStatus.idle, .inBlock, .failed] {
            let ready = try body(BackendTag.readyForQuery) { $0.writeReadyForQuery(state) }
            #expect(try TransactionStatus(decodingReadyForQuery: ready) == state)
            try expectExact(ready) { _ = try TransactionStatus(decodingReadyForQuery: $0) }
        }
        #expect(throws: PostgresError.self) {
            try TransactionStatus(decodingReadyForQuery: ByteBuffer(string: "X"))
        }

        let command = try body(BackendTag.commandComplete) { $0.writeCommandComplete("SELECT 3") }
        #expect(try command.decodeCommandComplete() == "SELECT 3")
        try expectExact(command) { _ = try $0.decodeCommandComplete() }
    }

    @Test("RowDescription, DataRow and ParameterDescription survive the round trip")
    func rows() throws {
        let fields = [
            FieldDescription(name: "id", type: .int4, format: 1),
            FieldDescription(
                name: "n", tableOID: 16_384, columnNumber: 2, typeOID: 1043, typeSize: -1,
                typeModifier: 24, format: 0),
        ]
        let description = try body(BackendTag.rowDescription) { $0.writeRowDescription(fields) }
        #expect(try FieldDescription.list(decodingRowDescription: description) == fields)
        try expectExact(description) {
            _ = try FieldDescription.list(decodingRowDescription: $0)
        }

        let row = try body(BackendTag.dataRow) {
            $0.writeDataRow(columnCount: 3) {
                $0.writeDataRowText("ä")
                $0.writeDataRowText(nil)
                $0.writeDataRowValue(ByteBuffer(bytes: [1, 2]))
            }
        }
        let decoded = try DataRowMessage(decoding: row)
        #expect(decoded.text(at: 0) == "ä")
        #expect(decoded.text(at: 1) == nil)
        #expect(decoded.values[2] == ByteBuffer(bytes: [1, 2]))
        #expect(decoded.text(at: 3) == nil)
        try expectExact(row) { _ = try DataRowMessage(decoding: $0) }

        let types = try body(BackendTag.parameterDescription) {
            $0.writeParameterDescription([23, 25])
        }
        #expect(try types.decodeParameterDescription() == [23, 25])
        try expectExact(types) { _ = try $0.decodeParameterDescription() }
    }

    @Test("Messages without a body are five bytes under their own tags")
    func emptyMessages() throws {
        let written: [(UInt8, (inout ByteBuffer) -> Void)] = [
            (BackendTag.noData, { $0.writeNoData() }),
            (BackendTag.parseComplete, { $0.writeParseComplete() }),
            (BackendTag.bindComplete, { $0.writeBindComplete() }),
            (BackendTag.closeComplete, { $0.writeCloseComplete() }),
            (BackendTag.emptyQueryResponse, { $0.writeEmptyQueryResponse() }),
            (BackendTag.portalSuspended, { $0.writePortalSuspended() }),
            (FrontendTag.sync, { $0.writeSync() }), (FrontendTag.flush, { $0.writeFlush() }),
            (FrontendTag.terminate, { $0.writeTerminate() }),
        ]
        for (tag, write) in written {
            #expect(buffer(write) == ByteBuffer(bytes: [tag, 0, 0, 0, 4]))
        }
        let ok = buffer { $0.writeAuthenticationOk() }
        #expect(ok == ByteBuffer(bytes: [0x52, 0, 0, 0, 8, 0, 0, 0, 0]))
    }

    @Test("A secret prints nothing of itself")
    func secrets() {
        let secret = Secret("hunter2")
        var dumped = ""
        dump(secret, to: &dumped)
        for text in ["\(secret)", String(reflecting: secret), String(describing: [secret]), dumped]
        {
            #expect(!text.contains("hunter2"))
        }
    }

    @Test("Types are found by OID, by name and by alias; arrays know their elements")
    func types() {
        for type in PostgresType.all {
            #expect(PostgresType(oid: type.oid)?.name == type.name)
            #expect(PostgresType(named: type.name) == type)
            if let element = type.elementType { #expect(element.arrayType == type) }
        }
        #expect(PostgresType(named: "Character  Varying") == .varchar)
        #expect(PostgresType(named: "integer[]") == .int4Array)
        #expect(PostgresType(named: "double precision") == .float8)
        #expect(PostgresType(named: "point") == nil)
        #expect(PostgresType(oid: 0) == nil)
    }
}
