import NIOCore

extension PostgresError {
    /// Decodes the body of an ErrorResponse or NoticeResponse.
    ///
    /// Every field is optional and unknown ones are skipped: what a server left out becomes
    /// `XX000` and an empty message. Throws `protocolViolation` where the layout is broken.
    package init(decodingErrorResponse body: ByteBuffer) throws(PostgresError) {
        var body = body
        var severity: String?
        var error = PostgresError(.internalError, "")
        while true {
            let code = try body.readField(UInt8.self)
            if code == 0 { break }
            let value = try body.readText()
            switch code {
            case UInt8(ascii: "V"): severity = value  // never translated, unlike S
            case UInt8(ascii: "S"): severity = severity ?? value
            case UInt8(ascii: "C"):
                if Self.isSQLState(value) { error.sqlState = SQLState(rawValue: value) }
            case UInt8(ascii: "M"): error.message = value
            case UInt8(ascii: "D"): error.detail = value
            case UInt8(ascii: "H"): error.hint = value
            case UInt8(ascii: "P"): error.position = Int(value)
            case UInt8(ascii: "R"): error.routine = value
            default: break
            }
        }
        try body.requireEnd()
        error.severity =
            switch severity {
            case "FATAL", "PANIC": .fatal
            case "WARNING": .warning
            case "NOTICE", "INFO", "LOG", "DEBUG": .notice
            default: .error
            }
        self = error
    }

    private static func isSQLState(_ text: String) -> Bool {
        text.utf8.count == 5
            && text.utf8.allSatisfy {
                (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0)
                    || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains($0)
            }
    }
}
