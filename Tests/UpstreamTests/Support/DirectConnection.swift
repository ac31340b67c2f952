import CLibPQ
import Foundation

/// A blocking connection of a test's own to its server, around everything that is tested.
final class DirectConnection {
    private let connection: OpaquePointer

    init(_ conninfo: String) throws {
        guard let connection = PQconnectdb(conninfo), PQstatus(connection) == CONNECTION_OK else {
            throw PostgreSQLTestServer.Failure(description: "cannot connect")
        }
        self.connection = connection
        PQsetNoticeProcessor(connection, { _, _ in }, nil)
    }

    deinit {
        PQfinish(connection)
    }

    /// The rows of one statement, as text; nil if it fails.
    func rows(_ sql: String, _ parameters: [String] = []) -> [[String?]]? {
        let values = parameters.map { strdup($0) }
        defer { values.forEach { free($0) } }
        let pointers = values.map { UnsafePointer($0) }
        guard
            let result = PQexecParams(
                connection, sql, Int32(parameters.count), nil, pointers, nil, nil, 0)
        else { return nil }
        defer { PQclear(result) }
        let status = PQresultStatus(result)
        guard status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK else { return nil }
        return (0..<PQntuples(result)).map { row in
            (0..<PQnfields(result)).map { column in
                PQgetisnull(result, row, column) == 1
                    ? nil : String(cString: PQgetvalue(result, row, column))
            }
        }
    }

    /// Several statements, which must not fail.
    func execute(_ sql: String) throws {
        let result = PQexec(connection, sql)
        defer { PQclear(result) }
        let status = PQresultStatus(result)
        guard status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK else {
            throw PostgreSQLTestServer.Failure(
                description: String(cString: PQresultErrorMessage(result)))
        }
    }
}
