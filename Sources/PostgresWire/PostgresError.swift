/// An error as PostgreSQL words it: severity, SQLSTATE, message, detail, hint.
///
/// Thrown by decoders, answered to clients. No field ever holds parameter values, rows or secrets.
/// Fields: https://www.postgresql.org/docs/15/protocol-error-fields.html
package struct PostgresError: Error, Hashable, Sendable {
    package enum Severity: String, Hashable, Sendable {
        case error = "ERROR"
        case fatal = "FATAL"
        case notice = "NOTICE"
        case warning = "WARNING"
    }

    package var severity: Severity
    package var sqlState: SQLState
    package var message: String
    package var detail: String?
    package var hint: String?
    /// One-based character position in the query text.
    package var position: Int?
    /// The function of PostgreSQL's source that reports the error: some drivers tell by it that a
    /// statement is to be prepared anew.
    package var routine: String?

    package init(
        _ sqlState: SQLState, _ message: String, severity: Severity = .error,
        detail: String? = nil, hint: String? = nil, position: Int? = nil,
        routine: String? = nil
    ) {
        self.severity = severity
        self.sqlState = sqlState
        self.message = message
        self.detail = detail
        self.hint = hint
        self.position = position
        self.routine = routine
    }
}

/// A five-character SQLSTATE. https://www.postgresql.org/docs/15/errcodes-appendix.html
package struct SQLState: RawRepresentable, Hashable, Sendable, ExpressibleByStringLiteral {
    package let rawValue: String
    package init(rawValue: String) { self.rawValue = rawValue }
    package init(stringLiteral value: String) { self.rawValue = value }

    package static let connectionFailure: SQLState = "08006"
    package static let protocolViolation: SQLState = "08P01"
    package static let featureNotSupported: SQLState = "0A000"
    package static let invalidPassword: SQLState = "28P01"
    package static let invalidAuthorization: SQLState = "28000"
    package static let noActiveTransaction: SQLState = "25P01"
    package static let inFailedTransaction: SQLState = "25P02"
    package static let activeTransaction: SQLState = "25001"
    package static let readOnlyTransaction: SQLState = "25006"
    package static let invalidStatementName: SQLState = "26000"
    package static let invalidCursorName: SQLState = "34000"
    package static let duplicatePreparedStatement: SQLState = "42P05"
    package static let duplicateCursor: SQLState = "42P03"
    package static let undefinedTable: SQLState = "42P01"
    package static let undefinedColumn: SQLState = "42703"
    package static let undefinedObject: SQLState = "42704"
    package static let syntaxError: SQLState = "42601"
    package static let tooManyConnections: SQLState = "53300"
    package static let outOfMemory: SQLState = "53200"
    package static let programLimitExceeded: SQLState = "54000"
    package static let lockNotAvailable: SQLState = "55P03"
    package static let queryCanceled: SQLState = "57014"
    package static let adminShutdown: SQLState = "57P01"
    package static let cannotConnectNow: SQLState = "57P03"
    package static let internalError: SQLState = "XX000"
}

extension PostgresError: CustomStringConvertible {
    /// For logs and operators: the message, then detail and hint where there are any.
    package var description: String {
        ([message] + [detail, hint].compactMap { $0 }).joined(separator: "; ")
    }
}
