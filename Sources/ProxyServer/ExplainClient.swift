import CLibPQ
import Foundation
import ProxyConfiguration

/// A client that asks a proxy for an explanation. Blocks its thread.
struct ExplainClient {
    let request: ExplainRequest
    let address: ListenAddress
    /// Who connects, and to which database, where the request does not say.
    let defaults: (user: String?, database: String?)

    /// The rows; nil where nobody listens at the address. Throws `ExplainError`.
    func ask() throws(ExplainError) -> [ExplainAnswer.Row]? {
        let parameters = try connectionParameters()
        let connection = withPointers(parameters) { PQconnectdbParams($0, $1, 0) }
        guard let connection else { throw ExplainError("out of memory") }
        defer { PQfinish(connection) }
        guard PQstatus(connection) == CONNECTION_OK else {
            if withPointers(parameters, { PQpingParams($0, $1, 0) }) == PQPING_NO_RESPONSE {
                return nil
            }
            throw ExplainError(Self.line(PQerrorMessage(connection)))
        }
        return try rows(connection)
    }

    private func connectionParameters() throws(ExplainError) -> [(String, String)] {
        var parameters = [("application_name", "mynah explain"), ("connect_timeout", "10")]
        switch address {
        case .tcp(let host, let port):
            parameters += [("host", host), ("port", String(port))]
        case .unix(let path):
            // libpq builds the socket's path from a directory and a port.
            guard let slash = path.lastIndex(of: "/"),
                let name = path[slash...].wholeMatch(of: /\/\.s\.PGSQL\.([0-9]+)/)
            else {
                throw ExplainError(
                    "cannot connect to unix:\(path): clients look for a name like .s.PGSQL.6432")
            }
            let directory = slash == path.startIndex ? "/" : String(path[..<slash])
            parameters += [("host", directory), ("port", String(name.output.1))]
        }
        if let user = request.user ?? defaults.user { parameters.append(("user", user)) }
        if let database = request.database ?? defaults.database {
            parameters.append(("dbname", database))
        }
        if !request.settings.isEmpty {
            parameters.append(("options", request.connectionOptions))
        }
        return parameters
    }

    private func rows(_ connection: OpaquePointer) throws(ExplainError) -> [ExplainAnswer.Row] {
        let sql = "EXPLAIN CACHE " + request.sql
        let result: OpaquePointer?
        if request.parameterTypes.isEmpty {
            result = PQexec(connection, sql)
        } else {
            let types = request.parameterTypes.map(\.oid)
            let values = [UnsafePointer<CChar>?](repeating: nil, count: types.count)
            result = PQexecParams(
                connection, sql, Int32(types.count), types, values, nil, nil, 0)
        }
        guard let result else { throw ExplainError(Self.line(PQerrorMessage(connection))) }
        defer { PQclear(result) }
        guard PQresultStatus(result) == PGRES_TUPLES_OK, PQnfields(result) == 2 else {
            let primary = PQresultErrorField(result, Int32(UInt8(ascii: "M")))
            throw ExplainError(
                primary.map { String(cString: $0) } ?? "\(address) is no Mynah that can explain")
        }
        return (0..<PQntuples(result)).map { row in
            ExplainAnswer.Row(
                property: String(cString: PQgetvalue(result, row, 0)),
                value: String(cString: PQgetvalue(result, row, 1)))
        }
    }

    private static func line(_ message: UnsafeMutablePointer<CChar>?) -> String {
        let text = message.map { String(cString: $0) } ?? "no connection"
        return text.split(whereSeparator: \.isNewline).joined(separator: " ")
    }

    /// Calls `body` with the two NULL-terminated arrays that libpq takes.
    private func withPointers<Result>(
        _ parameters: [(String, String)],
        _ body: (
            UnsafePointer<UnsafePointer<CChar>?>, UnsafePointer<UnsafePointer<CChar>?>
        ) -> Result
    ) -> Result {
        let keywords: [UnsafeMutablePointer<CChar>?] = parameters.map { strdup($0.0) }
        let values: [UnsafeMutablePointer<CChar>?] = parameters.map { strdup($0.1) }
        defer {
            for pointer in keywords + values { free(pointer) }
        }
        return body(
            keywords.map { $0.map { UnsafePointer($0) } } + [nil],
            values.map { $0.map { UnsafePointer($0) } } + [nil])
    }
}
