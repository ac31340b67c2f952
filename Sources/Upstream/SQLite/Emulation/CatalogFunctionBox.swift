import CSQLite
import PostgresWire

/// A catalog function bound to the session state of one catalog database; SQLite holds a pointer
/// to it for as long as that database is open.
final class CatalogFunctionBox {
    private let function: CatalogFunction
    private let session: CatalogSession

    init(_ function: CatalogFunction, session: CatalogSession) {
        self.function = function
        self.session = session
    }

    func register(on connection: OpaquePointer) throws(PostgresError) {
        let code = sqlite3_create_function_v2(
            connection, function.name, -1, SQLITE_UTF8, Unmanaged.passUnretained(self).toOpaque(),
            { context, count, values in
                guard let data = sqlite3_user_data(context) else { return }
                let box = Unmanaged<CatalogFunctionBox>.fromOpaque(data).takeUnretainedValue()
                box.call(context, (0..<Int(count)).map { CatalogValue(values?[$0]) })
            }, nil, nil, nil)
        guard code == SQLITE_OK else { throw CatalogStatement.error(of: connection) }
    }

    private func call(_ context: OpaquePointer?, _ arguments: [CatalogValue]) {
        if function.isStrict, arguments.contains(.null) {
            sqlite3_result_null(context)
            return
        }
        do throws(PostgresError) {
            try function.body(CatalogFunction.Call(arguments: arguments, session: session))
                .result(in: context)
        } catch {
            session.failure = error
            sqlite3_result_error(context, error.message, -1)
        }
    }
}
